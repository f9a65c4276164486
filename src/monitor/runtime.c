#include "monitor/monitor.h"

#include "process/children.h"
#include "process/listen-pid.h"
#include "process/runtime.h"
#include "process/spawn.h"
#include "process/sync-pipe.h"
#include "state/input.h"
#include "stdio/pipes.h"
#include "util/fd.h"
#include "util/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* Log driver passthrough: from now on, our caller's standard streams are the container's alone. */
static int spawn_with_our_stdio(Spawn *what, Error *error)
{
    for (int fd = 0; fd < 3; fd++)
        what->stdio[fd] = fd;
    if (spawn(what, error) < 0)
        return -1;
    fd_null_stdio();
    return 0;
}

static RuntimeCommand command_of(const Config *config)
{
    switch (config->kind) {
    case KIND_EXEC:
        return RUNTIME_EXEC;
    case KIND_RESTORE:
        return RUNTIME_RESTORE;
    default:
        return RUNTIME_CREATE;
    }
}

static char **argv_of(const Monitor *monitor)
{
    const Config *config = monitor->config;
    const RuntimeCall call = {
        .command = command_of(config),
        .runtime = config->runtime,
        .arguments = config->runtime_args,
        .options = config->runtime_opts,
        .bundle = config->bundle,
        .checkpoint = config->checkpoint,
        .process_spec = config->process_spec,
        .console_socket = config->terminal ? monitor->console_socket.path : NULL,
        .pidfile = config->container_pidfile,
        .cid = config->cid,
        .systemd_cgroup = config->systemd_cgroup,
        .no_pivot = config->no_pivot,
        .no_new_keyring = config->no_new_keyring,
    };

    return runtime_argv(&call);
}

int monitor_start_runtime(Monitor *monitor, Error *error)
{
    const Config *config = monitor->config;
    const ChildSignals signals = monitor_child_signals(monitor);
    CLEANUP_PIPES Pipes pipes = PIPES_NULL;
    CLEANUP_LISTEN_PID ListenPid listen = LISTEN_PID_NULL;
    g_autofree char **argv = argv_of(monitor);
    Spawn what = {
        .file = config->runtime,
        .argv = argv,
        .die_with_us = true,
        .signals = &signals,
        .oom_score_adj = monitor_page(monitor)->old_oom_score_adj,
        .file_limit = monitor_page(monitor)->old_file_limit,
        .pid = &monitor_page(monitor)->runtime_pid,
        .gate_fd = config->waits_for_attach ? monitor->pipes.start_fd : -1,
        .failure_fd = -1,
        .cgroup_fd = -1,
    };
    int r;

    if (listen_pid_init(&listen, config->replace_listen_pid, error) < 0)
        return -1;
    what.environment = listen.environment;
    what.pid_text = listen.pid_text;
    if (config->passthrough)
        return spawn_with_our_stdio(&what, error);
    if (pipes_init(&pipes, config->terminal, config->stdin_pipe, error) < 0)
        return -1;
    what.stdio[0] = pipes.their_input;
    what.stdio[1] = pipes.theirs[STREAM_STDOUT];
    what.stdio[2] = pipes.theirs[STREAM_STDERR];
    monitor_take_pipes(monitor, &pipes);
    r = spawn(&what, error) < 0 ? -1 : 0;
    fd_close(&monitor->pipes.start_fd);
    return r;
}

/* The key under which an engine expects a number. */
static const char *key_of(const Config *config)
{
    if (config->api_version >= 1)
        return "data";
    return config->kind == KIND_EXEC ? "exit_code" : "pid";
}

/* `before`: bytes of the text that are missing before it. */
static void say(Monitor *monitor, int number, const char *text, size_t length, uint64_t before)
{
    char line[SYNC_LINE_MAX];
    int r;

    if (monitor->pipes.sync_fd < 0)
        return;
    r = sync_send(monitor->pipes.sync_fd, line,
                  sync_line(line, key_of(monitor->config), number, text, length, before));
    if (r < 0)
        message(&monitor->config->messages, LEVEL_DEBUG, "The engine does not read its pipe: %s",
                strerror(-r));
}

