#pragma once

#include "ctl/log-reader.h"

/* log_read() for a container whose log is in the journal. */
int journal_read(const LogWish *wish);
