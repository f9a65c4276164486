#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * The page: all that another image of this program needs to carry on, besides the buffers. Plain
 * numbers, no pointers; its layout is the contract between the image that wrote it and the one
 * that reads it. Others look at a copy of it (state/page-file.h says where): what they see is a
 * moment's state if `shown` is even, and the same before and after, but for the descriptors.
 *
 * The commit discipline: data first, then ONE aligned store that makes it count. Every field
 * marked "commit" is such a store and is written through state_commit().
 */
enum {
    PAGE_VERSION = 6,
    PAGE_SIZE_BYTES = 12288,
    PAGE_CLIENTS_MAX = 64,
    PAGE_FDS_MAX = 96,
    PAGE_FRAMES_MAX = 16,
    PAGE_ID_MAX = 208,
    PAGE_COMM_MAX = 16,
    PAGE_BUILD_ID_MAX = 41,
    PAGE_PATH_MAX = 108,
    PAGE_TIME_MAX = 40,
};

#define PAGE_MAGIC UINT64_C(0x64726177636f6e21)

typedef enum StreamId {
    STREAM_STDOUT,
    STREAM_STDERR,
    STREAMS,
} StreamId;

/* As people and formats know it. */
static inline const char *stream_name(StreamId stream)
{
    return stream == STREAM_STDOUT ? "stdout" : "stderr";
}

typedef enum Phase {
    PHASE_STARTING,  /* the runtime runs; what it prints is not yet the container's */
    PHASE_RUNNING,   /* the container's pid is known and reported */
    PHASE_DRAINING,  /* the container has ended; its last output is taken */
    PHASE_REPORTING, /* exit files, sync message, exit command, last clients */
    PHASE_GONE,
} Phase;

/* Steps of the exit report that are done, as bits: each is repeated safely until its bit is set. */
typedef enum ReportStep {
    REPORTED_START = 1 << 0,         /* the engine knows the pid, or why there is none */
    REPORTED_ATTACH = 1 << 1,        /* the attach socket is gone, its clients see the end */
    REPORTED_PERSIST_READY = 1 << 2, /* the file is there under another name */
    REPORTED_PERSIST_FILE = 1 << 3,
    REPORTED_EXIT_READY = 1 << 4,
    REPORTED_EXIT_FILE = 1 << 5,
    REPORTED_STATUS = 1 << 6,  /* an engine that waits for a command's exit status has it */
    REPORTED_SYNC = 1 << 7,    /* the sync pipe is closed */
    REPORTED_COMMAND = 1 << 8, /* the exit command runs or has its time, or there is none */
    REPORTED_LOSSES = 1 << 9,  /* what the log has lost is said */
    REPORTED_LOG = 1 << 10,    /* the log is on the disk */
    REPORTED_OOM = 1 << 11,    /* whether memory was wanting is known, and told */
    REPORTED_EXIT = 1 << 12,   /* an engine that wants events knows of the end */
    REPORTED_EVENTS = 1 << 13, /* and so does the journal, with what was held back */
    REPORTED_CGROUP = 1 << 14, /* the command's cgroup is gone, if it was made for it */
} ReportStep;

/* So many bytes a second are a flood, for who warns of one and for who looks for one. */
enum { FLOOD_RATE = 10 << 20 };

/* A stream's input buffer holds the bytes [base, end) of everything the container wrote. */
typedef struct StreamPage {
    uint64_t base; /* commit: stream offset of the buffer's first byte */
    uint64_t end;  /* commit: stream offset behind the last byte read */
} StreamPage;

typedef struct LogCounters {
    uint64_t bytes;      /* content written, in bytes the container wrote */
    uint64_t records;    /* records written */
    uint64_t partials;   /* of these, tag P */
    uint64_t lost_bytes; /* content that failed writes or --log-rate-limit lost */
    uint64_t lost_records;
    uint64_t limited_bytes; /* of these, by --log-rate-limit */
    uint64_t limited_records;
    uint64_t capped_bytes; /* content left out by --log-global-size-max */
    uint64_t long_lines;   /* lines that needed more than one record because of their length */
    uint64_t longest;      /* longest line so far, in bytes, the open one included */
    uint64_t line;         /* of the open line: bytes that records hold, 0 = no such line */
    int64_t line_since;    /* and when its first record was made, CLOCK_REALTIME microseconds */
} LogCounters;

