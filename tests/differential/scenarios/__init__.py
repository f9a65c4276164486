"""What is done with both monitors. Importing this fills scenario.ALL."""

from . import command_lines, containers, logs, processes, streams, trouble  # noqa: F401
