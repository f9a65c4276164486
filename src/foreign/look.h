#pragma once

#include "foreign/log.h"
#include "foreign/node.h"
#include "foreign/parse.h"

#include <glib.h>

enum {
    LOOK_CONTAINERS = 4096,
    LOOK_TASKS = 65536,
    LOOK_OUTPUTS = 2, /* standard output and standard error */
};

/* A container: the processes of one cgroup that bears an id. */
typedef struct Container {
    Owner owner;
    char *name; /* NULL: nobody says */
    LogFile log;
} Container;

/* Where a process' standard output or standard error leads to. */
typedef struct Output {
    uint64_t pipe; /* the inode of a pipe, or 0 */
    bool unsure;   /* a terminal, or not known: it may lead to a log */
} Output;

#define TAKEN_UNKNOWN UINT64_MAX

/* One process at one time. */
typedef struct Task {
    pid_t pid;
    uint64_t start;       /* clock ticks since boot */
    uint64_t amount;      /* bytes: written so far if in a container, else anonymous memory */
    uint64_t taken;       /* bytes that a process of the host has read so far, or TAKEN_UNKNOWN */
    Container *container; /* NULL: the host's own */
    Output outputs[LOOK_OUTPUTS];
    char comm[COMM_LENGTH + 1];
} Task;

/* All processes of the node at one time. */
typedef struct Look {
    int64_t at;             /* microseconds on CLOCK_BOOTTIME, before the first process was read */
    Owner own;              /* the container we run in ourselves, if any: not looked at */
    GHashTable *containers; /* id → Container */
    GHashTable *tasks;      /* pid → Task */
    unsigned unread;        /* processes of containers that we may not read */
    bool cut;               /* there was more than the limits allow */
} Look;

/*
 * Looks at every process, and at the logs of containers: at each process' own figures, so the
 * effort grows with their number only. Free it with look_deinit(). Returns 0 or -errno if there is
 * no looking at all; look_deinit() is to be called then, too.
 */
int look_init(Look *look, const Node *node);
void look_deinit(Look *look);

/* The same process in another look, or NULL. */
const Task *look_same(const Look *look, const Task *task);

/* The same container in another look, or NULL. */
const Container *look_container(const Look *look, const Container *container);
