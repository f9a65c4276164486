"""What is played while the monitor crashes: each scenario is a function that gets a fault_points.Play, makes something
to be watched with it, and looks at the end at everything that others see: that it is right, and has happened once.

A scenario raises NotStarted when the crash came before anything had begun, and that is what was said."""

import memory
from fault_points import takes_trouble
from scenarios.ends import hurried, hurried_cleanup, timeout
from scenarios.execs import attached_exec, legacy_exec
from scenarios.inputs import with_input, with_late_input, with_unwanted_input
from scenarios.journal import (
    deaf_journal,
    large_entries,
    losing_journal,
    slow_journal,
    to_the_journal,
    warnings,
    with_priorities,
)
from scenarios.life import child_of_another, late_output, notify, one_after_the_other, passthrough, stalled, whole_life
from scenarios.logs import (
    damaged_line,
    flood,
    full_log,
    limited_log,
    long_lines,
    size_limit,
    slow_log,
    told_loss,
    truncated_log,
    unwritable_log,
    waiting_log,
)
from scenarios.memory_limits import (
    out_of_memory,
    run_in_cgroup,
    run_in_cgroup_of_nothing,
    run_in_cgroup_that_is_there,
)
from scenarios.rotations import discarded, failing_rotation, rotated
from scenarios.runs import detached_run, run, run_as_unit, run_of_nothing, run_with_terminal, stubborn_run
from scenarios.starts import failing_runtime, failing_runtime_and_the_journal, failing_start
from scenarios.stuck import (
    crashed_before_the_start,
    refused_descriptor,
    stuck_at_the_end,
    stuck_at_the_log,
    stuck_at_the_start,
)
from scenarios.terminals import with_something_that_is_no_terminal, with_terminal, without_terminal

_OF_MEMORY = (out_of_memory, run_in_cgroup, run_in_cgroup_of_nothing, run_in_cgroup_that_is_there)

# Those whose engines hear most come first: what all of a kind have in common is tried with them.
QUICK = (
    warnings,
    whole_life,
    one_after_the_other,
    late_output,
    passthrough,
    child_of_another,
    notify,
    hurried,
    hurried_cleanup,
    rotated,
    size_limit,
    waiting_log,
    truncated_log,
    damaged_line,
    discarded,
    to_the_journal,
    with_priorities,
    large_entries,
    deaf_journal,
    failing_runtime,
    failing_runtime_and_the_journal,
    failing_start,
    run,
    run_of_nothing,
    detached_run,
    run_with_terminal,
    run_as_unit,
    attached_exec,
    legacy_exec,
    *(() if memory.missing() else _OF_MEMORY),
    with_input,
    with_late_input,
    with_unwanted_input,
    with_terminal,
    without_terminal,
    with_something_that_is_no_terminal,
    crashed_before_the_start,
    refused_descriptor,
)

# They wait for time to pass, or move much data.
SLOW = (
    stalled,
    full_log,
    told_loss,
    slow_log,
    long_lines,
    limited_log,
    unwritable_log,
    flood,
    failing_rotation,
    *((losing_journal,) if takes_trouble() else ()),
    slow_journal,
    timeout,
    stubborn_run,
    stuck_at_the_start,
    stuck_at_the_log,
    stuck_at_the_end,
)

SCENARIOS = QUICK + SLOW
