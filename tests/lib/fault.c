/*
 * Makes a process crash by itself, at a moment that nobody has chosen:
 *
 *   fault PID [hold|accept4|recvmsg|write|NUMBER]
 *
 * The process is stopped wherever it is and goes on by single steps, for a random number of them
 * and then until so many have passed without a system call that it has also stored what the last
 * one returned. Its instruction pointer is then set to 0, and it is let go: the kernel raises
 * SIGSEGV as for any fault of its own.
 *
 * A process that waits in poll(2) or one of its kind faults right there: such a call loses nothing.
 *
 * With `hold`, the stopped process waits: a line `stopped` is printed, and it goes on when a line
 * has been read. What happens in between it finds all at once, or does not find before it faults.
 *
 * With the name of a system call, it goes on as ever until it has done one of that kind, and faults
 * as soon as it has stored what that has brought; with a number, until it has done so many that are
 * no wait. The line `ready` says that it is watched.
 *
 * Prints one line that says what was done. Ends with 0; with 3 if the process is gone; with 1 if it
 * could not be done.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FAILED = 1,
    GONE = 3,
    QUIET_STEPS = 200, /* without a system call: its result has been stored */
    STEPS_MOST = 2000, /* of the random part */
    PATIENCE = 60,     /* seconds; a tracee whose tracer ends goes on by itself */
};

static const unsigned char syscall_instruction[] = {0x0f, 0x05};

/* A zombie can not be traced, and the kernel calls that a lack of permission. */
static bool is_zombie(pid_t pid)
{
    char path[32];
    char state = '\0';
    FILE *stat;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    stat = fopen(path, "re");
    if (stat == NULL)
        return true;
    if (fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
        state = '\0';
    fclose(stat);
    return state == 'Z' || state == 'X';
}

static _Noreturn void fail(pid_t pid, const char *what)
{
    if (errno == ESRCH || (errno == EPERM && is_zombie(pid))) {
        printf("gone\n");
        exit(GONE);
    }
    fprintf(stderr, "fault: cannot %s: %s\n", what, strerror(errno));
    exit(FAILED);
}

/* Waits for the next stop. Returns the signal to hand on with the next step, or 0. */
static int wait_for_stop(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, __WALL) < 0)
        fail(pid, "wait for the process");
    if (!WIFSTOPPED(status)) {
        printf("gone\n");
        exit(GONE);
    }
    if (status >> 16 == PTRACE_EVENT_STOP || WSTOPSIG(status) == SIGTRAP)
        return 0;
    return WSTOPSIG(status);
}

static struct user_regs_struct registers_of(pid_t pid)
{
    struct user_regs_struct registers;

    if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
        fail(pid, "read the registers");
    return registers;
}

/* Whether the next instruction is a system call. */
static bool is_at_syscall(pid_t pid, const struct user_regs_struct *registers)
{
    long word;

    errno = 0;
    word = ptrace(PTRACE_PEEKTEXT, pid, registers->rip, NULL);
    if (errno != 0)
        fail(pid, "read an instruction");
    return memcmp(&word, syscall_instruction, sizeof syscall_instruction) == 0;
}

static bool is_polling(unsigned long long number)
{
    return number == SYS_poll || number == SYS_ppoll || number == SYS_epoll_wait ||
           number == SYS_epoll_pwait;
}

/* Interrupted while it waited: the kernel's own codes for a call that would be restarted. */
static bool is_waiting_in_poll(const struct user_regs_struct *registers)
{
    long long result = (long long)registers->rax;

    return is_polling(registers->orig_rax) && result <= -512 && result >= -516;
}

/* About to wait: everything before has been stored, and the wait could last for ever. A timeout
 * of 0 is a question and not a wait. */
static bool is_about_to_wait(const struct user_regs_struct *registers)
{
    return is_polling(registers->rax) && !(registers->rax == SYS_poll && registers->rdx == 0);
}

static unsigned random_below(unsigned limit)
{
    unsigned number;

    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        number = 0; /* as good as any */
    return number % limit;
}

