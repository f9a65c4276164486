#include "doctor/examination.h"
#include "doctor/monitor-path.h"
#include "doctor/toml.h"

#include <string.h>

#define NAME "Podman"
#define DROP_IN "/containers/containers.conf.d/99-conward-doctor.conf"

/* containers.conf(5): the later overrides the earlier. */
static void read_all(Examination *examination, Settings *settings)
{
    static const char *const PLACES[] = {"/usr/share/containers", "/etc/containers"};
    size_t places = G_N_ELEMENTS(PLACES) + (examination->user_config != NULL);

    for (size_t i = 0; i < places; i++) {
        g_autofree char *directory =
            i < G_N_ELEMENTS(PLACES) ? g_strdup(PLACES[i])
                                     : g_strconcat(examination->user_config, "/containers", NULL);
        g_autofree char *main_file = g_strconcat(directory, "/containers.conf", NULL);
        g_autofree char *drop_ins = g_strconcat(directory, "/containers.conf.d", NULL);

        examine_file(examination, NAME, main_file, toml_read, settings);
        examine_directory(examination, NAME, drop_ins, "*.conf", toml_read, settings);
    }
}

/* containers.conf(5): log_size_max is -1, no limit, by default; log_driver is journald or k8s-file,
 * as Podman was built. */
static void examine_size(Examination *examination, const Settings *settings, bool is_conward)
{
    const Setting *limit = settings_find_integer(settings, "containers.log_size_max");
    const Setting *driver = settings_find(settings, "containers.log_driver");
    bool to_file = driver != NULL && (strcmp(driver->text, "k8s-file") == 0 ||
                                      strcmp(driver->text, "json-file") == 0);
    g_autofree char *drop_in = NULL;
    bool unlimited = limit != NULL ? limit->number <= 0 : to_file && settings->unread == 0;
    Finding *finding;

    /* Other drivers do not heed it. */
    if (driver != NULL && !to_file)
        return;
    if (is_conward && settings->unread == 0)
        remember_limit(examination, NAME, limit);
    if (!unlimited || is_conward)
        return;
    finding = finding_add(examination->findings, SEVERITY_WARNING, NAME,
                          g_strdup("Podman's log files grow without limit"));
    finding_at(finding, limit != NULL ? limit : driver);
    finding->why = "One container that prints much fills the disk.";
    finding->restart = "nothing; it applies to containers that are created from now on";
    drop_in = g_strconcat(examination->user_config != NULL ? examination->user_config : "/etc",
                          DROP_IN, NULL);
    fix_log_size_max(examination, finding, limit, "containers", drop_in);
}

/* The places Podman would look for its monitor, in order: the elements of the last list, and of
 * those before it if it says append = true. Settings, not owned. */
static GPtrArray *monitor_paths(const Settings *settings)
{
    GPtrArray *paths = g_ptr_array_new();
    guint begin = 0; /* of the elements of the list that is read */

    for (guint i = 0; i < settings->all->len; i++) {
        Setting *setting = settings->all->pdata[i];

        if (strcmp(setting->path, "engine.conmon_path") == 0)
            begin = paths->len;
        else if (strcmp(setting->path, "engine.conmon_path[].append") == 0 &&
                 strcmp(setting->text, "true") == 0)
            begin = 0;
        else if (strcmp(setting->path, "engine.conmon_path[]") != 0)
            continue;
        else if (setting->kind == SETTING_STRING)
            g_ptr_array_add(paths, setting);
        /* The list replaces those before it unless it says otherwise at its end. */
        if (i + 1 == settings->all->len ||
            !g_str_has_prefix(((Setting *)settings->all->pdata[i + 1])->path,
                              "engine.conmon_path[]")) {
            g_ptr_array_remove_range(paths, 0, begin);
            begin = 0;
        }
    }
    return paths;
}

/* Returns whether it is conward. */
static bool examine_monitor(Examination *examination, const Settings *settings)
{
    g_autoptr(GPtrArray) paths = monitor_paths(settings);
    const Setting *missing = NULL; /* conward, first of those that are not there */
    bool is_conward = false;
    Finding *finding;

    for (guint i = 0; i < paths->len; i++) {
        const Setting *path = paths->pdata[i];

        if (root_has(examination->root, path->text)) {
            finding = finding_add(examination->findings, SEVERITY_NOTE, NAME,
                                  g_strdup_printf("Podman's monitor is %s%s", path->text,
                                                  path_is_conward(path->text) ? ", conward" : ""));
            finding_at(finding, path);
            is_conward = path_is_conward(path->text);
            break;
        }
        if (missing == NULL && path_is_conward(path->text))
            missing = path;
        if (i + 1 == paths->len && missing == NULL)
            missing = paths->pdata[0];
    }
    if (missing == NULL)
        return is_conward;
    finding = finding_add(examination->findings, SEVERITY_WARNING, NAME,
                          g_strdup_printf("Podman's monitor %s does not exist", missing->text));
    finding_at(finding, missing);
    finding->why = "Podman silently takes the next that exists, or fails if there is none.";
    finding->mend = g_strdup("Install the monitor there, or put the right path into this line.");
    return is_conward;
}

bool examine_podman(Examination *examination)
{
    g_autoptr(Settings) settings = settings_new();
    bool here;

    read_all(examination, settings);
    here = settings->read + settings->unread > 0 || root_has_program(examination->root, "podman");
    examine_size(examination, settings, examine_monitor(examination, settings));
    return here;
}
