#pragma once

#include "ctl/rates.h"

/* The table of `top`. Each column has a word, by which its lines can be sorted. */
typedef struct TopColumn TopColumn;

/* The column of that word, NULL if there is none. */
const TopColumn *top_column(const char *word);

/* All such words with commas between them; to be freed. */
char *top_column_words(void);

/* Sorts the Rates: numbers with the largest first, texts by the alphabet. */
void top_sort(GArray *rates, const TopColumn *column);

/* Appends them as a table, with the columns' names before it if `header`. */
void top_append(const GArray *rates, GString *to, bool header);

/* Prints each as a JSON object on a line; `time`: of the look, in microseconds since 1970. */
void top_print_json(const GArray *rates, int64_t time);
