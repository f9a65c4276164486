#include "ctl/support.h"

#include "ctl/command.h"
#include "ctl/doctor.h"
#include "ctl/fields.h"
#include "ctl/json.h"
#include "ctl/monitors.h"
#include "ctl/text.h"
#include "ctl/troubles.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char ABOUT[] =
    "Prints what a bug report should contain, as text on standard output: versions, the figures of "
    "all monitors, and what the doctor says. Names, IDs, commands and paths of containers are left "
    "out or replaced by numbers, and nothing of their output is in it. Read it before you give it "
    "away.";

static void print_machine(void)
{
    g_autofree char *system = g_get_os_info(G_OS_INFO_KEY_PRETTY_NAME);
    struct utsname kernel = {0};

    uname(&kernel);
    printf("conwardctl %s\nsystem: %s\nkernel: %s %s\nprocessors: %ld\nmemory: %ld MiB\n",
           CONWARD_VERSION, system != NULL ? system : "unknown", kernel.release, kernel.machine,
           sysconf(_SC_NPROCESSORS_ONLN),
           sysconf(_SC_PHYS_PAGES) / 1024 * (sysconf(_SC_PAGESIZE) / 1024));
}

/* Of the log's file system, what may explain a fault. */
static void add_file_system(GString *line, const Snapshot *monitor)
{
    const char *log = snapshot_text(monitor, "log");
    struct statfs fs;

    if (*log != '/' || statfs(log, &fs) < 0)
        return;
    json_number(line, "log_file_system", (uint64_t)fs.f_type);
    json_number(line, "log_file_system_free_bytes", (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize);
}

static void print_monitor(const Snapshot *monitor, guint number)
{
    const CrashPage *crash = &monitor->page.crash;
    g_autofree char *runtime = g_path_get_basename(snapshot_text(monitor, "runtime"));
    g_autoptr(GString) line = g_string_new(NULL);

    json_begin(line);
    json_number(line, "monitor", number);
    json_text(line, "kind", snapshot_kind(monitor));
    json_text(line, "phase", snapshot_phase(monitor));
    json_text(line, "engine", snapshot_text(monitor, "engine"));
    json_text(line, "runtime", runtime);
    add_file_system(line, monitor);
    fields_json(line, monitor);
    if (monitor->page.crashes > 0) {
        json_signed(line, "crash_signal", crash->signal);
        json_signed(line, "crash_code", crash->code);
        json_number(line, "crash_instruction", crash->instruction);
        json_number(line, "crashes_alike", crash->alike);
        for (size_t i = 0; i < PAGE_FRAMES_MAX && crash->frames[i] != 0; i++) {
            g_autofree char *name = g_strdup_printf("crash_frame_%zu", i);

            json_number(line, name, crash->frames[i]);
        }
    }
    json_end(line);
}

static void print_troubles(const Monitors *monitors)
{
    const TroubleLimits limits = TROUBLE_LIMITS;

    for (guint i = 0; i < monitors->list->len; i++) {
        g_autoptr(GPtrArray) of_one = troubles_new();
        const Snapshot *monitor = g_ptr_array_index(monitors->list, i);

        troubles_add(of_one, NULL, monitor, 0, &limits);
        for (guint k = 0; k < of_one->len; k++) {
            const Trouble *trouble = g_ptr_array_index(of_one, k);

            printf("monitor %u: %s\n", i, trouble_name(trouble->kind));
        }
    }
}

int support_run(int argc, char **argv)
{
    char *directory = NULL;
    const GOptionEntry entries[] = {
        {"state-dir", 0, 0, G_OPTION_ARG_FILENAME, &directory,
         "Look for monitors there and nowhere else", "DIR"},
        G_OPTION_ENTRY_NULL,
    };
    char *doctor[] = {(char *)"doctor", (char *)"--json", NULL};
    g_autoptr(Monitors) monitors = NULL;

    if (!ctl_options(&argc, &argv, NULL, ABOUT, entries))
        return CTL_WRONG;
    if (argc > 1) {
        ctl_say("support takes no arguments, but there is '%s'", argv[1]);
        return CTL_WRONG;
    }
    monitors = monitors_read(directory);
    g_free(directory);
    printf("== machine\n");
    print_machine();
    printf("\n== monitors: %u, and %u pages that cannot be read\n", monitors->list->len,
           monitors->unread);
    for (guint i = 0; i < monitors->list->len; i++)
        print_monitor(g_ptr_array_index(monitors->list, i), i);
    printf("\n== troubles\n");
    print_troubles(monitors);
    printf("\n== doctor\n");
    fflush(stdout);
    return doctor_run(2, doctor) == CTL_WRONG ? CTL_FAILED : CTL_OK;
}
