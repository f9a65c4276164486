#include "settings/take.h"

#include "settings/conf-file.h"
#include "state/page-file.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_ROOM = 64,      /* for what stands around a value when it is written down */
    SAID_MOST = 8,       /* problems of one start */
    ENTRIES_MOST = 1000, /* of the directory, ours or not */
};

/* Written down as one letter, and a number if there are several. */
static const char FROM_OPTION[] = "o";
static const char FROM_ENVIRONMENT[] = "e";
static const char FROM_FILE[] = "f";

typedef struct Taken {
    char *text;
    const char *from; /* NULL: nothing was taken */
    unsigned file;    /* of FROM_FILE: number in Taking.files */
} Taken;

typedef struct Taking {
    const TakeOptions *options;
    Config *config;
    Taken taken[TUNABLES_MAX];
    GPtrArray *files; /* paths of those that were read */
    unsigned problems;
} Taking;

static void taking_init(Taking *taking, const TakeOptions *options, Config *config)
{
    *taking = (Taking){.options = options, .config = config};
    taking->files = g_ptr_array_new_with_free_func(g_free);
}

static void taking_deinit(Taking *taking)
{
    for (size_t i = 0; i < TUNABLES_MAX; i++)
        g_free(taking->taken[i].text);
    g_ptr_array_unref(taking->files);
}

/* Whether there is room for one more to be written down; what cannot be would not outlive a crash.
 */
static bool fits(const Taking *taking, size_t number, const char *text)
{
    size_t length = strlen(text) + NAME_ROOM;

    for (size_t i = 0; i < TUNABLES_MAX; i++) {
        if (i != number && taking->taken[i].text != NULL)
            length += strlen(taking->taken[i].text) + NAME_ROOM;
    }
    return length <= PAGE_SETTINGS_MAX;
}

static bool take(Taking *taking, size_t number, const char *text, const char *from, Error *error)
{
    Taken *taken = &taking->taken[number];

    if (!fits(taking, number, text)) {
        error_set(error, 0, "is too long; make it shorter");
        return false;
    }
    if (!TUNABLES[number].set(text, taking->config, error))
        return false;
    g_free(taken->text);
    *taken = (Taken){g_strdup(text), from, MAX(taking->files->len, 1) - 1};
    return true;
}

/* Something outside of the command line is wrong: `what` and `why` are a sentence. */
static void problem(Taking *taking, const char *what, const char *why, const char *then)
{
    const TakeOptions *options = taking->options;
    Level level = options->strict ? LEVEL_ERROR : options->exec ? LEVEL_DEBUG : LEVEL_WARNING;

    if (++taking->problems <= SAID_MOST)
        message(options->messages, level, "%s %s%s", what, why, options->strict ? "" : then);
    else if (taking->problems == SAID_MOST + 1)
        message(options->messages, level,
                "There are more errors in the settings; see conwardctl doctor");
}

/* The files. */

static bool on_setting(size_t number, const char *text, Error *error, void *owner)
{
    Taking *taking = owner;

    if (taking->options->exec && !(TUNABLES[number].where & TUNABLE_EXEC))
        return true;
    return take(taking, number, text, FROM_FILE, error);
}

static void on_problem(const char *key, const char *why, void *owner)
{
    Taking *taking = owner;
    const char *path = taking->files->pdata[taking->files->len - 1];
    g_autofree char *what = g_strdup_printf("%s: %s", path, key);

    problem(taking, what, why, ". It is ignored");
}

static void take_file(Taking *taking, const char *path, bool is_users)
{
    Error error = ERROR_NULL;
    size_t length = 0;
    unsigned line;
    g_autofree char *text = conf_read(path, is_users, &length, &error);
    g_autoptr(GKeyFile) file = text != NULL ? conf_parse(text, length, &line, &error) : NULL;

    if (file != NULL) {
        g_ptr_array_add(taking->files, g_strdup(path));
        conf_walk(file, &(ConfVisitor){on_setting, on_problem, taking});
    } else if (error.text[0] != '\0') {
        g_autofree char *what = g_strdup_printf("%s cannot be used:", path);

        problem(taking, what, error.text, ". The whole file is ignored");
    }
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What cannot be opened; it need not be there. */
static void complain_of_directory(Taking *taking, const char *path, int number)
{
    g_autofree char *what = g_strdup_printf("%s cannot be used:", path);
    g_autofree char *why =
        g_strdup_printf("%s; make it a directory that can be read, or remove it", strerror(number));

    if (number != ENOENT)
        problem(taking, what, why, ". It is ignored");
}

/* The names of its files, in their order. */
static GPtrArray *list(DIR *directory, bool *complete)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    struct dirent *entry = NULL;

    for (int i = 0; i < ENTRIES_MOST && (entry = readdir(directory)) != NULL; i++) {
        if (fnmatch(CONF_PATTERN, entry->d_name, FNM_PERIOD) == 0)
            g_ptr_array_add(names, g_strdup(entry->d_name));
    }
    *complete = entry == NULL && names->len <= CONF_FILES_MAX;
    g_ptr_array_sort(names, compare_names);
    return names;
}

static void take_directory(Taking *taking, const char *path)
{
    g_autoptr(GPtrArray) names = NULL;
    DIR *directory = opendir(path); /* which waits for nobody */
    bool complete;

    if (directory == NULL) {
        complain_of_directory(taking, path, errno);
        return;
    }
    names = list(directory, &complete);
    closedir(directory);
    if (!complete)
        problem(taking, path, "contains too many files; use fewer", ". The others are ignored");
    for (guint i = 0; i < names->len && i < CONF_FILES_MAX; i++) {
        g_autofree char *file = g_strconcat(path, "/", names->pdata[i], NULL);

        take_file(taking, file, false);
    }
}

