#pragma once

/* The command `culprit`: see ctl/command.h. */
int culprit_run(int argc, char **argv);
