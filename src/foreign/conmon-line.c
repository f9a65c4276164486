#include "foreign/conmon-line.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

/* The options that engines use to pass on others, such as `--exit-command-arg --log-level`. */
static bool passes_on(const char *word)
{
    static const char *const OPTIONS[] = {"--runtime-arg", "--runtime-opt", "--restore-arg",
                                          "--exit-command-arg"};

    for (size_t i = 0; i < G_N_ELEMENTS(OPTIONS); i++)
        if (strcmp(word, OPTIONS[i]) == 0)
            return true;
    return false;
}

/* The value of an option that is written as "-s VALUE", "--long VALUE" or "--long=VALUE", or NULL.
 */
static const char *value(const char *word, const char *next, const char *short_name,
                         const char *long_name)
{
    size_t length = strlen(long_name);

    if (strcmp(word, short_name) == 0 || strcmp(word, long_name) == 0)
        return next;
    return strncmp(word, long_name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

/* The file of a log driver, "k8s-file:/PATH" or "/PATH"; NULL if it has none. */
static const char *log_file(const char *driver)
{
    static const char BEFORE[] = "k8s-file:";

    if (strncmp(driver, BEFORE, sizeof(BEFORE) - 1) == 0)
        driver += sizeof(BEFORE) - 1;
    return *driver == '/' ? driver : NULL;
}

/* The word at `at` if it has its end, which the last one may have lost: what is read of a command
 * line is bounded. */
static const char *word_at(const char *at, const char *end)
{
    return at < end && memchr(at, '\0', (size_t)(end - at)) != NULL ? at : NULL;
}

ConmonLine conmon_line_read(const char *words, size_t length)
{
    static const ConmonLine NOTHING = {NULL, NULL, NULL};
    ConmonLine line = NOTHING;
    const char *end = words + length;
    const char *word, *next, *given;

    for (word = word_at(words, end); word != NULL; word = next) {
        next = word_at(word + strlen(word) + 1, end);
        if (strcmp(word, "-e") == 0 || strcmp(word, "--exec") == 0)
            return NOTHING;
        if ((given = value(word, next, "-c", "--cid")) != NULL)
            line.id = given;
        else if ((given = value(word, next, "-n", "--name")) != NULL)
            line.name = given;
        else if ((given = value(word, next, "-l", "--log-path")) != NULL && line.log == NULL)
            line.log = log_file(given);
        if (next != NULL && (given == next || passes_on(word)))
            next = word_at(next + strlen(next) + 1, end);
    }
    return line;
}