void monitor_say(Monitor *monitor, int number, const char *text, size_t length)
{
    say(monitor, number, text, length, 0);
}

static void report(Monitor *monitor, int number, const char *text, size_t length, uint64_t before)
{
    const Config *config = monitor->config;
    bool legacy_exec = config->kind == KIND_EXEC && config->api_version == 0;
    Page *page = monitor_page(monitor); /* NULL if there is none for want of memory */

    if (page != NULL && page->reported & REPORTED_START)
        return;
    if (number < 0 || !legacy_exec) /* such an engine hears of the end only */
        say(monitor, number, text, length, before);
    if (page != NULL)
        state_commit(&page->reported, page->reported | REPORTED_START);
}

void monitor_report(Monitor *monitor, int number, const char *text, size_t length)
{
    report(monitor, number, text, length, 0);
}

/* What the runtime has said on a stream and that has been kept. Adds to *before how much it said
 * before that. */
static GString *captured(Monitor *monitor, StreamId stream, uint64_t *before)
{
    const StreamPage *page = &monitor_page(monitor)->streams[stream];
    uint64_t start = monitor_log_start(monitor, stream);

    *before += start;
    return g_string_new_len((const char *)input_at(&monitor->state, stream, start),
                            (gssize)(page->end - start));
}

/* The end of a text for a message, which has room for little, and how much is missing before. */
static char *last_words(const GString *text, uint64_t before)
{
    enum { SHOWN = 1024 }; /* bytes */
    size_t from = text->len > SHOWN ? text->len - SHOWN : 0;

    while (from > 0 && ((unsigned char)text->str[from] & 0xc0) == 0x80)
        from++; /* not in the middle of a character */
    before += from;
    return before > 0 ? g_strdup_printf(LEFT_OUT "%s", before, text->str + from)
                      : g_strdup(text->str);
}

/* The runtime's words are not the container's: they are passed over by the log and the outlets. */
static void forget_captured(Monitor *monitor)
{
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        monitor_log_skip(monitor, i, monitor_page(monitor)->streams[i].end);
    attach_skip(&monitor->attach);
}

static void fail(Monitor *monitor, const GString *text, uint64_t before)
{
    state_commit(&monitor_page(monitor)->failed, 1);
    report(monitor, -1, text->str, text->len, before);
    forget_captured(monitor);
    monitor_end(monitor);
}

/* It may have become our child meanwhile, when its parent ended: then its status can be had. */
static void foreign_ended(Monitor *monitor)
{
    Page *page = monitor_page(monitor);

    children_reap(&monitor->state);
    if (!(page->ended & ENDED_CONTAINER)) {
        message(&monitor->config->messages, LEVEL_WARNING,
                "The container's process %d was not left to this monitor by the runtime %s: it has "
                "ended with an unknown status, reported as %d",
                page->container_pid, monitor->config->runtime, STATUS_UNKNOWN);
        page->container_status = STATUS_UNKNOWN;
        state_commit(&page->ended, page->ended | ENDED_CONTAINER);
    }
    monitor_end(monitor);
}

static gboolean on_foreign_end(gint fd, GIOCondition condition, gpointer data)
{
    Monitor *monitor = data;

    (void)fd;
    (void)condition;
    monitor->foreign_source = 0;
    foreign_ended(monitor);
    return G_SOURCE_REMOVE;
}

void monitor_watch_foreign(Monitor *monitor)
{
    pid_t pid = monitor_page(monitor)->container_pid;
    int r = children_watch_foreign(pid, &monitor->foreign_fd);

    if (r == -ESRCH) {
        foreign_ended(monitor);
    } else if (r < 0) {
        message(&monitor->config->messages, LEVEL_ERROR,
                "Cannot watch the container's process %d, which is not a child of this monitor: "
                "%s. Its end will not be seen; stop it and remove the container",
                pid, strerror(-r));
    } else if (monitor->foreign_fd >= 0) {
        monitor->foreign_source = watch_fd(monitor->foreign_fd, G_IO_IN, on_foreign_end, monitor);
    }
}

