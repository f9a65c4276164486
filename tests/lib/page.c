/*
 * Shows what a monitor's page says of its crashes, of the settings that can be changed, of its
 * descriptors, and of its logs:
 *
 *   page PID
 *   page - < MEMORY
 *
 * MEMORY is the page itself, which may outlive the monitor. Prints lines NAME=NUMBER. Ends with 0,
 * or with 1 if that process has no page.
 */
#include "log/loss.h"
#include "state/page-file.h"
#include "state/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Opens the page among the process's descriptors. Returns -1 if there is none. */
static int open_page(const char *pid)
{
    char path[PATH_MAX];
    char target[PATH_MAX];
    struct dirent *entry;
    DIR *dir;
    int fd = -1;

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    dir = opendir(path);
    while (dir != NULL && fd < 0 && (entry = readdir(dir)) != NULL) {
        ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

        if (length < 0)
            continue;
        target[length] = '\0';
        if (strstr(target, "memfd:" PAGE_MEMORY_NAME) != NULL)
            fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
    }
    if (dir != NULL)
        closedir(dir);
    return fd;
}

static unsigned long events_held(const Page *page)
{
    uint64_t held = 0;

    for (int i = 0; i < EVENTS; i++)
        held += page->events[i].held;
    return (unsigned long)held;
}

static unsigned clients(const Page *page)
{
    unsigned count = 0;

    for (size_t i = 0; i < PAGE_CLIENTS_MAX; i++)
        count += page->clients[i].used;
    return count;
}

static int fd_of(const Page *page, FdRole role)
{
    for (size_t i = 0; i < PAGE_FDS_MAX; i++) {
        if (page->fds[i].role == role)
            return page->fds[i].fd;
    }
    return -1;
}

