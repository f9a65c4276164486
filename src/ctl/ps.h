#pragma once

/* The commands `ps` and `stats`: see ctl/command.h. */
int ps_run(int argc, char **argv);
int stats_run(int argc, char **argv);
