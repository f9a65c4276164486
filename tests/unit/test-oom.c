#include "process/cgroup-path.h"
#include "process/cgroup-place.h"
#include "process/kernel-log.h"

#include "suite.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static const char V1_MOUNTS[] =
    "23 1 8:1 / / rw,relatime - ext4 /dev/sda rw\n"
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
static const char V2_MOUNTS[] = "22 1 0:20 / /sys rw - sysfs sysfs rw\n"
                                "41 22 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
static const char OWN[] = "9:name=systemd:/\n4:memory:/ours\n0::/ours\n";

static int parse(const char *cgroups, const char *mounts, CgroupPath *path)
{
    FILE *files[] = {fmemopen((void *)cgroups, strlen(cgroups), "r"),
                     fmemopen((void *)OWN, strlen(OWN), "r"),
                     fmemopen((void *)mounts, strlen(mounts), "r")};
    int r = cgroup_path_parse(files[0], files[1], files[2], path);

    for (size_t i = 0; i < 3; i++)
        fclose(files[i]);
    return r;
}

START_TEST(v1)
{
    CgroupPath path;

    ck_assert_int_eq(parse("5:cpuset:/other\n4:memory:/pod/ctr\n0::/unified\n", V1_MOUNTS, &path),
                     0);
    ck_assert_str_eq(path.text, "/sys/fs/cgroup/memory/pod/ctr");
    ck_assert(!path.unified);
}
END_TEST

START_TEST(v1_with_several_controllers_on_one_hierarchy)
{
    static const char mounts[] =
        "35 31 0:32 / /sys/fs/cgroup/both rw - cgroup none rw,cpu,memory\n";
    CgroupPath path;

    ck_assert_int_eq(parse("4:cpu,memory:/ctr\n", mounts, &path), 0);
    ck_assert_str_eq(path.text, "/sys/fs/cgroup/both/ctr");
    ck_assert_int_eq(parse("4:cpu,memoryless:/ctr\n", mounts, &path), -ENOENT);
}
END_TEST

START_TEST(v2)
{
    CgroupPath path;

    ck_assert_int_eq(parse("0::/machine.slice/libpod-c0ffee.scope/container\n", V2_MOUNTS, &path),
                     0);
    ck_assert_str_eq(path.text, "/sys/fs/cgroup/machine.slice/libpod-c0ffee.scope/container");
    ck_assert(path.unified);
}
END_TEST

/* All controllers are on v2, and a hierarchy without any on v1. */
START_TEST(v2_beside_v1)
{
    CgroupPath path;

    ck_assert_int_eq(parse("1:name=systemd:/systemd\n0::/ctr\n", V1_MOUNTS, &path), 0);
    ck_assert_str_eq(path.text, "/sys/fs/cgroup/unified/ctr");
}
END_TEST

START_TEST(a_part_of_the_hierarchy_is_mounted)
{
    static const char mounts[] =
        "35 31 0:32 /docker/else /elsewhere rw - cgroup cgroup rw,memory\n"
        "36 31 0:32 /docker/my\\040ctr /a\\040mount rw - cgroup cgroup rw,memory\n";
    CgroupPath path;

    ck_assert_int_eq(parse("4:memory:/docker/my ctr/libpod/1\n", mounts, &path), 0);
    ck_assert_str_eq(path.text, "/a mount/libpod/1");
    ck_assert_int_eq(parse("4:memory:/docker/my ctrs/1\n", mounts, &path), -ENOENT);
}
END_TEST

START_TEST(outside_of_our_namespace)
{
    CgroupPath path;

    ck_assert_int_eq(parse("0::/../ctr\n", V2_MOUNTS, &path), -ENOENT);
}
END_TEST

START_TEST(nobody_s_own)
{
    CgroupPath path;

    ck_assert_int_eq(parse("4:memory:/\n0::/ctr\n", V1_MOUNTS, &path), -EBUSY);
    ck_assert_int_eq(parse("4:memory:/ours\n", V1_MOUNTS, &path), -EBUSY);
    ck_assert_int_eq(parse("0::/\n", V2_MOUNTS, &path), -EBUSY);
}
END_TEST

