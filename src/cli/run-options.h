#pragma once

#include "monitor/config.h"
#include "state/image.h"

/*
 * The command line of `conward run`, argv[1] being that word. Contract as options_parse(), but the
 * exit status of an error is 2, so that it is not taken for the 1 of a command that ran.
 */
int run_options_parse(int argc, char **argv, const Resumed *resumed, Config *config);
