#include "doctor/examination.h"
#include "doctor/yaml.h"

#include <string.h>

#define NAME "Docker"
#define CONFIG "/etc/docker/daemon.json"
#define MEND                                  \
    "{\n    \"log-driver\": \"json-file\",\n" \
    "    \"log-opts\": {\"max-size\": \"10m\", \"max-file\": \"3\"}\n}\n"

/* docs.docker.com, JSON File logging driver: it is the default, and max-size is -1, unlimited, by
 * default. The drivers local and journald have limits of their own. */
bool examine_docker(Examination *examination)
{
    g_autoptr(Settings) settings = settings_new();
    const Setting *driver, *size;
    Finding *finding;
    double amount;

    examine_file(examination, NAME, CONFIG, yaml_read, settings);
    if (settings->read + settings->unread == 0 && !root_has_program(examination->root, "dockerd"))
        return false;
    driver = settings_find(settings, "log-driver");
    size = settings_find(settings, "log-opts.max-size");
    if (settings->unread > 0 || (driver != NULL && strcmp(driver->text, "json-file") != 0))
        return true;
    if (size != NULL && (!amount_parse(size->text, &amount) || amount > 0))
        return true;
    finding = finding_add(examination->findings, SEVERITY_WARNING, NAME,
                          g_strdup("Docker's log files grow without limit"));
    if (size != NULL || driver != NULL)
        finding_at(finding, size != NULL ? size : driver);
    else
        finding->file = root_shown(examination->root, CONFIG);
    finding->why = "One container that prints much fills the disk of the node. Docker's default, "
                   "json-file, has no limit of its own.";
    finding->mend = g_strdup("Put into " CONFIG ":\n" MEND
                             "It holds for containers that are created from then on.");
    finding->restart = "systemctl restart docker";
    /* Only a file of our own: nothing is put between others' settings. */
    if (settings->read == 0)
        fix_create(finding, CONFIG, MEND);
    return true;
}