/* Reasons beside errno's. */
enum {
    LOSS_RATE = -1,    /* --log-rate-limit */
    LOSS_STALLED = -2, /* the journal does not read what it gets */
};

/* What of a stream was lost, and the log does not say yet: see log/loss.h. */
typedef struct LossPage {
    uint64_t bytes;
    uint64_t records; /* 0 = nothing */
    int64_t from;     /* of the first and the last of it, CLOCK_REALTIME nanoseconds */
    int64_t to;
    int32_t reason;   /* of the first: errno or one of the above */
    uint32_t damaged; /* 1: the line it belongs to goes on; its rest is lost, too */
    uint32_t ends;    /* 1: a newline is in it. If a line is open in the log, that is the line's
                         own: it is not lost, but owed, and neither in `bytes` nor in `records` */
} LossPage;

/* What a rotation of the log is doing: see log/rotation.h. Until it is done, it is begun again. */
typedef enum RotationStep {
    ROTATION_NONE,
    ROTATION_MAKING,     /* a new file, PATH.tmp */
    ROTATION_SHIFTING,   /* PATH.1 becomes PATH.2, and so on */
    ROTATION_MOVING,     /* PATH becomes PATH.1 */
    ROTATION_PUBLISHING, /* PATH.tmp becomes PATH */
    ROTATION_TAKING,     /* the log's descriptor becomes that of the new file */
} RotationStep;

/* The time stamp of a record, as it is in the log, not terminated. */
typedef struct TimePage {
    uint8_t text[PAGE_TIME_MAX];
} TimePage;

/*
 * One set of the log's cursors. Two exist; LogPage.live says which one counts. The other is
 * filled in and becomes the live one by one store, so that all its fields change at once.
 */
typedef struct LogCursors {
    uint64_t start[STREAMS]; /* stream offset of the first byte no record holds yet */
    uint64_t batch_offset;   /* the batch in the output buffer: */
    uint64_t batch_length;   /* 0 = nothing is waiting to be written */
    uint64_t rest_length;    /* so much of its beginning is the rest of a torn record, whose own
                                beginning is before it in the buffer */
    uint64_t log_before;     /* size of the log file without the batch */
    uint64_t torn_length;    /* so much of that torn record is in the file */
    uint64_t torn_end;       /* size of the file when that much was written */
    uint64_t torn_content;   /* its content, in bytes the container wrote */
    uint64_t torn_stream;
    uint64_t torn_partial;
    uint64_t torn_is_own; /* 1: it is not the container's, and has no content */
    LossPage torn_said;   /* the loss that it tells then */
    uint64_t torn_open;   /* as open_before, before that record */
    TimePage torn_time;   /* as time_before, before that record */
    uint64_t cutting;     /* 1: the file is to be cut back from torn_end to cut_to */
    uint64_t cut_to;
    uint64_t long_line; /* 1 + the stream whose line, cut at the limit, the other one waits for; 0 =
                           none: see log/turn.h */
    int64_t stamp; /* of the last record, lost or not, CLOCK_REALTIME nanoseconds, 0 = none yet */
    TimePage time; /* of the last record that is not lost, the batch included */
    TimePage time_before; /* the same without the batch, but for the rest */
    uint64_t total;       /* bytes ever in the log, for --log-global-size-max */
    uint64_t capped;      /* 1 once that limit has been reached */
    uint64_t own_length;  /* of the record in the batch that is not the container's, 0 = none */
    uint64_t own_at;      /* and where in the batch it begins */
    LossPage said;        /* the loss that it tells */
    uint64_t begins_own;  /* 1: another one begins the batch, that was torn and tells torn_said */
    LossPage loss[STREAMS];
    uint64_t open[STREAMS];        /* 1: the stream's last record, the batch included, is a P */
    uint64_t open_before[STREAMS]; /* the same without the batch, but for the rest */
    int64_t rate_tokens;           /* for --log-rate-limit: see log/rate.h */
    int64_t rate_at;
    uint64_t rate_drops; /* 1: until there are enough tokens again, all is lost */

    /* Which file the log is: see log/rotation.h. */
    uint64_t rotation;        /* RotationStep */
    uint64_t rotation_backup; /* 1: it makes the old file a backup */
    uint64_t rotation_asked;  /* 1: somebody waits for it, until it is done */
    uint64_t rotation_from;   /* the old file's size when that was asked for, */
    int64_t rotation_at;      /* and when not to wait for the end of a line any more, CLOCK_BOOTTIME
                                 microseconds: see log/seam.h */
    uint64_t rotation_request; /* number of the request that has asked for one last */
    uint64_t reopens;          /* how often there was a new file */
    uint64_t backups;          /* how often the old one became a backup */

    LogCounters counters[STREAMS];
} LogCursors;

