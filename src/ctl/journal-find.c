#include "ctl/journal-find.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

enum {
    ID_LEAST = 4,   /* characters of an ID that may stand for it */
    ID_MOST = 1024, /* longer ones are not looked for */
};

static int fail(int number, Error *error)
{
    return error_set(error, -number, "Cannot look for the container in the journal");
}

bool journal_is_barred(void)
{
    static const char *const PLACES[] = {"/run/log/journal", "/var/log/journal"};
    char machine[SD_ID128_STRING_MAX];
    sd_id128_t id;

    if (sd_id128_get_machine(&id) < 0)
        return false;
    sd_id128_to_string(id, machine);
    for (size_t i = 0; i < G_N_ELEMENTS(PLACES); i++) {
        g_autofree char *path = g_build_filename(PLACES[i], machine, "system.journal", NULL);

        if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0 && errno == EACCES)
            return true;
    }
    return false;
}

static int match(sd_journal *journal, const char *field, const char *value)
{
    g_autofree char *text = g_strdup_printf("%s=%s", field, value);

    return sd_journal_add_match(journal, text, 0);
}

static int match_user(sd_journal *journal, unsigned user)
{
    char text[16];

    g_snprintf(text, sizeof(text), "%u", user);
    return match(journal, "_UID", text);
}

int journal_choose(sd_journal *journal, const char *id, unsigned user, Error *error)
{
    int r;

    sd_journal_flush_matches(journal);
    r = match(journal, "CONTAINER_ID_FULL", id);
    if (r >= 0)
        r = match_user(journal, user);
    return r < 0 ? fail(r, error) : 0;
}

/* The value of a field of the current entry, as a new text, or NULL. */
static char *get_text(sd_journal *journal, const char *field)
{
    size_t name = strlen(field) + 1;
    const void *data;
    size_t length;

    if (sd_journal_get_data(journal, field, &data, &length) < 0 || length - name > ID_MOST ||
        memchr(data, '\0', length) != NULL)
        return NULL;
    return g_strndup((const char *)data + name, length - name);
}

static void get_sender(sd_journal *journal, JournalContainer *container)
{
    g_autofree char *pid = get_text(journal, "_PID");
    g_autofree char *comm = get_text(journal, "_COMM");
    guint64 number;
    uint64_t time;

    /* -ESTALE: it is of another boot. */
    if (pid != NULL && comm != NULL && sd_journal_get_monotonic_usec(journal, &time, NULL) >= 0 &&
        g_ascii_string_to_unsigned(pid, 10, 1, G_MAXINT, &number, NULL)) {
        container->sender = (int)number;
        g_strlcpy(container->comm, comm, sizeof(container->comm));
    }
}

/* The latest entry with that name or ID, of a user or, if that is NULL, of anybody. */
static int find_latest(sd_journal *journal, const char *word, const unsigned *user,
                       JournalContainer *container)
{
    g_autofree char *uid = NULL;
    const void *data;
    size_t length;
    guint64 number;
    int r = 0;

    sd_journal_flush_matches(journal);
    if (user != NULL)
        r = match_user(journal, *user);
    if (r >= 0)
        r = sd_journal_add_conjunction(journal);
    if (r >= 0)
        r = match(journal, "CONTAINER_NAME", word);
    if (r >= 0)
        r = sd_journal_add_disjunction(journal);
    if (r >= 0)
        r = match(journal, "CONTAINER_ID_FULL", word);
    if (r >= 0)
        r = sd_journal_seek_tail(journal);
    /* What a monitor says of a container is not the container's. */
    if (r >= 0)
        do
            r = sd_journal_previous(journal);
        while (r > 0 && sd_journal_get_data(journal, "CONWARD_EVENT", &data, &length) >= 0);
    if (r <= 0)
        return r;
    *container = (JournalContainer){.id = get_text(journal, "CONTAINER_ID_FULL")};
    uid = get_text(journal, "_UID");
    if (container->id == NULL || uid == NULL ||
        !g_ascii_string_to_unsigned(uid, 10, 0, G_MAXUINT32, &number, NULL)) {
        g_free(container->id);
        return 0;
    }
    container->user = (unsigned)number;
    get_sender(journal, container);
    return 1;
}

static int find_whole(sd_journal *journal, const char *word, JournalContainer *container)
{
    const unsigned own = geteuid();
    const unsigned root = 0;
    const unsigned *const order[] = {&own, &root, NULL};
    int r = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(order) && r == 0; i++)
        r = find_latest(journal, word, order[i], container);
    return r;
}

/* The only ID that begins so. Returns 1, 0 or -errno, or -ENOTUNIQ. */
static int find_beginning(sd_journal *journal, const char *word, char **id)
{
    static const char FIELD[] = "CONTAINER_ID_FULL=";
    const size_t name = strlen(FIELD);
    size_t length = strlen(word);
    const void *data;
    size_t size;
    int r;

    *id = NULL;
    if (length < ID_LEAST)
        return 0;
    r = sd_journal_query_unique(journal, "CONTAINER_ID_FULL");
    if (r < 0)
        return r;
    while ((r = sd_journal_enumerate_available_unique(journal, &data, &size)) > 0) {
        const char *value = (const char *)data + name;

        if (size - name < length || size - name > ID_MOST || memcmp(value, word, length) != 0)
            continue;
        if (*id != NULL) {
            r = -ENOTUNIQ;
            break;
        }
        *id = g_strndup(value, size - name);
    }
    if (r < 0)
        g_clear_pointer(id, g_free);
    return r < 0 ? r : *id != NULL;
}

int journal_find(const char *word, JournalContainer *container, Error *error)
{
    g_autofree char *id = NULL;
    sd_journal *journal;
    int r = sd_journal_open(&journal, JOURNAL_FLAGS);

    if (r < 0)
        return fail(r, error);
    r = find_whole(journal, word, container);
    if (r == 0)
        r = find_beginning(journal, word, &id);
    if (r > 0 && id != NULL)
        r = find_whole(journal, id, container);
    sd_journal_close(journal);
    if (r == -ENOTUNIQ)
        return error_set(error, 0,
                         "Several containers in the journal have an ID that begins with %s: give "
                         "more of the ID",
                         word);
    return r < 0 ? fail(r, error) : r;
}
