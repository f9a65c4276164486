#include "state/fds.h"
#include "state/image.h"
#include "state/input.h"
#include "state/page-file.h"
#include "util/fd.h"

#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the next image gets from this one, and what others see of the page. */

typedef struct Seen {
    int fd; /* of the table, whose flag is looked at */
    int calls;
    bool is_inherited[2]; /* that descriptor, and the page */
    char path[PATH_MAX];
    char variable[64];
    int page_fd;
} Seen;

static Seen seen;

int __wrap_execve(const char *path, char *const argv[], char *const environment[]);
int __wrap_fexecve(int fd, char *const argv[], char *const environment[]);
int __wrap_page_file_create(off_t size, Error *error);

static void look(char *const environment[])
{
    size_t last = 0;

    while (environment[last + 1] != NULL)
        last++;
    seen.calls++;
    seen.is_inherited[0] = fcntl(seen.fd, F_GETFD) == 0;
    seen.is_inherited[1] = fcntl(seen.page_fd, F_GETFD) == 0;
    snprintf(seen.variable, sizeof(seen.variable), "%s", environment[last]);
    ck_assert_uint_eq(last, g_strv_length(environ));
    for (size_t i = 0; i < last; i++)
        ck_assert_str_eq(environment[i], environ[i]);
}

int __wrap_execve(const char *path, char *const argv[], char *const environment[])
{
    ck_assert_str_eq(argv[0], "as given");
    look(environment);
    snprintf(seen.path, sizeof(seen.path), "%s", path);
    errno = EACCES;
    return -1;
}

/* A copy of the program, in memory. */
int __wrap_fexecve(int fd, char *const argv[], char *const environment[])
{
    g_autofree char *path = g_file_read_link("/proc/self/exe", NULL);
    struct stat copy;
    struct stat program;

    ck_assert_str_eq(argv[0], "as given");
    look(environment);
    ck_assert_int_eq(fstat(fd, &copy), 0);
    ck_assert_int_eq(stat(path, &program), 0);
    ck_assert_int_eq(copy.st_size, program.st_size);
    ck_assert_int_ne((int)copy.st_ino, (int)program.st_ino);
    errno = ENOMEM;
    return -1;
}

static char *arguments[] = {(char *)"as given", NULL};

START_TEST(the_next_image_finds_what_it_needs)
{
    State state;
    Image image;
    Error error;
    char expected[64];
    struct stat st;
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);

    ck_assert_int_eq(state_create(&state, &error), 0);
    seen = (Seen){.fd = open("/dev/null", O_RDONLY | O_CLOEXEC), .page_fd = state.page_fd};
    fds_add(&state, FD_CTL, seen.fd);
    ck_assert_int_eq(image_init(&image, &state, arguments, &error), 0);
    ck_assert_str_eq(image.path, program);
    ck_assert_int_eq(stat("/proc/self/exe", &st), 0);
    ck_assert(image.device == st.st_dev && image.inode == st.st_ino);
    ck_assert_int_eq(stat(program, &st), 0); /* under valgrind, that is another one */
    image.device = st.st_dev;
    image.inode = st.st_ino;

    ck_assert_int_eq(image_execute(&image), -EACCES);
    ck_assert_int_eq(seen.calls, 2); /* the file, and then a copy of it */
    ck_assert_str_eq(seen.path, program);
    snprintf(expected, sizeof(expected), IMAGE_VARIABLE "=%d:%d", state.page_fd, (int)getpid());
    ck_assert_str_eq(seen.variable, expected);
    ck_assert(seen.is_inherited[0] && seen.is_inherited[1]);
    /* It could not be done: nothing is inherited by anybody else. */
    ck_assert_int_eq(fcntl(seen.fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(state.page_fd, F_GETFD), FD_CLOEXEC);

    /* Another program has come to that path. */
    image.inode++;
    image_execute(&image);
    ck_assert_str_eq(seen.path, "/proc/self/exe");
    image.inode--;
    image.device++;
    image_execute(&image);
    ck_assert_str_eq(seen.path, "/proc/self/exe");
    image.device--;
    image.path[1]++;
    image_execute(&image);
    ck_assert_str_eq(seen.path, "/proc/self/exe");

    image_deinit(&image);
    seen.calls = 0;
    ck_assert_int_eq(image_execute(&image), -ENOENT);
    ck_assert_int_eq(seen.calls, 0);
    close(seen.fd);
    state_deinit(&state);
}
END_TEST

