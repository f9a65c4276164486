#pragma once

/*
 * One --log-path value. conmon's grammar (`DRIVER`, `DRIVER:PATH`, `PATH`), except that colons in
 * a path are kept: conmon splits with strtok and loses everything after a second colon.
 */
typedef enum LogDriver {
    LOG_DRIVER_NONE, /* none, off, null */
    LOG_DRIVER_K8S_FILE,
    LOG_DRIVER_JOURNALD,
    LOG_DRIVER_PASSTHROUGH,
} LogDriver;

typedef enum LogPathError {
    LOG_PATH_OK,
    LOG_PATH_EMPTY,       /* "log-path must not be empty" */
    LOG_PATH_NO_FILENAME, /* "k8s-file requires a filename" */
    LOG_PATH_NO_DRIVER,   /* "No such log driver X"; X is driver_name, of driver_length bytes */
} LogPathError;

typedef struct LogPath {
    LogDriver driver;
    const char *file; /* points into the value; NULL unless the driver is k8s-file */
    const char *driver_name;
    int driver_length;
} LogPath;

/* Parses `value`; the result points into it. */
LogPathError log_path_parse(const char *value, LogPath *path);