/* What one log has of a stream, each name after `prefix`. */
static void print_log(const char *prefix, const LogCounters *counters, const LossPage *loss,
                      uint64_t start, uint64_t open)
{
    const struct {
        const char *name;
        uint64_t value;
    } values[] = {
        {"bytes", counters->bytes},
        {"records", counters->records},
        {"partials", counters->partials},
        {"lost_bytes", counters->lost_bytes},
        {"lost_records", counters->lost_records},
        {"limited_bytes", counters->limited_bytes},
        {"limited_records", counters->limited_records},
        {"capped_bytes", counters->capped_bytes},
        {"long_lines", counters->long_lines},
        {"longest", counters->longest},
        {"line", counters->line},
        {"line_since", (uint64_t)counters->line_since},
        {"untold_bytes", loss->bytes},
        {"untold_records", loss->records},
        {"damaged", loss->damaged},
        {"owed", loss_owes_newline(loss, open)},
        {"start", start},
        {"open", open},
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        printf("%s_%s=%lu\n", prefix, values[i].name, (unsigned long)values[i].value);
}

static void print_stream(const Page *page, StreamId stream)
{
    const LogCursors *file = page_cursors(page);
    const JournalCursors *journal = page_journal_cursors(page);
    const LogCounters *counters = &file->counters[stream];
    const char *name = stream_name(stream);
    char prefix[32];

    printf("%s_logged=%lu\n", name, (unsigned long)counters->bytes);
    printf("%s_long_lines=%lu\n", name, (unsigned long)counters->long_lines);
    printf("%s_lost=%lu\n", name, (unsigned long)counters->lost_bytes);
    printf("%s_lost_records=%lu\n", name, (unsigned long)counters->lost_records);
    printf("%s_sent=%lu\n", name, (unsigned long)journal->counters[stream].bytes);
    printf("%s_unsent=%lu\n", name, (unsigned long)journal->counters[stream].lost_bytes);
    printf("%s_unsent_records=%lu\n", name, (unsigned long)journal->counters[stream].lost_records);
    printf("%s_read=%lu\n", name, (unsigned long)page->streams[stream].end);
    snprintf(prefix, sizeof(prefix), "file_%s", name);
    print_log(prefix, counters, &file->loss[stream], file->start[stream], file->open[stream]);
    snprintf(prefix, sizeof(prefix), "journal_%s", name);
    print_log(prefix, &journal->counters[stream], &journal->loss[stream], journal->start[stream],
              journal->open[stream]);
}

int main(int argc, char **argv)
{
    bool is_given = argc == 2 && strcmp(argv[1], "-") == 0;
    int fd = is_given || argc != 2 ? STDIN_FILENO : open_page(argv[1]);
    Page page;

    if (fd < 0 || pread(fd, &page, sizeof(page), 0) != (ssize_t)sizeof(page) ||
        page.magic != PAGE_MAGIC || page.version != PAGE_VERSION) {
        fprintf(stderr, "page: no page of a monitor; usage: page PID|-\n");
        return EXIT_FAILURE;
    }
    printf("crashes=%u\n", page.crashes);
    printf("crashes_stuck=%u\n", page.crashes_stuck);
    printf("signal=%d\n", page.crash.signal);
    printf("code=%d\n", page.crash.code);
    printf("alike=%u\n", page.crash.alike);
    printf("oom_kills=%lu\n", (unsigned long)page.oom.kills);
    printf("oom_told=%lu\n", (unsigned long)page.oom.told);
    printf("oom_looks_again=%d\n", page.oom.look_at != 0);
    printf("generation=%lu\n", (unsigned long)page.settings.generation);
    printf("log_backups=%u\n", page.settings.log_backups);
    printf("reopens=%lu\n", (unsigned long)page_cursors(&page)->reopens);
    printf("rotations=%lu\n", (unsigned long)page_cursors(&page)->backups);
    printf("rotation_failures=%lu\n", (unsigned long)page.log.rotation_failures);
    printf("rotation_asked=%lu\n", (unsigned long)page_cursors(&page)->rotation_asked);
    printf("log_line_max=%u\n", page.settings.log_line_max);
    printf("log_partial_flush=%d\n", page.settings.log_partial_flush);
    printf("log_rate_limit=%ld\n", (long)page.settings.log_rate_limit);
    printf("last_error=%d\n", page.log.last_error);
    printf("write_errors=%lu\n", (unsigned long)page.log.write_errors);
    printf("waits=%d\n", page.log.waits_since != 0);
    printf("journal_waits=%d\n", page.journal.waits_since != 0);
    printf("journal_fails=%d\n", page.journal.retry_at != 0);
    printf("events_held=%lu\n", events_held(&page));
    printf("clients=%u\n", clients(&page));
    printf("page_fd=%d\n", fd_of(&page, FD_STATE));
    printf("fds_at=%zu\n", offsetof(Page, fds));
    printf("fd_size=%zu\n", sizeof(FdPage));
    printf("fds_most=%d\n", PAGE_FDS_MAX);
    printf("stdout_fd=%d\n", fd_of(&page, FD_STDOUT));
    printf("failed=%u\n", page.failed);
    printf("has_file=%u\n", page.has_file && page.log.kind == LOG_REGULAR);
    printf("has_journal=%u\n", page.has_journal);
    printf("says_losses=%u\n", page.settings.log_loss_record);
    printf("logged_in_all=%lu\n", (unsigned long)page_cursors(&page)->total);
    printf("batch=%lu\n", (unsigned long)page_cursors(&page)->batch_length);
    printf("journal_entries=%lu\n", (unsigned long)page_journal_cursors(&page)->entries);
    printf("waited=%lu\n", (unsigned long)page.log.waited);
    printf("journal_waited=%lu\n", (unsigned long)page.journal.waited);
    printf("journal_errors=%lu\n", (unsigned long)page.journal.send_errors);
    for (StreamId i = STREAM_STDOUT; i < STREAMS; i++)
        print_stream(&page, i);
    return EXIT_SUCCESS;
}