START_TEST(without_descriptors_there_is_no_next_image)
{
    State state = STATE_NULL;
    Image image;
    Error error = ERROR_NULL;

    ck_assert_int_lt(image_init(&image, &state, arguments, &error), 0);
    ck_assert_ptr_nonnull(strstr(error.text, "limit on file sizes"));
    image_deinit(&image);
}
END_TEST

/* A directory for a page's file, and that. */
typedef struct PageFile {
    char *directory;
    char *path;
    int fd;
} PageFile;

static void make_page_file(PageFile *file, const char *name)
{
    file->directory = g_dir_make_tmp("conward-XXXXXX", NULL);
    file->path = g_build_filename(file->directory, name, NULL);
    file->fd = open(file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_ge(file->fd, 0);
}

static void end_page_file(PageFile *file)
{
    close(file->fd);
    g_remove(file->path);
    ck_assert_int_eq(g_rmdir(file->directory), 0);
    g_free(file->path);
    g_free(file->directory);
}

/* Whether a file of that name is taken away as that of a page. */
static bool is_removed(const char *name)
{
    PageFile file;
    bool is_gone;

    make_page_file(&file, name);
    page_file_remove(file.fd);
    is_gone = access(file.path, F_OK) < 0;
    end_page_file(&file);
    return is_gone;
}

START_TEST(only_what_is_named_as_a_page_is_removed)
{
    ck_assert(is_removed("1-00000000.state"));
    ck_assert(is_removed("x.state"));
    ck_assert(!is_removed("1-00000000.stat"));
    ck_assert(!is_removed("1-00000000.states"));
    ck_assert(!is_removed("state"));
    page_file_remove(-1);
}
END_TEST

START_TEST(what_has_come_to_the_path_of_a_page_stays)
{
    PageFile file;
    char beside[PATH_MAX];
    g_autofree char *ctl = NULL;

    make_page_file(&file, "1.state");
    ctl = g_build_filename(file.directory, "1.ctl", NULL);
    ck_assert(page_file_beside(file.fd, PAGE_FILE_CTL, beside));
    ck_assert_str_eq(beside, ctl);
    ck_assert(g_file_set_contents(ctl, "", 0, NULL));
    page_file_remove(file.fd);
    ck_assert_int_lt(access(ctl, F_OK), 0);
    ck_assert_int_lt(access(file.path, F_OK), 0);

    ck_assert(g_file_set_contents(file.path, "", 0, NULL));
    ck_assert(g_file_set_contents(ctl, "", 0, NULL));
    ck_assert(!page_file_beside(file.fd, PAGE_FILE_CTL, beside));
    page_file_remove(file.fd);
    ck_assert_int_eq(access(file.path, F_OK), 0);
    ck_assert_int_eq(access(ctl, F_OK), 0);
    g_remove(ctl);
    end_page_file(&file);
}
END_TEST

/* What is read of texts with that many bytes in the file, whose last one may lack its end. */
static size_t texts_of(size_t length, const char *texts)
{
    PageFile file;
    char read[PAGE_TEXTS_MAX];
    size_t found;

    make_page_file(&file, "1.state");
    ck_assert_int_eq(pwrite(file.fd, texts, length, PAGE_SIZE_BYTES), (ssize_t)length);
    found = page_file_texts(file.fd, read);
    ck_assert_int_eq(memcmp(read, texts, found), 0);
    end_page_file(&file);
    return found;
}

START_TEST(texts_are_read_whole_or_not_at_all)
{
    static char texts[PAGE_TEXTS_MAX + 1];

    ck_assert_uint_eq(texts_of(0, ""), 0);
    ck_assert_uint_eq(texts_of(4, "a=b\0"), 4);
    ck_assert_uint_eq(texts_of(6, "a=b\0c="), 4);
    ck_assert_uint_eq(texts_of(3, "a=b"), 0);
    ck_assert_uint_eq(texts_of(1, "\0"), 1);
    memset(texts, 'x', sizeof(texts));
    texts[PAGE_TEXTS_MAX - 1] = '\0';
    ck_assert_uint_eq(texts_of(sizeof(texts), texts), PAGE_TEXTS_MAX);
    texts[PAGE_TEXTS_MAX - 1] = 'x';
    texts[PAGE_TEXTS_MAX] = '\0';
    ck_assert_uint_eq(texts_of(sizeof(texts), texts), 0);
    ck_assert_uint_eq(page_file_texts(-1, texts), 0);
}
END_TEST

/* Where the state's own texts are kept, up to the most there may be. */
START_TEST(texts_are_kept_for_the_next_image)
{
    static char texts[PAGE_TEXTS_MAX + 1];
    char read[PAGE_TEXTS_MAX];
    State state;
    Error error;

    ck_assert_int_eq(state_create(&state, &error), 0);
    state.input[0][0] = 'i';
    memset(texts, 't', sizeof(texts));
    texts[PAGE_TEXTS_MAX] = '\0';
    state_keep_texts(&state, texts, PAGE_TEXTS_MAX + 1);
    ck_assert_uint_eq(page_file_texts(state.page_fd, read), PAGE_TEXTS_MAX); /* nothing but NULs */
    ck_assert_int_eq(read[0], '\0');
    texts[PAGE_TEXTS_MAX - 1] = '\0';
    state_keep_texts(&state, texts, PAGE_TEXTS_MAX);
    ck_assert_uint_eq(page_file_texts(state.page_fd, read), PAGE_TEXTS_MAX);
    ck_assert_int_eq(memcmp(read, texts, PAGE_TEXTS_MAX), 0);
    ck_assert_uint_eq(state.input[0][0], 'i');
    ck_assert_uint_eq(state.page->magic, PAGE_MAGIC);
    state_deinit(&state);
}
END_TEST

static PageFile published;

int __wrap_page_file_create(off_t size, Error *error)
{
    (void)error;
    make_page_file(&published, "1.state");
    ck_assert_int_eq(ftruncate(published.fd, size), 0);
    return fcntl(published.fd, F_DUPFD_CLOEXEC, 0);
}

static Page shown(void)
{
    static Page page;

    ck_assert_int_eq(pread(published.fd, &page, sizeof(page), 0), (ssize_t)sizeof(page));
    return page;
}

START_TEST(others_see_a_copy_that_is_whole)
{
    const struct iovec texts[] = {{(void *)"a=b", 4}, {(void *)"c=d", 4}};
    char read[PAGE_TEXTS_MAX];
    State state;
    Error error;
    struct stat st;

    ck_assert_int_eq(state_create(&state, &error), 0);
    ck_assert(state_show(&state)); /* nobody sees one */
    ck_assert_int_eq(state_publish(&state, texts, 2, &error), 0);
    ck_assert_int_eq(fstat(published.fd, &st), 0);
    ck_assert_int_eq(st.st_size, PAGE_SIZE_BYTES + 8);
    ck_assert_uint_eq(page_file_texts(published.fd, read), 8);
    ck_assert_int_eq(memcmp(read, "a=b\0c=d\0", 8), 0);
    ck_assert_int_eq(fds_find(&state, FD_PAGE_FILE), state.shown_fd);
    ck_assert_uint_eq(shown().magic, PAGE_MAGIC);

    state.page->container_pid = 7;
    state.page->clients[1].used = 1;
    state.page->clients[1].early = 5;
    state.page->clients[2].early = 6; /* there has been none */
    state.page->journal.send_errors = 8;
    ck_assert_int_eq(shown().container_pid, 0);
    ck_assert(state_show(&state));
    ck_assert_int_eq(shown().container_pid, 7);
    ck_assert_uint_eq(shown().shown, 2);
    ck_assert_uint_eq(shown().clients[1].early, 5);
    ck_assert_uint_eq(shown().clients[2].early, 0);
    ck_assert_uint_eq(shown().journal.send_errors, 0);
    state.page->clients[1].used = 0; /* it goes, and that is seen */
    state.page->has_journal = 1;
    ck_assert(state_show(&state));
    ck_assert_uint_eq(shown().shown, 4);
    ck_assert_uint_eq(shown().clients[1].used, 0);
    ck_assert_uint_eq(shown().journal.send_errors, 8);

    state_show_blocked(&state, 9);
    ck_assert_int_eq(shown().log.blocked_since, 9);
    state_discard(&state);
    ck_assert_int_lt(access(published.path, F_OK), 0);
    state_deinit(&state);
    end_page_file(&published);
}
END_TEST

/* The file has lost its memory: what faults there, and nothing else, gets some, and that is said
 * once. */
START_TEST(a_copy_without_memory_is_given_up_once)
{
    State state;
    Error error;
    uint8_t *copy;

    ck_assert_int_eq(state_create(&state, &error), 0);
    ck_assert(!state_repair_shown(&state, state.page));
    ck_assert(!state_repair_shown(&state, NULL));
    ck_assert_int_eq(state_publish(&state, NULL, 0, &error), 0);
    copy = (uint8_t *)state.shown;
    ck_assert(!state_repair_shown(&state, copy - 1));
    ck_assert(!state_repair_shown(&state, copy + PAGE_SIZE_BYTES));
    ck_assert(state_show(&state));
    ck_assert_int_eq(ftruncate(published.fd, 0), 0);
    ck_assert(state_repair_shown(&state, copy + PAGE_SIZE_BYTES - 1));
    ck_assert(!state_show(&state));
    ck_assert_ptr_null(state.shown);
    ck_assert(state_show(&state));
    state_deinit(&state);
    end_page_file(&published);
}
END_TEST

/* At its middle, what is pending can be moved down, and not before. */
START_TEST(bytes_move_down_as_soon_as_there_is_a_place)
{
    State state;
    Error error;
    int ends[2];

    ck_assert_int_eq(state_create(&state, &error), 0);
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    ck_assert_int_eq(write(ends[1], "0123456789", 10), 10);
    ck_assert_int_eq(input_read(&state, STREAM_STDOUT, ends[0], 0), 10);
    ck_assert_int_eq(input_read(&state, STREAM_STDOUT, ends[0], 4), -EAGAIN);
    ck_assert_uint_eq(state.page->streams[STREAM_STDOUT].base, 0);
    ck_assert_int_eq(input_read(&state, STREAM_STDOUT, ends[0], 5), -EAGAIN);
    ck_assert_uint_eq(state.page->streams[STREAM_STDOUT].base, 5);
    ck_assert_int_eq(memcmp(input_at(&state, STREAM_STDOUT, 5), "56789", 5), 0);
    state_deinit(&state);
}
END_TEST

/* How much is read with so many bytes of a line pending. */
static ssize_t read_with(uint64_t pending)
{
    static char bytes[2 * STATE_READ_SIZE];
    State state;
    Error error;
    int ends[2];
    ssize_t n;

    ck_assert_int_eq(state_create(&state, &error), 0);
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, 2 * STATE_READ_SIZE), 2 * STATE_READ_SIZE);
    ck_assert_int_gt(write(ends[1], bytes, sizeof(bytes)), STATE_READ_SIZE);
    state.page->streams[STREAM_STDOUT].end = pending;
    n = input_read(&state, STREAM_STDOUT, ends[0], 0);
    ck_assert_uint_eq(state.touched, pending + (uint64_t)n);
    close(ends[0]);
    close(ends[1]);
    state_deinit(&state);
    return n;
}

