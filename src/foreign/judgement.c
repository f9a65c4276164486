#include "foreign/judgement.h"

#include "foreign/readers.h"
#include "util/whole.h"

#include <string.h>
#include <unistd.h>

/* A log that holds less than this part of what was written does not hold it. */
enum { LOGGED_PART = 100 };

static Account *account_of(Judgement *judgement, const Container *container)
{
    Account *account = g_hash_table_lookup(judgement->accounts, container);

    if (account == NULL) {
        account = g_new0(Account, 1);
        account->container = container;
        g_hash_table_insert(judgement->accounts, (gpointer)container, account);
    }
    return account;
}

/* Whether a process' output leads out of the container, and in *reader to whom, or NULL. */
static bool leads_out(const Task *task, GHashTable *readers, const Task **reader)
{
    bool out = false;

    *reader = NULL;
    for (int i = 0; i < LOOK_OUTPUTS; i++) {
        const Task *other = g_hash_table_lookup(readers, &task->outputs[i].pipe);

        if (other != NULL)
            *reader = other;
        out |= other != NULL || task->outputs[i].unsure;
    }
    return out;
}

/* By how much a process' figure has grown since the first look; a process that began later, from
 * nothing. What is not known is 0. */
static uint64_t growth_of(const Task *task, const Look *before)
{
    const Task *earlier = look_same(before, task);
    uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t looked = (uint64_t)before->at * ticks / G_USEC_PER_SEC;

    if (earlier == NULL)
        return task->start >= looked ? task->amount : 0;
    if ((earlier->container == NULL) != (task->container == NULL))
        return 0; /* it has just moved into its container: the figures are of two kinds */
    return task->amount > earlier->amount ? task->amount - earlier->amount : 0;
}

static void add_written(Judgement *judgement, const Look *before, const Look *after,
                        GHashTable *readers)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, after->tasks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Task *task = value;
        uint64_t written = growth_of(task, before);
        const Task *reader;
        Account *account;

        if (task->container == NULL || written == 0 || !leads_out(task, readers, &reader))
            continue;
        account = account_of(judgement, task->container);
        account->written += written;
        if (account->writer == NULL || written > account->most) {
            account->writer = task;
            account->most = written;
        }
        if (reader != NULL)
            account->reader = reader;
    }
}

/* A database writes much, but not to its output. */
static void limit_to_taken(Judgement *judgement, const Look *before)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, judgement->accounts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Account *account = value;
        const Task *now = account->reader;
        const Task *earlier = now != NULL ? look_same(before, now) : NULL;

        account->output = account->written;
        if (earlier != NULL && earlier->taken != TAKEN_UNKNOWN && now->taken != TAKEN_UNKNOWN)
            account->output = MIN(account->written, now->taken - earlier->taken);
    }
}

static void add_logged(Judgement *judgement, const Look *before, const Look *after,
                       const Node *node)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, after->containers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Container *container = value;
        const Container *earlier = look_container(before, container);
        Account *account = account_of(judgement, container);

        if (earlier != NULL)
            account->growth =
                log_file_growth(&earlier->log, &container->log, node, &account->logged);
    }
}

static void accuse(Judgement *judgement, const Suspect *suspect)
{
    g_ptr_array_add(judgement->suspects, g_memdup2(suspect, sizeof(*suspect)));
}

static bool is_unlogged(const Account *account)
{
    return account->growth == GROWTH_KNOWN && account->logged < account->output / LOGGED_PART;
}

/* Whether what a container writes can be what a logger keeps. A shim keeps nothing, it hands on; of
 * a terminal nobody knows who reads it. */
static bool can_be_why(const Account *account, const Task *logger)
{
    if (account->reader == NULL || account->reader == logger)
        return true;
    return is_shim(account->reader->comm) &&
           (strcmp(logger->comm, "containerd") == 0 || strcmp(logger->comm, "dockerd") == 0);
}

