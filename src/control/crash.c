#include "control/crash.h"

#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    STACK_SIZE = 65536,
    GUARD_SIZE = 4096,
    CALLERS_FRAMES = 1024, /* bytes: who called crash_init() has the monitor on its stack */
    HUNG_AFTER = 5,        /* seconds until a loop that has been asked is interrupted */
};

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

/* All that a signal handler needs: it gets no pointer of ours. */
static struct {
    const Image *image;
    CrashLost lost;
    void *owner;
    pid_t pid;
    bool core;
    int wake_fd;
    guint source;
    uint8_t *stack;
    uint64_t stack_top; /* no frame of the main loop lies above, and what is there is mapped */
    volatile sig_atomic_t asked;
    volatile sig_atomic_t finished;
    volatile sig_atomic_t status;
} crash = {.wake_fd = -1};

/* Ends as the signal would have ended us without a handler. */
static void die(int number)
{
    sigset_t set;

    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    kill(getpid(), number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* What has been done so far, as one number: it differs if anything has since the last crash. */
static uint64_t progress(const Page *page)
{
    const LogCursors *cursors = &page->log.set[page->log.live & 1];
    uint64_t taken = 0; /* by attach clients, or by the spool for them */

    for (size_t i = 0; i < STREAMS; i++) {
        taken += page->spool.end[i];
        for (size_t j = 0; j < PAGE_CLIENTS_MAX; j++)
            taken += page->clients[j].cursor[i];
    }
    return taken + page->feed.start + page->feed.end + page->streams[STREAM_STDOUT].end +
           page->streams[STREAM_STDERR].end + cursors->start[STREAM_STDOUT] +
           cursors->start[STREAM_STDERR] + page->journal.live + page->reported + page->ended +
           page->finished + ((uint64_t)page->phase << 56);
}

/* A code address, independent of where the program was loaded; 0 if it is not of the program. */
static uint64_t relative(uint64_t address)
{
    extern const char __executable_start[];
    extern const char etext[];
    uint64_t start = (uint64_t)(uintptr_t)__executable_start;

    return address > start && address < (uint64_t)(uintptr_t)etext ? address - start : 0;
}

typedef struct Registers {
    uint64_t instruction;
    uint64_t stack;
    uint64_t frame;
} Registers;

/* All zero on a machine that is not known here: its crashes are survived, and not traced. */
static Registers registers_of(const ucontext_t *context)
{
#if defined(__x86_64__)
    const greg_t *registers = context->uc_mcontext.gregs;

    return (Registers){(uint64_t)registers[REG_RIP], (uint64_t)registers[REG_RSP],
                       (uint64_t)registers[REG_RBP]};
#elif defined(__aarch64__)
    const mcontext_t *machine = &context->uc_mcontext;

    return (Registers){machine->pc, machine->sp, machine->regs[29]};
#else
    (void)context;
    return (Registers){0};
#endif
}

/* Return addresses by frame pointer, as long as the frames lie behind each other on this stack. */
static void walk_stack(CrashPage *report, const Registers *registers)
{
    uint64_t frame = registers->frame;
    uint64_t low = registers->stack;

    for (size_t i = 0; i < PAGE_FRAMES_MAX;) {
        const uint64_t *words = (const uint64_t *)(uintptr_t)frame;

        if (frame == 0 || frame % sizeof(uint64_t) != 0 || frame < low || frame > crash.stack_top)
            return;
        report->frames[i] = relative(words[1]);
        i += report->frames[i] != 0; /* a library's frames say little, and have no fixed place */
        low = frame + 1;
        frame = words[0];
    }
}

/*
 * Counts faults that would come again and again. Those that a loop has found nothing to do between
 * are not counted: see crash_quiet().
 */
static void count_stuck(Page *page)
{
    uint64_t mark = progress(page);

    page->crashes_stuck = mark == page->crash_mark ? page->crashes_stuck + 1 : 1;
    page->crash_mark = mark;
}

/* Where in our program it was, or from where a library had been called; 0 if that is not known. */
static uint64_t place_of(const CrashPage *report)
{
    return report->instruction != 0 ? report->instruction : report->frames[0];
}

static uint32_t count_alike(const CrashPage *before, const CrashPage *now)
{
    if (!now->is_our_own || place_of(now) == 0)
        return 0;
    return before->is_our_own && before->signal == now->signal && place_of(before) == place_of(now)
               ? before->alike + 1
               : 1;
}

/* abort() sends too, but to itself, and does not go on. */
static bool is_our_own(const siginfo_t *info)
{
    return info->si_code > 0 || info->si_pid == crash.pid;
}

static void note(Page *page, const siginfo_t *info, const ucontext_t *context)
{
    CrashPage *report = &page->crash;
    const CrashPage before = *report;
    const Registers registers = registers_of(context);

    *report = (CrashPage){
        .signal = info->si_signo,
        .code = info->si_code,
        .is_our_own = is_our_own(info),
        .address = is_our_own(info) ? (uint64_t)(uintptr_t)info->si_addr : (uint32_t)info->si_pid,
        .instruction = relative(registers.instruction),
    };
    page->crashes++;
    walk_stack(report, &registers);
    report->alike = count_alike(&before, report);
}

/*
 * A copy of us dies where we go on. It is made by the system call itself, as fork() runs what
 * libraries have asked for, and holds no descriptor that anybody waits for the end of.
 */
static void dump_core(int number)
{
    struct rlimit limit;

    if (syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) != 0)
        return;
    syscall(SYS_close_range, 3U, ~0U, 0U);
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_CORE, &limit);
    }
    prctl(PR_SET_DUMPABLE, 1);
    die(number);
    _exit(number);
}

