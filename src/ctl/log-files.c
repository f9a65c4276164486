#include "ctl/log-files.h"

#include "util/fd.h"

#include <dirent.h>
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ROTATION_TIME = 5000 }; /* microseconds, by far enough for two renames */

/* What a rotated log has behind the name of the log. */
typedef struct Suffix {
    char text[24];
    guint64 number; /* 0: a date, which is its own order */
    bool compressed;
} Suffix;

static bool is_digits(const char *text, size_t length)
{
    return strspn(text, "0123456789") >= length;
}

static bool is_date(const char *text, size_t length)
{
    return length == 15 && is_digits(text, 8) && text[8] == '-' && is_digits(text + 9, 6);
}

static bool parse_suffix(Suffix *suffix, const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length >= sizeof(suffix->text))
        return false;
    *suffix = (Suffix){.compressed = g_str_has_suffix(text, ".gz")};
    memcpy(suffix->text, text, length);
    if (suffix->compressed)
        length -= strlen(".gz");
    if (is_date(text, length))
        return true;
    if (length == 0 || length > 9 || !is_digits(text, length) || text[0] == '0')
        return false;
    suffix->number = g_ascii_strtoull(text, NULL, 10);
    return true;
}

/* Newest first; where a file is there both ways, it is just being compressed: the whole one first.
 */
static gint compare(gconstpointer left, gconstpointer right)
{
    const Suffix *a = left;
    const Suffix *b = right;
    int order = 0;

    if ((a->number == 0) != (b->number == 0))
        return a->number == 0 ? 1 : -1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    if (a->number == 0)
        order = strncmp(b->text, a->text, strlen("YYYYMMDD-HHMMSS"));
    return order != 0 ? order : (int)a->compressed - (int)b->compressed;
}

static bool is_other_form(const Suffix *a, const Suffix *b)
{
    return a->number == b->number && (a->number != 0 || strncmp(a->text, b->text, 15) == 0);
}

/* Sorts, and keeps the newest. */
static size_t trim(GArray *suffixes)
{
    size_t left_out = 0;

    g_array_sort(suffixes, compare);
    for (guint i = 1; i < suffixes->len;) {
        if (is_other_form(&g_array_index(suffixes, Suffix, i - 1),
                          &g_array_index(suffixes, Suffix, i)))
            g_array_remove_index(suffixes, i);
        else
            i++;
    }
    if (suffixes->len > LOG_FILES_MOST) {
        left_out = suffixes->len - LOG_FILES_MOST;
        g_array_set_size(suffixes, LOG_FILES_MOST);
    }
    return left_out;
}

/* The suffixes of the rotated logs, if they are wanted, newest first. A directory that cannot be
 * read has none. */
static GArray *list_suffixes(const char *path, bool rotated, size_t *left_out)
{
    GArray *suffixes = g_array_new(FALSE, FALSE, sizeof(Suffix));
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    size_t length = strlen(name);
    DIR *dir = rotated ? opendir(directory) : NULL;
    struct dirent *entry;
    Suffix suffix;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, name, length) != 0 || entry->d_name[length] != '.' ||
            !parse_suffix(&suffix, entry->d_name + length + 1))
            continue;
        g_array_append_val(suffixes, suffix);
        if (suffixes->len > 2 * LOG_FILES_MOST)
            *left_out += trim(suffixes);
    }
    if (dir != NULL)
        closedir(dir);
    *left_out += trim(suffixes);
    return suffixes;
}

static bool is_open_already(const LogFiles *list, const LogSource *source)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->files[i].source.fd >= 0 && log_source_is_same(&list->files[i].source, source))
            return true;
    return false;
}

static void open_rotated(LogFiles *list, const char *path, const char *suffix)
{
    LogFile *file = &list->files[list->count];

    file->path = g_strconcat(path, ".", suffix, NULL);
    log_source_open(&file->source, file->path, &file->problem);
    if (file->source.fd >= 0 && is_open_already(list, &file->source)) {
        log_source_close(&file->source);
        g_free(file->path);
        return;
    }
    list->count++;
}

/* From the newest on: a rotation gives files older names, so that what is missed under one name is
 * met again under the next, and known by its inode. */
static int open_all(LogFiles *list, const char *path, const GArray *suffixes, Error *error)
{
    LogFile log = {.path = NULL};
    int r = log_source_open(&log.source, path, error);

    if (r < 0)
        return r;
    log.path = g_strdup(path);
    list->files = g_new0(LogFile, suffixes->len + 1);
    list->files[list->count++] = log;
    for (guint i = 0; i < suffixes->len; i++)
        open_rotated(list, path, g_array_index(suffixes, Suffix, i).text);
    for (size_t i = 0; i < list->count / 2; i++) {
        LogFile other = list->files[i];

        list->files[i] = list->files[list->count - 1 - i];
        list->files[list->count - 1 - i] = other;
    }
    return 0;
}

static bool are_same(const GArray *a, const GArray *b)
{
    if (a->len != b->len)
        return false;
    for (guint i = 0; i < a->len; i++)
        if (strcmp(g_array_index(a, Suffix, i).text, g_array_index(b, Suffix, i).text) != 0)
            return false;
    return true;
}

/* Whether the log is what it was when it was opened: then there has been no rotation meanwhile. */
static bool is_unrotated(const LogFiles *list, const char *path)
{
    const LogSource *log = &list->files[list->count - 1].source;
    struct stat st;

    return stat(path, &st) == 0 && st.st_dev == log->device && st.st_ino == log->inode;
}

int log_files_init(LogFiles *list, const char *path, bool rotated, Error *error)
{
    *list = (LogFiles)LOG_FILES_NULL;
    /* A rotation while the files were opened is worth another try, but not for ever; and so is a
     * log that is not there, as it is for a moment of each rotation. */
    for (int tries = 10;; tries--) {
        size_t left_out = 0;
        g_autoptr(GArray) before = list_suffixes(path, rotated, &list->left_out);
        g_autoptr(GArray) after = NULL;
        int r = open_all(list, path, before, error);

        if (r == -ENOENT && tries > 0) {
            g_usleep(ROTATION_TIME);
            continue;
        }
        if (r < 0)
            return r;
        after = list_suffixes(path, rotated, &left_out);
        if ((are_same(before, after) && is_unrotated(list, path)) || tries == 0)
            return 0;
        log_files_deinit(list);
    }
}

void log_files_deinit(LogFiles *list)
{
    for (size_t i = 0; i < list->count; i++) {
        log_source_close(&list->files[i].source);
        g_free(list->files[i].path);
    }
    g_free(list->files);
    *list = (LogFiles)LOG_FILES_NULL;
}
