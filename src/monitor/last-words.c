#include "monitor/last-words.h"

#include "log/journal-socket.h"
#include "monitor/events.h"
#include "util/shown.h"

#include <string.h>
#include <unistd.h>

static const char COLON[] = ": "; /* at the end of a text that is shown, its blank would be lost */
static const char AFTER[] =
    ". The container is no longer watched: its pipes are closed, and nobody reports its end. See "
    "that files may be executed where the program is (it is not mounted with noexec), and that "
    "there is memory for a copy of it\n";

void last_words_init(Monitor *monitor)
{
    const Config *config = monitor->config;
    g_autofree char *text =
        g_strdup_printf("%s: The monitor has crashed, and its program %s cannot be executed again",
                        config->name != NULL ? config->name : config->cid, monitor->image.path);

    monitor->last_words.text = shown_line_new(text);
    monitor->last_words.fields = event_lost(monitor);
}

void last_words_deinit(Monitor *monitor)
{
    g_clear_pointer(&monitor->last_words.text, g_free);
    if (monitor->last_words.fields != NULL)
        g_string_free(monitor->last_words.fields, TRUE);
    monitor->last_words.fields = NULL;
}

static struct iovec part(const char *text)
{
    return (struct iovec){(void *)text, strlen(text)};
}

static void tell_journal(const LastWords *words, const char *why)
{
    JournalSocket journal = JOURNAL_SOCKET_NULL;
    const struct iovec parts[] = {
        {words->fields->str, words->fields->len},
        part("MESSAGE="),
        part(words->text),
        part(COLON),
        part(why),
        part(AFTER),
    };

    journal_socket_send(&journal, parts, sizeof(parts) / sizeof(parts[0]));
    journal_socket_close(&journal);
}

void last_words_say(int number, void *owner)
{
    const Monitor *monitor = owner;
    const LastWords *words = &monitor->last_words;
    const char *known = strerrordesc_np(number); /* strerror(3) may allocate memory */
    const char *why = known != NULL ? known : "unknown error";
    const struct iovec parts[] = {
        part(message_prefix(&monitor->config->messages, LEVEL_ERROR)),
        part(words->text),
        part(COLON),
        part(why),
        part(AFTER),
    };

    if (writev(STDERR_FILENO, parts, sizeof(parts) / sizeof(parts[0])) < 0) {
        /* The journal may still hear of it. */
    }
    if (words->fields != NULL)
        tell_journal(words, why);
}