static void wake_loop(void)
{
    uint64_t one = 1;

    if (write(crash.wake_fd, &one, sizeof(one)) < 0)
        return; /* it is awake */
}

static void on_fatal(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    if (getpid() != crash.pid) {
        die(number); /* a child between fork and execve: it has no state */
        return;
    }
    if (number == SIGBUS && info->si_code > 0 &&
        state_repair_shown(crash.image->state, info->si_addr)) {
        errno = saved;
        return;
    }
    if (crash.finished)
        _exit(crash.status);
    note(crash.image->state->page, info, context);
    if (crash.core)
        dump_core(number);
    if (!is_our_own(info)) {
        crash.asked = 1;
        wake_loop();
        alarm(HUNG_AFTER);
        errno = saved;
        return;
    }
    count_stuck(crash.image->state->page);
    crash.lost(-image_execute(crash.image), crash.owner);
    die(number);
}

/* Only the clock says that the loop hangs: who sends this can do so at any moment. */
static void on_alarm(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    if (getpid() != crash.pid || !crash.asked)
        return;
    if (info->si_code <= 0) {
        alarm(HUNG_AFTER); /* ours may have been taken for the same */
        return;
    }
    count_stuck(crash.image->state->page);
    crash_take_over();
}

static gboolean on_woken(gint fd, GIOCondition condition, gpointer data)
{
    uint64_t count;

    (void)condition;
    (void)data;
    while (read(fd, &count, sizeof(count)) > 0)
        ;
    return G_SOURCE_CONTINUE;
}

/* A stack of its own, so that an overflow of ours can be answered, with a page below it that
 * faults. */
static int make_stack(Error *error)
{
    stack_t stack = {.ss_size = STACK_SIZE};

    crash.stack = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (crash.stack == MAP_FAILED) {
        crash.stack = NULL;
        return error_set(error, errno, "Cannot survive a crash: no memory for a signal stack");
    }
    mprotect(crash.stack, GUARD_SIZE, PROT_NONE);
    stack.ss_sp = crash.stack + GUARD_SIZE;
    if (sigaltstack(&stack, NULL) < 0)
        return error_set(error, errno, "Cannot survive a crash: no signal stack");
    return 0;
}

int crash_init(const Image *image, bool core, CrashLost lost, void *owner, Error *error)
{
    struct sigaction action = {.sa_sigaction = on_fatal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    struct sigaction hung = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigset_t set;

    alarm(0); /* another image may have set it */
    if (make_stack(error) < 0)
        return -1;
    crash.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (crash.wake_fd < 0)
        return error_set(error, errno, "Cannot survive a crash: no eventfd");
    crash.source = watch_fd(crash.wake_fd, G_IO_IN, on_woken, NULL);
    crash.image = image;
    crash.lost = lost;
    crash.owner = owner;
    crash.core = core;
    crash.stack_top = (uint64_t)(uintptr_t)__builtin_frame_address(0) + CALLERS_FRAMES;
    crash.pid = getpid();
    crash.asked = 0;

    sigfillset(&action.sa_mask);
    sigfillset(&hung.sa_mask);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigaction(SIGALRM, &hung, NULL);
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
        sigaction(fatal[i], &action, NULL);
        sigaddset(&set, fatal[i]);
    }
    /* Another image was executed with all of them blocked. */
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return 0;
}

void crash_unblock(sigset_t *mask)
{
    sigdelset(mask, SIGALRM);
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        sigdelset(mask, fatal[i]);
}

void crash_finish(int status)
{
    sigset_t sent;

    if (crash.image == NULL)
        return;
    alarm(0);
    crash.status = status & 0xff;
    crash.finished = 1;
    /* A signal that somebody sends now comes too late to change anything. */
    sigfillset(&sent);
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        sigdelset(&sent, fatal[i]);
    sigprocmask(SIG_BLOCK, &sent, NULL);
    g_source_remove(crash.source);
    fd_close(&crash.wake_fd);
}

bool crash_asked(void)
{
    return crash.asked;
}

void crash_quiet(Page *page)
{
    state_commit(&page->crashes_stuck, 0);
}

int crash_take_over(void)
{
    sigset_t all;
    sigset_t before;
    int r;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    r = image_execute(crash.image);
    crash.asked = 0;
    alarm(0);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}
