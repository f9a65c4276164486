#include "control/notify-proxy.h"

#include "state/fds.h"
#include "suite.h"
#include "util/fd.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static void assert_filtered(const char *bytes, size_t length, const char *expected)
{
    /* Of exactly the sizes it may use, so that a sanitizer or valgrind sees one byte more. */
    char *copy = g_malloc(MAX(length, 1));
    char *passed = g_malloc(MAX(length, 1));
    size_t got;

    memcpy(copy, bytes, length);
    got = notify_filter(copy, length, passed);
    ck_assert_uint_eq(got, strlen(expected));
    ck_assert_int_eq(memcmp(passed, expected, got), 0);
    g_free(passed);
    g_free(copy);
}

START_TEST(lines_are_passed_on_whole_or_not_at_all)
{
    static const char all[] = "READY=1\nMAINPID=3\r\n\nSTATUS=\xff x\rREADY=1 \nERRNO=\nWATCHDOG=1";

    assert_filtered(all, strlen(all), "READY=1\nSTATUS=\xff x\nERRNO=\nWATCHDOG=1");
    assert_filtered("READY=1", 7, "READY=1");
    assert_filtered("READY=1", 6, "");
    assert_filtered("\nREADY=1", 8, "READY=1");
    assert_filtered("READY=1\nSTATUS", 14, "READY=1");
    assert_filtered("READY=1\0STOPPING=1", 18, "READY=1");
    assert_filtered("\0READY=1", 8, "");
    assert_filtered("", 0, "");
}
END_TEST

START_TEST(nothing_is_added)
{
    GRand *random = g_rand_new_with_seed(1);
    static const char *const parts[] = {"READY=1", "STATUS=", "=",  "X",
                                        "\n",      "\r",      "\n", "ERRNO=2"};

    for (int round = 0; round < 20000; round++) {
        GString *text = g_string_new(NULL);
        char passed[256];
        char again[256];
        size_t length;

        for (int part = g_rand_int_range(random, 0, 12); part > 0; part--)
            g_string_append(text, parts[g_rand_int_range(random, 0, G_N_ELEMENTS(parts))]);
        length = notify_filter(text->str, text->len, passed);
        ck_assert_uint_le(length, text->len);
        ck_assert_uint_eq(notify_filter(passed, length, again), length);
        ck_assert_int_eq(memcmp(passed, again, length), 0);
        g_string_free(text, TRUE);
    }
    g_rand_free(random);
}
END_TEST

/* A proxy whose host is not there, and what it says. */
typedef struct Fixture {
    State state;
    Messages messages;
    NotifyProxy proxy;
    char *bundle;
    char *host;
    char *inside;
    int said;
    int stderr_before;
    int sender;
} Fixture;

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    return address;
}

static void setup(Fixture *fixture)
{
    Error error;
    char *directory;
    char *said;
    struct sockaddr_un address;

    *fixture = (Fixture){.state = STATE_NULL, .messages = MESSAGES_NULL};
    fixture->bundle = g_dir_make_tmp("conward-XXXXXX", NULL);
    fixture->host = g_build_filename(fixture->bundle, "host", NULL);
    fixture->inside = g_build_filename(fixture->bundle, "notify", "notify.sock", NULL);
    directory = g_build_filename(fixture->bundle, "notify", NULL);
    said = g_build_filename(fixture->bundle, "said", NULL);
    ck_assert_int_eq(g_mkdir(directory, 0700), 0);
    fixture->stderr_before = dup(STDERR_FILENO);
    fixture->said = open(said, O_RDWR | O_CREAT | O_APPEND, 0600);
    dup2(fixture->said, STDERR_FILENO);
    ck_assert_int_eq(state_create(&fixture->state, &error), 0);
    ck_assert_int_eq(notify_proxy_init(&fixture->proxy, &fixture->state, fixture->bundle,
                                       fixture->host, &fixture->messages, &error),
                     0);
    fixture->sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    address = address_of(fixture->inside);
    ck_assert_int_eq(connect(fixture->sender, (struct sockaddr *)&address, sizeof(address)), 0);
    g_free(directory);
    g_free(said);
}

