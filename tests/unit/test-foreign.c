#include "foreign/conmon-line.h"
#include "foreign/judgement.h"
#include "foreign/parse.h"
#include "foreign/readers.h"
#include "foreign/tail.h"

#include "suite.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

START_TEST(cgroups_name_containers)
{
    static const struct {
        const char *text;
        const char *id; /* NULL: a process of the host */
        Engine engine;
    } CASES[] = {
        {"", NULL, ENGINE_UNKNOWN},
        {"0::/\n", NULL, ENGINE_UNKNOWN},
        {"0::/system.slice/containerd.service\n", NULL, ENGINE_UNKNOWN},
        {"4:memory:/user/e3715d64f407101d7b2029633cbcc97a\n0::/\n", NULL, ENGINE_UNKNOWN},
        {"0::/machine.slice/libpod-" ID ".scope/container\n", ID, ENGINE_PODMAN},
        {"9:name=systemd:/\n8:pids:/libpod_parent/libpod-" ID "\n", ID, ENGINE_PODMAN},
        {"0::/machine.slice/libpod-conmon-" ID ".scope\n", NULL, ENGINE_UNKNOWN},
        {"0::/libpod_parent/conmon\n", NULL, ENGINE_UNKNOWN},
        {"0::/system.slice/docker-" ID ".scope\n", ID, ENGINE_DOCKER},
        {"5:devices:/docker/" ID "\n", ID, ENGINE_DOCKER},
        {"0::/docker/" ID "/system.slice/docker-" OTHER ".scope\n", OTHER, ENGINE_DOCKER},
        {"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope\n", ID, ENGINE_CRI},
        {"0::/system.slice/kubepods-pod1.slice:cri-containerd:" ID "\n", ID, ENGINE_CRI},
        {"0::/kubepods/burstable/pod7f/" ID "\n", ID, ENGINE_CRI},
        {"0::/../../kubepods.slice/crio-" ID ".scope\n", ID, ENGINE_CRI},
        {"0::/kubepods.slice/crio-conmon-" ID ".scope\n", NULL, ENGINE_UNKNOWN},
        {"0::/default/" ID "\n", ID, ENGINE_UNKNOWN},
        {"0::/x/" ID "0\n", NULL, ENGINE_UNKNOWN},
        {"0::/x/g" ID "\n", NULL, ENGINE_UNKNOWN},
        {"no colon " ID "\n1:one " ID "\n", NULL, ENGINE_UNKNOWN},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(CASES); i++) {
        Owner owner;
        bool found = parse_cgroup(CASES[i].text, &owner);

        ck_assert_msg(found == (CASES[i].id != NULL), "'%s'", CASES[i].text);
        if (!found)
            continue;
        ck_assert_str_eq(owner.id, CASES[i].id);
        ck_assert_msg(owner.engine == CASES[i].engine, "'%s'", CASES[i].text);
    }
}
END_TEST

START_TEST(figures_of_processes)
{
    uint64_t number;
    char comm[COMM_LENGTH + 1];

    ck_assert(parse_number("rchar: 7\nwchar: 18446744073709551615\n", "wchar", &number));
    ck_assert(number == UINT64_MAX);
    ck_assert(parse_number("Name:\twchar: 9\nRssAnon:\t    1234 kB\n", "RssAnon", &number));
    ck_assert(number == 1234);
    ck_assert(!parse_number("Name:\twchar: 9\n", "wchar", &number));
    ck_assert(!parse_number("wchar: -1\n", "wchar", &number));
    ck_assert(!parse_number("wchar:", "wchar", &number));
    ck_assert(parse_stat("7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20", comm,
                         &number));
    ck_assert_str_eq(comm, "a) b (c");
    ck_assert(number == 4242);
    ck_assert(!parse_stat("7 (a) S 1 2 3", comm, &number));
    ck_assert(!parse_stat("7 )a( S", comm, &number));
    ck_assert(parse_pipe("pipe:[4711]") == 4711);
    ck_assert(parse_pipe("socket:[4711]") == 0);
    ck_assert(parse_pipe("pipe:[]") == 0);
    ck_assert(parse_pipe("pipe:") == 0);
}
END_TEST