START_TEST(a_read_leaves_room_for_what_is_pending_of_a_line)
{
    ck_assert_int_eq(read_with(0), STATE_READ_SIZE);
    ck_assert_int_eq(read_with(4095), STATE_READ_SIZE);
    ck_assert_int_eq(read_with(4096), STATE_READ_SIZE - 4096);
    ck_assert_int_eq(read_with(8192), STATE_READ_SIZE - 8192);
    ck_assert_int_eq(read_with(STATE_READ_SIZE - 1), 4096);
    ck_assert_int_eq(read_with(STATE_READ_SIZE), STATE_READ_SIZE);
    ck_assert_int_eq(read_with(STATE_INPUT_SIZE - STATE_READ_SIZE), STATE_READ_SIZE);
    ck_assert_int_eq(read_with(STATE_INPUT_SIZE - STATE_READ_SIZE + 1), STATE_READ_SIZE - 1);
    ck_assert_int_eq(read_with(STATE_INPUT_SIZE - 1), 1);
}
END_TEST

SUITE("image", the_next_image_finds_what_it_needs, without_descriptors_there_is_no_next_image,
      only_what_is_named_as_a_page_is_removed, what_has_come_to_the_path_of_a_page_stays,
      texts_are_read_whole_or_not_at_all, texts_are_kept_for_the_next_image,
      others_see_a_copy_that_is_whole, a_copy_without_memory_is_given_up_once,
      bytes_move_down_as_soon_as_there_is_a_place, a_read_leaves_room_for_what_is_pending_of_a_line)