START_TEST(broken_text)
{
    CgroupPath path;

    ck_assert_int_eq(parse("\n:\n::\n4\n4:memory\n", V1_MOUNTS, &path), -ENOENT);
    ck_assert_int_eq(
        parse("4:memory:/ctr\n", "\n - cgroup\nx - cgroup cgroup memory\n1 2 3 4 5 - \n", &path),
        -ENOENT);
}
END_TEST

START_TEST(climbing)
{
    CgroupPath path = {"/mnt/c0ffee/cgroup/machine/libpod-c0ffee.scope/container/init", 18, true};
    CgroupPath top;

    ck_assert(cgroup_path_climb(&path, "c0ffee", &top));
    ck_assert_str_eq(top.text, "/mnt/c0ffee/cgroup/machine/libpod-c0ffee.scope");
    ck_assert(!cgroup_path_climb(&top, "c0ffee", &path));
    ck_assert(!cgroup_path_climb(&top, "another", &path));
    ck_assert(!cgroup_path_climb(&top, "", &path));
}
END_TEST

static int find(const char *name, const char *own, const char *mounts, CgroupPath *path)
{
    FILE *files[] = {fmemopen((void *)own, strlen(own), "r"),
                     fmemopen((void *)mounts, strlen(mounts), "r")};
    int r = cgroup_path_parse_name(name, files[0], files[1], path);

    fclose(files[0]);
    fclose(files[1]);
    return r;
}

START_TEST(by_name)
{
    static const struct {
        const char *name;
        const char *own;
        const char *mounts;
        const char *wanted;
    } cases[] = {
        {"", OWN, V1_MOUNTS, "/sys/fs/cgroup/memory/ours"},
        {"a/b", OWN, V1_MOUNTS, "/sys/fs/cgroup/memory/ours/a/b"},
        {"/a/b", OWN, V1_MOUNTS, "/sys/fs/cgroup/memory/a/b"},
        {"/sys/fs/cgroup/memory/a", OWN, V1_MOUNTS, "/sys/fs/cgroup/memory/a"},
        {"/sys/fs/cgroup/memory-a", OWN, V1_MOUNTS, "/sys/fs/cgroup/memory/sys/fs/cgroup/memory-a"},
        {"", "0::/ours\n", V2_MOUNTS, "/sys/fs/cgroup/ours"},
        {"a", "0::/ours\n", V2_MOUNTS, "/sys/fs/cgroup/ours/a"},
        {"a", "0::/\n", V2_MOUNTS, "/sys/fs/cgroup/a"},
        {"/sys/fs/cgroup/a", "0::/ours\n", V2_MOUNTS, "/sys/fs/cgroup/a"},
        {"a", "0::/pod/ours\n", "41 22 0:38 /pod /mnt rw - cgroup2 cgroup2 rw\n", "/mnt/ours/a"},
    };
    CgroupPath path;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_int_eq(find(cases[i].name, cases[i].own, cases[i].mounts, &path), 0);
        ck_assert_str_eq(path.text, cases[i].wanted);
        ck_assert_int_eq(path.unified, cases[i].mounts != V1_MOUNTS);
    }
    ck_assert_int_eq(find("a", "1:cpuset:/ours\n", V1_MOUNTS, &path), -ENOENT);
    ck_assert_int_eq(find("a", "0::/../ours\n", V2_MOUNTS, &path), -ENOENT);
    ck_assert_int_eq(
        find("/a", "0::/pod\n", "41 22 0:38 /pod /mnt rw - cgroup2 cgroup2 rw\n", &path), -ENOENT);
}
END_TEST

