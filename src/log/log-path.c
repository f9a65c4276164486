#include "log/log-path.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Driver names are matched to the letter: conmon takes `Journald` for the name of a file. */
static bool driver_lookup(const char *name, size_t length, LogDriver *driver)
{
    static const struct {
        const char *name;
        LogDriver driver;
    } drivers[] = {
        {"none", LOG_DRIVER_NONE},         {"off", LOG_DRIVER_NONE},
        {"null", LOG_DRIVER_NONE},         {"k8s-file", LOG_DRIVER_K8S_FILE},
        {"journald", LOG_DRIVER_JOURNALD}, {"passthrough", LOG_DRIVER_PASSTHROUGH},
    };

    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        if (strlen(drivers[i].name) == length && memcmp(drivers[i].name, name, length) == 0) {
            *driver = drivers[i].driver;
            return true;
        }
    }
    return false;
}

LogPathError log_path_parse(const char *value, LogPath *path)
{
    /* Runs of colons count as one, and leading ones only say that the first word is no driver. */
    const char *first = value + strspn(value, ":");
    size_t length = strcspn(first, ":");
    const char *colons = first + length;
    const char *rest = colons + strspn(colons, ":");

    *path = (LogPath){.driver_name = first, .driver_length = (int)length};
    if (length == 0)
        return LOG_PATH_EMPTY;
    if (first != value && *rest == '\0') {
        path->driver = LOG_DRIVER_K8S_FILE;
        path->file = first;
        return LOG_PATH_OK;
    }
    if (driver_lookup(first, length, &path->driver)) {
        if (path->driver != LOG_DRIVER_K8S_FILE)
            return LOG_PATH_OK;
        if (*rest == '\0')
            return LOG_PATH_NO_FILENAME;
        path->file = rest;
        return LOG_PATH_OK;
    }
    if (*colons != '\0')
        return LOG_PATH_NO_DRIVER;
    path->driver = LOG_DRIVER_K8S_FILE;
    path->file = first;
    return LOG_PATH_OK;
}
