#pragma once

/* The command `metrics`: see ctl/command.h. */
int metrics_run(int argc, char **argv);
