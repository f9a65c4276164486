#include "ctl/foreign.h"

#include "ctl/command.h"
#include "ctl/foreign-print.h"
#include "ctl/text.h"
#include "foreign/readers.h"
#include "util/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

static void wait_until(int64_t at)
{
    int64_t left;

    while ((left = at - clock_boottime_us()) > 0)
        poll(NULL, 0, clock_sleep_ms(left));
}

static void print_summary(const Look *look, const Judgement *judgement)
{
    unsigned readable = 0;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, look->containers);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        readable += ((const Container *)value)->log.there;
    printf("%sContainers: %u; with a log file that could be read: %u. Looked for %.1f s.\n",
           judgement->suspects->len == 0 ? "No container stands out. " : "",
           g_hash_table_size(look->containers), readable, judgement->seconds);
}

/* The exit status. What was found is certain, so it goes before what nobody could look at. */
static int status(const Look *look, const Judgement *judgement)
{
    if (look->unread > 0)
        ctl_say("%u processes of containers could not be read: run it as root", look->unread);
    if (look->cut)
        ctl_say("not everything was looked at: only the first %d containers and %d processes",
                LOOK_CONTAINERS, LOOK_TASKS);
    for (guint i = 0; i < judgement->suspects->len; i++)
        if (((const Suspect *)judgement->suspects->pdata[i])->kind != SUSPECT_ROTATED)
            return CTL_FOUND;
    return look->unread > 0 || look->cut ? CTL_FAILED : CTL_OK;
}

static int judge(const Node *node, const Look *before, const Look *after, bool json, uint64_t least)
{
    g_autoptr(GHashTable) readers = readers_find(after, node);
    Judgement judgement;
    int r;

    judgement_init(&judgement, before, after, readers, node, least);
    for (guint i = 0; i < judgement.suspects->len; i++)
        foreign_print(judgement.suspects->pdata[i], &judgement, json);
    if (!json)
        print_summary(after, &judgement);
    r = status(after, &judgement);
    judgement_deinit(&judgement);
    return r;
}

/* Looks for the second time, and judges. */
static int look_again(const Node *node, const Look *before, bool json, double seconds,
                      uint64_t least)
{
    Look after;
    int r;

    wait_until(before->at + (int64_t)(seconds * G_USEC_PER_SEC));
    r = look_init(&after, node);
    if (r == 0)
        r = judge(node, before, &after, json, least);
    look_deinit(&after);
    return r;
}

int foreign_run(bool json, double seconds, uint64_t least)
{
    Node node = NODE_NULL;
    Look before = {0};
    int r = node_init(&node, "");

    if (r == 0)
        r = look_init(&before, &node);
    if (r == 0)
        r = look_again(&node, &before, json, seconds, least);
    look_deinit(&before);
    node_deinit(&node);
    if (r >= 0)
        return r;
    ctl_say("looking at the processes in /proc: %s%s", g_strerror(-r),
            r == -EACCES ? "; it may be mounted with hidepid: run it as root" : "");
    return CTL_FAILED;
}
