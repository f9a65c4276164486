#include "ctl/logs.h"

#include "ctl/command.h"
#include "ctl/journal-reader.h"
#include "ctl/log-reader.h"
#include "ctl/logs-find.h"
#include "ctl/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char ABOUT[] =
    "Shows what a container wrote, from its log and its rotated older files, or from the\njournal: "
    "standard output on standard output, standard error on standard error. TIME is as "
    "in\n2026-08-21T09:05:07+02:00, or how long ago it was, as in 90s, 10m, 2h or 1d.";

/* The options as they were given. */
typedef struct Given {
    gboolean follow;
    gboolean raw;
    gboolean stamps;
    gboolean no_rotated;
    gboolean journal;
    char *since;
    char *until;
    char *stream;
    char *tail;
} Given;

static void given_clear(Given *given)
{
    g_free(given->since);
    g_free(given->until);
    g_free(given->stream);
    g_free(given->tail);
}

static bool parse(int *argc, char ***argv, Given *given)
{
    const GOptionEntry entries[] = {
        {"follow", 'f', 0, G_OPTION_ARG_NONE, &given->follow,
         "Continue with new records as they come", NULL},
        {"since", 0, 0, G_OPTION_ARG_STRING, &given->since, "Only records from that time on",
         "TIME"},
        {"until", 0, 0, G_OPTION_ARG_STRING, &given->until, "Only records before that time",
         "TIME"},
        {"tail", 0, 0, G_OPTION_ARG_STRING, &given->tail, "Only the last N lines", "N"},
        {"stream", 0, 0, G_OPTION_ARG_STRING, &given->stream, "Only this one: stdout or stderr",
         "STREAM"},
        {"timestamps", 't', 0, G_OPTION_ARG_NONE, &given->stamps,
         "The time before each line: that of its first record", NULL},
        {"raw", 0, 0, G_OPTION_ARG_NONE, &given->raw,
         "The records as they are, all on standard output", NULL},
        {"no-rotated", 0, 0, G_OPTION_ARG_NONE, &given->no_rotated,
         "Only the file itself, not the older ones", NULL},
        {"journal", 0, 0, G_OPTION_ARG_NONE, &given->journal,
         "The journal, also if there is a file", NULL},
        G_OPTION_ENTRY_NULL,
    };

    return ctl_options(argc, argv, "FILE|CID|NAME", ABOUT, entries);
}

static bool parse_time(const char *option, const char *text, bool *has, struct timespec *time)
{
    struct timespec now;

    *has = text != NULL;
    if (text == NULL)
        return true;
    clock_gettime(CLOCK_REALTIME, &now);
    if (rfc3339_parse_argument(text, now, time))
        return true;
    ctl_say("--%s '%s' is not a time: use one like 2026-08-21T09:05:07+02:00, or how long ago, "
            "like 90s, 10m, 2h or 1d",
            option, text);
    return false;
}

static bool parse_stream(const char *text, bool streams[2])
{
    streams[0] = text == NULL || strcmp(text, "stdout") == 0;
    streams[1] = text == NULL || strcmp(text, "stderr") == 0;
    if (streams[0] || streams[1])
        return true;
    ctl_say("--stream '%s' is not a stream: use stdout or stderr", text);
    return false;
}

static bool parse_tail(const char *text, LogWish *wish)
{
    wish->has_tail = text != NULL;
    if (text == NULL || g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &wish->tail, NULL))
        return true;
    ctl_say("--tail '%s' is not a number of lines: use 0 or more", text);
    return false;
}

static bool make_wish(LogWish *wish, const Given *given)
{
    LogChoice *choice = &wish->choice;

    *wish = (LogWish){
        .writer = -1,
        .page = -1,
        .rotated = !given->no_rotated,
        .follow = given->follow,
        .raw = given->raw,
        .stamps = given->stamps,
    };
    if (!parse_time("since", given->since, &choice->has_since, &choice->since) ||
        !parse_time("until", given->until, &choice->has_until, &choice->until) ||
        !parse_stream(given->stream, choice->streams) || !parse_tail(given->tail, wish))
        return false;
    if (given->raw && given->stamps)
        ctl_say("--raw and --timestamps exclude each other: a record has its time in it");
    else if (given->journal && given->no_rotated)
        ctl_say("--journal and --no-rotated exclude each other: the journal has no such files");
    else
        return true;
    return false;
}

/*
 * The path of the log that is found or that the user means, newly allocated, or NULL after saying
 * why not. Symbolic links given by the user are followed, as those in /var/log/containers must be;
 * from then on, the file is known by what they lead to, and the rotated ones are beside that.
 */
static char *resolve(const char *word, const LogFound *found)
{
    char *path = realpath(found->path != NULL ? found->path : word, NULL);

    if (path == NULL)
        ctl_say("Cannot open the log %s: %s", word, g_strerror(errno));
    return path;
}

static int show_journal(LogWish *wish, const LogFound *found)
{
    wish->container = &found->container;
    wish->page = found->page;
    wish->follow = wish->follow && !found->has_ended;
    return journal_read(wish);
}

static int show_file(const char *word, LogWish *wish, const LogFound *found)
{
    char *path = resolve(word, found);
    int status = CTL_FAILED;

    if (path != NULL) {
        wish->path = path;
        status = log_read(wish);
    }
    free(path);
    return status;
}

static int show(const char *word, LogWish *wish, bool journal)
{
    bool is_path = !journal && (strchr(word, '/') != NULL || access(word, F_OK) == 0);
    LogFound found = LOG_FOUND_NULL;
    int status = CTL_FAILED;
    Error error;

    if (!is_path && logs_find(&found, word, journal, &error) < 0) {
        ctl_say("%s", error.text);
    } else {
        wish->writer = found.writer;
        if (found.container.id != NULL)
            status = show_journal(wish, &found);
        else
            status = show_file(word, wish, &found);
    }
    logs_found_deinit(&found);
    return status;
}

int logs_run(int argc, char **argv)
{
    Given given = {.follow = FALSE};
    int status = CTL_WRONG;
    LogWish wish;

    if (parse(&argc, &argv, &given) && make_wish(&wish, &given)) {
        if (argc == 2)
            status = show(argv[1], &wish, given.journal);
        else
            ctl_say("%s; conwardctl logs --help lists its options",
                    argc < 2 ? "no log given" : "only one log at a time");
    }
    given_clear(&given);
    return status;
}
