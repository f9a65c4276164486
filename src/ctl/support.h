#pragma once

/* The command `support`: see ctl/command.h. */
int support_run(int argc, char **argv);
