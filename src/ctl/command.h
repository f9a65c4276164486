#pragma once

/* Exit statuses of conwardctl, the same for every command. */
typedef enum CtlStatus {
    CTL_OK = 0,
    CTL_FOUND = 1, /* culprit, doctor: there is something to mend */
    CTL_WRONG = 2, /* the command line is wrong: nothing was done */
    CTL_FAILED =
        3, /* the command line is right, but it could not be done; standard error says why */
} CtlStatus;

/* A command of conwardctl. `run` gets the arguments from the command's own name on, as main would,
 * and returns a CtlStatus. */
typedef struct Command {
    const char *name;
    const char *summary; /* for --help: one line, without a full stop */
    int (*run)(int argc, char **argv);
} Command;
