#pragma once

#include "ctl/log-source.h"

/*
 * A log and those that it was before it was rotated: PATH.1, PATH.2, … (a higher number is older)
 * and the kubelet's PATH.YYYYMMDD-HHMMSS, each also with .gz behind it.
 */
enum { LOG_FILES_MOST = 256 };

typedef struct LogFile {
    char *path;
    LogSource source; /* not open if `problem` says why */
    Error problem;
} LogFile;

typedef struct LogFiles {
    LogFile *files; /* oldest first; the last is the log itself */
    size_t count;
    size_t left_out; /* older ones than the newest LOG_FILES_MOST */
} LogFiles;

#define LOG_FILES_NULL \
    {                  \
        .files = NULL  \
    }

/*
 * Opens the log at `path`, which must not be a symbolic link, and with `rotated` the older ones.
 * All are open before anything is read, so that a rotation meanwhile neither hides one nor shows
 * one twice. An older one that cannot be opened is in the list, with its problem. Returns 0, or
 * -1 or -errno if the log itself cannot be opened, with nothing to deinit.
 */
int log_files_init(LogFiles *list, const char *path, bool rotated, Error *error);

void log_files_deinit(LogFiles *list);
