#pragma once

#include "doctor/setting.h"

/*
 * Reads a configuration file of systemd (systemd.syntax(7)): a Reader. As systemd does, it passes
 * over lines that are neither a section nor an assignment. GKeyFile would not do: it refuses such
 * files as a whole, and tells no lines.
 */
bool ini_read(const char *text, size_t length, Settings *to, ReadError *error);

/* Reads a file of NAME=VALUE lines as systemd's EnvironmentFile= does, in the main; also a Reader.
 * Quotation marks around a value stay. */
bool environment_read(const char *text, size_t length, Settings *to, ReadError *error);
