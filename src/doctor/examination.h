#pragma once

#include "doctor/finding.h"
#include "doctor/root.h"

/* One run of the doctor: where it looks, and what it has found. */
typedef struct Examination {
    const Root *root;
    GPtrArray *findings;
    const char
        *user_config; /* the user's configuration directory if Podman runs rootless, or NULL */

    /* Of engines whose monitor is conward: those that set no limit to the size of a log, and the
     * settings of those that do. Strings. */
    GPtrArray *unlimited;
    GPtrArray *limited;
} Examination;

#define LOG_SIZE_MAX "104857600" /* 100 MiB: what mends a log without a limit */

/*
 * Reads one file into the settings. A file that is not there is nothing; one that cannot be read,
 * or understood to its end, gives a finding and no settings, as half a file would mislead.
 */
void examine_file(Examination *examination, const char *program, const char *path, Reader *read,
                  Settings *to);

/* The same for the files of a directory that match a pattern, in the order of their names. */
void examine_directory(Examination *examination, const char *program, const char *directory,
                       const char *pattern, Reader *read, Settings *to);

/* How --fix mends a setting: its value becomes `content`. Nothing happens where that cannot be
 * done: files below /usr belong to packages. */
void fix_replace(Examination *examination, Finding *finding, const Setting *setting,
                 const char *content);

/* How --fix mends what is missing: the file is made, with this content. */
void fix_create(Finding *finding, const char *path, const char *content);

/*
 * How --fix mends a log_size_max, which Podman and CRI-O both have: `setting`, if there is one in a
 * file that may be changed, or else a drop-in file is made with it in `table`. Also says so in
 * words.
 */
void fix_log_size_max(Examination *examination, Finding *finding, const Setting *setting,
                      const char *table, const char *drop_in);

/*
 * Remembers whether an engine whose monitor is conward sets a limit: `setting`, an integer or NULL.
 * conward.conf can do so in its place.
 */
void remember_limit(Examination *examination, const char *program, const Setting *setting);

/*
 * The programs. Each says whether it is here: its configuration or the program itself.
 */
bool examine_containerd(Examination *examination);
bool examine_crio(Examination *examination);
bool examine_podman(Examination *examination);
bool examine_docker(Examination *examination);
bool examine_journald(Examination *examination);
bool examine_kubelet(Examination *examination);
