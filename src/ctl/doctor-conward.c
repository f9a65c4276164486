#include "ctl/doctor-conward.h"

#include "doctor/ini.h"
#include "settings/conf-file.h"
#include "settings/tunable.h"
#include "util/fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define NAME "conward"
#define DROP_IN CONF_DIRECTORY "/99-conward-doctor.conf"
#define SIZE_MAX_KEY "log-size-max"
#define LINE_MAX_KEY "log-line-max"
#define LINE_MAX_USUAL "16384"
#define LINE SIZE_MAX_KEY " = " LOG_SIZE_MAX
#define LINES LINE "\nlog-rotate = yes"

/* Fluent Bit's tail input (buffer_max_size) and Vector's kubernetes_logs source (max_line_bytes)
 * read no lines of more than 32 KiB by default. That is for a record with its header of 45 bytes,
 * and a little is left to spare. */
enum { CONTENT_COLLECTED_MOST = 32700 };

static const char FROM_THEN_ON[] =
    "nothing; it applies to containers and runs that start from now on";

/* One look at all files. */
typedef struct Look {
    Examination *examination;
    Settings *settings; /* "conward.KEY", with their lines */
    Config config;      /* takes the values, to see whether they can be taken */
    char *path;         /* of the file that is read, inside the root */
    char *shown;
    const Setting *taken[TUNABLES_MAX]; /* those in force */
    const Setting *size_line;           /* the last log-size-max, whatever it says */
} Look;

/* Where a key stands in the file that was read last; NULL if nobody can tell. */
static const Setting *find_line(const Look *look, const char *key)
{
    g_autofree char *path = g_strconcat(CONF_SECTION ".", key, NULL);
    const Setting *setting = settings_find(look->settings, path);

    return setting != NULL && strcmp(setting->file, look->shown) == 0 ? setting : NULL;
}

static Finding *complain(const Look *look, char *what)
{
    Finding *finding = finding_add(look->examination->findings, SEVERITY_WARNING, NAME, what);

    finding->file = g_strdup(look->shown);
    finding->restart = FROM_THEN_ON;
    return finding;
}

static bool on_setting(size_t number, const char *text, Error *error, void *owner)
{
    Look *look = owner;
    const Setting *line = find_line(look, TUNABLES[number].name);

    if (strcmp(TUNABLES[number].name, SIZE_MAX_KEY) == 0)
        look->size_line = line;
    if (!TUNABLES[number].set(text, &look->config, error))
        return false;
    look->taken[number] = line;
    return true;
}

static void on_problem(const char *key, const char *why, void *owner)
{
    Look *look = owner;
    const Setting *line = find_line(look, key);
    Finding *finding =
        complain(look, g_strdup_printf("conward ignores this setting: %s %s", key, why));

    finding->why =
        "The default applies instead, or what an earlier file says; conward run refuses to start.";
    if (line != NULL) {
        g_free(finding->file);
        finding_at(finding, line);
    }
    finding->mend = g_strdup("Correct or remove this line; conward.conf(5) has all settings.");
}

/* One that cannot be used at all. */
static void complain_of_file(const Look *look, unsigned line, const char *why)
{
    Finding *finding = complain(look, g_strdup_printf("conward ignores this file: %s", why));

    finding->line = line;
    finding->why = "None of its settings applies; conward run refuses to start.";
    finding->mend = g_strdup("Correct or remove this file.");
}

/* Of an image, nobody knows who will own its files. */
static bool is_safe(const Look *look, int fd, bool is_users, Error *error)
{
    struct stat st;

    return *look->examination->root->prefix != 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
           conf_is_safe(&st, is_users, error);
}

static bool is_dangling(const Root *root, const char *path)
{
    CLEANUP_FD int link = root_open(root, path, O_PATH | O_NOFOLLOW);

    return link >= 0;
}

/* Returns NULL, with *error filled if there is something. */
static char *read_text(const Look *look, bool is_users, size_t *length, Error *error)
{
    const Root *root = look->examination->root;
    CLEANUP_FD int fd = root_open(root, look->path, CONF_OPEN_FLAGS);

    if (fd == -ENOENT || fd == -ENOTDIR) {
        if (is_dangling(root, look->path))
            error_set(error, 0, "it is a symbolic link to a file that does not exist");
        return NULL;
    }
    if (fd < 0) {
        error_set(error, -fd, "it cannot be opened");
        return NULL;
    }
    return is_safe(look, fd, is_users, error) ? conf_read_fd(fd, length, error) : NULL;
}

static void look_at_file(Look *look, const char *path, bool is_users)
{
    ReadError read_error = {0};
    Error error = ERROR_NULL;
    size_t length = 0;
    unsigned line = 0;
    g_autofree char *text = NULL;
    g_autoptr(GKeyFile) file = NULL;

    g_free(look->path);
    g_free(look->shown);
    look->path = g_strdup(path);
    look->shown = root_shown(look->examination->root, path);
    text = read_text(look, is_users, &length, &error);
    if (text == NULL && error.text[0] == '\0')
        return;
    look->settings->read++;
    file = text != NULL ? conf_parse(text, length, &line, &error) : NULL;
    if (file == NULL) {
        complain_of_file(look, line, error.text);
        return;
    }
    settings_begin_file(look->settings, look->shown);
    (void)ini_read(text, length, look->settings, &read_error); /* for the lines, if it can */
    conf_walk(file, &(ConfVisitor){on_setting, on_problem, look});
}

