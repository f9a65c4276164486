#pragma once

#include "ctl/snapshot.h"

#include <glib.h>

/*
 * Every figure of a page, once: what it is called, what it means and in which unit. `stats` shows
 * them, `metrics` exports them.
 */
typedef enum FieldType {
    FIELD_COUNTER, /* only grows */
    FIELD_GAUGE,
} FieldType;

typedef enum FieldUnit {
    UNIT_NONE,
    UNIT_BYTES,
    UNIT_LIMIT,        /* bytes, 0 = none */
    UNIT_MICROSECONDS, /* a duration; exported in seconds */
    UNIT_TIME,         /* microseconds since 1970, 0 = never; exported in seconds */
    UNIT_ERRNO,        /* an error number, 0 = none */
} FieldUnit;

typedef struct Field {
    const char *name; /* in words joined by underscores, without the unit */
    const char *help; /* a sentence without its full stop */
    FieldType type;
    FieldUnit unit;
    uint64_t (*value)(const Snapshot *snapshot, StreamId stream);
} Field;

/* The figures that each stream has, and those of a monitor, whose functions ignore the stream. The
 * last one of each list has no name. */
extern const Field STREAM_FIELDS[];
extern const Field MONITOR_FIELDS[];

/* Adds all of them to a JSON object; times and durations are in microseconds, as their names say.
 */
void fields_json(GString *line, const Snapshot *monitor);
