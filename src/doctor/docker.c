#include "doctor/examination.h"
#include "doctor/yaml.h"

#include <string.h>

#define NAME "Docker"
#define CONFIG "/etc/docker/daemon.json"
#define MEND                                  \
    "{\n    \"log-driver\": \"json-file\",\n" \
    "    \"log-opts\": {\"max-size\": \"10m\", \"max-file\": \"3\"}\n}\n"

/* Where packages and people put dockerd's options. */
static const char *const OPTION_FILES[][2] = {
    {"/etc/default", "docker"},
    {"/etc/sysconfig", "docker"},
    {"/etc/systemd/system", "docker.service"},
    {"/etc/systemd/system/docker.service.d", "*.conf"},
    {"/usr/lib/systemd/system", "docker.service"},
    {"/usr/lib/systemd/system/docker.service.d", "*.conf"},
};

/* The number of the first line with options on logging, 0 if there is none. */
static unsigned find_options(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (unsigned i = 0; lines[i] != NULL; i++) {
        const char *line = lines[i] + strspn(lines[i], " \t");

        if (*line != '#' && (strstr(line, "--log-driver") || strstr(line, "--log-opt")))
            return i + 1;
    }
    return 0;
}

/* Notes where options say how Docker logs. dockerd does not start if the same is set in
 * daemon.json, too (docs.docker.com, dockerd, configuration file), so that must not be advised.
 * Returns whether there are such options. */
static bool has_options(Examination *examination)
{
    for (size_t i = 0; i < G_N_ELEMENTS(OPTION_FILES); i++) {
        g_autoptr(GPtrArray) names =
            root_list(examination->root, OPTION_FILES[i][0], OPTION_FILES[i][1]);

        for (guint j = 0; j < names->len; j++) {
            g_autofree char *path = g_build_filename(OPTION_FILES[i][0], names->pdata[j], NULL);
            g_autofree char *trouble = NULL;
            size_t length;
            g_autofree char *text = root_read(examination->root, path, &length, &trouble);
            unsigned line = text != NULL ? find_options(text) : 0;
            Finding *finding;

            if (line == 0)
                continue;
            finding = finding_add(examination->findings, SEVERITY_NOTE, NAME,
                                  g_strdup("options of dockerd say how Docker logs; whether they "
                                           "set a limit is not looked at"));
            finding->file = root_shown(examination->root, path);
            finding->line = line;
            return true;
        }
    }
    return false;
}

/* docs.docker.com, JSON File logging driver: it is the default, and max-size is -1, unlimited, by
 * default. The drivers local and journald have limits of their own. */
static bool is_unlimited(const Setting *driver, const Setting *size)
{
    double amount;

    if (driver != NULL && strcmp(driver->text, "json-file") != 0)
        return false;
    return size == NULL || (amount_parse(size->text, &amount) && amount <= 0);
}

static void examine_size(Examination *examination, const Settings *settings)
{
    const Setting *driver = settings_find(settings, "log-driver");
    const Setting *size = settings_find(settings, "log-opts.max-size");
    Finding *finding;

    if (settings->unread > 0 || !is_unlimited(driver, size) || has_options(examination))
        return;
    finding = finding_add(examination->findings, SEVERITY_WARNING, NAME,
                          g_strdup("Docker's log files grow without limit"));
    if (size != NULL || driver != NULL)
        finding_at(finding, size != NULL ? size : driver);
    else
        finding->file = root_shown(examination->root, CONFIG);
    finding->why = "One container that prints much fills the disk of the node. Docker's default, "
                   "json-file, has no limit of its own.";
    finding->mend = g_strdup("Put into " CONFIG ":\n" MEND
                             "It applies to containers that are created from then on.");
    finding->restart = "systemctl restart docker";
    /* Only a file of our own: nothing is put between others' settings. */
    if (settings->read == 0)
        fix_create(finding, CONFIG, MEND);
}

bool examine_docker(Examination *examination)
{
    g_autoptr(Settings) settings = settings_new();
    bool here;

    examine_file(examination, NAME, CONFIG, yaml_read, settings);
    here = settings->read + settings->unread > 0 || root_has_program(examination->root, "dockerd");
    if (here)
        examine_size(examination, settings);
    return here;
}