static void take_files(Taking *taking)
{
    g_autofree char *users = conf_user_file();

    take_file(taking, CONF_VENDOR_FILE, false);
    take_file(taking, CONF_FILE, false);
    take_directory(taking, CONF_DIRECTORY);
    if (users != NULL)
        take_file(taking, users, true);
}

/* The environment: CONWARD_ and the name in capitals. */

static void take_variable(Taking *taking, size_t number)
{
    g_autofree char *capitals = g_ascii_strup(TUNABLES[number].name, -1);
    g_autofree char *name = g_strconcat("CONWARD_", g_strdelimit(capitals, "-", '_'), NULL);
    const char *text = getenv(name);
    Error error = ERROR_NULL;

    /* An empty one is what a script makes of a variable that is not set. */
    if (text == NULL || *text == '\0')
        return;
    if (!take(taking, number, text, FROM_ENVIRONMENT, &error)) {
        g_autofree char *what = g_strdup_printf("In the environment, %s", name);

        problem(taking, what, error.text, ". It is ignored");
    }
}

static void take_environment(Taking *taking)
{
    for (size_t i = 0; TUNABLES[i].name != NULL; i++) {
        if (!taking->options->exec || TUNABLES[i].where & TUNABLE_EXEC)
            take_variable(taking, i);
    }
}

/* The command line. */
static bool take_options(Taking *taking)
{
    for (size_t i = 0; TUNABLES[i].name != NULL; i++) {
        const char *text = taking->options->given[i];
        Error error = ERROR_NULL;

        if (text == NULL || take(taking, i, text, FROM_OPTION, &error))
            continue;
        message(taking->options->messages, LEVEL_ERROR, "--%s %s", TUNABLES[i].name, error.text);
        return false;
    }
    return true;
}

/* Whether a setting comes from that file. */
static bool is_used(const Taking *taking, guint file)
{
    for (size_t i = 0; i < TUNABLES_MAX; i++) {
        if (taking->taken[i].from == FROM_FILE && taking->taken[i].file == file)
            return true;
    }
    return false;
}

/*
 * Texts for behind the page: "set:NAME=FROM VALUE", and for FROM f2 also "file:2=PATH", which come
 * last, as the next image needs only the others.
 */
static void write_down(const Taking *taking, Config *config)
{
    g_autoptr(GString) texts = g_string_new(NULL);

    for (size_t i = 0; TUNABLES[i].name != NULL; i++) {
        const Taken *taken = &taking->taken[i];

        if (taken->from == NULL)
            continue;
        g_string_append_printf(texts, "set:%s=%s", TUNABLES[i].name, taken->from);
        if (taken->from == FROM_FILE)
            g_string_append_printf(texts, "%u", taken->file);
        g_string_append_printf(texts, " %s", taken->text);
        g_string_append_c(texts, '\0');
    }
    for (guint i = 0; i < taking->files->len; i++) {
        const char *path = taking->files->pdata[i];

        if (!is_used(taking, i) || texts->len + strlen(path) + NAME_ROOM > 2 * PAGE_SETTINGS_MAX)
            continue;
        g_string_append_printf(texts, "file:%u=%s", i, path);
        g_string_append_c(texts, '\0');
    }
    config->settings_length = texts->len;
    config->settings = g_string_free(g_steal_pointer(&texts), FALSE);
}

bool settings_take(const TakeOptions *options, Config *config)
{
    Taking taking;
    bool done;

    taking_init(&taking, options, config);
    take_files(&taking);
    take_environment(&taking);
    done = take_options(&taking) && !(options->strict && taking.problems > 0);
    if (done)
        write_down(&taking, config);
    taking_deinit(&taking);
    return done;
}

/* "set:NAME=FROM VALUE", of which nothing needs to be true. */
static void take_text(Taking *taking, const char *text)
{
    g_autofree char *name = NULL;
    const char *equals = strchr(text, '=');
    const char *blank = equals != NULL ? strchr(equals, ' ') : NULL;
    Error error = ERROR_NULL;
    int number;

    if (strncmp(text, "set:", 4) != 0 || blank == NULL)
        return;
    name = g_strndup(text + 4, (size_t)(equals - text) - 4);
    number = tunable_find(name);
    if (number >= 0 && !take(taking, (size_t)number, blank + 1, FROM_FILE, &error))
        problem(taking, name, error.text, ". It is ignored");
}

bool settings_take_again(const TakeOptions *options, int page_fd, Config *config)
{
    g_autofree char *texts = g_malloc(PAGE_TEXTS_MAX);
    size_t length = page_file_texts(page_fd, texts);
    Taking taking;
    bool done;

    taking_init(&taking, options, config);
    for (size_t at = 0; at < length; at += strlen(texts + at) + 1)
        take_text(&taking, texts + at);
    done = take_options(&taking);
    taking_deinit(&taking);
    return done;
}

SettingOrigin setting_origin(const Tunable *tunable,
                             const char *(*text)(const void *texts, const char *name),
                             const void *texts)
{
    g_autofree char *name = g_strconcat("set:", tunable->name, NULL);
    const char *set = text(texts, name);
    const char *blank = strchr(set, ' ');
    SettingOrigin origin = {tunable->name, blank != NULL ? blank + 1 : NULL, "default"};

    if (blank == NULL)
        return origin;
    if (set[0] == FROM_OPTION[0]) {
        origin.where = "option";
    } else if (set[0] == FROM_ENVIRONMENT[0]) {
        origin.where = "environment";
    } else {
        g_autofree char *file = g_strdup_printf("file:%.*s", (int)(blank - set - 1), set + 1);

        origin.where = text(texts, file);
    }
    return origin;
}
