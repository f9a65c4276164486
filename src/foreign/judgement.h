#pragma once

#include "foreign/look.h"

/* What one container did between two looks. */
typedef struct Account {
    const Container *container;
    uint64_t written;   /* bytes, by processes whose output leads to a logger */
    uint64_t output;    /* as much of it as can be output: its reader has read no more */
    const Task *writer; /* the process that wrote most, or NULL */
    uint64_t most;      /* bytes, by that process */
    const Task *reader; /* who reads its output, or NULL: not known */
    Growth growth;      /* of its log */
    uint64_t logged;    /* bytes, if that is known */
    bool accused;
} Account;

/* What is wrong; the worst first. */
typedef enum SuspectKind {
    SUSPECT_MEMORY,   /* a program that takes containers' output grows */
    SUSPECT_UNLOGGED, /* a container writes much, and its log does not grow */
    SUSPECT_ENDLESS,  /* a container's log ends with a line without an end */
    SUSPECT_ROTATED,  /* it writes much, but its log was replaced meanwhile: not known */
} SuspectKind;

typedef struct Suspect {
    SuspectKind kind;
    const Account *account; /* NULL for memory: nobody, or more than one, can be why */
    unsigned possible;      /* for memory: how many containers can be why */
    const Task *logger;     /* who takes the output, or NULL: not known */
    uint64_t grown;         /* for memory: by how many bytes */
    const char *endless;    /* what is endless, a static string */
} Suspect;

typedef struct Judgement {
    double seconds; /* between the looks */
    GHashTable *accounts;
    GPtrArray *suspects; /* the worst first */
} Judgement;

/*
 * Compares two looks; `least` is how many bytes per second are much. Reads the logs' ends. The
 * judgement refers to the looks and to `readers`, which readers_find() has found for the second.
 * Free it with judgement_deinit().
 */
void judgement_init(Judgement *judgement, const Look *before, const Look *after,
                    GHashTable *readers, const Node *node, uint64_t least);
void judgement_deinit(Judgement *judgement);
