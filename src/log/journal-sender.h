#pragma once

#include "log/journal-socket.h"
#include "state/state.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Sends a container's entries to systemd's journal, and knows how it is: a journal that is stopped,
 * restarting, flooded or absent is asked again after a pause that grows, and is hoped for only for
 * a short time. When, is on the page: it outlives a crash.
 */

/* What all entries of a container say. NULL: not given. */
typedef struct JournalIdentity {
    const char *id; /* never NULL */
    const char *tag;
    const char *name;
    const char *const *labels; /* FIELD=VALUE, NULL-terminated */
} JournalIdentity;

typedef struct JournalSender {
    JournalPage *page;
    JournalSocket socket;
    GString *fields;     /* the same in all entries */
    int64_t retry_pause; /* before the next attempt, in microseconds */
} JournalSender;

#define JOURNAL_SENDER_NULL           \
    {                                 \
        .socket = JOURNAL_SOCKET_NULL \
    }

/* The texts are copied. */
void journal_sender_init(JournalSender *sender, JournalPage *page, const JournalIdentity *identity);

void journal_sender_deinit(JournalSender *sender);

/*
 * Sends an entry: what all have, `fields`, which end with a newline, and the message. Returns 0 or
 * -errno, as journal_socket_send() does; after a failure nothing is tried until it is time, and
 * that failure is returned again.
 */
int journal_sender_send(JournalSender *sender, const char *fields, const void *message,
                        size_t length);

/* To be called when the entry that has been sent is committed: the journal takes entries. */
void journal_sender_worked(JournalSender *sender);

/* Whether something has failed, and not long ago: what waits is worth waiting for. */
bool journal_sender_hopes(const JournalSender *sender);

/* The descriptor with which a journal that does not keep up says when it has, -1 = none. */
int journal_sender_blocked_fd(const JournalSender *sender);

/* What has failed is tried again at once. */
void journal_sender_retry(JournalSender *sender);
