#pragma once

#include <stddef.h>

/*
 * Judges the last bytes of a log, of which the first record may be cut: whether they hold no
 * newline, or records of a stream which are all partial ones. Knows the records of k8s-file and CRI
 * ("TIME stdout P TEXT") and of Docker's json-file; what is neither is text. Returns what is
 * without an end as a static string, or NULL.
 */
const char *tail_endless(const char *tail, size_t length);
