#include "log/rotation.h"

#include "state/fds.h"
#include "util/clock.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOG_MODE = 0640,
    LOG_MODE_KEPT = 0666, /* these bits of the old file's mode are the new one's, too */
    LINKS_MOST = 40,      /* as the kernel follows */
    PAUSE_LEAST = 1000000,
    PAUSE_MOST = 60 * 1000000,
};

/* A file: the directory without any symbolic link in it, and a name in it that was no link. */
typedef struct Place {
    char *directory;
    char *name;
} Place;

#define PLACE_NULL                      \
    {                                   \
        .directory = NULL, .name = NULL \
    }

/* One attempt to rotate. */
typedef struct Attempt {
    Rotation *rotation;
    int log_fd;
    Place place;
    int directory; /* all names are relative to it: nobody can put another one in its place */
    int fresh;
    bool backup; /* the old file becomes one */
    Error *error;
} Attempt;

/* The names beside the log's own. */
typedef struct Name {
    char text[NAME_MAX + 16];
} Name;

static Name temporary_name(const Attempt *attempt)
{
    Name name;

    snprintf(name.text, sizeof(name.text), "%s.tmp", attempt->place.name);
    return name;
}

static Name backup_name(const Attempt *attempt, uint32_t number)
{
    Name name;

    snprintf(name.text, sizeof(name.text), "%s.%u", attempt->place.name, number);
    return name;
}

static void place_deinit(Place *place)
{
    free(place->directory);
    free(place->name);
    *place = (Place)PLACE_NULL;
}

/* Splits `path` into its directory, of which every link is followed, and the last name. */
static int place_split(const char *path, Place *place)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    char *directory;
    int r;

    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EISDIR;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    /* With "." behind it, the directory may be none, / or relative. */
    if (asprintf(&directory, "%.*s.", (int)(name - path), path) < 0)
        return -ENOMEM;
    place_deinit(place);
    place->name = strdup(name);
    place->directory = realpath(directory, NULL);
    r = place->directory == NULL ? -errno : place->name == NULL ? -ENOMEM : 0;
    free(directory);
    return r;
}

/* What the link at `path` says, newly allocated; NULL if there is none. */
static char *read_link(const char *path)
{
    for (size_t size = 256; size <= PATH_MAX; size *= 2) {
        char *target = malloc(size);
        ssize_t length = target == NULL ? -1 : readlink(path, target, size);

        if (length >= 0 && (size_t)length < size) {
            target[length] = '\0';
            return target;
        }
        free(target);
        if (length < 0)
            return NULL;
    }
    return NULL;
}

/*
 * If there is a link at the place, sets *path to where it leads, newly allocated, and returns 1.
 * Returns 0 if there is none.
 */
static int place_follow(const Place *place, char **path)
{
    char *link;
    char *target;
    int r;

    if (asprintf(&link, "%s/%s", place->directory, place->name) < 0)
        return -ENOMEM;
    target = read_link(link);
    free(link);
    if (target == NULL)
        return 0;
    r = target[0] == '/' ? asprintf(path, "%s", target)
                         : asprintf(path, "%s/%s", place->directory, target);
    free(target);
    return r < 0 ? -ENOMEM : 1;
}

/*
 * The file that a path means, with every link followed; it need not be there. No buffers of
 * PATH_MAX bytes: what the stack has once held stays the monitor's memory. The caller clears the
 * place, also after a failure.
 */
static int place_find(const char *path, Place *place)
{
    char *next = NULL;
    int r = place_split(path, place);

    for (int i = 0; r == 0 && i < LINKS_MOST; i++) {
        r = place_follow(place, &next);
        if (r <= 0)
            return r;
        r = place_split(next, place);
        free(next);
    }
    return r < 0 ? r : -ELOOP;
}

