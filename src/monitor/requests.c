#include "monitor/monitor.h"

#include "process/children.h"
#include "state/page-file.h"
#include "util/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* From its first signal to stop on, the command has the time that --stop-timeout gives to it. */
static void limit_stop(Monitor *monitor, int number)
{
    int64_t *stop_at = &monitor_page(monitor)->stop_at;
    int seconds = monitor->config->stop_timeout;
    bool stops = number == SIGTERM || number == SIGINT || number == SIGQUIT;

    if (seconds > 0 && stops && *stop_at == 0)
        state_commit(stop_at, clock_boottime_us() + (int64_t)seconds * 1000000);
}

void monitor_reap(Monitor *monitor)
{
    Page *page = monitor_page(monitor);
    uint32_t before = page->ended;

    if (page->phase == PHASE_RUNNING)
        monitor_oom_look(monitor); /* first: systemd removes the cgroup */
    children_reap(&monitor->state);
    if (page->ended == before)
        return;
    if (page->phase == PHASE_STARTING)
        monitor_runtime_ended(monitor);
    else
        monitor_end(monitor);
}

/*
 * Passes a signal on to the container, or to the runtime while there is none. Once the container
 * has ended, whoever sends one wants the monitor to be done: nothing is waited for any longer, but
 * for an exit command that runs. That is the engine's own cleanup; it never gets the signal, or a
 * service manager that stops the unit would leave the container's remains behind.
 */
static void forward(Monitor *monitor, int number)
{
    const Page *page = monitor_page(monitor);
    pid_t target;

    monitor_reap(
        monitor); /* signals that come together are read by number, the end after SIGTERM */
    target = page->container_pid > 0 ? page->container_pid : page->runtime_pid;
    if (page->phase > PHASE_RUNNING) {
        monitor_hurry(monitor);
    } else if (target > 0) {
        kill(target, number);
        limit_stop(monitor, number);
    }
}

static void on_signal(const struct signalfd_siginfo *info, void *owner)
{
    Monitor *monitor = owner;
    const Config *config = monitor->config;
    /* With a terminal of its own, the command is in another group than we are. */
    bool shares_terminal = !config_in_background(config) && !config->terminal;
    int number = (int)info->ssi_signo;

    switch (number) {
    case SIGCHLD:
        monitor_reap(monitor);
        break;
    case SIGUSR1: /* only wakes the loop */
        break;
    case SIGWINCH:
        monitor_follow_window(monitor);
        break;
    case SIGHUP: /* of a terminal that a daemon has not */
        if (monitor_page(monitor)->service.used) {
            monitor_service_reload(monitor);
            break;
        }
        if (config_in_background(config))
            break;
        /* fall through */
    default:
        /* A key on our terminal has reached the whole group, the command included. */
        if (!shares_terminal || !signal_is_from_terminal(info) ||
            monitor_page(monitor)->phase > PHASE_RUNNING)
            forward(monitor, number);
    }
}

/* A setting changes, for what is logged from now on. What may not be is left as it was: who asked
 * sees that the page's generation stays. */
static void set(Monitor *monitor, const CtlRequest *request)
{
    SettingsPage *settings = &monitor_page(monitor)->settings;

    if (settings_set_line(settings, request->setting) != SETTING_OK)
        return;
    FAULT_POINT(); /* the request is still there, and repeated */
    monitor_limit_log(monitor);
    state_commit(&settings->generation, settings->generation + 1);
    if (monitor_has_log(monitor))
        monitor_log_go_on(monitor); /* whoever waits may need not any more */
}

static void on_ctl(const CtlRequest *request, void *owner)
{
    Monitor *monitor = owner;

    if (request->type == CTL_RESIZE)
        monitor_resize(monitor, request->height, request->width);
    else if (request->type == CTL_REOPEN_LOG)
        monitor_reopen_log_once(monitor, request->number);
    else
        set(monitor, request);
    if (monitor_page(monitor)->phase > PHASE_RUNNING)
        monitor_end(monitor); /* what was waited for may be settled now */
}

int monitor_take_signals(Monitor *monitor, Error *error)
{
    ChildSignals signals = monitor_child_signals(monitor);
    int r;

    crash_unblock(&signals.mask);
    r = signals_init(&monitor->signals, &signals.mask, signals.ignored, on_signal, monitor);

    return r < 0 ? error_set(error, -r, "Cannot receive signals") : 0;
}

int monitor_requests_init(Monitor *monitor, Error *error)
{
    Page *page = monitor_page(monitor);
    const Config *config = monitor->config;
    const char *bundle = config->bundle;
    char path[PATH_MAX];
    int r = monitor_take_signals(monitor, error);

    if (r < 0 || config->passthrough)
        return r;
    /* Without a bundle, the fifo is beside the page, where everybody can look. */
    if (bundle == NULL && !page_file_beside(monitor->state.shown_fd, PAGE_FILE_CTL, path))
        return 0;
    if (bundle != NULL && snprintf(path, sizeof(path), "%s/ctl", bundle) >= PATH_MAX)
        return error_set(error, ENAMETOOLONG, "Cannot make the control fifo in %s", bundle);
    r = ctl_fifo_init(&monitor->ctl, &monitor->state, FD_CTL, &page->ctl, path,
                      bundle != NULL ? 0660 : 0600, ctl_parse, on_ctl, monitor, error);
    if (r < 0 || bundle == NULL)
        return r;
    snprintf(path, sizeof(path), "%s/winsz", bundle);
    return ctl_fifo_init(&monitor->winsz, &monitor->state, FD_WINSZ, &page->winsz, path, 0660,
                         winsz_parse, on_ctl, monitor, error);
}

int monitor_requests_adopt(Monitor *monitor, Error *error)
{
    Page *page = monitor_page(monitor);

    ctl_fifo_adopt(&monitor->ctl, &monitor->state, FD_CTL, &page->ctl, ctl_parse, on_ctl, monitor);
    ctl_fifo_adopt(&monitor->winsz, &monitor->state, FD_WINSZ, &page->winsz, winsz_parse, on_ctl,
                   monitor);
    return monitor_take_signals(monitor, error);
}

void monitor_requests_deinit(Monitor *monitor)
{
    signals_deinit(&monitor->signals);
    ctl_fifo_deinit(&monitor->ctl);
    ctl_fifo_deinit(&monitor->winsz);
}
