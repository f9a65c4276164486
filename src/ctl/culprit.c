#include "ctl/culprit.h"

#include "ctl/command.h"
#include "ctl/foreign.h"
#include "ctl/text.h"

static const char ABOUT[] =
    "Names the container that makes trouble. --foreign looks at containers of any engine twice, "
    "and says who writes what does not reach its log, who writes a line without an end, and whose "
    "monitor grows. "
    "The exit status is 0 if there is nobody, 1 if there is, 2 if the command line is wrong, 3 if "
    "it could not look.";

int culprit_run(int argc, char **argv)
{
    gboolean foreign = FALSE, json = FALSE;
    double seconds = FOREIGN_SECONDS;
    gint64 least = FOREIGN_LEAST;
    const GOptionEntry entries[] = {
        {"foreign", 0, 0, G_OPTION_ARG_NONE, &foreign, "Look at the containers of any engine",
         NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print each finding as one line of JSON", NULL},
        {"interval", 0, 0, G_OPTION_ARG_DOUBLE, &seconds,
         "Look for so long: 0.1 to 3600, default 2", "SECONDS"},
        {"min", 0, 0, G_OPTION_ARG_INT64, &least, "What is much: bytes per second, default 1048576",
         "BYTES"},
        {NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
    };

    if (!ctl_parse(&argc, &argv, NULL, ABOUT, entries))
        return CTL_WRONG;
    if (argc > 1) {
        ctl_say("culprit takes no argument, but got '%s'", argv[1]);
        return CTL_WRONG;
    }
    if (!foreign) {
        ctl_say("culprit needs --foreign, as it cannot look at conward's own figures yet");
        return CTL_WRONG;
    }
    if (!(seconds >= 0.1 && seconds <= 3600)) {
        ctl_say("--interval must be from 0.1 to 3600 seconds");
        return CTL_WRONG;
    }
    if (least < 1) {
        ctl_say("--min must be at least 1 byte per second");
        return CTL_WRONG;
    }
    return foreign_run(json, seconds, (uint64_t)least);
}