static void check_line(const char *words, size_t length, const char *id, const char *name,
                       const char *log)
{
    g_autofree char *copy = g_memdup2(words, length);
    ConmonLine line = conmon_line_read(copy, length);

    ck_assert_pstr_eq(line.id, id);
    ck_assert_pstr_eq(line.name, name);
    ck_assert_pstr_eq(line.log, log);
}

#define CHECK_LINE(WORDS, ...) check_line(WORDS, sizeof(WORDS) - 1, __VA_ARGS__)

START_TEST(command_lines_of_monitors)
{
    CHECK_LINE("conmon\0-c\0A\0-n\0N\0-l\0k8s-file:/a:b.log\0", "A", "N", "/a:b.log");
    CHECK_LINE("conmon\0--cid=A\0--log-path\0journald\0--log-path=/x\0", "A", NULL, "/x");
    CHECK_LINE("conmon\0--cid\0A\0-l\0none\0", "A", NULL, NULL);
    CHECK_LINE("conmon\0-c\0A\0-l\0k8s-file:relative\0", "A", NULL, NULL);
    /* Words that are values of others. */
    CHECK_LINE("conmon\0-c\0A\0--exit-command-arg\0-c\0--runtime-arg\0-e\0-n\0-l\0", "A", "-l",
               NULL);
    /* An exec session, and lines that are cut. */
    CHECK_LINE("conmon\0-c\0A\0-e\0-l\0/x\0", NULL, NULL, NULL);
    CHECK_LINE("conmon\0-c\0A\0-l\0/x", "A", NULL, NULL);
    CHECK_LINE("conmon\0-c", NULL, NULL, NULL);
    CHECK_LINE("", NULL, NULL, NULL);
}
END_TEST

/* A tail that begins amid a record, then `first` once, and then `rest` over and over. */
static const char *judge_tail(const char *first, const char *rest)
{
    g_autoptr(GString) tail = g_string_new("the end of a record\n");

    g_string_append(tail, first);
    while (tail->len < LOG_TAIL)
        g_string_append(tail, rest);
    return tail_endless(tail->str, tail->len);
}

#define CRI(TAG) "2026-01-01T00:00:00Z stdout " TAG " xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
#define ERR(TAG) "2026-01-01T00:00:00Z stderr " TAG " xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
#define JSON(TEXT) \
    "{\"log\":\"" TEXT "\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n"

START_TEST(tails_of_logs)
{
    g_autofree char *text = g_strnfill(LOG_TAIL, 'x');

    ck_assert_str_eq(tail_endless(text, LOG_TAIL), "a line");
    text[LOG_TAIL - 1] = '\n';
    ck_assert_ptr_null(tail_endless(text, LOG_TAIL));
    ck_assert_str_eq(judge_tail("", CRI("P")), "standard output");
    ck_assert_str_eq(judge_tail("", CRI("P:x")), "standard output");
    ck_assert_str_eq(judge_tail(CRI("F"), ERR("P")), "standard error");
    ck_assert_str_eq(judge_tail("", CRI("P") ERR("F")), "standard output");
    ck_assert_ptr_null(judge_tail("", CRI("F")));
    ck_assert_ptr_null(judge_tail(CRI("F"), CRI("P")));
    ck_assert_ptr_null(judge_tail(CRI("P"), ERR("F")));
    ck_assert_ptr_null(judge_tail("", "plain text\n"));
    ck_assert_ptr_null(judge_tail("", "a stdout Partial\n"));
    ck_assert_str_eq(judge_tail("", JSON("xxxxxxxxxxxxxxxxxx")), "standard output");
    ck_assert_str_eq(judge_tail("", JSON("xxxxxxxxxxxxxxxx\\\\n")), "standard output");
    ck_assert_ptr_null(judge_tail("", JSON("xxxxxxxxxxxxxxxx\\n")));
    ck_assert_ptr_null(judge_tail("", JSON("\\n")));
    ck_assert_str_eq(judge_tail("", JSON("")), "standard output");
}
END_TEST

