#pragma once

#include "control/service-manager.h"
#include "monitor/config.h"
#include "util/error.h"

/*
 * What happens before there is a monitor: the engine's word to go, and the fork after which the
 * foreground process has nothing left to do but write down the monitor's pid.
 */

/*
 * Waits for the first message on the engine's start pipe, unless that is -1. The engine sends it
 * when it has moved us to our cgroup. Returns 0, or negative with *error filled, in particular if
 * the engine is gone.
 */
int foreground_wait_for_engine(int start_fd, Error *error);

/*
 * Forks. In the foreground process it returns the exit status to end with (0 or 1; *error filled),
 * after the monitor's pid file is complete. In the monitor it returns -1, once the foreground
 * process has done so. `started_fd` is -1, or, if `report` is true, a descriptor in the monitor to
 * which it writes one int, the exit status of the foreground process, which waits for it. If that
 * is 0, `service` is told which process the monitor is: only from its unit's main process does a
 * service manager take that.
 */
int foreground_detach(const Config *config, bool report, ServiceManager *service, int *started_fd,
                      Error *error);
