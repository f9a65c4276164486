#pragma once

/* The commands `set` and `reopen`: see ctl/command.h. */
int set_run(int argc, char **argv);
int reopen_run(int argc, char **argv);
