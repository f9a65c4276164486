#include "doctor/examination.h"
#include "doctor/toml.h"

#include <inttypes.h>
#include <string.h>

#define NAME "containerd"
#define CONFIG "/etc/containerd/config.toml"
#define DEFAULT_LIMIT "16384"

enum {
    LARGE_LINE = 1 << 20,
    MAX_FILES = 32, /* imported ones included */
};

/* docs/cri/config.md of containerd: "max_container_log_line_size … -1 means no limit". The table's
 * name goes with the version of the file; all three are looked at, as a mend that went into the
 * wrong one is easily made. */
static const char *const SETTINGS[] = {
    "plugins.cri.max_container_log_line_size",                              /* version 1, or none */
    "plugins.\"io.containerd.grpc.v1.cri\".max_container_log_line_size",    /* version 2 */
    "plugins.\"io.containerd.cri.v1.runtime\".max_container_log_line_size", /* version 3 and 4 */
};

static void examine_limit(Examination *examination, const Setting *limit)
{
    bool none = limit->number <= 0;
    Finding *finding;

    if (!none && limit->number <= LARGE_LINE)
        return;
    finding = finding_add(examination->findings, none ? SEVERITY_DANGER : SEVERITY_WARNING, NAME,
                          none ? g_strdup("containerd sets no limit on the length of a log line")
                               : g_strdup_printf("containerd holds log lines of up to %" PRId64
                                                 " bytes in memory",
                                                 limit->number));
    finding_at(finding, limit);
    finding->why =
        none ? "It holds a line in memory until the newline comes. A container that prints without "
               "a newline makes it grow until the node has no memory left, and can do so again "
               "wherever it is moved."
             : "It holds a line in memory until the newline comes or the limit is reached, for "
               "every container and both its streams.";
    finding->mend =
        g_strdup("In this line, put: max_container_log_line_size = " DEFAULT_LIMIT
                 " (containerd's default; longer lines are then cut, and nothing is lost).");
    finding->restart = "systemctl restart containerd";
    fix_replace(examination, finding, limit, DEFAULT_LIMIT);
}

/* Whether a file has been read: two that import each other would have no end. */
static bool is_read(const Settings *settings, const char *shown)
{
    for (guint i = 0; i < settings->all->len; i++)
        if (strcmp(((const Setting *)settings->all->pdata[i])->file, shown) == 0)
            return true;
    return false;
}

/* Reads what one import names: a file, or a pattern for files of one directory. Relative paths
 * begin at the directory of the file with the import. */
static void examine_import(Examination *examination, Settings *settings, const char *importer,
                           const char *import)
{
    g_autofree char *home = g_path_get_dirname(importer);
    /* Without "." and "..", so that a file has one name only. */
    g_autofree char *path = g_canonicalize_filename(import, home);
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *pattern = g_path_get_basename(path);
    g_autoptr(GPtrArray) names = root_list(examination->root, directory, pattern);

    for (guint i = 0; i < names->len && settings->read + settings->unread < MAX_FILES; i++) {
        g_autofree char *file = g_build_filename(directory, names->pdata[i], NULL);
        g_autofree char *shown = root_shown(examination->root, file);

        if (!is_read(settings, shown))
            examine_file(examination, NAME, file, toml_read, settings);
    }
}

/* docs/man/containerd-config.toml.5.md: imported files overwrite simple values. What they import
 * themselves is read, too. */
static void examine_imports(Examination *examination, Settings *settings)
{
    /* The default since containerd 2.2. */
    if (settings_find(settings, "imports") == NULL)
        examine_import(examination, settings, CONFIG, "conf.d/*.toml");
    /* The list grows while it is walked through. */
    for (guint i = 0; i < settings->all->len; i++) {
        const Setting *import = settings->all->pdata[i];

        if (strcmp(import->path, "imports[]") == 0 && import->kind == SETTING_STRING)
            examine_import(examination, settings, import->file + strlen(examination->root->prefix),
                           import->text);
    }
}

/* Docker's package of containerd comes with its CRI plugin turned off. */
static bool has_cri(const Settings *settings)
{
    for (guint i = 0; i < settings->all->len; i++) {
        const Setting *disabled = settings->all->pdata[i];

        if (strcmp(disabled->path, "disabled_plugins[]") == 0 &&
            (strcmp(disabled->text, "cri") == 0 ||
             strcmp(disabled->text, "io.containerd.grpc.v1.cri") == 0))
            return false;
    }
    return true;
}

bool examine_containerd(Examination *examination)
{
    g_autoptr(Settings) settings = settings_new();

    examine_file(examination, NAME, CONFIG, toml_read, settings);
    examine_imports(examination, settings);
    for (size_t i = 0; i < G_N_ELEMENTS(SETTINGS) && has_cri(settings); i++) {
        const Setting *limit = settings_find_integer(settings, SETTINGS[i]);

        if (limit != NULL)
            examine_limit(examination, limit);
    }
    return settings->read + settings->unread > 0 || root_has_program(examination->root, NAME);
}
