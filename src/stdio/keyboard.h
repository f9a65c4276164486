#pragma once

#include "stdio/feed.h"

/*
 * Our own standard input, for a terminal made by `conward run -t`: what is typed goes to the feed.
 * If it is a terminal, it is set so that every key arrives as it is typed; the settings from before
 * are kept on the page until they are set again at the end.
 */
typedef struct Keyboard {
    State *state;
    Feed *feed;
    int fd;
    guint source;
} Keyboard;

#define KEYBOARD_NULL \
    {                 \
        .fd = -1      \
    }

/* Begins to read. A terminal of which we are in the background is left alone. */
void keyboard_init(Keyboard *keyboard, State *state, Feed *feed);

/* Goes on where another image of this program has stopped. */
void keyboard_adopt(Keyboard *keyboard, State *state, Feed *feed);

/* The feed has room again. */
void keyboard_read_again(Keyboard *keyboard);

/* Sets the terminal as it was, if it is not. Safe to repeat, also by who has no Keyboard. */
void keyboard_give_back(State *state);

/* Stops reading. Safe to repeat. */
void keyboard_deinit(Keyboard *keyboard);

/* The window size of our terminal: rows << 16 | columns, 0 if there is none. */
uint32_t keyboard_window(void);