/* The process stays stopped until the caller says a word. */
static void hold(void)
{
    printf("stopped\n");
    fflush(stdout);
    while (getchar() != '\n') {
        if (feof(stdin) || ferror(stdin))
            exit(FAILED);
    }
}

/* The moment of a fault: after so many system calls, of that kind or of any. */
typedef struct Moment {
    unsigned long long call; /* 0: any */
    unsigned long left;      /* 0: there is no such moment */
} Moment;

static Moment moment_of(const char *text)
{
    if (strcmp(text, "accept4") == 0)
        return (Moment){SYS_accept4, 1};
    if (strcmp(text, "recvmsg") == 0)
        return (Moment){SYS_recvmsg, 1};
    if (strcmp(text, "write") == 0)
        return (Moment){SYS_write, 1};
    return (Moment){0, strtoul(text, NULL, 10)};
}

static bool counts(const Moment *moment, const struct user_regs_struct *registers)
{
    if (moment->call == 0)
        return !is_polling(registers->orig_rax);
    return registers->orig_rax == moment->call && (long long)registers->rax >= 0;
}

/* Until that moment. Returns the signal to hand on next, or 0. */
static int go_on_until(pid_t pid, Moment moment, int number)
{
    printf("ready\n");
    fflush(stdout);
    while (moment.left > 0) {
        struct user_regs_struct registers;

        if (ptrace(PTRACE_SYSCALL, pid, NULL, (long)number) < 0)
            fail(pid, "let it go on");
        number = wait_for_stop(pid);
        registers = registers_of(pid);
        /* Where a call begins, its result is -ENOSYS. */
        if (number == 0 && (long long)registers.rax != -ENOSYS && counts(&moment, &registers))
            moment.left--;
    }
    return number;
}

static void fault_here(pid_t pid, struct user_regs_struct registers, int number)
{
    registers.rip = 0;
    registers.orig_rax = ~0ULL; /* no system call is to be restarted */
    if (ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0)
        fail(pid, "write the registers");
    if (ptrace(PTRACE_DETACH, pid, NULL, (long)number) < 0)
        fail(pid, "let go of the process");
}

int main(int argc, char **argv)
{
    bool held = argc == 3 && strcmp(argv[2], "hold") == 0;
    Moment moment = argc == 3 && !held ? moment_of(argv[2]) : (Moment){0, 0};
    pid_t pid = argc == 2 || held || moment.left > 0 ? (pid_t)atoi(argv[1]) : 0;
    struct user_regs_struct registers;
    unsigned long long place;
    unsigned wanted = moment.left > 0 ? 0 : random_below(STEPS_MOST);
    unsigned quiet = 0;
    unsigned steps = 0;
    int number;

    if (pid <= 0) {
        fprintf(stderr, "Usage: fault PID [hold|accept4|recvmsg|write|NUMBER]\n");
        return FAILED;
    }
    alarm(PATIENCE);
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
        fail(pid, "stop the process");
    number = wait_for_stop(pid);
    if (held)
        hold();
    if (moment.left > 0)
        number = go_on_until(pid, moment, number);
    registers = registers_of(pid);
    if (is_waiting_in_poll(&registers)) {
        fault_here(pid, registers, number);
        printf("fault in poll\n");
        return 0;
    }

    while (steps < wanted || quiet < QUIET_STEPS) {
        bool calls = is_at_syscall(pid, &registers);

        if (calls && is_about_to_wait(&registers))
            break;
        place = registers.rip;
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, (long)number) < 0)
            fail(pid, "let it make a step");
        number = wait_for_stop(pid);
        registers = registers_of(pid);
        steps++;
        /* A repeating instruction stops at each turn, but is one. */
        if (calls || number != 0)
            quiet = 0;
        else if (registers.rip != place)
            quiet++;
    }
    fault_here(pid, registers, number);
    printf("fault at %#llx after %u steps, the last %u of them without a system call\n",
           (unsigned long long)registers.rip, steps, quiet);
    return 0;
}