/* A node that is made of files. */
typedef struct FakeNode {
    char *root;
    Node node;
} FakeNode;

/* Writes a file in its place: a log is not replaced when it grows. */
static void put(const FakeNode *fake, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void put(const FakeNode *fake, const char *path, const char *format, ...)
{
    g_autofree char *full = g_build_filename(fake->root, path, NULL);
    g_autofree char *directory = g_path_get_dirname(full);
    g_autofree char *text = NULL;
    va_list args;
    FILE *file;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    ck_assert_int_eq(g_mkdir_with_parents(directory, 0755), 0);
    file = g_fopen(full, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static void put_link(const FakeNode *fake, const char *path, const char *target)
{
    g_autofree char *full = g_build_filename(fake->root, path, NULL);
    g_autofree char *directory = g_path_get_dirname(full);

    ck_assert_int_eq(g_mkdir_with_parents(directory, 0755), 0);
    ck_assert_int_eq(symlink(target, full), 0);
}

static void put_process(const FakeNode *fake, int pid, const char *comm, const char *cgroup)
{
    g_autofree char *stat = g_strdup_printf("proc/%d/stat", pid);
    g_autofree char *groups = g_strdup_printf("proc/%d/cgroup", pid);

    put(fake, stat, "%d (%s) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 77 20\n", pid, comm);
    put(fake, groups, "0::%s\n", cgroup);
}

static void put_figures(const FakeNode *fake, int pid, uint64_t read, uint64_t written,
                        uint64_t kib)
{
    g_autofree char *io = g_strdup_printf("proc/%d/io", pid);
    g_autofree char *status = g_strdup_printf("proc/%d/status", pid);

    put(fake, io, "rchar: %" G_GUINT64_FORMAT "\nwchar: %" G_GUINT64_FORMAT "\n", read, written);
    put(fake, status, "RssAnon:\t%" G_GUINT64_FORMAT " kB\n", kib);
}

static const uint64_t MIB = 1 << 20;

/* A node with a kubelet and containerd: two containers, 11 (ID) and 12 (OTHER), and their shims. */
static void fake_init(FakeNode *fake)
{
    fake->root = g_dir_make_tmp("conward-foreign-XXXXXX", NULL);
    put_process(fake, 1, "init", "/");
    put_figures(fake, 1, 0, 0, 100);
    put_process(fake, 2, "containerd", "/system.slice/containerd.service");
    put_figures(fake, 2, 0, 0, 1 << 20);
    put_process(fake, 3, "containerd-shim", "/system.slice/containerd.service");
    put_figures(fake, 3, 0, 0, 100);
    put_process(fake, 4, "containerd-shim", "/system.slice/containerd.service");
    put_figures(fake, 4, 0, 0, 100);
    put_process(fake, 11, "app", "/kubepods.slice/cri-containerd-" ID ".scope");
    put_figures(fake, 11, 0, 0, 0);
    put_process(fake, 12, "app", "/kubepods.slice/cri-containerd-" OTHER ".scope");
    put_figures(fake, 12, 0, 0, 0);
    put_link(fake, "proc/3/fd/9", "pipe:[1000]");
    put_link(fake, "proc/11/fd/1", "pipe:[1000]");
    put_link(fake, "proc/4/fd/9", "pipe:[2000]");
    put_link(fake, "proc/12/fd/2", "pipe:[2000]");
    put(fake, "var/log/pods/a/b/0.log", "old\n");
    put_link(fake, "var/log/containers/pod_ns_app-" ID ".log", "../pods/a/b/0.log");
    put(fake, "var/log/pods/a/c/0.log", "old\n");
    put_link(fake, "var/log/containers/pod_ns_other-" OTHER ".log", "../pods/a/c/0.log");
    ck_assert_int_eq(node_init(&fake->node, fake->root), 0);
}

static void fake_deinit(FakeNode *fake)
{
    const char *remove[] = {"rm", "-rf", fake->root, NULL};

    node_deinit(&fake->node);
    ck_assert(
        g_spawn_sync(NULL, (char **)remove, NULL, G_SPAWN_SEARCH_PATH, 0, 0, NULL, NULL, 0, NULL));
    g_free(fake->root);
}

typedef struct Looks {
    Look before, after;
    GHashTable *readers;
    Judgement judgement;
} Looks;

/* The second look, two seconds later, and the judgement: 1 MiB/s is much. */
static void judge(Looks *looks, const FakeNode *fake)
{
    ck_assert_int_eq(look_init(&looks->after, &fake->node), 0);
    looks->before.at = looks->after.at - 2 * G_USEC_PER_SEC;
    looks->readers = readers_find(&looks->after, &fake->node);
    judgement_init(&looks->judgement, &looks->before, &looks->after, looks->readers, &fake->node,
                   MIB);
}

static const Suspect *suspect_at(const Looks *looks, guint number)
{
    ck_assert_uint_lt(number, looks->judgement.suspects->len);
    return looks->judgement.suspects->pdata[number];
}

static void looks_deinit(Looks *looks)
{
    judgement_deinit(&looks->judgement);
    g_hash_table_unref(looks->readers);
    look_deinit(&looks->after);
    look_deinit(&looks->before);
}

/* containerd grows as fast as one container writes whose log stands still; the other is logged. */
START_TEST(containerd_grows_because_of_one_container)
{
    g_autoptr(GString) logged = g_string_new("old\n");
    FakeNode fake;
    Looks looks;
    const Suspect *suspect;

    fake_init(&fake);
    ck_assert_int_eq(look_init(&looks.before, &fake.node), 0);
    put_figures(&fake, 11, 0, 100 * MIB, 0);
    put_figures(&fake, 3, 100 * MIB, 100 * MIB, 100);
    put_figures(&fake, 12, 0, 200 * MIB, 0);
    put_figures(&fake, 4, 200 * MIB, 200 * MIB, 100);
    put_figures(&fake, 2, 300 * MIB, 0, (1 << 20) + 100 * 1024);
    while (logged->len < 3 * MIB)
        g_string_append(logged, "2026-01-01T00:00:00Z stderr F a line\n");
    put(&fake, "var/log/pods/a/c/0.log", "%s", logged->str);
    judge(&looks, &fake);
    ck_assert_uint_eq(looks.judgement.suspects->len, 1);
    suspect = suspect_at(&looks, 0);
    ck_assert_int_eq(suspect->kind, SUSPECT_MEMORY);
    ck_assert_str_eq(suspect->logger->comm, "containerd");
    ck_assert_uint_eq(suspect->grown, 100 * MIB);
    ck_assert_ptr_nonnull(suspect->account);
    ck_assert_str_eq(suspect->account->container->owner.id, ID);
    ck_assert_str_eq(suspect->account->container->name, "pod_ns_app");
    ck_assert_uint_eq(suspect->account->output, 100 * MIB);
    ck_assert_uint_eq(suspect->account->logged, 0);
    looks_deinit(&looks);
    fake_deinit(&fake);
}
END_TEST

/* Two can be why: none is named for it, and both are named for themselves, the worse first. */
START_TEST(nobody_is_named_where_two_can_be_why)
{
    FakeNode fake;
    Looks looks;

    fake_init(&fake);
    ck_assert_int_eq(look_init(&looks.before, &fake.node), 0);
    put_figures(&fake, 11, 0, 10 * MIB, 0);
    put_figures(&fake, 3, 10 * MIB, 0, 100);
    put_figures(&fake, 12, 0, 20 * MIB, 0);
    put_figures(&fake, 4, 20 * MIB, 0, 100);
    put_figures(&fake, 2, 0, 0, (1 << 20) + 30 * 1024);
    judge(&looks, &fake);
    ck_assert_uint_eq(looks.judgement.suspects->len, 3);
    ck_assert_int_eq(suspect_at(&looks, 0)->kind, SUSPECT_MEMORY);
    ck_assert_ptr_null(suspect_at(&looks, 0)->account);
    ck_assert_uint_eq(suspect_at(&looks, 0)->possible, 2);
    ck_assert_int_eq(suspect_at(&looks, 1)->kind, SUSPECT_UNLOGGED);
    ck_assert_str_eq(suspect_at(&looks, 1)->account->container->owner.id, OTHER);
    ck_assert_str_eq(suspect_at(&looks, 2)->account->container->owner.id, ID);
    looks_deinit(&looks);
    fake_deinit(&fake);
}
END_TEST

/* A shim that keeps the output itself: of the two containers, only the one it reads can be why. */
START_TEST(a_logger_grows_because_of_who_it_reads)
{
    FakeNode fake;
    Looks looks;

    fake_init(&fake);
    ck_assert_int_eq(look_init(&looks.before, &fake.node), 0);
    put_figures(&fake, 11, 0, 10 * MIB, 0);
    put_figures(&fake, 3, 10 * MIB, 0, 100 + 10 * 1024);
    put_figures(&fake, 12, 0, 20 * MIB, 0);
    put_figures(&fake, 4, 20 * MIB, 0, 100);
    judge(&looks, &fake);
    ck_assert_uint_eq(looks.judgement.suspects->len, 2);
    ck_assert_int_eq(suspect_at(&looks, 0)->logger->pid, 3);
    ck_assert_ptr_nonnull(suspect_at(&looks, 0)->account);
    ck_assert_str_eq(suspect_at(&looks, 0)->account->container->owner.id, ID);
    ck_assert_int_eq(suspect_at(&looks, 1)->kind, SUSPECT_UNLOGGED);
    ck_assert_str_eq(suspect_at(&looks, 1)->account->container->owner.id, OTHER);
    looks_deinit(&looks);
    fake_deinit(&fake);
}
END_TEST

static void check_rotation(bool replace)
{
    FakeNode fake;
    Looks looks;

    fake_init(&fake);
    ck_assert_int_eq(look_init(&looks.before, &fake.node), 0);
    put_figures(&fake, 11, 0, 10 * MIB, 0);
    put_figures(&fake, 3, 10 * MIB, 0, 100);
    if (replace) {
        g_autofree char *path = g_build_filename(fake.root, "var/log/pods/a/b/0.log", NULL);

        ck_assert(g_file_set_contents(path, "old\nand new\n", -1, NULL));
    } else {
        put(&fake, "var/log/pods/a/b/0.log", "new content\n");
    }
    put_figures(&fake, 12, 0, 20 * MIB, 0);
    judge(&looks, &fake);
    ck_assert_uint_eq(looks.judgement.suspects->len, 1);
    ck_assert_int_eq(suspect_at(&looks, 0)->kind, SUSPECT_ROTATED);
    ck_assert_str_eq(suspect_at(&looks, 0)->account->container->owner.id, ID);
    looks_deinit(&looks);
    fake_deinit(&fake);
}

/* Neither a log that was replaced or written anew, nor output that its reader has not read, accuses
 * anybody. */
START_TEST(what_is_not_known_accuses_nobody)
{
    check_rotation(true);
    check_rotation(false);
}
END_TEST

/* The same pid, but another process: it was not there at the first look, and began before it. */
START_TEST(a_pid_that_is_used_again_is_another_process)
{
    FakeNode fake;
    Looks looks;

    fake_init(&fake);
    ck_assert_int_eq(look_init(&looks.before, &fake.node), 0);
    put(&fake, "proc/11/stat", "11 (app) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 78 20\n");
    put_figures(&fake, 11, 0, 10 * MIB, 0);
    put_figures(&fake, 3, 10 * MIB, 0, 100);
    judge(&looks, &fake);
    ck_assert_uint_eq(looks.judgement.suspects->len, 0);
    looks_deinit(&looks);
    fake_deinit(&fake);
}
END_TEST

SUITE("foreign", cgroups_name_containers, figures_of_processes, command_lines_of_monitors,
      tails_of_logs, containerd_grows_because_of_one_container,
      nobody_is_named_where_two_can_be_why, a_logger_grows_because_of_who_it_reads,
      what_is_not_known_accuses_nobody, a_pid_that_is_used_again_is_another_process)
