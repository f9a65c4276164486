#include "ctl/command.h"
#include "ctl/culprit.h"
#include "ctl/doctor.h"
#include "ctl/logs.h"
#include "ctl/metrics.h"
#include "ctl/ps.h"
#include "ctl/set.h"
#include "ctl/support.h"
#include "ctl/text.h"
#include "ctl/top.h"
#include "util/fd.h"

#include <glib.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const Command COMMANDS[] = {
    {"culprit", "names the containers that cause trouble, and what to do", culprit_run},
    {"ps", "lists the monitors of this machine", ps_run},
    {"stats", "shows all that a monitor knows about its container", stats_run},
    {"top", "shows what containers write, and how fast", top_run},
    {"metrics", "prints all figures of all monitors for Prometheus", metrics_run},
    {"doctor", "looks for settings that let one container take this node down", doctor_run},
    {"logs", "shows what a container wrote, from its log", logs_run},
    {"set", "changes a setting of running monitors", set_run},
    {"support", "prints what a bug report should contain", support_run},
    {"reopen", "makes monitors replace their log files", reopen_run},
};

static void help(void)
{
    printf("Usage: conwardctl COMMAND [OPTIONS] [ARGUMENTS]\n\nShows what the container monitors "
           "of this machine do, and names the containers that cause trouble.\n\n");
    for (size_t i = 0; i < G_N_ELEMENTS(COMMANDS); i++)
        printf("  %-9s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    printf("\nconwardctl COMMAND --help lists its options; see also conwardctl(1).\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    fd_fill_stdio();
    setlocale(LC_ALL, "");
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        help();
        return ctl_finish(CTL_OK);
    }
    if (strcmp(name, "--version") == 0) {
        printf("conwardctl %s\n", CONWARD_VERSION);
        return ctl_finish(CTL_OK);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(COMMANDS); i++)
        if (strcmp(name, COMMANDS[i].name) == 0)
            return ctl_finish(COMMANDS[i].run(argc - 1, argv + 1));
    if (*name == 0)
        ctl_say("no command given; conwardctl --help lists them");
    else
        ctl_say("there is no command '%s'; conwardctl --help lists them", name);
    return CTL_WRONG;
}
