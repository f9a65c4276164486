#include "doctor/examination.h"

#include <string.h>

static void unread(Examination *examination, const char *program, const char *shown, unsigned line,
                   const char *reason)
{
    Finding *finding =
        finding_add(examination->findings, SEVERITY_UNREAD, program,
                    g_strdup_printf("%s's settings were not read because %s", program, reason));

    finding->file = g_strdup(shown);
    finding->line = line;
    finding->mend = g_strdup("Check this file yourself, or correct it and run doctor again.");
}

void examine_file(Examination *examination, const char *program, const char *path, Reader *read,
                  Settings *to)
{
    g_autofree char *shown = root_shown(examination->root, path);
    g_autofree char *trouble = NULL;
    g_autofree char *text = NULL;
    ReadError error = {0};
    size_t length = 0;

    text = root_read(examination->root, path, &length, &trouble);
    if (text == NULL && trouble == NULL)
        return;
    settings_begin_file(to, shown);
    if (text != NULL && read(text, length, to, &error)) {
        to->read++;
        return;
    }
    settings_drop_file(to);
    to->unread++;
    unread(examination, program, shown, error.line, text != NULL ? error.what : trouble);
}

void examine_directory(Examination *examination, const char *program, const char *directory,
                       const char *pattern, Reader *read, Settings *to)
{
    g_autoptr(GPtrArray) names = root_list(examination->root, directory, pattern);

    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_strconcat(directory, "/", names->pdata[i], NULL);

        examine_file(examination, program, path, read, to);
    }
}

void fix_replace(Examination *examination, Finding *finding, const Setting *setting,
                 const char *content)
{
    /* The file is shown with the prefix. */
    const char *path = setting->file + strlen(examination->root->prefix);
    g_autofree char *trouble = NULL;
    g_autofree char *text = NULL;
    size_t length = 0;

    if (setting->length == 0 || g_str_has_prefix(path, "/usr/"))
        return;
    /* CRI-O reads every file there, whatever its name: a backup would take the mend back. */
    if (g_str_has_prefix(path, "/etc/crio/crio.conf.d/"))
        return;
    text = root_read(examination->root, path, &length, &trouble);
    if (text == NULL || setting->at > length || setting->length > length - setting->at)
        return;
    finding->fix = g_new0(Fix, 1);
    finding->fix->path = g_strdup(path);
    finding->fix->content = g_strdup(content);
    finding->fix->old = g_strndup(text + setting->at, setting->length);
    finding->fix->at = setting->at;
}

void fix_create(Finding *finding, const char *path, const char *content)
{
    finding->fix = g_new0(Fix, 1);
    finding->fix->path = g_strdup(path);
    finding->fix->content = g_strdup(content);
}

void fix_log_size_max(Examination *examination, Finding *finding, const Setting *setting,
                      const char *table, const char *drop_in)
{
    static const char LINE[] = "log_size_max = " LOG_SIZE_MAX;

    if (setting != NULL)
        fix_replace(examination, finding, setting, LOG_SIZE_MAX);
    if (finding->fix != NULL) {
        finding->mend = g_strdup_printf("In this line, put: %s", LINE);
    } else {
        g_autofree char *content = g_strdup_printf("[%s]\n%s\n", table, LINE);

        finding->mend = g_strdup_printf("Put into %s:\n%s", drop_in, content);
        fix_create(finding, drop_in, content);
    }
}

void remember_limit(Examination *examination, const char *program, const Setting *setting)
{
    if (setting == NULL || setting->number <= 0)
        g_ptr_array_add(examination->unlimited, g_strdup(program));
    else
        g_ptr_array_add(examination->limited,
                        g_strdup_printf("%s = %s of %s, in %s", setting->path, setting->text,
                                        program, setting->file));
}
