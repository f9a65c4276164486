#pragma once

#include "doctor/setting.h"

/*
 * Reads one document of YAML, and so of JSON, with libyaml: a Reader. JSON goes this way, too,
 * since libyaml tells the line of each value and is bounded in depth, which the JSON libraries of
 * Debian 12 are not both. Anchors are beyond it.
 */
bool yaml_read(const char *text, size_t length, Settings *to, ReadError *error);
