#include "log/journal-sender.h"

#include "log/journal-field.h"
#include "util/clock.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/param.h>

enum {
    SHORT_ID = 12, /* characters of an ID that has a field of its own */

    /* Microseconds. A journal that only does not keep up says itself when it can go on; others are
     * asked again, after a pause that grows. To ask costs a system call or two. */
    RETRY_FIRST = 50000,
    RETRY_MOST = 1000000,
};

static void add_label(GString *to, const char *label)
{
    const char *equals = strchr(label, '=');
    g_autofree char *name = g_strndup(label, (gsize)(equals - label));

    journal_text(to, name, equals + 1);
}

static void add_identity(GString *to, const JournalIdentity *identity)
{
    size_t length = strnlen(identity->id, SHORT_ID);

    journal_text(to, "CONTAINER_ID_FULL", identity->id);
    journal_field(to, "CONTAINER_ID", identity->id, length);
    journal_text(to, "CONTAINER_TAG", identity->tag);
    journal_text(to, "CONTAINER_NAME", identity->name);
    if (identity->tag != NULL || identity->name != NULL)
        journal_text(to, "SYSLOG_IDENTIFIER",
                     identity->tag != NULL ? identity->tag : identity->name);
    else
        journal_field(to, "SYSLOG_IDENTIFIER", identity->id, length);
    for (const char *const *label = identity->labels; label != NULL && *label != NULL; label++)
        add_label(to, *label);
}

static void note_failure(JournalSender *sender, int number)
{
    JournalPage *page = sender->page;
    int64_t now = clock_boottime_us();

    page->last_error = number;
    page->send_errors += number != EAGAIN;
    sender->retry_pause = MIN(MAX(2 * sender->retry_pause, RETRY_FIRST), RETRY_MOST);
    if (page->stalled_since == 0)
        state_commit(&page->stalled_since, now);
    state_commit(&page->retry_at, now + sender->retry_pause);
}

int journal_sender_send(JournalSender *sender, const char *fields, const void *message,
                        size_t length)
{
    JournalPage *page = sender->page;
    const uint64_t size = htole64(length);
    const struct iovec parts[] = {
        {sender->fields->str, sender->fields->len},
        {(void *)fields, strlen(fields)},
        {(void *)"MESSAGE\n", 8},
        {(void *)&size, sizeof(size)},
        {(void *)message, length},
        {(void *)"\n", 1},
    };
    int r;

    if (page->retry_at > clock_boottime_us())
        return -page->last_error;
    /* The journal has not said that it can go on: another one may be there by now. */
    if (page->retry_at != 0)
        journal_socket_close(&sender->socket);
    r = journal_socket_send(&sender->socket, parts, sizeof(parts) / sizeof(parts[0]));
    if (r < 0)
        note_failure(sender, -r);
    return r;
}

void journal_sender_worked(JournalSender *sender)
{
    JournalPage *page = sender->page;

    sender->retry_pause = 0;
    if (page->stalled_since != 0)
        state_commit(&page->stalled_since, 0);
    if (page->retry_at != 0)
        state_commit(&page->retry_at, 0);
}

bool journal_sender_is_stalled(const JournalSender *sender)
{
    return sender->page->stalled_since != 0;
}

bool journal_sender_is_slow(const JournalSender *sender)
{
    return journal_sender_is_stalled(sender) &&
           sender->page->stalled_since + JOURNAL_SLOW_FOR > clock_boottime_us();
}

int64_t journal_sender_dead_at(const JournalSender *sender)
{
    return journal_sender_is_stalled(sender) ? sender->page->stalled_since + JOURNAL_DEAD_AFTER : 0;
}

int journal_sender_blocked_fd(const JournalSender *sender)
{
    bool is_blocked = sender->page->retry_at != 0 && sender->page->last_error == EAGAIN;

    return is_blocked ? sender->socket.fd : -1;
}

void journal_sender_retry(JournalSender *sender)
{
    if (sender->page->retry_at != 0)
        state_commit(&sender->page->retry_at, 0);
}

void journal_sender_init(JournalSender *sender, JournalPage *page, const JournalIdentity *identity)
{
    *sender = (JournalSender)JOURNAL_SENDER_NULL;
    sender->page = page;
    sender->fields = g_string_new(NULL);
    add_identity(sender->fields, identity);
}

void journal_sender_deinit(JournalSender *sender)
{
    journal_socket_close(&sender->socket);
    if (sender->fields != NULL)
        g_string_free(sender->fields, TRUE);
    sender->fields = NULL;
}
