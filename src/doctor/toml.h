#pragma once

#include "doctor/setting.h"

/*
 * Reads TOML 1.0: a Reader. It is stricter than the programs whose files it reads, and tells where
 * it gives up. Debian 12 has no library for TOML in C.
 */
bool toml_read(const char *text, size_t length, Settings *to, ReadError *error);