/* What the runtime has said although it succeeded is its own, and not the container's. */
static void tell_warnings(Monitor *monitor)
{
    const Config *config = monitor->config;

    for (StreamId i = STREAMS; i-- > STREAM_STDOUT;) {
        uint64_t before = 0;
        g_autoptr(GString) noise = captured(monitor, i, &before);
        g_autofree char *words = last_words(noise, before);

        if (noise->len > 0)
            message(&config->messages, LEVEL_WARNING, "The runtime %s warned: %s", config->runtime,
                    words);
    }
}

static void running(Monitor *monitor, pid_t pid)
{
    Page *page = monitor_page(monitor);
    bool at_once = config_runs_at_once(monitor->config);

    if (!at_once) {
        tell_warnings(monitor);
        forget_captured(monitor);
        child_comm(pid, page->init_comm);
    }
    cgroup_oom_begin(&monitor->oom, pid, monitor->config->cid);
    state_commit(&page->container_pid, pid);
    monitor_set_running(monitor);
    monitor_report(monitor, pid, "", 0);
    for (StreamId i = STREAM_STDOUT; at_once && i < STREAMS; i++)
        monitor_pump(monitor, i, SPLIT_WAIT);

    monitor_watch_foreign(monitor);
    children_reap(&monitor->state);
    if (page->ended & ENDED_CONTAINER)
        monitor_end(monitor);
}

/* The pid of the container, 0 or negative if the runtime has left none of use. */
static int find_pid(const Monitor *monitor)
{
    const Config *config = monitor->config;

    /* What runc exec says at its end may be about anything; that the process runs is what counts.
     */
    if (monitor_page(monitor)->runtime_status != 0 && config->kind != KIND_EXEC)
        return 0;
    return runtime_read_pidfile(config->container_pidfile);
}

/* What nobody has captured cannot be told to the engine; but that there are words can. */
static const char *where_it_spoke(const Config *config)
{
    return config->passthrough ? "wrote to its caller's standard error, if it said why"
                               : "said nothing";
}

/* Why there is no container, in the runtime's words where it has any, for the engine; *before is
 * how much of them is missing. */
static GString *find_reason(Monitor *monitor, int pid, uint64_t *before)
{
    const Config *config = monitor->config;
    int status = monitor_page(monitor)->runtime_status;
    GString *text = captured(monitor, STREAM_STDERR, before);
    g_autofree char *words = last_words(text, *before);
    const char *said = text->len > 0 ? words : "it said nothing";

    if (pid > 0) {
        message(&config->messages, LEVEL_ERROR, "Runtime did not set up terminal: %s", said);
        if (text->len == 0)
            g_string_assign(text, "Runtime did not set up terminal");
    } else if (status != 0) {
        message(&config->messages, LEVEL_ERROR,
                "Failed to create container: exit status %d of %s: %s", status, config->runtime,
                said);
        if (text->len == 0)
            g_string_printf(text, "The runtime %s failed with exit status %d and %s",
                            config->runtime, status, where_it_spoke(config));
    } else {
        const char *why = pid < 0 ? strerror(-pid) : "it does not hold the pid of a container";

        message(&config->messages, LEVEL_ERROR, "Failed to read pidfile: %s: %s",
                config->container_pidfile, why);
        if (text->len == 0)
            g_string_printf(text, "The runtime %s succeeded, but its pid file %s is of no use: %s",
                            config->runtime, config->container_pidfile, why);
    }
    return text;
}

void monitor_runtime_ended(Monitor *monitor)
{
    const Config *config = monitor->config;
    uint64_t before = 0;
    GString *reason;
    int pid;

    if (config->terminal) {
        console_socket_take(&monitor->console_socket);
        console_socket_deinit(&monitor->console_socket);
    }
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        monitor_take_rest(monitor, i);
    state_commit(&monitor_page(monitor)->runtime_pid, 0);
    pid = find_pid(monitor);
    if (pid > 0 && (!config->terminal || stream_is_open(&monitor->streams[STREAM_STDOUT]))) {
        running(monitor, pid);
        return;
    }
    reason = find_reason(monitor, pid, &before);
    fail(monitor, reason, before);
    g_string_free(reason, TRUE);
}
