#include "doctor/examination.h"
#include "doctor/monitor-path.h"
#include "doctor/toml.h"

#include <string.h>

#define NAME "CRI-O"
#define DROP_IN "/etc/crio/crio.conf.d/99-conward-doctor.conf"
#define RUNTIMES "crio.runtime.runtimes."

/* docs/crio.conf.5.md of CRI-O: log_size_max is deprecated and -1, no limit, by default: the
 * kubelet rotates logs. Without a kubelet nobody does. */
static void examine_size(Examination *examination, const Settings *settings, bool is_conward)
{
    const Setting *limit = settings_find_integer(settings, "crio.runtime.log_size_max");
    Finding *finding;

    if (root_has_program(examination->root, "kubelet") ||
        root_has(examination->root, "/var/lib/kubelet/config.yaml"))
        return;
    if (is_conward && settings->unread == 0) {
        remember_limit(examination, NAME, limit);
        return;
    }
    if ((limit != NULL && limit->number > 0) || (limit == NULL && settings->unread > 0))
        return;
    finding = finding_add(examination->findings, SEVERITY_WARNING, NAME,
                          g_strdup("CRI-O's logs grow without limit: it sets none, and there is no "
                                   "kubelet that rotates them"));
    finding->why = "One container that prints much fills the disk of the node.";
    finding->restart = "systemctl restart crio";
    if (limit != NULL)
        finding_at(finding, limit);
    fix_log_size_max(examination, finding, limit, "crio.runtime", DROP_IN);
}

static void examine_monitor(Examination *examination, const Setting *monitor)
{
    Finding *finding;

    /* Empty or without a directory: CRI-O looks for it in its PATH. */
    if (monitor->kind != SETTING_STRING || *monitor->text != '/')
        return;
    if (root_has(examination->root, monitor->text)) {
        finding = finding_add(examination->findings, SEVERITY_NOTE, NAME,
                              g_strdup_printf("CRI-O's monitor is %s%s", monitor->text,
                                              path_is_conward(monitor->text) ? ", conward" : ""));
        finding_at(finding, monitor);
        return;
    }
    finding = finding_add(examination->findings, SEVERITY_WARNING, NAME,
                          g_strdup_printf("CRI-O's monitor %s does not exist", monitor->text));
    finding_at(finding, monitor);
    finding->why = "CRI-O checks this path when it starts, and cannot start containers without it.";
    finding->mend = g_strdup("Install the monitor there, or put the right path into this line.");
    finding->restart = "systemctl restart crio";
}

/* crio.runtime.conmon, and the monitor_path of each runtime; of each only the last. Returns whether
 * there are some, and all are conward. */
static bool examine_monitors(Examination *examination, const Settings *settings)
{
    unsigned monitors = 0, conwards = 0;

    for (guint i = 0; i < settings->all->len; i++) {
        const Setting *setting = settings->all->pdata[i];

        if ((strcmp(setting->path, "crio.runtime.conmon") == 0 ||
             (g_str_has_prefix(setting->path, RUNTIMES) &&
              g_str_has_suffix(setting->path, ".monitor_path"))) &&
            setting == settings_find(settings, setting->path)) {
            examine_monitor(examination, setting);
            monitors++;
            conwards += path_is_conward(setting->text);
        }
    }
    return monitors > 0 && conwards == monitors;
}

bool examine_crio(Examination *examination)
{
    g_autoptr(Settings) settings = settings_new();
    bool here;

    /* crio(8): --config and --config-dir. */
    examine_file(examination, NAME, "/etc/crio/crio.conf", toml_read, settings);
    examine_directory(examination, NAME, "/etc/crio/crio.conf.d", "*", toml_read, settings);
    here = settings->read + settings->unread > 0 || root_has_program(examination->root, "crio");
    if (here)
        examine_size(examination, settings, examine_monitors(examination, settings));
    return here;
}
