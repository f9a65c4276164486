#include "process/cgroup-path.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A process's place in the hierarchy that has the memory controller. */
typedef struct Place {
    char *path;   /* from the root of the hierarchy, or of our cgroup namespace */
    bool unified; /* cgroup v2 */
} Place;

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* Lines are HIERARCHY:CONTROLLERS:PATH. The path is NULL if there is no such hierarchy. */
static Place find_place(FILE *cgroups)
{
    Place place = {NULL, true};
    char *line = NULL;
    size_t size = 0;
    ssize_t length;

    while ((length = getline(&line, &size, cgroups)) > 0) {
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        bool legacy;

        if (path == NULL)
            continue;
        line[length - (line[length - 1] == '\n')] = '\0';
        *path++ = '\0';
        legacy = has_word(controllers + 1, "memory");
        if (!legacy && strcmp(line, "0:") != 0)
            continue;
        g_free(place.path);
        place = (Place){g_strdup(path), !legacy};
        if (legacy)
            break;
    }
    free(line);
    return place;
}

/* Undoes the octal escapes of mountinfo, in place. */
static void unescape(char *text)
{
    char *to = text;

    while (*text != '\0') {
        if (*text == '\\' && strspn(text + 1, "01234567") >= 3) {
            *to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            *to++ = *text++;
        }
    }
    *to = '\0';
}

/* What of `path` is below `root`, which is mounted; NULL if it is not in it. */
static const char *below(const char *path, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    path += length;
    /* Outside of our cgroup namespace. */
    return strncmp(path, "/..", 3) == 0 ? NULL : path;
}

/* "… ROOT MOUNTPOINT … - TYPE SOURCE OPTIONS": whether the place can be seen through that mount. */
static bool take_mount(char *line, const Place *place, CgroupPath *path)
{
    char *behind = strstr(line, " - ");
    g_auto(GStrv) before = NULL;
    g_auto(GStrv) after = NULL;
    const char *rest;

    if (behind == NULL || strncmp(behind + 3, "cgroup", strlen("cgroup")) != 0)
        return false;
    before = g_strsplit(line, " ", 6);
    after = g_strsplit(g_strchomp(behind + 3), " ", 3);
    if (g_strv_length(before) < 6 || g_strv_length(after) < 3)
        return false;
    if (place->unified ? strcmp(after[0], "cgroup2") != 0
                       : strcmp(after[0], "cgroup") != 0 || !has_word(after[2], "memory"))
        return false;
    unescape(before[3]);
    unescape(before[4]);
    rest = below(place->path, before[3]);
    if (rest == NULL)
        return false;
    path->mount = strlen(before[4]);
    path->unified = place->unified;
    return snprintf(path->text, sizeof(path->text), "%s%s", before[4], rest) < PATH_MAX;
}

/* Mounts of cgroups come early in the list, and what follows may be long: no more is read. */
static int find_mount(FILE *mounts, const Place *place, CgroupPath *path)
{
    bool found = false;
    char *line = NULL;
    size_t size = 0;

    while (!found && getline(&line, &size, mounts) > 0)
        found = take_mount(line, place, path);
    free(line);
    return found ? 0 : -ENOENT;
}

int cgroup_path_parse(FILE *cgroups, FILE *own, FILE *mounts, CgroupPath *path)
{
    Place place = find_place(cgroups);
    Place ours = find_place(own);
    int r = place.path == NULL ? -ENOENT : 0;

    if (r == 0 && (strcmp(place.path, "/") == 0 || g_strcmp0(place.path, ours.path) == 0))
        r = -EBUSY;
    if (r == 0)
        r = find_mount(mounts, &place, path);
    g_free(place.path);
    g_free(ours.path);
    return r;
}

int cgroup_path_of(pid_t pid, CgroupPath *path)
{
    g_autofree char *name = g_strdup_printf("/proc/%d/cgroup", (int)pid);
    FILE *files[] = {fopen(name, "re"), fopen("/proc/self/cgroup", "re"),
                     fopen("/proc/self/mountinfo", "re")};
    int r = -errno;

    if (files[0] != NULL && files[1] != NULL && files[2] != NULL)
        r = cgroup_path_parse(files[0], files[1], files[2], path);
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        if (files[i] != NULL)
            fclose(files[i]);
    }
    return r;
}

/* From the root of the hierarchy. */
static char *full_path(const char *name, const char *own)
{
    if (*name == '/')
        return g_strdup(name);
    return *name == '\0' ? g_strdup(own)
                         : g_strdup_printf("%s/%s", strcmp(own, "/") == 0 ? "" : own, name);
}

int cgroup_path_parse_name(const char *name, FILE *own, FILE *mounts, CgroupPath *path)
{
    Place ours = find_place(own);
    g_autofree char *full = ours.path != NULL ? full_path(name, ours.path) : NULL;
    int r = full != NULL ? find_mount(mounts, &(Place){full, ours.unified}, path) : -ENOENT;

    g_free(ours.path);
    if (r == 0 && strncmp(name, path->text, path->mount) == 0 && name[path->mount] == '/')
        g_strlcpy(path->text, name, sizeof(path->text)); /* it is the directory's name */
    return r;
}

int cgroup_path_find(const char *name, CgroupPath *path)
{
    FILE *own = fopen("/proc/self/cgroup", "re");
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    int r = -errno;

    if (own != NULL && mounts != NULL)
        r = cgroup_path_parse_name(name, own, mounts, path);
    if (own != NULL)
        fclose(own);
    if (mounts != NULL)
        fclose(mounts);
    return r;
}

bool cgroup_path_climb(const CgroupPath *path, const char *id, CgroupPath *top)
{
    const char *name = strstr(path->text + path->mount, id);
    const char *end = name != NULL ? strchr(name, '/') : NULL;

    if (end == NULL || *id == '\0')
        return false;
    *top = *path;
    top->text[end - path->text] = '\0';
    return true;
}
