#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The file system that is examined: this node's, or that of an image below a directory. Paths are
 * absolute ones inside it. Symbolic links of an image lead to places in the image.
 */
typedef struct Root {
    int fd;
    char *prefix; /* what stands before a path that is shown: "" for "/" */
} Root;

#define ROOT_NULL \
    {             \
        .fd = -1  \
    }

enum { ROOT_FILE_MAX = 1 << 20 };

/* Opens the root. Returns 0 or -errno. */
int root_init(Root *root, const char *directory);
void root_deinit(Root *root);

/* A path as people find it. The caller frees it. */
char *root_shown(const Root *root, const char *path);

/* Opens what is at `path`. Returns a descriptor or -errno. */
int root_open(const Root *root, const char *path, int flags);

/* Whether something is at `path`. */
bool root_has(const Root *root, const char *path);

/* Whether a program of that name is where programs are. */
bool root_has_program(const Root *root, const char *name);

/*
 * Reads a regular file of up to ROOT_FILE_MAX bytes. Returns its text, which the caller frees, with
 * a NUL after it. Returns NULL and *trouble NULL if there is none, or NULL and a reason, which the
 * caller frees. Never waits, whatever the path leads to.
 */
char *root_read(const Root *root, const char *path, size_t *length, char **trouble);

/* The same for a descriptor. */
char *root_read_fd(int fd, size_t *length, char **trouble);

/* The names in a directory that match a pattern such as *.conf, sorted by byte; none if it is not
 * there, at most 1000. An array of strings, freed by g_ptr_array_unref(). */
GPtrArray *root_list(const Root *root, const char *directory, const char *pattern);
