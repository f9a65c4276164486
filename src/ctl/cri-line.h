#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/*
 * The lines of a CRI log, `TIME STREAM TAG CONTENT\n`, from bytes that come in any cut. Pure: no
 * I/O, no allocation. Contents are handed on as they come, so that a line without an end costs no
 * memory; only a header is kept, and a line whose header does not end within CRI_HEADER_MAX bytes
 * is no record.
 */
enum { CRI_HEADER_MAX = 256 };

typedef struct CriHeader {
    struct timespec time;
    size_t time_length; /* its text is at the header's beginning */
    size_t length;      /* of all up to the content */
    int stream;         /* 0 stdout, 1 stderr */
    bool partial;       /* the container's line goes on in the next record of the stream */
    bool same_time;     /* as that of the record before it in the log */
} CriHeader;

typedef enum CriVerdict {
    CRI_RECORD,
    CRI_SHORT, /* more bytes are needed to tell */
    CRI_NO_RECORD,
} CriVerdict;

/*
 * Reads the header at the beginning of a line from its first `length` bytes, which may be more than
 * the header, or than the line.
 */
CriVerdict cri_header_parse(CriHeader *header, const uint8_t *bytes, size_t length);

typedef enum CriEvent {
    CRI_NOTHING, /* no bytes are left, and there is nothing to tell */
    CRI_BEGIN,   /* a record: its header is in `header` and `text` */
    CRI_CONTENT, /* more of its content */
    CRI_END,     /* and that was all of it */
    CRI_BAD,     /* the end of a line that is no record */
} CriEvent;

typedef enum CriState {
    CRI_IN_HEADER,
    CRI_IN_CONTENT,
    CRI_IN_GARBAGE,
} CriState;

typedef struct CriLine {
    CriState state;
    uint64_t start;   /* where in the file the current line begins */
    uint64_t at;      /* and how far it has been read */
    CriHeader header; /* of the current record, and still at its end */
    bool follows;     /* a record before has been read */
    size_t text_length;
    uint8_t text[CRI_HEADER_MAX];
} CriLine;

typedef struct CriBytes {
    const uint8_t *bytes;
    size_t length;
} CriBytes;

/* Begins at the beginning of a line, which is at byte `at` of the file. */
void cri_line_init(CriLine *line, uint64_t at);

/*
 * Takes bytes from the front of `input` until there is something to tell. CRI_CONTENT puts a part
 * of the input, never empty, into `content`.
 */
CriEvent cri_line_next(CriLine *line, CriBytes *input, CriBytes *content);

/*
 * The file ends here, and not because it is still being written: CRI_END for a torn record, CRI_BAD
 * for what else is left. Begins again at byte 0, of the next file.
 */
CriEvent cri_line_finish(CriLine *line);