/* FNV-1a. It is to tell an accident or a planted link from the place that was; 0 = no place. */
static uint64_t place_checksum(const Place *place)
{
    const char *const parts[] = {place->directory, "/", place->name};
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        for (const char *at = parts[i]; *at != '\0'; at++)
            sum = (sum ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    return MAX(sum, 1);
}

/* Whether `directory` is `above` or below it; both without links. */
static bool is_within(const char *directory, const char *above)
{
    size_t length = strlen(above);

    if (strcmp(above, "/") == 0)
        return true;
    return strncmp(directory, above, length) == 0 &&
           (directory[length] == '\0' || directory[length] == '/');
}

static bool place_is_allowed(const Place *place, const char *const *allowed)
{
    bool is_allowed = allowed == NULL;

    for (; !is_allowed && *allowed != NULL; allowed++) {
        char *above = realpath(*allowed, NULL);

        is_allowed = above != NULL && is_within(place->directory, above);
        free(above);
    }
    return is_allowed;
}

int rotation_check_allowed(const char *path, const char *const *allowed, Error *error)
{
    Place place = PLACE_NULL;
    int r;

    if (allowed == NULL)
        return 0;
    r = place_find(path, &place);
    if (r < 0)
        error_set(error, -r, "Cannot tell in which directory the log %s is", path);
    else if (!place_is_allowed(&place, allowed))
        r = error_set(error, 0,
                      "The log %s is in %s, which is neither one of the directories given with "
                      "--log-allowlist-dir nor below one",
                      path, place.directory);
    place_deinit(&place);
    return r;
}

/* Whether a descriptor is the directory of that name, and not what somebody has put there. */
static bool is_directory_itself(int fd, const char *directory)
{
    char link[32];
    char *path;
    bool is_itself;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    path = read_link(link);
    is_itself = path == NULL || strcmp(path, directory) == 0; /* without /proc, nobody can tell */
    free(path);
    return is_itself;
}

/* The log's directory, if the path still means the place where the log was opened. */
static int open_place(Attempt *attempt)
{
    const Rotation *rotation = attempt->rotation;
    LogPage *page = &rotation->state->page->log;
    Place *place = &attempt->place;
    int r = place_find(rotation->path, place);

    if (r < 0)
        return error_set(attempt->error, -r, "Cannot replace the log %s", rotation->path);
    if (page->place == 0)
        page->place = place_checksum(place);
    if (page->place != place_checksum(place))
        return error_set(attempt->error, 0,
                         "Cannot replace the log %s: a symbolic link has changed since it was "
                         "opened, and it would now be %s/%s",
                         rotation->path, place->directory, place->name);
    if (!place_is_allowed(place, rotation->allowed))
        return error_set(attempt->error, 0,
                         "Cannot replace the log %s: its directory %s is not within those given "
                         "with --log-allowlist-dir",
                         rotation->path, place->directory);
    attempt->directory = open(place->directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (attempt->directory < 0)
        return error_set(attempt->error, errno, "Cannot replace the log %s: failed to open %s",
                         rotation->path, place->directory);
    if (!is_directory_itself(attempt->directory, place->directory))
        return error_set(attempt->error, 0,
                         "Cannot replace the log %s: %s was just replaced by a symbolic link",
                         rotation->path, place->directory);
    return 0;
}

/* Who may read the old file may read the new one. What may not be given away stays ours. */
static void inherit(const Attempt *attempt)
{
    struct stat old;
    struct stat now;

    if (fstat(attempt->log_fd, &old) < 0 || fstat(attempt->fresh, &now) < 0)
        return;
    if ((old.st_uid != now.st_uid || old.st_gid != now.st_gid) &&
        fchown(attempt->fresh, old.st_uid, old.st_gid) < 0)
        return;
    if (((old.st_mode ^ now.st_mode) & LOG_MODE_KEPT) != 0 &&
        fchmod(attempt->fresh, old.st_mode & LOG_MODE_KEPT) < 0)
        return;
}

/* A new file beside the log: most of what can fail, fails here, where nothing has changed yet. */
static int make_file(Attempt *attempt)
{
    const Name name = temporary_name(attempt);

    /* What an earlier attempt has left; if it is anything else, it is not followed or written to.
     */
    unlinkat(attempt->directory, name.text, 0);
    attempt->fresh = openat(
        attempt->directory, name.text,
        O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, LOG_MODE);
    if (attempt->fresh < 0)
        return error_set(attempt->error, errno, "Cannot replace the log: failed to create %s/%s",
                         attempt->place.directory, name.text);
    inherit(attempt);
    return 0;
}

static bool is_there(const Attempt *attempt, uint32_t number)
{
    const Name name = backup_name(attempt, number);
    struct stat st;

    return fstatat(attempt->directory, name.text, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static int rename_file(const Attempt *attempt, const char *from, const char *to)
{
    if (renameat(attempt->directory, from, attempt->directory, to) == 0)
        return 0;
    return error_set(attempt->error, errno,
                     "Cannot replace the log: failed to rename %s to %s in %s", from, to,
                     attempt->place.directory);
}

/*
 * Whether the old file becomes a backup. Not if it is gone already, as after the kubelet has moved
 * it, nor if it is empty. Whatever else is there is not ours to move or to replace.
 */
static int wants_backup(const Attempt *attempt)
{
    struct stat st;

    if (fstatat(attempt->directory, attempt->place.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0
                               : error_set(attempt->error, errno,
                                           "Cannot replace the log: failed to look at %s/%s",
                                           attempt->place.directory, attempt->place.name);
    if (!S_ISREG(st.st_mode))
        return error_set(attempt->error, 0,
                         "Cannot replace the log %s: %s/%s is not a regular file",
                         attempt->rotation->path, attempt->place.directory, attempt->place.name);
    return attempt->rotation->backups > 0 && st.st_size > 0;
}

/* The same for what somebody else may have moved or removed meanwhile: then it is not in the way.
 */
static int rename_if_there(const Attempt *attempt, const char *from, const char *to)
{
    int r = rename_file(attempt, from, to);

    return r == -ENOENT ? 0 : r;
}

/*
 * Makes PATH.1 free: every file between it and the first name that is free moves up by one. Only
 * if none is free, the oldest one goes. Each rename moves the free name down by one, so that who
 * begins again loses no second file.
 */
static int shift(Attempt *attempt)
{
    uint32_t most = attempt->rotation->backups;
    uint32_t to = 1;
    int r = wants_backup(attempt);

    attempt->backup = r > 0;
    if (r <= 0)
        return r;
    while (to < most && is_there(attempt, to))
        to++;
    for (; to > 1 && r >= 0; to--) {
        r = rename_if_there(attempt, backup_name(attempt, to - 1).text,
                            backup_name(attempt, to).text);
        FAULT_POINT();
    }
    return MIN(r, 0);
}

/* With one backup this is also what removes the one before. */
static int move_away(Attempt *attempt)
{
    if (!attempt->backup)
        return 0;
    return rename_if_there(attempt, attempt->place.name, backup_name(attempt, 1).text);
}

/* Whether the name means the file that is open. */
static bool is_there_still(const Attempt *attempt, const char *name, int fd)
{
    struct stat held;
    struct stat there;

    return fstat(fd, &held) == 0 &&
           fstatat(attempt->directory, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

static bool has_no_name(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

/*
 * By renaming it onto the path: CRI-O waits for an event that names exactly that. From then on
 * nothing may be written to the old file, also if somebody has moved the new one away already.
 */
static int publish(Attempt *attempt)
{
    const Name temporary = temporary_name(attempt);
    int r = rename_file(attempt, temporary.text, attempt->place.name);

    if (r < 0 || is_there_still(attempt, attempt->place.name, attempt->fresh) ||
        !has_no_name(attempt->fresh))
        return r;
    return error_set(attempt->error, 0,
                     "Cannot replace the log %s: somebody else has put another file there",
                     attempt->rotation->path);
}

/* The same number stays the log's: there is no moment without one. */
static int take(Attempt *attempt)
{
    if (dup3(attempt->fresh, attempt->log_fd, O_CLOEXEC) < 0)
        return error_set(attempt->error, errno, "Cannot replace the log %s",
                         attempt->rotation->path);
    FAULT_POINT();
    fds_refresh(attempt->rotation->state, attempt->log_fd);
    return 0;
}

/* After a failure: the log goes on in the old file, so that is where its readers shall find it. */
static void undo(const Attempt *attempt)
{
    const Name backup = backup_name(attempt, 1);

    if (attempt->fresh >= 0)
        unlinkat(attempt->directory, temporary_name(attempt).text, 0);
    if (attempt->directory >= 0 && is_there_still(attempt, backup.text, attempt->log_fd))
        renameat2(attempt->directory, backup.text, attempt->directory, attempt->place.name,
                  RENAME_NOREPLACE);
}

/*
 * A backup counts from before it is made: after a crash, nobody could tell whether this rotation
 * or the one before has made it.
 */
static void commit_step(const Attempt *attempt, RotationStep step)
{
    LogCursors *next = state_cursors_next(attempt->rotation->state);

    next->rotation = step;
    next->rotation_backup |= attempt->backup;
    state_cursors_commit(attempt->rotation->state);
}

static int attempt_run(Attempt *attempt)
{
    static const struct {
        RotationStep step;
        int (*run)(Attempt *);
    } steps[] = {
        {ROTATION_MAKING, make_file},   {ROTATION_SHIFTING, shift}, {ROTATION_MOVING, move_away},
        {ROTATION_PUBLISHING, publish}, {ROTATION_TAKING, take},
    };
    int r = open_place(attempt);

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && r == 0; i++) {
        commit_step(attempt, steps[i].step);
        r = steps[i].run(attempt);
        FAULT_POINT_AT(1U << steps[i].step, (2U << ROTATION_TAKING) - (1U << ROTATION_MAKING));
    }
    return r;
}

/* The commit that ends it: the step, what has been asked for and what is counted, all at once. */
static void commit_end(State *state, bool done)
{
    LogCursors *next = state_cursors_next(state);

    if (done) {
        next->rotation_asked = 0;
        next->reopens++;
        next->backups += next->rotation_backup;
    }
    next->rotation = ROTATION_NONE;
    next->rotation_backup = 0;
    state_cursors_commit(state);
}

/* The next attempt comes after a pause. */
static void put_off(Rotation *rotation)
{
    rotation->state->page->log.rotation_failures++;
    rotation->pause = rotation->pause == 0 ? PAUSE_LEAST : MIN(2 * rotation->pause, PAUSE_MOST);
    rotation->retry_at = clock_boottime_us() + rotation->pause;
}

bool rotation_is_due(const Rotation *rotation)
{
    return rotation->retry_at == 0 || rotation->retry_at <= clock_boottime_us();
}

int rotation_run(Rotation *rotation, int fd)
{
    Attempt attempt = {
        .rotation = rotation,
        .log_fd = fd,
        .directory = -1,
        .fresh = -1,
        .error = &rotation->error,
    };
    int r;

    rotation->error = (Error)ERROR_NULL;
    r = attempt_run(&attempt);
    if (r < 0)
        undo(&attempt);
    commit_end(rotation->state, r == 0);
    if (r < 0) {
        put_off(rotation);
    } else {
        rotation->error = (Error)ERROR_NULL;
        rotation->pause = 0;
        rotation->retry_at = 0;
    }
    fd_close(&attempt.fresh);
    fd_close(&attempt.directory);
    place_deinit(&attempt.place);
    return r;
}

void rotation_ask(Rotation *rotation, uint64_t size, int64_t at, uint64_t request)
{
    LogCursors *next = state_cursors_next(rotation->state);

    if (!next->rotation_asked) {
        next->rotation_asked = 1;
        next->rotation_from = size;
        next->rotation_at = at;
    }
    next->rotation_request = request;
    state_cursors_commit(rotation->state);
}

void rotation_init(Rotation *rotation, State *state, const char *path, uint32_t backups,
                   const char *const *allowed)
{
    LogPage *page = &state->page->log;
    Place place = PLACE_NULL;

    *rotation = (Rotation){
        .state = state,
        .path = path,
        .backups = backups,
        .allowed = allowed,
    };
    if (page->place == 0 && place_find(path, &place) == 0)
        page->place = place_checksum(&place);
    place_deinit(&place);
}
