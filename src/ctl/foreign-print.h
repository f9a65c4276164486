#pragma once

#include "foreign/judgement.h"

#include <stdbool.h>

/* Prints a suspect as sentences - what it is, the evidence, what to do - or as a line of JSON. */
void foreign_print(const Suspect *suspect, const Judgement *judgement, bool json);
