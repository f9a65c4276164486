#include "monitor/monitor.h"

#include "state/page-file.h"
#include "util/fd.h"
#include "util/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/*
 * What the page says of this monitor to who looks on: what does not change.
 */

enum {
    TEXTS_MOST = 16,
};

typedef struct Texts {
    struct iovec parts[TEXTS_MOST * 4];
    int count;
    size_t size; /* of all, in bytes */
} Texts;

static void add_part(Texts *texts, const char *text, size_t length)
{
    texts->parts[texts->count++] = (struct iovec){(void *)text, length};
    texts->size += length;
}

/* One that would make them too long is left out: the rest is still of use. */
static void add(Texts *texts, const char *name, const char *value)
{
    if (value == NULL || texts->size + strlen(name) + 1 + strlen(value) + 1 > PAGE_TEXTS_MAX)
        return;
    add_part(texts, name, strlen(name));
    add_part(texts, "=", 1);
    add_part(texts, value, strlen(value));
    add_part(texts, "", 1); /* the NUL byte */
}

/* The same path for who is in another directory, newly allocated: on the stack, the longest one
 * would be memory that the monitor keeps for life. */
static char *from_anywhere(const char *path)
{
    g_autofree char *directory = NULL;

    if (path == NULL || path[0] == '/')
        return g_strdup(path);
    directory = g_get_current_dir();
    return g_build_filename(directory, path, NULL);
}

/* The time at which this process started, in clock ticks since the boot: with the pid, it tells
 * processes apart for ever. 0 if /proc does not say. */
static uint64_t start_of_process(void)
{
    CLEANUP_FD int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    char text[1024];
    ssize_t length = fd_read_all(fd, text, sizeof(text) - 1);
    unsigned long long ticks = 0;
    const char *behind_name;

    text[MAX(length, 0)] = '\0';
    behind_name = strrchr(text, ')');
    if (behind_name != NULL)
        sscanf(behind_name + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks);
    return ticks;
}

static void speak_of_page(const Monitor *monitor, const Error *error)
{
    /* Of the processes that come and go in a container it would be said again and again. */
    if (monitor->config->kind == KIND_EXEC)
        return;
    message(&monitor->config->messages, LEVEL_WARNING,
            "%s. The container is not affected, but conwardctl cannot see it; make that directory "
            "writable, then restart the container",
            error->text);
}

void monitor_describe(Monitor *monitor, const char *engine)
{
    const Config *config = monitor->config;
    Page *page = monitor_page(monitor);
    g_autofree char *log = from_anywhere(config->log_path);
    g_autofree char *bundle = from_anywhere(config->bundle);
    Texts texts = {.count = 0};
    Error error;

    page->started_at = clock_realtime_ns() / 1000;
    page->process = start_of_process();
    page->kind = config->kind;
    page->has_file = config->log_path != NULL;
    page->has_journal = config->journald;

    if (config->settings != NULL) {
        state_keep_texts(&monitor->state, config->settings, config->settings_length);
        add_part(&texts, config->settings, config->settings_length);
    }
    add(&texts, "name", config->name);
    add(&texts, "cuuid", config->cuuid);
    add(&texts, "engine", engine);
    add(&texts, "runtime", config->runtime);
    add(&texts, "log", log);
    add(&texts, "bundle", bundle);
    add(&texts, "command", config->command != NULL ? config->command[0] : NULL);
    if (state_publish(&monitor->state, texts.parts, texts.count, &error) < 0)
        speak_of_page(monitor, &error);
}

void monitor_show(Monitor *monitor)
{
    if (state_show(&monitor->state))
        return;
    message(&monitor->config->messages, LEVEL_WARNING,
            "The monitor's page is damaged: its file was truncated, or its file system is full. "
            "The container is not affected, but conwardctl cannot see it until it is restarted");
}