typedef enum LogKind {
    LOG_UNSEEN,
    LOG_REGULAR, /* a file whose size tells how far a write got, and that can be replaced */
    LOG_OTHER,   /* a device, a fifo */
} LogKind;

typedef struct LogPage {
    LogCursors set[2];
    uint64_t live;    /* commit: how often sets were flipped; the lowest bit is the live one */
    uint64_t place;   /* checksum of where the log is, all symbolic links followed; 0 = unknown */
    uint32_t kind;    /* LogKind, as it was when it was opened: it may not be seen any more */
    int64_t retry_at; /* commit: after a failed write, when to try again; 0 = no need */
    int64_t
        turn_at; /* commit: until when a stream waits for the other's long line; 0 = none does */
    int64_t rate_until; /* commit: until when --log-rate-limit lets the container wait; 0 = not */
    int64_t settle_at;  /* commit: after the end, when to give up what waits; put off by progress */
    uint32_t said_failure; /* commit: 1 once it is said that it fails, until the end of that is */

    /* For who looks on; not of use for going on. */
    int64_t blocked_since; /* since when a write has not returned, CLOCK_BOOTTIME microseconds */
    int64_t waits_since; /* since when the container waits for the log, likewise; 0 = it does not */
    uint64_t waited;     /* and how long it did before, in microseconds */
    uint64_t rotation_failures;
    uint64_t write_errors;
    int32_t last_error; /* errno of the last of them */
} LogPage;

/* The same for the journal, whose entries are sent one by one: see log/journald.h. */
typedef struct JournalCursors {
    uint64_t start[STREAMS];    /* stream offset of the first byte that no entry holds yet */
    uint64_t entries;           /* sent so far: the number of the next one */
    uint32_t priority[STREAMS]; /* of the entries that hold the beginning of the open line */
    LossPage loss[STREAMS];
    uint64_t open[STREAMS]; /* 1: the stream's last entry says that its line goes on */
    LogCounters counters[STREAMS];
} JournalCursors;

typedef struct JournalPage {
    JournalCursors set[2];
    uint64_t live;         /* commit: as LogPage.live */
    int64_t retry_at;      /* commit: nothing is sent before then, 0 = nothing has failed */
    int64_t stalled_since; /* commit: when an entry first failed after those that were taken, 0 =
                              the journal takes them */
    int64_t settle_at;     /* commit: as LogPage.settle_at */
    uint32_t said_failure; /* commit: as LogPage.said_failure */

    /* For who looks on; not of use for going on. */
    int64_t waits_since; /* since when the container waits for the journal, as above */
    uint64_t waited;
    uint64_t send_errors; /* but for a journal that is only slow */
    int32_t last_error;   /* errno of the last failure */
} JournalPage;

typedef enum LogPolicy {
    LOG_DROP, /* it is lost, and counted */
    LOG_WAIT, /* it stays in the pipe, and the container waits */
} LogPolicy;

/* What is in force, on the page because requests may change some of it. 0 = no limit. */
typedef struct SettingsPage {
    uint64_t generation; /* commit: changes so far */
    int64_t log_size_max;
    int64_t log_global_size_max;
    uint32_t log_line_max;
    int32_t log_partial_flush; /* milliseconds, 0 = at every read, -1 = never */
    uint32_t log_on_error; /* LogPolicy: what happens to output while the log cannot be written */
    uint32_t log_rate_policy;     /* LogPolicy: and to what exceeds the rate limit */
    int64_t log_rate_limit;       /* bytes a second */
    int64_t log_rate_burst;       /* bytes at once */
    uint32_t log_loss_record;     /* 1: losses are said in the log, too */
    uint32_t log_close_last_line; /* 1: a last line without a newline is ended there */
    uint32_t log_backups; /* old files that a rotation keeps, 0 = --log-rotate is not given */
} SettingsPage;

