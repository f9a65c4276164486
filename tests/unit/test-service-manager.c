#include "control/service-manager.h"

#include "suite.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const Messages SILENT = {.level = LEVEL_ERROR};

static void set_pid(const char *variable, pid_t pid)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", (int)pid);
    ck_assert_int_eq(setenv(variable, text, 1), 0);
}

/* Between two signs of life, as the monitor gives them. */
static int64_t interval(const char *microseconds)
{
    ServiceManager manager;

    ck_assert_int_eq(setenv("WATCHDOG_USEC", microseconds, 1), 0);
    service_manager_find(&manager, &SILENT);
    return manager.watchdog;
}

START_TEST(half_of_the_interval_is_kept_and_a_millisecond_at_least)
{
    ck_assert_int_eq(interval("3000000"), 1500000);
    ck_assert_int_eq(interval("2003"), 1001);
    ck_assert_int_eq(interval("2002"), 1001);
    ck_assert_int_eq(interval("2001"), 1000);
    ck_assert_int_eq(interval("2000"), 1000);
    ck_assert_int_eq(interval("1999"), 1000);
    ck_assert_int_eq(interval("1"), 1000);
    ck_assert_int_eq(interval("9223372036854775807"), INT64_MAX / 2);
}
END_TEST

START_TEST(what_is_no_interval_asks_for_no_signs_of_life)
{
    static const char *const wrong[] = {
        "0", "", "-1", "+1", " 1", "1 ", "1s", "x", ":", "/", "9223372036854775808"};

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
        ck_assert_msg(interval(wrong[i]) == 0, "%s", wrong[i]);
    unsetenv("WATCHDOG_USEC");
    ck_assert_int_eq(interval("2000"), 1000);
}
END_TEST

START_TEST(variables_of_another_process_mean_nothing)
{
    ServiceManager manager;

    set_pid("WATCHDOG_PID", getpid());
    ck_assert_int_eq(interval("2000"), 1000);
    set_pid("WATCHDOG_PID", getpid() + 1);
    ck_assert_int_eq(interval("2000"), 0);
    unsetenv("WATCHDOG_PID");
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", "@name", 1), 0);
    set_pid("SYSTEMD_EXEC_PID", getpid());
    service_manager_find(&manager, &SILENT);
    ck_assert(service_manager_is_there(&manager));
    set_pid("SYSTEMD_EXEC_PID", getppid());
    service_manager_find(&manager, &SILENT);
    ck_assert(!service_manager_is_there(&manager));
    ck_assert_int_eq(manager.watchdog, 0);
}
END_TEST

/* The length of the address that a name becomes, 0 if it is none. */
static socklen_t address_of(const char *name)
{
    ServiceManager manager;

    ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
    service_manager_find(&manager, &SILENT);
    return manager.address_length;
}

/* A name of that many bytes. */
static socklen_t address_with(char first, size_t length)
{
    char name[200];

    memset(name, 'x', length);
    name[0] = first;
    name[length] = '\0';
    return address_of(name);
}

START_TEST(a_name_is_a_path_or_abstract_and_fits_an_address)
{
    const socklen_t before = offsetof(struct sockaddr_un, sun_path);

    ck_assert_uint_eq(address_of(""), 0);
    ck_assert_uint_eq(address_of("/"), 0);
    ck_assert_uint_eq(address_of("@"), 0);
    ck_assert_uint_eq(address_of("relative"), 0);
    ck_assert_uint_eq(address_of("/x"), before + 2);
    ck_assert_uint_eq(address_of("@x"), before + 2);
    ck_assert_uint_eq(address_with('/', 107), before + 107);
    ck_assert_uint_eq(address_with('/', 108), before + 108);
    ck_assert_uint_eq(address_with('/', 109), 0);
    ck_assert_uint_eq(address_with('@', 108), before + 108);
    ck_assert_uint_eq(address_with('@', 109), 0);
}
END_TEST

/* A service manager that listens there. */
static int listen_at(const ServiceManager *manager)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&manager->address, manager->address_length),
                     0);
    return fd;
}

START_TEST(lines_arrive_and_a_full_queue_is_said)
{
    g_autofree char *name = g_strdup_printf("@conward-test-%d", (int)getpid());
    ServiceManager manager;
    char text[64];
    int sent = 0;
    int fd;

    ck_assert_int_gt((int)address_of(name), 0);
    service_manager_find(&manager, &SILENT);
    /* One that cannot be reached is spoken of, and is no reason to come back. */
    ck_assert(service_manager_send(&manager, "READY=1", 0));
    ck_assert_int_ne(manager.said, 0);
    fd = listen_at(&manager);
    ck_assert(service_manager_send(&manager, "READY=1", 0));
    ck_assert_int_eq(manager.said, 0);
    ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 7);
    ck_assert_int_eq(memcmp(text, "READY=1", 7), 0);
    while (sent < 100000 && service_manager_send(&manager, "WATCHDOG=1", 0))
        sent++;
    ck_assert_int_gt(sent, 0);
    ck_assert(!service_manager_send(&manager, "WATCHDOG=1", 1));
    ck_assert_int_eq(manager.said, 0);
    ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 10);
    ck_assert(service_manager_send(&manager, "WATCHDOG=1", 1));
    close(fd);
}
END_TEST

START_TEST(children_do_not_get_the_variables)
{
    setenv("WATCHDOG_USEC", "1", 1);
    setenv("WATCHDOG_PID", "1", 1);
    setenv("NOTIFY_SOCKET", "@x", 1);
    service_manager_hide(true);
    ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
    ck_assert_ptr_null(getenv("WATCHDOG_PID"));
    ck_assert_ptr_nonnull(getenv("NOTIFY_SOCKET"));
    service_manager_hide(false);
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
}
END_TEST

SUITE("service-manager", half_of_the_interval_is_kept_and_a_millisecond_at_least,
      what_is_no_interval_asks_for_no_signs_of_life, variables_of_another_process_mean_nothing,
      a_name_is_a_path_or_abstract_and_fits_an_address, lines_arrive_and_a_full_queue_is_said,
      children_do_not_get_the_variables)
