#include "doctor/examination.h"
#include "doctor/ini.h"
#include "doctor/yaml.h"

#include <string.h>

#define NAME "the kubelet"
#define CONFIG "/var/lib/kubelet/config.yaml"

static const double LARGE_FILE = 1024.0 * 1024 * 1024;
static const double LARGE_LOG = 10.0 * 1024 * 1024 * 1024; /* all files of one container */

/* The value of --FLAG=VALUE or --FLAG VALUE in a line of options, or NULL. The caller frees it. */
static char *flag_value(const char *options, const char *flag)
{
    const char *found = strstr(options, flag);

    if (found == NULL)
        return NULL;
    found += strlen(flag);
    found += strspn(found, "= ");
    return g_strndup(found, strcspn(found, " \t\"'"));
}

/* Flags override the file: the kubelet's reference, --config. kubeadm and packages keep them in
 * these files. What is found goes into the settings under the name it has in the file. */
static void read_flags(Examination *examination, Settings *settings)
{
    static const char *const FILES[] = {"/var/lib/kubelet/kubeadm-flags.env",
                                        "/etc/default/kubelet", "/etc/sysconfig/kubelet"};
    static const char *const NAMES[][2] = {{"--container-log-max-size", "containerLogMaxSize"},
                                           {"--container-log-max-files", "containerLogMaxFiles"}};
    g_autoptr(Settings) lines = settings_new();

    for (size_t i = 0; i < G_N_ELEMENTS(FILES); i++)
        examine_file(examination, NAME, FILES[i], environment_read, lines);
    for (guint i = 0; i < lines->all->len; i++) {
        const Setting *line = lines->all->pdata[i];

        for (size_t j = 0; j < G_N_ELEMENTS(NAMES); j++) {
            g_autofree char *value = flag_value(line->text, NAMES[j][0]);
            Setting setting = {.path = (char *)NAMES[j][1], .text = value, .line = line->line};

            if (value == NULL)
                continue;
            if (number_parse(value, &setting.number))
                setting.kind = SETTING_INTEGER;
            settings_begin_file(settings, line->file);
            settings_add(settings, &setting);
        }
    }
    settings->unread += lines->unread;
}

static void found(Examination *examination, const Setting *setting, Severity severity,
                  const char *what, const char *why)
{
    Finding *finding = finding_add(examination->findings, severity, NAME, g_strdup(what));

    finding_at(finding, setting);
    finding->why = why;
    finding->mend = g_strdup("Put containerLogMaxSize: 10Mi and containerLogMaxFiles: 5, the "
                             "defaults, into " CONFIG " (or the same values into the flags).");
    finding->restart = "systemctl restart kubelet";
}

/* The KubeletConfiguration reference: containerLogMaxSize is 10Mi and containerLogMaxFiles is 5 by
 * default; a negative size turns the rotation off. */
static void examine_rotation(Examination *examination, const Setting *size, const Setting *files)
{
    double amount = 10 * 1024 * 1024;
    double count = files != NULL ? (double)files->number : 5;

    if (size != NULL && !amount_parse(size->text, &amount))
        found(examination, size, SEVERITY_UNREAD,
              "the kubelet's limit of a log file is not an amount that is understood here", NULL);
    else if (amount < 0)
        found(examination, size, SEVERITY_WARNING, "the kubelet does not rotate logs",
              "They grow without limit, and one container that prints much fills the disk of the "
              "node.");
    else if (size != NULL && (amount < 1024 || g_str_has_suffix(size->text, "m")))
        found(examination, size, SEVERITY_WARNING,
              "the kubelet rotates logs almost every time it checks them",
              "Almost nothing is kept. In Kubernetes a small m means a thousandth: 10m is not ten "
              "megabytes.");
    else if (amount > LARGE_FILE)
        found(examination, size, SEVERITY_WARNING, "the kubelet lets log files grow very large",
              "A few containers that print much fill the disk of the node.");
    else if (amount * count > LARGE_LOG)
        found(examination, files != NULL ? files : size, SEVERITY_WARNING,
              "the kubelet keeps more than 10 GiB of logs of one container",
              "A few containers that print much fill the disk of the node.");
    if (files != NULL && files->number < 2)
        found(examination, files, SEVERITY_WARNING,
              "the kubelet is told to keep fewer than two log files", "It refuses to start.");
}

bool examine_kubelet(Examination *examination)
{
    g_autoptr(Settings) settings = settings_new();

    /* OpenShift's place; kubeadm has a kubeconfig there, which has no such settings. */
    examine_file(examination, NAME, "/etc/kubernetes/kubelet.conf", yaml_read, settings);
    examine_file(examination, NAME, CONFIG, yaml_read, settings);
    read_flags(examination, settings);
    examine_rotation(examination, settings_find(settings, "containerLogMaxSize"),
                     settings_find_integer(settings, "containerLogMaxFiles"));
    return settings->read + settings->unread > 0 || root_has_program(examination->root, "kubelet");
}
