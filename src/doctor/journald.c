#include "doctor/examination.h"
#include "doctor/ini.h"

#include <string.h>

#define NAME "journald"

enum { LARGE_LINE = 1 << 20 };

/* The directory of a drop-in, by precedence, the highest first: journald.conf(5). */
static const char *const PLACES[] = {
    "/etc/systemd",
    "/run/systemd",
    "/usr/local/lib/systemd",
    "/usr/lib/systemd",
};

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* journald.conf(5): the first main file there is; then all drop-ins by name, whatever directory
 * they are in, but of those with the same name only the one that takes precedence. */
static void read_all(Examination *examination, Settings *settings)
{
    g_autoptr(GHashTable) places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (size_t i = 0; i < G_N_ELEMENTS(PLACES); i++) {
        g_autofree char *path = g_strconcat(PLACES[i], "/journald.conf", NULL);
        g_autofree char *directory = g_strconcat(path, ".d", NULL);
        g_autoptr(GPtrArray) found = root_list(examination->root, directory, "*.conf");

        if (settings->read + settings->unread == 0)
            examine_file(examination, NAME, path, ini_read, settings);
        for (guint j = 0; j < found->len; j++) {
            char *name = g_strdup(found->pdata[j]);

            if (g_hash_table_contains(places, name)) {
                g_free(name);
                continue;
            }
            g_hash_table_insert(places, name, (gpointer)PLACES[i]);
            g_ptr_array_add(names, name);
        }
    }
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path =
            g_strconcat((const char *)g_hash_table_lookup(places, names->pdata[i]),
                        "/journald.conf.d/", names->pdata[i], NULL);

        examine_file(examination, NAME, path, ini_read, settings);
    }
}

/* A number, or a time such as "0s": nothing but zeros. */
static bool is_zero(const char *text)
{
    size_t digits = 0;

    for (const char *c = text; *c != 0; c++) {
        if (*c >= '1' && *c <= '9')
            return false;
        digits += *c == '0';
    }
    return digits > 0;
}

/* journald.conf(5), RateLimitIntervalSec=: "To turn off any kind of rate limiting, set either value
 * to 0." */
static void examine_rate(Examination *examination, const Settings *settings, const char *path,
                         const char *name, const char *usual)
{
    const Setting *setting = settings_find(settings, path);
    Finding *finding;

    if (setting == NULL || !is_zero(setting->text))
        return;
    finding = finding_add(examination->findings, SEVERITY_WARNING, NAME,
                          g_strdup("the journal takes messages at any rate"));
    finding_at(finding, setting);
    finding->why = "One service, or one container that logs to the journal, can keep journald busy "
                   "and push out the messages of all others.";
    finding->mend = g_strdup_printf("In this line, put: %s=%s", name, usual);
    finding->restart = "systemctl restart systemd-journald";
    fix_replace(examination, finding, setting, usual);
}

/* journald.conf(5), LineMax=: 48K by default. */
static void examine_line(Examination *examination, const Settings *settings)
{
    const Setting *setting = settings_find(settings, "Journal.LineMax");
    Finding *finding;
    double amount;

    if (setting == NULL || !amount_parse(setting->text, &amount) || amount <= LARGE_LINE)
        return;
    finding = finding_add(examination->findings, SEVERITY_WARNING, NAME,
                          g_strdup("journald holds very long lines in memory"));
    finding_at(finding, setting);
    finding->why = "It holds a line in memory until the newline comes or the limit is reached, for "
                   "every service.";
    finding->mend = g_strdup("In this line, put: LineMax=48K");
    finding->restart = "systemctl restart systemd-journald";
    fix_replace(examination, finding, setting, "48K");
}

bool examine_journald(Examination *examination)
{
    g_autoptr(Settings) settings = settings_new();

    read_all(examination, settings);
    examine_rate(examination, settings, "Journal.RateLimitBurst", "RateLimitBurst", "10000");
    examine_rate(examination, settings, "Journal.RateLimitIntervalSec", "RateLimitIntervalSec",
                 "30s");
    examine_line(examination, settings);
    return settings->read + settings->unread > 0;
}