/* A reader of the raw output: an attach client, or our own stdout and stderr (`conward run`). */
typedef struct OutletPage {
    uint64_t cursor[STREAMS]; /* commit: stream offset of the first byte not yet sent */
    int32_t fd[STREAMS];      /* the same number twice for a client */
    uint32_t used;            /* commit */
    uint32_t early;           /* came before the first byte of output: the container waits for it */
    uint32_t dead;            /* commit: bit per stream that nobody reads there any more */
    uint32_t input;           /* commit: ClientInput bits */
} OutletPage;

typedef enum FeedState {
    FEED_NONE,   /* the container has no input */
    FEED_OPEN,   /* what clients send is kept for it */
    FEED_ENDING, /* closed as soon as all that is kept is written */
    FEED_CLOSED,
} FeedState;

/* The input ring holds the bytes [start, end) of everything that clients have sent. */
typedef struct FeedPage {
    uint64_t start; /* commit */
    uint64_t end;   /* commit */
    uint32_t state; /* commit: FeedState */
} FeedPage;

/* What is known of an attach client's sending, as bits: it decides whether its end is the end of
 * the container's input. See stdio/attach.c. */
typedef enum ClientInput {
    CLIENT_SENT = 1 << 0,         /* it has sent something */
    CLIENT_BEFORE_START = 1 << 1, /* it was there before the container's program */
    CLIENT_ENDED = 1 << 2,        /* it will send nothing any more */
} ClientInput;

/* What attach clients have not taken and memory does not hold any more: see stdio/spool.h. */
typedef struct SpoolPage {
    uint64_t capacity;     /* commit: of either file, and the most that both together may hold */
    uint64_t end[STREAMS]; /* commit: who has a cursor before that offset finds its bytes there */
} SpoolPage;

enum { OOM_COUNTS = 2 };

/* Processes of the container that the kernel has killed for want of memory: see
 * process/cgroup-oom.h. */
typedef struct OomPage {
    uint64_t before[OOM_COUNTS]; /* what the kernel had counted when the container began */
    uint64_t kills;              /* commit: and since then */
    uint64_t told;               /* commit: of these, the engine and the journal know so many */
    uint64_t removed;            /* commit: 1 once a count could not be read any more */
    int64_t look_at;             /* commit: when to look again, CLOCK_BOOTTIME microseconds */
    int64_t last_at;             /* when the last one was seen, CLOCK_REALTIME microseconds */
    uint64_t limit;              /* of the container's memory, in bytes, as last seen, 0 = none */
} OomPage;

/* What is to be undone at the end, as bits: see process/cgroup-place.h. */
typedef enum CgroupUndo {
    CGROUP_MADE = 1 << 0,  /* the command's cgroup was made for it, or was to be */
    CGROUP_ASIDE = 1 << 1, /* we are, or were to be, in one of our own below that where we began */
} CgroupUndo;

/* What the service manager is still to be told, as bits, in this order. */
typedef enum ServiceWord {
    SERVICE_READY = 1 << 0,
    SERVICE_RELOADING = 1 << 1,
    SERVICE_RELOADED = 1 << 2,
    SERVICE_STOPPING = 1 << 3,
} ServiceWord;

/* What a monitor that is a unit's main process says of itself: see monitor/service.c. */
typedef struct ServicePage {
    uint64_t used;       /* commit: 1: it is one */
    uint64_t owed;       /* commit: ServiceWord bits */
    uint64_t reload;     /* commit: of a reload that is not done, 1 + new files of the log before */
    int64_t interval;    /* between two signs of life, in microseconds, 0 = none are wanted */
    int64_t watchdog_at; /* commit: when the next one is due, CLOCK_BOOTTIME microseconds */
} ServicePage;

