#pragma once

#include "ctl/log-files.h"
#include "ctl/tail-count.h"

/*
 * Finds where the last `lines` lines of the wanted records begin, for each stream on its own: the
 * records of a stream that do not begin before starts[stream] are these lines. What ends with a
 * full record is a line, and so is what has not ended yet; a line is as late as its last record.
 *
 * Plain files are read backwards in blocks, only as far as needed. Memory does not depend on the
 * number of lines, or on their length. Returns where reading must begin to meet all of them: at the
 * beginning of a line, somewhat before them.
 */
LogPlace log_tail(LogFiles *list, const LogChoice *choice, uint64_t lines, LogPlace starts[2]);
