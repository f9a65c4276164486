#include "ctl/cri-line.h"

#include "suite.h"

#include <stdio.h>
#include <string.h>

enum {
    CASES = 100000,
    INPUT_MAX = 2000,
    TEXT_MAX = 3 * INPUT_MAX,
};

/* xorshift: the same cases in every run, so that a failure can be seen again. */
typedef struct Random {
    uint64_t state;
} Random;

static uint32_t below(Random *random, uint32_t limit)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return (uint32_t)(random->state >> 33) % limit;
}

/* ck_assert notes every call, also one that holds: too slow for millions of them. */
#define require(condition)                                 \
    do {                                                   \
        if (!(condition))                                  \
            ck_abort_msg("does not hold: %s", #condition); \
    } while (0)

/* Events as text: a record is [STREAM TAG:CONTENT], a torn one has no bracket at its end, and ! is
 * a line that is no record. */
typedef struct Told {
    char text[TEXT_MAX];
    size_t length;
} Told;

static void tell(Told *told, const void *text, size_t length)
{
    require(told->length + length < sizeof(told->text));
    memcpy(told->text + told->length, text, length);
    told->length += length;
}

/* Reads what is in `bytes`, of which nothing behind them may be touched. */
static void feed(CriLine *line, Told *told, const uint8_t *bytes, size_t length)
{
    uint8_t *exact = malloc(length); /* valgrind and ASan see who looks further */
    CriBytes input = {exact, length};
    CriBytes content;
    CriEvent event;
    uint64_t before = line->at;

    require(exact != NULL);
    memcpy(exact, bytes, length);
    while ((event = cri_line_next(line, &input, &content)) != CRI_NOTHING) {
        if (event == CRI_BEGIN) {
            char head[] = {'[', line->header.stream == 0 ? 'o' : 'e',
                           line->header.partial ? 'P' : 'F', ':'};

            tell(told, head, sizeof(head));
        } else if (event == CRI_CONTENT) {
            require(content.length > 0);
            tell(told, content.bytes, content.length);
        } else {
            tell(told, event == CRI_END ? "]" : "!", 1);
            require(line->start == line->at);
        }
    }
    require(input.length == 0);
    require(line->at == before + length);
    free(exact);
}

static const char *told_of(const char *input)
{
    static Told told;
    CriLine line;

    told.length = 0;
    cri_line_init(&line, 0);
    feed(&line, &told, (const uint8_t *)input, strlen(input));
    told.text[told.length] = '\0';
    return told.text;
}

#define T "2026-08-21T09:05:07.000123456+02:00 "

START_TEST(records_are_told)
{
    ck_assert_str_eq(told_of(T "stdout F some text\n"), "[oF:some text]");
    ck_assert_str_eq(told_of(T "stderr P a\n" T "stdout F \n"), "[eP:a][oF:]");
    ck_assert_str_eq(told_of(T "stdout F  two  spaces \n"), "[oF: two  spaces ]");
    ck_assert_str_eq(told_of("2026-08-21T09:05:07Z stdout F a\n"), "[oF:a]");
    ck_assert_str_eq(told_of("2026-08-21T09:05:07.5Z stdout P:later a\n"), "[oP:a]");
    ck_assert_str_eq(told_of(T "stdout F: a\n"), "[oF:a]");
    ck_assert_str_eq(told_of(T "stdout F torn"), "[oF:torn");
    ck_assert_str_eq(told_of(T "stdout F"), "");
}
END_TEST

START_TEST(what_is_no_record_is_passed_over)
{
    ck_assert_str_eq(told_of("\n"), "!");
    ck_assert_str_eq(told_of("   \n"), "!");
    ck_assert_str_eq(told_of(T "stdout F\n" T "stdout F a\n"), "![oF:a]");
    ck_assert_str_eq(told_of(T "stdin F a\n"), "!");
    ck_assert_str_eq(told_of(T "stdout G a\n"), "!");
    ck_assert_str_eq(told_of(T "stdout  F a\n"), "!");
    ck_assert_str_eq(told_of(T "stdout FP a\n"), "!");
    ck_assert_str_eq(told_of(" " T "stdout F a\n"), "!");
    ck_assert_str_eq(told_of("2026-08-21T09:05:07 stdout F a\n"), "!");
    ck_assert_str_eq(told_of("2026-13-21T09:05:07Z stdout F a\n"), "!");
    ck_assert_str_eq(told_of("{\"log\":\"docker\\n\"}\n"), "!");
}
END_TEST

START_TEST(a_header_is_not_longer_than_its_limit)
{
    char input[3 * CRI_HEADER_MAX];

    for (int tags = 1; tags < CRI_HEADER_MAX; tags++) {
        int length = snprintf(input, sizeof(input), "%sstdout F:%0*d ", T, tags, 0);

        snprintf(input + length, sizeof(input) - (size_t)length, "a\n");
        ck_assert_str_eq(told_of(input), length <= CRI_HEADER_MAX ? "[oF:a]" : "!");
    }
}
END_TEST

START_TEST(the_end_of_a_file_ends_what_is_open)
{
    static const struct {
        const char *input;
        CriEvent event;
    } CASE[] = {
        {"", CRI_NOTHING},        {T "stdout F a\n", CRI_NOTHING}, {T "stdout F a", CRI_END},
        {T "stdout P ", CRI_END}, {T "stdout", CRI_BAD},           {"garbage x y z", CRI_BAD},
    };
    Told told;

    for (size_t i = 0; i < sizeof(CASE) / sizeof(CASE[0]); i++) {
        CriLine line;

        told.length = 0;
        cri_line_init(&line, 0);
        feed(&line, &told, (const uint8_t *)CASE[i].input, strlen(CASE[i].input));
        ck_assert_int_eq(cri_line_finish(&line), CASE[i].event);
        ck_assert_uint_eq(line.at, 0);
        ck_assert_int_eq(cri_line_finish(&line), CRI_NOTHING);
    }
}
END_TEST

/* Pieces that make records, nearly records, and nothing at all. */
static size_t make_input(Random *random, uint8_t *input)
{
    static const char *const PIECES[] = {
        T "stdout F ",
        T "stderr P ",
        "2026-08-21T07:05:07.1Z stderr F:x:y ",
        T,
        "stdout ",
        "F ",
        "P ",
        "\n",
        "\n",
        " ",
        "text",
    };
    size_t length = 0;
    uint32_t pieces = below(random, 30);

    for (uint32_t i = 0; i < pieces; i++) {
        uint32_t kind = below(random, sizeof(PIECES) / sizeof(PIECES[0]) + 2);

        if (kind < sizeof(PIECES) / sizeof(PIECES[0])) {
            memcpy(input + length, PIECES[kind], strlen(PIECES[kind]));
            length += strlen(PIECES[kind]);
        } else if (below(random, 10) == 0) {
            memset(input + length, 'x', CRI_HEADER_MAX);
            length += CRI_HEADER_MAX;
        } else {
            input[length++] = (uint8_t)below(random, 256);
        }
        if (length + CRI_HEADER_MAX > INPUT_MAX)
            break;
    }
    return length;
}

START_TEST(any_cut_tells_the_same)
{
    static uint8_t input[INPUT_MAX];
    static Told whole;
    static Told cut;
    Random random = {88172645463325252};

    for (int i = 0; i < CASES; i++) {
        size_t length = make_input(&random, input);
        uint32_t longest = 1 + below(&random, i % 2 == 0 ? 8 : 400);
        CriLine line;
        CriEvent end;

        whole.length = 0;
        cri_line_init(&line, 0);
        feed(&line, &whole, input, length);
        end = cri_line_finish(&line);

        cut.length = 0;
        cri_line_init(&line, 0);
        for (size_t at = 0; at < length;) {
            size_t part = 1 + below(&random, longest);

            part = part < length - at ? part : length - at;
            feed(&line, &cut, input + at, part);
            at += part;
        }
        require(cut.length == whole.length && memcmp(cut.text, whole.text, cut.length) == 0);
        require(cri_line_finish(&line) == end);
    }
}
END_TEST

SUITE("cri-line", records_are_told, what_is_no_record_is_passed_over,
      a_header_is_not_longer_than_its_limit, the_end_of_a_file_ends_what_is_open,
      any_cut_tells_the_same)
