#pragma once

#include "doctor/finding.h"

/* A finding as sentences, with colours if `colours`. */
void doctor_print(const Finding *finding, bool colours);

/* A finding as one line of JSON. `mended`: --fix has mended it. */
void doctor_print_json(const Finding *finding, bool mended);

/* Text of several lines as it may be shown, each line after `indent`. */
void doctor_print_lines(const char *text, const char *indent);
