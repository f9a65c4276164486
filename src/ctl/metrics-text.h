#pragma once

#include "ctl/monitors.h"

#include <stdio.h>

/*
 * Writes every figure of every monitor in the Prometheus text format (version 0.0.4), which is what
 * node_exporter's textfile collector reads. No two lines are of the same series, whatever the pages
 * say: the collector would refuse them all. Errors are left in `to` for ferror().
 */
void metrics_write(const Monitors *monitors, FILE *to);