/* What the journal hears of, each at most once a minute: see monitor/events.h. */
typedef enum EventKind {
    EVENT_STARTED,
    EVENT_EXITED,
    EVENT_OOM_KILL,
    EVENT_LONG_LINE,
    EVENT_FLOOD,
    EVENT_LOG_FAILS,
    EVENT_LOG_RECOVERED,
    EVENT_LOG_INCOMPLETE,
    EVENT_RATE_LIMITED,
    EVENT_READERS_DROPPED,
    EVENT_RESUMED,
    EVENT_LOST,
    EVENTS,
} EventKind;

typedef struct EventPage {
    int64_t next_at; /* commit: nothing of its kind is said before, CLOCK_BOOTTIME microseconds */
    uint64_t held;   /* commit: how many were held back because of that */
    uint64_t told;   /* commit: and of so many of these the journal knows */
} EventPage;

/* What tells an early warning from its repetition: see monitor/warnings.c. */
typedef struct WarningPage {
    uint64_t line;       /* commit: the over-long line spoken of or held back last, as counted */
    uint64_t flood_mark; /* stream offset at which the latest look for a flood began */
    int64_t flood_since; /* commit: and when, CLOCK_BOOTTIME microseconds, 0 = not yet */
} WarningPage;

/* A control fifo's bytes that have not been acted on: see control/ctl-fifo.c. */
typedef struct CtlPage {
    uint64_t span; /* commit */
    char bytes[400];
} CtlPage;

typedef enum FdRole {
    FD_FREE,
    FD_STDOUT,
    FD_STDERR,
    FD_LOG,
    FD_SYNC_PIPE,
    FD_ATTACH_LISTENER,
    FD_ATTACH_CLIENT,
    FD_CTL,
    FD_WINSZ,
    FD_CONSOLE,
    FD_STDIN,
    FD_KEYBOARD,
    FD_TERMINAL_PEER,
    FD_CONSOLE_LISTENER, /* the runtime brings the terminal there */
    FD_CONSOLE_PEER,
    FD_STATE,     /* the memory file of the page and the buffers */
    FD_PAGE_FILE, /* the copy for who looks on */
    FD_STARTED,   /* the foreground process waits there for the start */
    FD_SPOOL_STDOUT,
    FD_SPOOL_STDERR,
    FD_NOTIFY_INSIDE,
    FD_NOTIFY_HOST,
    FD_OOM_COUNT,
    FD_OOM_COUNT_INSIDE,
    FD_OOM_EVENT,
    FD_CGROUP_PARENT,
    FD_ROLES,
} FdRole;

/* An open descriptor and the file it must refer to: a number alone could have been reused. */
typedef struct FdPage {
    int32_t fd;
    uint32_t role; /* commit: FD_FREE or what the descriptor is for */
    uint64_t device;
    uint64_t inode;
} FdPage;

/* Why the last image could not go on. Code addresses are relative to the program's beginning, 0 if
 * they are not of the program. */
typedef struct CrashPage {
    int32_t signal;
    int32_t code;        /* si_code */
    uint32_t is_our_own; /* 1: a fault of our own, else a process has sent the signal */
    uint32_t alike;      /* so many of our own in a row at the same place, 0 = it is not known */
    uint64_t address;    /* that was used; of a signal that was sent, the pid of the sender */
    uint64_t instruction;
    uint64_t frames[PAGE_FRAMES_MAX]; /* return addresses, 0 = no more */
} CrashPage;