/* A path that has no room for its end is none: it would be another cgroup's. */
START_TEST(the_longest_path)
{
    static const char mount[] = "41 22 0:38 / /m rw - cgroup2 cgroup2 rw\n";
    char line[PATH_MAX + 64];
    CgroupPath path;

    for (size_t total = PATH_MAX - 3; total <= PATH_MAX + 2; total++) {
        size_t length = total - strlen("/m");
        size_t used = strlen("0::");

        memcpy(line, "0::", used);
        memset(line + used, 'x', length);
        line[used] = '/';
        memcpy(line + used + length, "\n", 2);
        ck_assert_int_eq(parse(line, mount, &path), total < PATH_MAX ? 0 : -ENOENT);
        if (total < PATH_MAX)
            ck_assert_uint_eq(strlen(path.text), total);
    }
}
END_TEST

START_TEST(names)
{
    static const char *const good[] = {"a", "a b", "/a", "a/b", "/sys/fs/cgroup/a..b", "..."};
    static const char *const bad[] = {"",
                                      "/",
                                      "a/",
                                      "//a",
                                      "a//b",
                                      "..",
                                      "../a",
                                      "a/../b",
                                      "a/.",
                                      "a\nb",
                                      "conward.monitor",
                                      "/a/conward.monitor"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        ck_assert_ptr_null(cgroup_name_problem(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_ptr_nonnull(cgroup_name_problem(bad[i]));
}
END_TEST

START_TEST(the_kernel_s_words)
{
    static const char killed[] =
        "3,912,98765,-;Memory cgroup out of memory: Killed process 906 (dd) total-vm:66000kB\n";
    static const char chosen[] =
        "6,911,98764,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/"
        ",mems_allowed=0,"
        "oom_memcg=/a,task_memcg=/a/b,task=dd,pid=906,uid=0\n SUBSYSTEM=x\n";

    ck_assert(kernel_log_is_kill(killed, 906));
    ck_assert(kernel_log_is_kill(chosen, 906));
    ck_assert(
        kernel_log_is_kill("3,1,2,-;Out of memory: Killed process 906 (dd) total-vm:1kB", 906));
    for (int other = 1; other < 2000; other++) {
        if (other != 906)
            ck_assert(!kernel_log_is_kill(killed, other) && !kernel_log_is_kill(chosen, other));
    }
    ck_assert(!kernel_log_is_kill("6,1,2,-;oom-kill:task=,pid=906,uid=0,pid=7,uid=0", 906));
    ck_assert(!kernel_log_is_kill("", 906));
    /* 7 is the kernel's last priority, and 8 is another facility's first one. */
    ck_assert(kernel_log_is_kill("0,1,2,-;Out of memory: Killed process 906 (dd)", 906));
    ck_assert(kernel_log_is_kill("7,1,2,-;Out of memory: Killed process 906 (dd)", 906));
    ck_assert(!kernel_log_is_kill("8,1,2,-;Out of memory: Killed process 906 (dd)", 906));
    ck_assert(!kernel_log_is_kill("6;Out of memory: Killed process 906 (dd)", 906));
    ck_assert(!kernel_log_is_kill(",1,2,-;Out of memory: Killed process 906 (dd)", 906));
    ck_assert(!kernel_log_is_kill("6,1,2,-;Out of memory: Killed process 906", 906));
    ck_assert(!kernel_log_is_kill("6,1,2,-;oom-kill:task=dd,uid=0", 0));
    /* Of the facility "user", as any process's that may write to /dev/kmsg. */
    ck_assert(
        !kernel_log_is_kill("11,1,2,-;Out of memory: Killed process 906 (dd) total-vm:1kB", 906));
    ck_assert(!kernel_log_is_kill("14,1,2,-;oom-kill:task=dd,pid=906,uid=0", 906));
    ck_assert(!kernel_log_is_kill("x;Out of memory: Killed process 906 (dd)", 906));
    ck_assert(!kernel_log_is_kill("6,1,2,-;a process wrote: oom-kill:,pid=906,", 906));
}
END_TEST

SUITE("oom", a_part_of_the_hierarchy_is_mounted, broken_text, by_name, climbing, names,
      nobody_s_own, the_longest_path, outside_of_our_namespace, the_kernel_s_words, v1,
      v1_with_several_controllers_on_one_hierarchy, v2, v2_beside_v1)
