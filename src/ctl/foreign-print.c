#include "ctl/foreign-print.h"

#include "ctl/text.h"
#include "util/whole.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const KINDS[] = {
    [SUSPECT_MEMORY] = "memory",
    [SUSPECT_UNLOGGED] = "unlogged",
    [SUSPECT_ENDLESS] = "endless",
    [SUSPECT_ROTATED] = "rotated",
};

static void append_shown(GString *to, const char *text)
{
    text_append_name(to, text, TEXT_PATH_MOST);
}

/* "container 0123456789ab (NAME)". */
static void append_container(GString *to, const Container *container)
{
    g_string_append_printf(to, "container %.12s", container->owner.id);
    if (container->name != NULL) {
        g_string_append(to, " (");
        text_append_name(to, container->name, TEXT_NAME_MOST);
        g_string_append(to, ")");
    }
}

/* "the process yes (12)". */
static void append_task(GString *to, const Task *task)
{
    g_string_append(to, task->container != NULL ? "the process " : "");
    append_shown(to, task->comm);
    g_string_append_printf(to, " (%d)", (int)task->pid);
}

static void append_rate(GString *to, uint64_t bytes, const Judgement *judgement)
{
    char amount[TEXT_AMOUNT];

    g_string_append_printf(to, "%s/s",
                           amount_text(whole((double)bytes / judgement->seconds), amount));
}

static void say_what(GString *to, const Suspect *suspect, const Judgement *judgement)
{
    const Account *account = suspect->account;

    switch (suspect->kind) {
    case SUSPECT_MEMORY:
        append_task(to, suspect->logger);
        g_string_append(to, " takes containers' output, and its memory grows by ");
        append_rate(to, suspect->grown, judgement);
        if (account != NULL) {
            g_string_append(to, "; only ");
            append_container(to, account->container);
            g_string_append(to, " is a possible cause");
        }
        break;
    case SUSPECT_UNLOGGED:
        append_container(to, account->container);
        g_string_append(to, " writes ");
        append_rate(to, account->output, judgement);
        g_string_append(to, " and its log does not grow: a line is kept in memory until it ends, "
                            "or its output is lost, or it goes elsewhere");
        break;
    case SUSPECT_ENDLESS:
        append_container(to, account->container);
        g_string_append_printf(to, " writes a line without an end: %s in its log",
                               suspect->endless);
        break;
    case SUSPECT_ROTATED:
        append_container(to, account->container);
        g_string_append(to, " writes ");
        append_rate(to, account->output, judgement);
        g_string_append(to,
                        ", but its log was rotated meanwhile: whether it is logged cannot be told");
    }
}

static void append_log(GString *to, const Account *account)
{
    const LogFile *log = &account->container->log;
    char amount[TEXT_AMOUNT];

    if (log->path == NULL) {
        g_string_append(to, "; no log file of it is known");
        return;
    }
    g_string_append(to, "; its log ");
    append_shown(to, log->path);
    if (account->growth == GROWTH_ROTATED)
        g_string_append(to, " was rotated meanwhile");
    else if (account->growth == GROWTH_UNKNOWN)
        g_string_append(to, " could not be compared");
    else
        g_string_append_printf(to, " grew by %s", amount_text(account->logged, amount));
}

static void say_evidence(GString *to, const Suspect *suspect, const Judgement *judgement)
{
    const Account *account = suspect->account;
    char amount[TEXT_AMOUNT], more[TEXT_AMOUNT];

    if (suspect->kind == SUSPECT_MEMORY)
        g_string_append_printf(to, "its memory grew by %s to %s",
                               amount_text(suspect->grown, amount),
                               amount_text(suspect->logger->amount, more));
    if (suspect->kind == SUSPECT_MEMORY && account == NULL)
        g_string_append_printf(to, "; containers that are possible causes: %u", suspect->possible);
    if (suspect->kind == SUSPECT_ENDLESS)
        g_string_append_printf(to, "no line ends in the last %s of it",
                               amount_text(LOG_TAIL, amount));
    if (account != NULL) {
        g_string_append_printf(to, "%sthe container's processes wrote %s", to->len > 0 ? "; " : "",
                               amount_text(account->written, amount));
        if (account->writer != NULL) {
            g_string_append_printf(to, ", %s of it by ", amount_text(account->most, more));
            append_task(to, account->writer);
        }
        append_log(to, account);
        if (suspect->kind != SUSPECT_MEMORY && suspect->logger != NULL) {
            g_string_append(to, "; its output is read by ");
            append_task(to, suspect->logger);
        }
    }
    g_string_append_printf(to, "; in %.1f s", judgement->seconds);
}