static void teardown(Fixture *fixture)
{
    char *command = g_strdup_printf("rm -r '%s'", fixture->bundle);

    close(fixture->sender);
    notify_proxy_deinit(&fixture->proxy);
    for (size_t i = 0; i < PAGE_FDS_MAX; i++)
        ck_assert(fixture->state.page->fds[i].role == FD_FREE ||
                  fixture->state.page->fds[i].role == FD_STATE);
    state_deinit(&fixture->state);
    dup2(fixture->stderr_before, STDERR_FILENO);
    close(fixture->stderr_before);
    close(fixture->said);
    ck_assert_int_eq(system(command), 0);
    g_free(command);
    g_free(fixture->bundle);
    g_free(fixture->host);
    g_free(fixture->inside);
}

static void say(Fixture *fixture, const char *text)
{
    ck_assert_int_eq(send(fixture->sender, text, strlen(text), 0), (ssize_t)strlen(text));
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

/* Takes what has been said since it was asked last, and compares its number of lines. */
static void assert_lines(Fixture *fixture, int expected, const char *part)
{
    char text[8192] = "";
    ssize_t length = pread(fixture->said, text, sizeof(text) - 1, 0);
    int lines = 0;

    ck_assert_int_ge(length, 0);
    for (ssize_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    ck_assert_msg(lines == expected, "%d lines: %s", lines, text);
    ck_assert_msg(strstr(text, part) != NULL, "no '%s' in: %s", part, text);
    ck_assert_int_eq(ftruncate(fixture->said, 0), 0);
}

static int make_host(const Fixture *fixture)
{
    struct sockaddr_un address = address_of(fixture->host);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

START_TEST(a_host_that_is_gone_is_spoken_of_once)
{
    Fixture fixture;
    char heard[64];
    int host;

    setup(&fixture);
    for (int i = 0; i < 100; i++)
        say(&fixture, "READY=1");
    assert_lines(&fixture, 1, "No such file or directory");
    say(&fixture, "MAINPID=1");
    assert_lines(&fixture, 0, "");

    host = make_host(&fixture);
    say(&fixture, "STOPPING=1");
    ck_assert_int_eq(recv(host, heard, sizeof(heard), 0), 10);
    ck_assert_int_eq(recv(host, heard, sizeof(heard), 0), -1);
    close(host);
    say(&fixture, "READY=1");
    say(&fixture, "READY=1");
    assert_lines(&fixture, 1, "Connection refused");
    teardown(&fixture);
}
END_TEST

START_TEST(a_datagram_that_is_too_long_is_spoken_of_once)
{
    char text[STATE_NOTIFY_SIZE + 2] = "STATUS=";
    Fixture fixture;
    char heard[64];
    int host;

    setup(&fixture);
    host = make_host(&fixture);
    memset(text + 7, 'x', sizeof(text) - 8);
    for (int i = 0; i < 100; i++)
        say(&fixture, text);
    assert_lines(&fixture, 1, "4097 bytes");
    ck_assert_int_eq(recv(host, heard, sizeof(heard), 0), -1);
    close(host);
    teardown(&fixture);
}
END_TEST

START_TEST(what_waits_at_the_end_is_spoken_of)
{
    Fixture fixture;
    int host;

    setup(&fixture);
    host = make_host(&fixture);
    while (fixture.state.page->notify_length == 0)
        say(&fixture, "READY=1");
    assert_lines(&fixture, 0, "");
    notify_proxy_deinit(&fixture.proxy);
    assert_lines(&fixture, 1, fixture.host);
    close(host);
    teardown(&fixture);
}
END_TEST

START_TEST(another_image_goes_on_with_what_waits)
{
    Fixture fixture;
    char heard[64];
    int host;
    int count = 0;

    setup(&fixture);
    host = make_host(&fixture);
    while (fixture.state.page->notify_length == 0) {
        say(&fixture, "READY=1");
        count++;
    }
    g_source_remove(fixture.proxy.source);
    notify_proxy_adopt(&fixture.proxy, &fixture.state, fixture.host, &fixture.messages);
    for (; count > 0; count--) {
        ck_assert_int_eq(recv(host, heard, sizeof(heard), 0), 7);
        while (g_main_context_iteration(NULL, FALSE))
            ;
    }
    ck_assert_int_eq(recv(host, heard, sizeof(heard), 0), -1);
    ck_assert_uint_eq(fixture.state.page->notify_length, 0);
    close(host);
    teardown(&fixture);
}
END_TEST

SUITE("notify", lines_are_passed_on_whole_or_not_at_all, nothing_is_added,
      a_host_that_is_gone_is_spoken_of_once, a_datagram_that_is_too_long_is_spoken_of_once,
      what_waits_at_the_end_is_spoken_of, another_image_goes_on_with_what_waits)
