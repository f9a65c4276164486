#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The whole of a terminal, drawn anew again and again. Only sequences are used that each terminal
 * of today knows, so that no description of terminals is needed.
 */
typedef struct Screen Screen;

/* What ends a wait. */
typedef enum ScreenEvent {
    SCREEN_TIME,   /* the time has come */
    SCREEN_REDRAW, /* its size has changed, or its user is back */
    SCREEN_LEAVE,  /* the user has had enough */
} ScreenEvent;

/*
 * Takes the terminal that is standard output, and standard input if that is one, too. Returns NULL
 * after saying why if that cannot be. What is said on standard error does not show until
 * screen_close(), if it would on a terminal: it would be written across.
 */
Screen *screen_open(void);

/*
 * Gives the terminal back as it was. If a signal that ends programs has ended the last wait, it
 * then ends this one; except for SIGINT, which is a way to leave as good as any.
 */
void screen_close(Screen *screen);

/* Shows the text from its beginning, as far as there is room. */
void screen_draw(Screen *screen, const char *text);

/* Waits until `until`, on CLOCK_BOOTTIME in microseconds, or for what the user does before. */
ScreenEvent screen_wait(Screen *screen, int64_t until);

/* Appends the beginning of `text` that has room in so many lines and columns, with the sequences
 * that clear what was there. Characters of double width count as such. */
void screen_append_fitting(GString *to, const char *text, unsigned rows, unsigned columns);