typedef struct Page {
    uint64_t magic;
    uint32_t version;
    uint32_t size;
    uint64_t shown; /* copies for others so far, twice; odd: one is being made */

    /* Who this is; the texts are behind the page. */
    uint32_t kind;        /* Kind of monitor/config.h */
    uint32_t has_file;    /* 1: there is a k8s-file */
    uint32_t has_journal; /* 1: entries go to the journal */
    uint64_t process;   /* start time of the monitor's process in /proc/PID/stat, in clock ticks */
    int64_t started_at; /* CLOCK_REALTIME microseconds */

    uint32_t phase;         /* commit */
    uint32_t reported;      /* commit: ReportStep bits */
    int32_t monitor_pid;    /* whose page this is; a forked child sees that it is not its own */
    int32_t runtime_pid;    /* commit: 0 = none or reaped */
    int32_t runtime_status; /* exit code, or 128 + signal; so below */
    int32_t container_pid;  /* commit */
    int32_t container_status;
    int32_t container_signal; /* that has killed it, 0 = none */
    int32_t command_pid;      /* commit: the exit command */
    int32_t command_status;
    uint32_t ended;        /* commit: ChildEnd bits */
    uint32_t failed;       /* commit: 1 if no container came to be */
    uint32_t timed_out;    /* commit: 1 once --timeout has killed it */
    uint32_t hurried;      /* commit: 1 once somebody wants an end, after the container's */
    uint32_t first_output; /* commit: 1 once the container has written anything */
    uint32_t finished;     /* commit: 1 + the program's exit status: only its traces are left */
    int32_t old_oom_score_adj;

    uint32_t crashes;       /* survived, and the one that is being survived */
    uint32_t crashes_stuck; /* commit: faults since the loop last got any further, or was quiet */
    uint64_t crash_mark;    /* how far things were */
    CrashPage crash;        /* the last one */
    char comm[PAGE_COMM_MAX];
    char build_id[PAGE_BUILD_ID_MAX]; /* of the program, in hexadecimal */
    char id[PAGE_ID_MAX];             /* of the container */

    /* Deadlines, CLOCK_BOOTTIME microseconds, 0 = none; each a commit. */
    int64_t flush_at[STREAMS]; /* when an unfinished line shall show */
    int64_t timeout_at;        /* when --timeout kills the container */
    int64_t stop_at;           /* when --stop-timeout does */
    int64_t kill_at;           /* when to stop waiting for a container that was killed */
    int64_t late_at;           /* until when output is awaited after the container's end */
    int64_t report_at;         /* when its end is reported, though a slow journal has not got all */
    int64_t command_at;        /* when the exit command is due */

    uint64_t old_file_limit; /* soft limit on file sizes, for our children */
    uint64_t child_mask;     /* signal mask of our children, the caller's: bit N - 1 = signal N */
    uint64_t child_ignored;  /* signals that they ignore, likewise */
    uint32_t window;         /* commit: size asked of the terminal, rows << 16 | columns */
    char init_comm[PAGE_COMM_MAX]; /* of the container while its program has not been executed */
    char console_directory[PAGE_PATH_MAX]; /* of the socket for the terminal, "" = none */
    uint32_t keyboard_raw; /* commit: 1 while our terminal's settings are ours, and these its own */
    uint8_t keyboard_settings[64]; /* struct termios */
    uint64_t attach_device;        /* of the attach socket's file: only our own is removed */
    uint64_t attach_inode;         /* commit: 0 = it is not there, all ones = not yet known */

    SettingsPage settings;
    StreamPage streams[STREAMS];
    int64_t held_since[STREAMS]; /* not read because of slow readers, CLOCK_BOOTTIME microseconds */
    uint64_t held_time[STREAMS]; /* how long that lasted in all, in microseconds */
    LogPage log;
    FeedPage feed;
    CtlPage ctl;
    CtlPage winsz;
    SpoolPage spool;
    OomPage oom;
    uint64_t cgroup_undo; /* commit: CgroupUndo bits */
    ServicePage service;
    EventPage events[EVENTS];
    WarningPage warnings[STREAMS];
    uint64_t notify_length; /* commit: of the datagram that waits in State.notify, 0 = none */
    OutletPage console;
    OutletPage clients[PAGE_CLIENTS_MAX];
    JournalPage journal; /* here, memory that is not touched without it */
    FdPage fds[PAGE_FDS_MAX];
} Page;

/* The log's cursors that count. */
static inline const LogCursors *page_cursors(const Page *page)
{
    return &page->log.set[page->log.live & 1];
}

/* The same for the journal. */
static inline const JournalCursors *page_journal_cursors(const Page *page)
{
    return &page->journal.set[page->journal.live & 1];
}

/* Whether what is known of a stream's lines is known by the journal: if there is no file. */
static inline bool page_counts_by_journal(const Page *page)
{
    return page->has_journal && !page->has_file;
}

static inline const LogCounters *page_counters(const Page *page, StreamId stream)
{
    return page_counts_by_journal(page) ? &page_journal_cursors(page)->counters[stream]
                                        : &page_cursors(page)->counters[stream];
}

_Static_assert(sizeof(Page) <= PAGE_SIZE_BYTES, "the page has outgrown its mapping");
