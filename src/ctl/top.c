#include "ctl/top.h"

#include "ctl/command.h"
#include "ctl/screen.h"
#include "ctl/text.h"
#include "ctl/top-table.h"
#include "util/clock.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DELAY_LEAST 0.1
#define DELAY_MOST 3600.0

typedef struct Options {
    gboolean batch;
    gboolean json;
    gboolean no_header;
    int screens; /* 0 = no end */
    double delay;
    char *sort;
    char *directory;
    const TopColumn *column; /* that `sort` means */
} Options;

static void append_summary(GString *to, const Monitors *monitors)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%H:%M:%S");

    g_string_append_printf(to, "%s  %u monitors", time, monitors->list->len);
    if (monitors->unread > 0)
        g_string_append_printf(to, ", %u pages cannot be read: conwardctl ps says why",
                               monitors->unread);
    g_string_append(to, "; q quits\n\n");
}

static GArray *sorted_rates(const Monitors *before, const Monitors *now, const Options *options)
{
    GArray *rates = rates_of_all(before, now);

    top_sort(rates, options->column);
    return rates;
}

/* Prints until a reader has gone away or all screens are out. Returns a CtlStatus. */
static int print_all(const Options *options)
{
    g_autoptr(Monitors) before = monitors_read(options->directory);
    int64_t step = (int64_t)(options->delay * G_USEC_PER_SEC);
    int64_t next = clock_boottime_us();
    int status = CTL_OK;

    for (int screen = 0; options->screens == 0 || screen < options->screens; screen++) {
        g_autoptr(GString) text = g_string_new(screen > 0 ? "\n" : NULL);
        g_autoptr(GArray) rates = NULL;
        Monitors *now;

        for (next += step; clock_boottime_us() < next;)
            poll(NULL, 0, clock_sleep_ms(next - clock_boottime_us()));
        now = monitors_read(options->directory);
        rates = sorted_rates(before, now, options);
        if (options->json)
            top_print_json(rates, snapshot_wall_now());
        else
            top_append(rates, text, !options->no_header);
        fputs(options->json ? "" : text->str, stdout);
        status = now->unread > 0 ? CTL_FAILED : CTL_OK;
        monitors_free(before);
        before = now;
        if (fflush(stdout) != 0)
            break; /* ctl_finish() says why */
    }
    return status;
}

/* Shows the text until the time has come. Returns false when the user wants to leave. */
static bool show(Screen *screen, const char *text, int64_t until)
{
    ScreenEvent event = SCREEN_REDRAW;

    while (event == SCREEN_REDRAW) {
        screen_draw(screen, text);
        event = screen_wait(screen, until);
    }
    return event == SCREEN_TIME;
}

/* Shows all on the terminal until the user has had enough. Returns a CtlStatus. */
static int watch(const Options *options)
{
    Screen *screen = screen_open();
    g_autoptr(Monitors) before = NULL;
    g_autoptr(GString) text = g_string_new("Measuring for one interval; q quits\n");
    int64_t step = (int64_t)(options->delay * G_USEC_PER_SEC);

    if (screen == NULL)
        return CTL_FAILED;
    before = monitors_read(options->directory);
    for (int shown = 0; show(screen, text->str, clock_boottime_us() + step); shown++) {
        g_autoptr(GArray) rates = NULL;
        Monitors *now;

        if (options->screens > 0 && shown == options->screens)
            break;
        now = monitors_read(options->directory);
        rates = sorted_rates(before, now, options);
        g_string_truncate(text, 0);
        append_summary(text, now);
        top_append(rates, text, !options->no_header);
        monitors_free(before);
        before = now;
    }
    screen_close(screen);
    return CTL_OK;
}

/* Looks at the options' values; says what is wrong with them. */
static bool check(Options *options, int argc, char **argv)
{
    g_autofree char *words = top_column_words();

    options->column = top_column(options->sort != NULL ? options->sort : "logged");
    if (argc > 1)
        ctl_say("top takes no arguments, but there is '%s'", argv[1]);
    else if (options->column == NULL)
        ctl_say("--sort: there is no column '%s'; there are %s", options->sort, words);
    else if (!(options->delay >= DELAY_LEAST && options->delay <= DELAY_MOST))
        ctl_say("--delay: use a number of seconds from %g to %g", DELAY_LEAST, DELAY_MOST);
    else if (options->screens < 0)
        ctl_say("--number cannot be %d: use how often to show all, or 0 for no end",
                options->screens);
    else
        return true;
    return false;
}

/* GLib reads `-b -n 1`; who knows top(1) writes `-bn1`. Returns the words of both with a number of
 * their own; to be freed with g_ptr_array_unref(). */
static GPtrArray *split_numbers(int argc, char **argv)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    for (int i = 0; i < argc; i++) {
        size_t letters = argv[i][0] == '-' ? strcspn(argv[i], "0123456789.") : 0;

        if (letters > 1 && argv[i][1] != '-' && argv[i][letters] != '\0') {
            g_ptr_array_add(words, g_strndup(argv[i], letters));
            g_ptr_array_add(words, g_strdup(argv[i] + letters));
        } else {
            g_ptr_array_add(words, g_strdup(argv[i]));
        }
    }
    g_ptr_array_add(words, NULL);
    return words;
}

int top_run(int argc, char **argv)
{
    g_autoptr(GPtrArray) words = split_numbers(argc, argv);
    /* A list of its own, because GLib takes words out of it. */
    g_autofree char **list = g_new(char *, words->len);
    Options options = {.delay = 2};
    const GOptionEntry entries[] = {
        {"batch", 'b', 0, G_OPTION_ARG_NONE, &options.batch,
         "Print one screen after the other, as if standard output were no terminal", NULL},
        {"number", 'n', 0, G_OPTION_ARG_INT, &options.screens, "End after so many screens", "N"},
        {"delay", 'd', 0, G_OPTION_ARG_DOUBLE, &options.delay,
         "Time between two looks (default: 2)", "SECONDS"},
        {"sort", 's', 0, G_OPTION_ARG_STRING, &options.sort,
         "Sort by this column (default: logged)", "COLUMN"},
        {"no-header", 0, 0, G_OPTION_ARG_NONE, &options.no_header, "No line of column names", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options.json, "As --batch, one JSON object a line",
         NULL},
        {"state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.directory,
         "Look for monitors there and nowhere else", "DIR"},
        G_OPTION_ENTRY_NULL,
    };
    int status = CTL_WRONG;

    argc = (int)words->len - 1;
    argv = memcpy(list, words->pdata, words->len * sizeof(char *));
    if (ctl_options(&argc, &argv, NULL, "Shows what containers write, and how fast.", entries) &&
        check(&options, argc, argv))
        status = options.batch || options.json || !isatty(STDOUT_FILENO) ? print_all(&options)
                                                                         : watch(&options);
    g_free(options.sort);
    g_free(options.directory);
    return status;
}
