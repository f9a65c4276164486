#include "doctor/finding.h"

#include <string.h>

static void finding_free(gpointer pointer)
{
    Finding *finding = pointer;

    if (finding->fix != NULL) {
        g_free(finding->fix->path);
        g_free(finding->fix->content);
        g_free(finding->fix->old);
        g_free(finding->fix);
    }
    g_free(finding->what);
    g_free(finding->file);
    g_free(finding->setting);
    g_free(finding->mend);
    g_free(finding);
}

GPtrArray *findings_new(void)
{
    return g_ptr_array_new_with_free_func(finding_free);
}

static int compare(gconstpointer a, gconstpointer b)
{
    const Finding *const *first = a;
    const Finding *const *second = b;

    return (int)(*first)->severity - (int)(*second)->severity;
}

void findings_sort(GPtrArray *findings)
{
    g_ptr_array_sort(findings, compare); /* it is stable */
}

const char *severity_name(Severity severity)
{
    static const char *const NAMES[] = {
        [SEVERITY_DANGER] = "danger",
        [SEVERITY_WARNING] = "warning",
        [SEVERITY_UNREAD] = "unread",
        [SEVERITY_NOTE] = "note",
    };

    return NAMES[severity];
}

Finding *finding_add(GPtrArray *findings, Severity severity, const char *program, char *what)
{
    Finding *finding = g_new0(Finding, 1);

    finding->severity = severity;
    finding->program = program;
    finding->what = what;
    g_ptr_array_add(findings, finding);
    return finding;
}

void finding_at(Finding *finding, const Setting *setting)
{
    const char *quote = setting->kind == SETTING_STRING ? "\"" : "";

    finding->file = g_strdup(setting->file);
    finding->line = setting->line;
    finding->setting = g_strdup_printf("%s = %s%s%s", setting->path, quote, setting->text, quote);
}
