#pragma once

#include "log/journal-socket.h"
#include "state/state.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Sends a container's entries to systemd's journal, and knows how it is: a journal that is stopped,
 * restarting, flooded or absent is asked again after a pause that grows. Since when it has taken
 * nothing is on the page: it outlives a crash.
 */
enum {                                /* microseconds without any entry that it has taken */
       JOURNAL_SLOW_FOR = 2000000,    /* it only does not keep up: a report waits so long */
       JOURNAL_DEAD_AFTER = 10000000, /* it will not go on: output is not kept for it any longer */
};

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

/* Whether the latest entry could not be sent. */
bool journal_sender_is_stalled(const JournalSender *sender);

/* Whether that is so, and has been for less than JOURNAL_SLOW_FOR. */
bool journal_sender_is_slow(const JournalSender *sender);

/* When it will have been so for JOURNAL_DEAD_AFTER, CLOCK_BOOTTIME microseconds; 0 = it is not. */
int64_t journal_sender_dead_at(const JournalSender *sender);

/* The descriptor with which a journal that does not keep up says when it has, -1 = none. */
int journal_sender_blocked_fd(const JournalSender *sender);

/* What has failed is tried again at once. */
void journal_sender_retry(JournalSender *sender);
