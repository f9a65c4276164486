#include "settings/tunable.h"

#include "state/settings.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

enum {
    LATE_OUTPUT_MOST = 4000, /* engines wait five seconds for the exit file */
    ATTACH_STALL_TIMEOUT_MOST = 86400,
    ATTACH_LINGER_MOST = 3600, /* engines wait for the monitor's end */
};

#define ATTACH_SPOOL_MAX_MOST (INT64_C(64) << 30)

/* The words people use for "no limit" where there must be one. */
static bool asks_for_no_limit(const char *text)
{
    return strcmp(text, "-1") == 0 || strcmp(text, "unlimited") == 0;
}

static bool refuse(Error *error, const char *text, const char *format, ...) G_GNUC_PRINTF(3, 4);

static bool refuse(Error *error, const char *text, const char *format, ...)
{
    g_autofree char *what_to_use = NULL;
    va_list args;

    va_start(args, format);
    what_to_use = g_strdup_vprintf(format, args);
    va_end(args);
    /* Not so much of it that nobody reads what to use. */
    error_set(error, 0, "'%.64s%s' is refused: use %s", text, strlen(text) > 64 ? "..." : "",
              what_to_use);
    return false;
}

/* One that can change while the monitor runs. */
static bool set_log(const char *name, const char *text, Config *config, Error *error)
{
    if (settings_set(&config->log, name, text) == SETTING_OK)
        return true;
    return refuse(error, text, "%s", settings_values(name));
}

static bool set_log_line_max(const char *text, Config *config, Error *error)
{
    if (strcmp(text, "0") != 0 && !asks_for_no_limit(text))
        return set_log("log-line-max", text, config, error);
    error_set(error, 0,
              "%s is refused: without a limit, a line that never ends would be buffered without "
              "bound until the node runs out of memory; use %s (longer lines lose nothing, they "
              "are logged in several records)",
              text, settings_values("log-line-max"));
    return false;
}

static bool set_log_partial_flush(const char *text, Config *config, Error *error)
{
    return set_log("log-partial-flush", text, config, error);
}

static bool set_log_on_error(const char *text, Config *config, Error *error)
{
    return set_log("log-on-error", text, config, error);
}

static bool set_log_rate_limit(const char *text, Config *config, Error *error)
{
    return set_log("log-rate-limit", text, config, error);
}

static bool set_log_rate_policy(const char *text, Config *config, Error *error)
{
    return set_log("log-rate-policy", text, config, error);
}

/* As conmon has it: 0 or less means no limit. */
static bool set_log_size_max(const char *text, Config *config, Error *error)
{
    gint64 bytes;

    if (!g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &bytes, NULL))
        return refuse(error, text,
                      "a number of bytes, such as 104857600 for 100 MiB, or 0 for no "
                      "limit");
    config->log.log_size_max = MAX(bytes, 0);
    return true;
}

static bool yes_or_no(const char *text, bool *yes, Error *error)
{
    static const char *const WORDS[][2] = {{"no", "yes"}, {"false", "true"}, {"off", "on"}};

    for (size_t i = 0; i < G_N_ELEMENTS(WORDS); i++) {
        for (int j = 0; j < 2; j++) {
            if (strcasecmp(text, WORDS[i][j]) != 0)
                continue;
            *yes = j;
            return true;
        }
    }
    return refuse(error, text, "yes or no");
}

static bool set_log_rotate(const char *text, Config *config, Error *error)
{
    return yes_or_no(text, &config->log_rotate, error);
}

static bool set_log_max_files(const char *text, Config *config, Error *error)
{
    int64_t files;

    if (!settings_number(text, 1, LOG_BACKUPS_MOST, &files))
        return refuse(error, text, "a number of files from 1 to %d", LOG_BACKUPS_MOST);
    config->log_max_files = (uint32_t)files;
    return true;
}

static bool set_late_output(const char *text, Config *config, Error *error)
{
    int64_t milliseconds;

    if (!settings_number(text, 0, LATE_OUTPUT_MOST, &milliseconds))
        return refuse(error, text,
                      "a number of milliseconds from 0 to %d (engines wait five seconds for the "
                      "end)",
                      LATE_OUTPUT_MOST);
    config->late_output = (int32_t)milliseconds;
    return true;
}

static bool set_log_loss_record(const char *text, Config *config, Error *error)
{
    bool yes = true;

    if (!yes_or_no(text, &yes, error))
        return false;
    config->log.log_loss_record = yes;
    return true;
}

static bool set_log_close_last_line(const char *text, Config *config, Error *error)
{
    bool yes = false;

    if (!yes_or_no(text, &yes, error))
        return false;
    config->log.log_close_last_line = yes;
    return true;
}

static bool set_log_priority_prefix(const char *text, Config *config, Error *error)
{
    return yes_or_no(text, &config->log_priority_prefix, error);
}

