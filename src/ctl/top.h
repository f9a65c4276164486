#pragma once

/* The command `top`: see ctl/command.h. */
int top_run(int argc, char **argv);