static void look_at_all(Look *look)
{
    const Root *root = look->examination->root;
    g_autoptr(GPtrArray) names = root_list(root, CONF_DIRECTORY, CONF_PATTERN);
    g_autofree char *users = *root->prefix == 0 ? conf_user_file() : NULL;

    look_at_file(look, CONF_VENDOR_FILE, false);
    look_at_file(look, CONF_FILE, false);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_strconcat(CONF_DIRECTORY "/", names->pdata[i], NULL);

        look_at_file(look, path, false);
    }
    if (users != NULL)
        look_at_file(look, users, true);
}

/* What the files say, each line of them that holds and each that does not. */
static void tell_settings(const Look *look)
{
    for (guint i = 0; i < look->settings->all->len; i++) {
        const Setting *setting = look->settings->all->pdata[i];
        int number = g_str_has_prefix(setting->path, CONF_SECTION ".")
                         ? tunable_find(setting->path + strlen(CONF_SECTION "."))
                         : -1;
        const Setting *taken = number >= 0 ? look->taken[number] : NULL;
        Finding *finding;

        if (taken == NULL)
            continue;
        finding = finding_add(
            look->examination->findings, SEVERITY_NOTE, NAME,
            setting == taken ? g_strdup_printf("conward.conf sets %s, where neither the command "
                                               "line nor the environment does",
                                               TUNABLES[number].name)
                             : g_strdup_printf("this %s has no effect: %s, line %u, comes later",
                                               TUNABLES[number].name, taken->file, taken->line));
        finding_at(finding, setting);
    }
}

/* What to put where so that logs have a limit. */
static void mend_size(const Look *look, Finding *finding)
{
    Examination *examination = look->examination;
    bool has_file = root_has(examination->root, CONF_FILE);
    g_autofree char *users = *examination->root->prefix == 0 ? conf_user_file() : NULL;
    const char *path = users != NULL ? users : has_file ? DROP_IN : CONF_FILE;

    finding->restart = FROM_THEN_ON;
    if (look->size_line != NULL) {
        finding_at(finding, look->size_line);
        fix_replace(examination, finding, look->size_line, LOG_SIZE_MAX);
    }
    if (finding->fix != NULL) {
        finding->mend = g_strdup_printf("In this line, put: %s", LINE);
        return;
    }
    finding->mend = g_strdup_printf("Put into %s:\n[" CONF_SECTION "]\n%s\n", path, LINES);
    if (!root_has(examination->root, path))
        fix_create(finding, path, "[" CONF_SECTION "]\n" LINES "\n");
}

static void examine_size(const Look *look)
{
    const Examination *examination = look->examination;
    g_autoptr(GString) engines = g_string_new(NULL);
    Finding *finding;

    for (guint i = 0; i < examination->limited->len && look->config.log.log_size_max > 0; i++)
        finding_add(examination->findings, SEVERITY_NOTE, NAME,
                    g_strdup_printf("the engine's limit takes precedence over conward.conf's: %s",
                                    (const char *)examination->limited->pdata[i]));
    if (look->config.log.log_size_max > 0 || examination->unlimited->len == 0)
        return;
    for (guint i = 0; i < examination->unlimited->len; i++)
        g_string_append_printf(engines, "%s%s", i > 0 ? ", " : "",
                               (const char *)examination->unlimited->pdata[i]);
    finding = finding_add(examination->findings, SEVERITY_WARNING, NAME,
                          g_strdup_printf("log files of containers grow without limit: neither %s "
                                          "nor conward.conf sets one",
                                          engines->str));
    finding->why =
        "One container that prints much fills the disk. With the limit, a log begins anew "
        "when it is reached; with log-rotate, the file before it is kept as well.";
    mend_size(look, finding);
}

/* Longer records are right, and some collectors do not take them. */
static void examine_line_max(const Look *look)
{
    const Setting *line = look->taken[tunable_find(LINE_MAX_KEY)];
    uint32_t most = look->config.log.log_line_max;
    Finding *finding;

    if (line == NULL || most <= CONTENT_COLLECTED_MOST)
        return;
    finding = finding_add(look->examination->findings, SEVERITY_WARNING, NAME,
                          g_strdup_printf("conward.conf lets a record have %" PRIu32
                                          " bytes: Fluent Bit and Vector read lines of up to "
                                          "32 KiB unless told otherwise",
                                          most));
    finding->why = "Fluent Bit stops reading a log at a longer one, and Vector leaves it out. See "
                   "conward-log(5).";
    finding->restart = FROM_THEN_ON;
    finding_at(finding, line);
    fix_replace(look->examination, finding, line, LINE_MAX_USUAL);
    finding->mend = g_strdup("In this line, put: " LINE_MAX_KEY " = " LINE_MAX_USUAL ", or let the "
                             "collector read longer lines: buffer_max_size of Fluent Bit's tail "
                             "input, max_line_bytes of Vector's kubernetes_logs source.");
}

bool examine_conward(Examination *examination)
{
    Look look = {
        .examination = examination,
        .settings = settings_new(),
        .config = CONFIG_NULL,
    };
    bool is_here;

    look_at_all(&look);
    tell_settings(&look);
    examine_size(&look);
    examine_line_max(&look);
    is_here = look.settings->read > 0 || root_has_program(examination->root, "conward") ||
              examination->unlimited->len + examination->limited->len > 0;
    settings_free(look.settings);
    g_free(look.path);
    g_free(look.shown);
    return is_here;
}