/* Finds who makes a logger grow: the one whose log does not grow; if there is none, the one whose
 * log nobody knows. */
static void find_why(Judgement *judgement, Suspect *suspect, uint64_t much)
{
    const Account *unlogged = NULL, *unknown = NULL;
    unsigned unlogged_count = 0, unknown_count = 0;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, judgement->accounts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Account *account = value;

        if (account->output < much || !can_be_why(account, suspect->logger))
            continue;
        if (is_unlogged(account)) {
            unlogged = account;
            unlogged_count++;
        } else if (account->growth == GROWTH_UNKNOWN) {
            unknown = account;
            unknown_count++;
        }
    }
    suspect->possible = unlogged_count > 0 ? unlogged_count : unknown_count;
    if (suspect->possible == 1)
        suspect->account = unlogged_count > 0 ? unlogged : unknown;
}

static bool reads(GHashTable *readers, const Task *task)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, readers);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (value == task)
            return true;
    return false;
}

static void accuse_loggers(Judgement *judgement, const Look *before, const Look *after,
                           GHashTable *readers, uint64_t much)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, after->tasks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Task *task = value;
        Suspect suspect = {.kind = SUSPECT_MEMORY, .logger = task};

        /* One that has just begun grows anyway. */
        if (task->container != NULL || look_same(before, task) == NULL)
            continue;
        suspect.grown = growth_of(task, before);
        if (suspect.grown < much || (!is_logger(task->comm) && !reads(readers, task)))
            continue;
        find_why(judgement, &suspect, much);
        if (suspect.account != NULL)
            ((Account *)g_hash_table_lookup(judgement->accounts, suspect.account->container))
                ->accused = true;
        accuse(judgement, &suspect);
    }
}

static void accuse_containers(Judgement *judgement, const Node *node, uint64_t much)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, judgement->accounts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Account *account = value;
        Suspect suspect = {.account = account, .logger = account->reader};

        suspect.endless = log_file_endless(&account->container->log, node);
        if (suspect.endless != NULL) {
            suspect.kind = SUSPECT_ENDLESS;
            accuse(judgement, &suspect);
        }
        if (account->output < much || account->accused)
            continue;
        suspect.kind = account->growth == GROWTH_ROTATED ? SUSPECT_ROTATED : SUSPECT_UNLOGGED;
        if (suspect.kind == SUSPECT_ROTATED || is_unlogged(account))
            accuse(judgement, &suspect);
    }
}

static uint64_t amount(const Suspect *suspect)
{
    return suspect->kind == SUSPECT_MEMORY ? suspect->grown : suspect->account->output;
}

/* By kind, then the most bytes first. */
static int compare(gconstpointer a, gconstpointer b)
{
    const Suspect *first = *(const Suspect *const *)a;
    const Suspect *second = *(const Suspect *const *)b;

    if (first->kind != second->kind)
        return first->kind < second->kind ? -1 : 1;
    return (amount(first) < amount(second)) - (amount(first) > amount(second));
}

void judgement_init(Judgement *judgement, const Look *before, const Look *after,
                    GHashTable *readers, const Node *node, uint64_t least)
{
    uint64_t much;

    *judgement = (Judgement){
        .seconds = (double)(after->at - before->at) / G_USEC_PER_SEC,
        .accounts = g_hash_table_new_full(NULL, NULL, NULL, g_free),
        .suspects = g_ptr_array_new_with_free_func(g_free),
    };
    much = MAX(whole((double)least * judgement->seconds), 1);
    add_written(judgement, before, after, readers);
    limit_to_taken(judgement, before);
    add_logged(judgement, before, after, node);
    accuse_loggers(judgement, before, after, readers, much);
    accuse_containers(judgement, node, much);
    g_ptr_array_sort(judgement->suspects, compare);
}

void judgement_deinit(Judgement *judgement)
{
    g_clear_pointer(&judgement->suspects, g_ptr_array_unref);
    g_clear_pointer(&judgement->accounts, g_hash_table_unref);
}
