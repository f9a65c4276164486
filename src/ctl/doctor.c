#include "ctl/doctor.h"

#include "ctl/command.h"
#include "ctl/doctor-conward.h"
#include "ctl/doctor-print.h"
#include "ctl/text.h"
#include "doctor/examination.h"
#include "doctor/mend.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char ABOUT[] =
    "Looks at this node's settings for what lets one container take it down: log lines without a "
    "limit, logs without a limit, a monitor that is not there. Says where, why, and how to fix it. "
    "The exit status is 0 if there is nothing to fix, 1 if there is, 2 if the command line is "
    "wrong, 3 if nothing was found but something could not be read, or a fix failed.";

static const struct {
    const char *name;
    bool (*examine)(Examination *examination);
} PROGRAMS[] = {
    {"containerd", examine_containerd}, {"CRI-O", examine_crio},
    {"Podman", examine_podman},         {"Docker", examine_docker},
    {"journald", examine_journald},     {"the kubelet", examine_kubelet},
    {"conward", examine_conward}, /* last: it depends on what engines set */
};

/* What has become of the findings. */
typedef struct Outcome {
    GHashTable *mended; /* the findings that are */
    bool failed;        /* a mend did */
} Outcome;

/* "here" and "not here", each a list of names. */
static void examine_all(Examination *examination, GString *here, GString *missing)
{
    for (size_t i = 0; i < G_N_ELEMENTS(PROGRAMS); i++) {
        GString *list = PROGRAMS[i].examine(examination) ? here : missing;

        g_string_append_printf(list, "%s%s", list->len > 0 ? ", " : "", PROGRAMS[i].name);
    }
    findings_sort(examination->findings);
}

/* By file, the last place first: so a mend does not move the places of those to come. */
static int compare_fixes(gconstpointer a, gconstpointer b)
{
    const Fix *first = (*(const Finding *const *)a)->fix;
    const Fix *second = (*(const Finding *const *)b)->fix;
    int order = strcmp(first->path, second->path);

    return order != 0 ? order : (first->at < second->at) - (first->at > second->at);
}

static void mend(const Root *root, Finding *finding, Outcome *outcome, bool json)
{
    g_autoptr(GString) report = g_string_new(NULL);
    g_autofree char *path = root_shown(root, finding->fix->path);
    g_autofree char *heading = g_strdup_printf("Fixed %s:", path);
    g_autofree char *trouble = mend_apply(root, finding->fix, report);

    if (trouble != NULL) {
        ctl_say("%s is not fixed: %s", path, trouble);
        outcome->failed = true;
        return;
    }
    g_hash_table_add(outcome->mended, finding);
    if (json)
        return;
    putchar('\n');
    doctor_print_lines(heading, "");
    doctor_print_lines(report->str, "");
    printf("Restart: %s\n", finding->restart);
}

static void mend_all(const Root *root, GPtrArray *findings, Outcome *outcome, bool json)
{
    g_autoptr(GPtrArray) fixes = g_ptr_array_new();

    for (guint i = 0; i < findings->len; i++)
        if (((Finding *)findings->pdata[i])->fix != NULL)
            g_ptr_array_add(fixes, findings->pdata[i]);
    g_ptr_array_sort(fixes, compare_fixes);
    for (guint i = 0; i < fixes->len; i++)
        mend(root, fixes->pdata[i], outcome, json);
}

/* The exit status: something to mend is certain, so it goes before what nobody could read. */
static int status(const GPtrArray *findings, const Outcome *outcome)
{
    bool unread = outcome->failed;

    for (guint i = 0; i < findings->len; i++) {
        const Finding *finding = findings->pdata[i];

        if (finding->severity <= SEVERITY_WARNING && !outcome->failed &&
            !g_hash_table_contains(outcome->mended, finding))
            return CTL_FOUND;
        unread |= finding->severity == SEVERITY_UNREAD;
    }
    return unread ? CTL_FAILED : CTL_OK;
}

static void print_summary(const GPtrArray *findings, const GString *here, const GString *missing)
{
    bool well = true;

    for (guint i = 0; i < findings->len; i++)
        well &= ((const Finding *)findings->pdata[i])->severity == SEVERITY_NOTE;
    printf("%sLooked at: %s. Not here: %s.\n", well ? "Nothing to fix. " : "",
           here->len > 0 ? here->str : "nothing", missing->len > 0 ? missing->str : "nothing");
}

static int examine(const Root *root, const char *user_config, bool json, bool fix)
{
    g_autoptr(GPtrArray) findings = findings_new();
    g_autoptr(GString) here = g_string_new(NULL);
    g_autoptr(GString) missing = g_string_new(NULL);
    g_autoptr(GHashTable) mended = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) unlimited = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) limited = g_ptr_array_new_with_free_func(g_free);
    Examination examination = {root, findings, user_config, unlimited, limited};
    Outcome outcome = {mended, false};

    examine_all(&examination, here, missing);
    if (!json) {
        for (guint i = 0; i < findings->len; i++)
            doctor_print(findings->pdata[i], isatty(STDOUT_FILENO));
        print_summary(findings, here, missing);
    }
    if (fix)
        mend_all(root, findings, &outcome, json);
    for (guint i = 0; json && i < findings->len; i++)
        doctor_print_json(findings->pdata[i], g_hash_table_contains(mended, findings->pdata[i]));
    return status(findings, &outcome);
}

int doctor_run(int argc, char **argv)
{
    g_autofree char *directory = NULL;
    gboolean json = FALSE, fix = FALSE;
    const GOptionEntry entries[] = {
        {"root", 0, 0, G_OPTION_ARG_FILENAME, &directory,
         "Look at the file system below DIR, such as that of an image", "DIR"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print each finding as one line of JSON", NULL},
        {"fix", 0, 0, G_OPTION_ARG_NONE, &fix,
         "Fix what a changed value in a text file can fix, and keep a backup; restarts nothing",
         NULL},
        {NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
    };
    Root root = ROOT_NULL;
    bool rootless;
    int r;

    if (!ctl_options(&argc, &argv, NULL, ABOUT, entries))
        return CTL_WRONG;
    if (argc > 1) {
        ctl_say("doctor takes no arguments, but there is '%s'", argv[1]);
        return CTL_WRONG;
    }
    r = root_init(&root, directory != NULL ? directory : "/");
    if (r < 0) {
        ctl_say("Cannot open the directory %s: %s", directory, g_strerror(-r));
        return CTL_FAILED;
    }
    /* An image has no users of this node. */
    rootless = *root.prefix == 0 && geteuid() != 0;
    r = examine(&root, rootless ? g_get_user_config_dir() : NULL, json, fix);
    root_deinit(&root);
    return r;
}
