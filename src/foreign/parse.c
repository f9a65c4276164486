#include "foreign/parse.h"

#include <stdlib.h>
#include <string.h>

static const char HEX[] = "0123456789abcdef";
static const char WORD[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

bool is_container_id(const char *text)
{
    return strnlen(text, ID_LENGTH) == ID_LENGTH && strspn(text, HEX) >= ID_LENGTH;
}

/* The place of an id that is a word of its own in a component of a path, or NULL. */
static const char *find_id(const char *component, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t skipped = strcspn(component + at, WORD);
        size_t word;

        at += skipped;
        if (at >= length)
            return NULL;
        word = strspn(component + at, WORD);
        if (word == ID_LENGTH && is_container_id(component + at))
            return component + at;
        at += word;
    }
    return NULL;
}

static bool has(const char *text, size_t length, const char *part)
{
    return memmem(text, length, part, strlen(part)) != NULL;
}

/* Who names cgroups like this; `before` is what the path says before the id. */
static Engine engine_of(const char *before, size_t length)
{
    if (has(before, length, "libpod"))
        return ENGINE_PODMAN;
    if (has(before, length, "kubepods") || has(before, length, "cri-containerd") ||
        has(before, length, "crio"))
        return ENGINE_CRI;
    return has(before, length, "docker") ? ENGINE_DOCKER : ENGINE_UNKNOWN;
}

/* The innermost container of one cgroup's path. */
static bool path_owner(const char *path, size_t length, Owner *owner)
{
    bool found = false;

    for (size_t at = 0; at < length;) {
        size_t size = strcspn(path + at, "/\n");
        const char *id = find_id(path + at, size);

        if (id != NULL) {
            /* libpod-conmon-ID.scope is where the monitor is, not the container. */
            found = !has(path + at, size, "conmon");
            memcpy(owner->id, id, ID_LENGTH);
            owner->id[ID_LENGTH] = '\0';
            owner->engine = engine_of(path, (size_t)(id - path));
        }
        at += size + 1;
    }
    return found;
}

bool parse_cgroup(const char *text, Owner *owner)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        const char *controllers = memchr(text, ':', length);
        const char *path = controllers == NULL ? NULL
                                               : memchr(controllers + 1, ':',
                                                        length - (size_t)(controllers + 1 - text));

        if (path != NULL && path_owner(path + 1, length - (size_t)(path + 1 - text), owner))
            return true;
        text += length + (text[length] == '\n');
    }
    return false;
}

/* The number that a text begins with, after blanks. */
static bool leading_number(const char *text, uint64_t *number)
{
    text += strspn(text, " \t");
    if (*text < '0' || *text > '9')
        return false;
    *number = strtoull(text, NULL, 10);
    return true;
}

bool parse_number(const char *text, const char *name, uint64_t *number)
{
    size_t length = strlen(name);

    while (*text != '\0') {
        if (strncmp(text, name, length) == 0 && text[length] == ':')
            return leading_number(text + length + 1, number);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return false;
}

bool parse_stat(const char *text, char comm[COMM_LENGTH + 1], uint64_t *start)
{
    enum { FIELDS_BEFORE_START = 20 }; /* from the parenthesis to the 22nd field */
    const char *begin = strchr(text, '(');
    const char *end = strrchr(text, ')'); /* a name may have parentheses of its own */
    size_t length;

    if (begin == NULL || end == NULL || end < begin)
        return false;
    length = (size_t)(end - begin - 1);
    if (length > COMM_LENGTH)
        length = COMM_LENGTH;
    memcpy(comm, begin + 1, length);
    comm[length] = '\0';
    for (int i = 0; i < FIELDS_BEFORE_START; i++) {
        end = strchr(end + 1, ' ');
        if (end == NULL)
            return false;
    }
    return leading_number(end, start);
}

uint64_t parse_pipe(const char *link)
{
    static const char BEFORE[] = "pipe:[";
    uint64_t inode;

    if (strncmp(link, BEFORE, sizeof(BEFORE) - 1) != 0 ||
        !leading_number(link + sizeof(BEFORE) - 1, &inode))
        return 0;
    return inode;
}