static bool set_crash_core(const char *text, Config *config, Error *error)
{
    return yes_or_no(text, &config->crash_core, error);
}

static bool set_sync_events(const char *text, Config *config, Error *error)
{
    return yes_or_no(text, &config->sync_events, error);
}

static bool set_attach_spool_max(const char *text, Config *config, Error *error)
{
    int64_t bytes;

    if (settings_number(text, 0, ATTACH_SPOOL_MAX_MOST, &bytes)) {
        config->attach_spool_max = bytes;
        return true;
    }
    if (!asks_for_no_limit(text))
        return refuse(error, text, "a number of bytes from 0 (keep nothing) to %" PRId64,
                      ATTACH_SPOOL_MAX_MOST);
    error_set(error, 0,
              "%s is refused: without a limit, a client that does not read would fill the disk "
              "until the node cannot work; use a number of bytes from 0 (keep nothing) to %" PRId64,
              text, ATTACH_SPOOL_MAX_MOST);
    return false;
}

static bool set_seconds(const char *text, int least, int most, int *seconds, Error *error)
{
    int64_t value;

    if (!settings_number(text, least, most, &value))
        return refuse(error, text, "a number of seconds from %d to %d", least, most);
    *seconds = (int)value;
    return true;
}

static bool set_attach_stall_timeout(const char *text, Config *config, Error *error)
{
    return set_seconds(text, 1, ATTACH_STALL_TIMEOUT_MOST, &config->attach_stall_timeout, error);
}

static bool set_attach_linger(const char *text, Config *config, Error *error)
{
    return set_seconds(text, 0, ATTACH_LINGER_MOST, &config->attach_linger, error);
}

/* They are read in this order, so that of two that are wrong the same one is always named. */
const Tunable TUNABLES[] = {
    {"log-size-max", set_log_size_max, 0, NULL, NULL},
    {"log-rotate", set_log_rotate, 0, NULL, NULL},
    {"log-max-files", set_log_max_files, 0, NULL, NULL},
    {"log-line-max", set_log_line_max, 0,
     "Longest line in one record, 256 to 1048576; longer ones become several (default 16384)",
     "BYTES"},
    {"log-partial-flush", set_log_partial_flush, 0,
     "Log an unfinished line after this time; 0 is at once (default 100)", "MILLISECONDS|never"},
    {"log-on-error", set_log_on_error, 0,
     "While the log cannot be written, lose output and count it, or let the container wait "
     "(default drop)",
     "drop|wait"},
    {"log-rate-limit", set_log_rate_limit, 0,
     "Log at most this much per second, and at once; 0 is no limit (default)", "BYTES[:BURST]"},
    {"log-rate-policy", set_log_rate_policy, 0,
     "Lose and count the excess, or let the container wait (default wait)", "drop|wait"},
    {"log-loss-record", set_log_loss_record, 0,
     "Also record losses in the log itself (default yes)", "yes|no"},
    {"log-close-last-line", set_log_close_last_line, 0,
     "End a last line that has no newline with an empty record (default no)", "yes|no"},
    {"log-priority-prefix", set_log_priority_prefix, TUNABLE_FLAG,
     "In the journal, <N> at the beginning of a line, 0 to 7, is its priority", NULL},
    {"late-output", set_late_output, 0,
     "After the end, wait this long for output of remaining processes (default 500)",
     "MILLISECONDS"},
    {"crash-core", set_crash_core, TUNABLE_FLAG | TUNABLE_EXEC,
     "Leave a core dump if the monitor crashes, and continue", NULL},
    {"sync-events", set_sync_events, TUNABLE_FLAG | TUNABLE_ENGINE,
     "Also report out-of-memory kills and the end on the sync pipe, as lines of JSON", NULL},
    {"attach-spool-max", set_attach_spool_max, TUNABLE_ENGINE | TUNABLE_EXEC,
     "Keep this much for attach clients that read too slowly, 0 to 68719476736 (default 64 MiB, 4 "
     "MiB on tmpfs)",
     "BYTES"},
    {"attach-stall-timeout", set_attach_stall_timeout, TUNABLE_ENGINE | TUNABLE_EXEC,
     "When no more can be kept, drop attach clients that read nothing for this long, 1 to 86400 "
     "(default 30)",
     "SECONDS"},
    {"attach-linger", set_attach_linger, TUNABLE_ENGINE | TUNABLE_EXEC,
     "After the end, drop attach clients that read nothing for this long, 0 to 3600 (default 10)",
     "SECONDS"},
    {NULL, NULL, 0, NULL, NULL},
};

_Static_assert(G_N_ELEMENTS(TUNABLES) <= TUNABLES_MAX, "TUNABLES_MAX is too small");

int tunable_find(const char *name)
{
    for (int i = 0; TUNABLES[i].name != NULL; i++) {
        if (strcmp(TUNABLES[i].name, name) == 0)
            return i;
    }
    return -1;
}