/* The command that ends a container. */
static void append_end(GString *to, const Account *account)
{
    const char *id = account->container->owner.id;

    switch (account->container->owner.engine) {
    case ENGINE_PODMAN:
        g_string_append_printf(to, "end it: podman kill %.12s", id);
        break;
    case ENGINE_DOCKER:
        g_string_append_printf(to, "end it: docker kill %.12s", id);
        break;
    case ENGINE_CRI:
        g_string_append_printf(to,
                               "end it: crictl stop %.12s (its pod starts it again: keep the "
                               "pod away from this node, too)",
                               id);
        break;
    case ENGINE_UNKNOWN:
        if (account->writer != NULL)
            g_string_append_printf(to, "end it: kill -KILL %d", (int)account->writer->pid);
        else
            g_string_append(to, "end it with the engine that runs it");
    }
    g_string_append(to, "; ");
}

static void say_action(GString *to, const Suspect *suspect)
{
    if (suspect->kind == SUSPECT_ROTATED) {
        g_string_append(to, "look again, with a shorter --interval");
        return;
    }
    if (suspect->account != NULL)
        append_end(to, suspect->account);
    else if (suspect->possible == 0)
        g_string_append(to, "look again: if it goes on growing, its container may write too "
                            "little to be seen, which a smaller --min shows; ");
    else
        g_string_append(to, "end the containers named below one after the other, and look again; ");
    g_string_append(to, "the setting that limits a line: conwardctl doctor");
}

static void append_member(GString *json, const char *name, const char *value)
{
    if (value == NULL)
        return;
    g_string_append_printf(json, ",\"%s\":", name);
    text_append_json(json, value, strlen(value));
}

static void append_json_account(GString *json, const Account *account)
{
    static const char *const ENGINES[] = {
        [ENGINE_UNKNOWN] = NULL,
        [ENGINE_PODMAN] = "podman",
        [ENGINE_DOCKER] = "docker",
        [ENGINE_CRI] = "cri",
    };

    append_member(json, "container", account->container->owner.id);
    append_member(json, "name", account->container->name);
    append_member(json, "engine", ENGINES[account->container->owner.engine]);
    append_member(json, "log", account->container->log.path);
    g_string_append_printf(json, ",\"written\":%" PRIu64 ",\"output\":%" PRIu64, account->written,
                           account->output);
    if (account->growth == GROWTH_KNOWN)
        g_string_append_printf(json, ",\"logged\":%" PRIu64, account->logged);
    if (account->writer != NULL) {
        g_string_append_printf(json, ",\"pid\":%d", (int)account->writer->pid);
        append_member(json, "process", account->writer->comm);
    }
}

static void print_json(const Suspect *suspect, const Judgement *judgement, const char *what,
                       const char *action)
{
    g_autoptr(GString) json = g_string_new("{");

    g_string_append_printf(json, "\"kind\":\"%s\",\"milliseconds\":%.0f", KINDS[suspect->kind],
                           judgement->seconds * 1000);
    append_member(json, "what", what);
    if (suspect->account != NULL)
        append_json_account(json, suspect->account);
    if (suspect->logger != NULL) {
        append_member(json, "logger", suspect->logger->comm);
        g_string_append_printf(json, ",\"logger_pid\":%d", (int)suspect->logger->pid);
    }
    if (suspect->kind == SUSPECT_MEMORY)
        g_string_append_printf(json, ",\"grown\":%" PRIu64 ",\"memory\":%" PRIu64, suspect->grown,
                               suspect->logger->amount);
    append_member(json, "do", action);
    g_string_append(json, "}");
    puts(json->str);
}

void foreign_print(const Suspect *suspect, const Judgement *judgement, bool json)
{
    g_autoptr(GString) what = g_string_new(NULL);
    g_autoptr(GString) evidence = g_string_new(NULL);
    g_autoptr(GString) action = g_string_new(NULL);

    say_what(what, suspect, judgement);
    say_evidence(evidence, suspect, judgement);
    say_action(action, suspect);
    if (json)
        print_json(suspect, judgement, what->str, action->str);
    else
        printf("%s: %s.\n  evidence: %s.\n  do:       %s.\n", KINDS[suspect->kind], what->str,
               evidence->str, action->str);
}
