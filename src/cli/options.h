#pragma once

#include "monitor/config.h"
#include "state/image.h"

/*
 * Turns the command line into *config: conmon's options, or those of `conward run` if argv[1] is
 * "run". argv is neither changed nor kept.
 *
 * resumed: NULL, or what this image of the program has if it goes on where another one stopped:
 * then nothing is opened or looked for, because all that has been done, and what was there then may
 * be gone.
 *
 * Returns -1 when the caller shall go on with *config, which then owns its strings and the log's
 * descriptor; otherwise the exit status of the process, after everything there is to say has been
 * said. --help does not return but exits with 0: GLib prints it.
 */
int options_parse(int argc, char **argv, const Resumed *resumed, Config *config);
