#include "log/splitter.h"

#include "suite.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    CASES = 250000,
    INPUT_MAX = 400,
    RECORDS_MAX = 2 * INPUT_MAX,
    BACK_MOST = 64, /* bytes that a cut steps back at most, over blanks */
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

typedef struct Record {
    bool full;
    bool flushed; /* came from SPLIT_FLUSH or SPLIT_END */
    size_t at;
    size_t length;
} Record;

typedef struct Run {
    Record records[RECORDS_MAX];
    size_t count;
    size_t taken; /* bytes of the input that records hold */
} Run;

static void take(Run *run, const uint8_t *input, size_t end, size_t *scanned, size_t limit,
                 SplitMode mode)
{
    for (;;) {
        size_t known = *scanned > run->taken ? *scanned - run->taken : 0;
        Split split = splitter_next(input + run->taken, end - run->taken, known, limit, mode);

        if (split.tag == SPLIT_MORE) {
            *scanned = end;
            return;
        }
        require(run->count < RECORDS_MAX);
        run->records[run->count++] = (Record){
            .full = split.tag == SPLIT_FULL,
            .flushed = mode != SPLIT_WAIT,
            .at = run->taken,
            .length = split.length,
        };
        run->taken += split.length + (split.tag == SPLIT_FULL);
    }
}

/* Feeds the input in random pieces; flush is the chance in 256 that a piece is flushed. */
static void split_all(Run *run, Random *random, const uint8_t *input, size_t size, size_t limit,
                      uint32_t flush)
{
    size_t end = 0;
    size_t scanned = 0;

    run->count = 0;
    run->taken = 0;
    while (end < size) {
        size_t piece = 1 + below(random, below(random, 2) ? 3 : INPUT_MAX);

        end = piece < size - end ? end + piece : size;
        take(run, input, end, &scanned, limit, SPLIT_WAIT);
        if (below(random, 256) < flush)
            take(run, input, end, &scanned, limit, SPLIT_FLUSH);
        if (below(random, 8) == 0)
            scanned = 0; /* knowing less changes nothing */
    }
    take(run, input, end, &scanned, limit, SPLIT_END);
}

static size_t random_input(Random *random, uint8_t *input)
{
    static const char *const pieces[] = {"\n",
                                         "\r\n",
                                         "a",
                                         "bc",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xed\x9f\xbf",
                                         "\xf0\x9f\x98\x80",
                                         "\xc3",
                                         "\x80",
                                         "\xe2\x82",
                                         "\xf0\x9f\x98",
                                         "\xff",
                                         "\xed\xa0\x80",
                                         "\xc0\xaf",
                                         " ",
                                         "\t \r\v\f",
                                         "plain words "};
    size_t wanted = below(random, INPUT_MAX - 16);
    uint32_t blanks = below(random, 4) == 0 ? 200 : 4; /* in some, there is hardly anything else */
    size_t size = 0;

    while (size < wanted) {
        uint32_t which = below(random, 24);

        if (which < sizeof(pieces) / sizeof(pieces[0])) {
            size_t length = strlen(pieces[which]);

            memcpy(input + size, pieces[which], length);
            size += length;
        } else if (which < 20) {
            input[size++] = (uint8_t)below(random, 256); /* NUL included */
        } else if (below(random, 256) < blanks) {
            input[size++] = ' ';
        } else {
            input[size++] = 'x'; /* long lines are wanted more than short ones */
        }
    }
    return size;
}

static void check_joined(const Run *run, const uint8_t *input, size_t size)
{
    uint8_t joined[INPUT_MAX + RECORDS_MAX];
    size_t used = 0;

    for (size_t i = 0; i < run->count; i++) {
        memcpy(joined + used, input + run->records[i].at, run->records[i].length);
        used += run->records[i].length;
        if (run->records[i].full)
            joined[used++] = '\n';
    }
    require(used == size);
    require(memcmp(joined, input, size) == 0);
}

/* An independent look at UTF-8: the length of the valid sequence at `at`, 0 if there is none. */
static size_t sequence_at(const uint8_t *input, size_t size, size_t at)
{
    uint32_t code;
    size_t length;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    if (input[at] < 0x80)
        return 1;
    length = input[at] >= 0xf0 ? 4 : input[at] >= 0xe0 ? 3 : 2;
    if (input[at] < 0xc0 || input[at] > 0xf7 || at + length > size)
        return 0;
    code = input[at] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((input[at + i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (input[at + i] & 0x3f);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return length;
}

static bool is_inside_sequence(const uint8_t *input, size_t size, size_t cut)
{
    for (size_t back = 1; back <= 3 && back <= cut; back++) {
        if (sequence_at(input, size, cut - back) > back)
            return true;
    }
    return false;
}

static bool is_blank(uint8_t byte)
{
    return byte != '\0' && strchr(" \t\r\v\f", byte) != NULL;
}

/* Whether readers that trim records lose nothing of a line that is cut there. */
static bool is_clean(const uint8_t *input, size_t cut)
{
    return !is_blank(input[cut - 1]) && !is_blank(input[cut]);
}

/* A record that was cut at the limit, although a reader loses blanks there: if there was no better
 * place. */
static void check_blanks(const uint8_t *input, const Record *record, size_t limit)
{
    uint8_t bytes[INPUT_MAX + 2];

    if (is_clean(input + record->at, record->length))
        return;
    /* A sequence that may still become valid is one. */
    memcpy(bytes, input + record->at, limit + 1);
    memset(bytes + limit + 1, 0x80, 2);
    for (size_t back = 0; back <= BACK_MOST && back < limit; back++)
        require(is_inside_sequence(bytes, limit + 3, limit - back) ||
                !is_clean(bytes, limit - back));
    require(record->length > limit - 4);
}

static void check_records(const Run *run, const uint8_t *input, size_t size, size_t limit)
{
    for (size_t i = 0; i < run->count; i++) {
        const Record *record = &run->records[i];
        size_t end = record->at + record->length;

        require(record->length <= limit);
        require(memchr(input + record->at, '\n', record->length) == NULL);
        if (record->full)
            continue;
        require(record->length > 0);
        if (end < size)
            require(!is_inside_sequence(input, size, end));
        if (!record->flushed) {
            require(record->length + BACK_MOST >= limit);
            require(end < size);
            check_blanks(input, record, limit);
            if (record->length == limit)
                require(input[end] != '\n');
        }
    }
}

/* Without the flush timer, a line that fits is one full record however it arrived. */
static void check_lines_whole(const Run *run, const uint8_t *input, size_t size, size_t limit)
{
    size_t i = 0;

    for (size_t at = 0; at < size;) {
        const uint8_t *newline = memchr(input + at, '\n', size - at);
        size_t length = newline != NULL ? (size_t)(newline - input) - at : size - at;

        require(i < run->count);
        require(run->records[i].at == at);
        if (length <= limit) {
            require(run->records[i].length == length);
            require(run->records[i].full == (newline != NULL));
        }
        at += length + (newline != NULL);
        while (i < run->count && run->records[i].at < at)
            i++;
    }
    require(i == run->count);
}

/* What was read at once does not decide where a line is cut. */
static void check_independent(const Run *run, Random *random, const uint8_t *input, size_t size,
                              size_t limit)
{
    static Run other;

    split_all(&other, random, input, size, limit, 0);
    require(other.count == run->count);
    for (size_t i = 0; i < run->count; i++) {
        require(other.records[i].full == run->records[i].full);
        require(other.records[i].at == run->records[i].at);
    }
}

START_TEST(every_input_comes_back)
{
    Random random = {.state = 88172645463325252U};
    static Run run;

    for (int n = 0; n < CASES; n++) {
        static const size_t limits[] = {4, 5, 7, 16, 63, 70, 100, 256};
        size_t limit = limits[below(&random, 8)];
        uint32_t flush = below(&random, 2) ? 0 : below(&random, 128);
        uint8_t input[INPUT_MAX];
        size_t size = random_input(&random, input);

        split_all(&run, &random, input, size, limit, flush);
        check_joined(&run, input, size);
        check_records(&run, input, size, limit);
        if (flush == 0) {
            check_lines_whole(&run, input, size, limit);
            check_independent(&run, &random, input, size, limit);
        }
    }
}
END_TEST

static Split split_text(const char *text, size_t limit, SplitMode mode)
{
    return splitter_next((const uint8_t *)text, strlen(text), 0, limit, mode);
}

static void check_split(Split split, SplitTag tag, size_t length)
{
    ck_assert_int_eq(split.tag, tag);
    ck_assert_uint_eq(split.length, length);
}

START_TEST(a_line_of_the_limit_is_whole)
{
    check_split(split_text("12345678\n", 8, SPLIT_WAIT), SPLIT_FULL, 8);
    check_split(split_text("12345678", 8, SPLIT_WAIT), SPLIT_MORE, 0);
    check_split(split_text("123456789", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    check_split(split_text("123456789\n", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
}
END_TEST

START_TEST(an_empty_line_is_an_empty_full_record)
{
    check_split(split_text("\n", 8, SPLIT_WAIT), SPLIT_FULL, 0);
    check_split(split_text("", 8, SPLIT_END), SPLIT_MORE, 0);
}
END_TEST

START_TEST(a_flush_keeps_a_character_whole)
{
    check_split(split_text("ab\xe2\x82", 8, SPLIT_FLUSH), SPLIT_PARTIAL, 2);
    check_split(split_text("\xe2\x82", 8, SPLIT_FLUSH), SPLIT_MORE, 0);
    check_split(split_text("\xe2\x82", 8, SPLIT_END), SPLIT_PARTIAL, 2);
    check_split(split_text("ab\xe2\x82\xac", 8, SPLIT_FLUSH), SPLIT_PARTIAL, 5);
}
END_TEST

START_TEST(invalid_bytes_do_not_move_a_cut)
{
    check_split(split_text("1234567\xff\x80", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    check_split(split_text("1234567\x80\x80", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    check_split(split_text("123456\xe2\x28\xa1", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    check_split(split_text("123456\xed\xa0\x80", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    check_split(split_text("123456\xe0\x9f\x80", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    check_split(split_text("123456\xf4\x90\x80\x80", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    check_split(split_text("123456\xf0\x8f\x80\x80", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    check_split(split_text("1234567\xc0\xaf", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    check_split(split_text("1234567\xc3\xa9", 8, SPLIT_WAIT), SPLIT_PARTIAL, 7);
    check_split(split_text("12345\xf0\x9f\x98\x80", 8, SPLIT_WAIT), SPLIT_PARTIAL, 5);
}
END_TEST

START_TEST(a_cut_keeps_off_blanks)
{
    check_split(split_text("1234567 9", 8, SPLIT_WAIT), SPLIT_PARTIAL, 6);
    check_split(split_text("12345678 ", 8, SPLIT_WAIT), SPLIT_PARTIAL, 7);
    check_split(split_text("12345   9", 8, SPLIT_WAIT), SPLIT_PARTIAL, 4);
    check_split(split_text("123456\t\r9", 8, SPLIT_WAIT), SPLIT_PARTIAL, 5);
    check_split(split_text("123456\v\f9", 8, SPLIT_WAIT), SPLIT_PARTIAL, 5);
    check_split(split_text("1 23456\v\b", 8, SPLIT_WAIT), SPLIT_PARTIAL, 6);
    check_split(split_text("123\xe2\x82\xac  ", 7, SPLIT_WAIT), SPLIT_PARTIAL, 3);
    check_split(split_text("12345678", 8, SPLIT_END), SPLIT_PARTIAL, 8);
}
END_TEST

START_TEST(blanks_without_end_are_cut_at_the_limit)
{
    char line[202];

    check_split(split_text("1        ", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    check_split(split_text("a b c d e", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
    memset(line, ' ', sizeof(line));
    memset(line, 'x', 137);
    check_split(splitter_next((uint8_t *)line, 201, 0, 200, SPLIT_WAIT), SPLIT_PARTIAL, 136);
    memset(line, 'x', 136);
    line[136] = ' ';
    check_split(splitter_next((uint8_t *)line, 201, 0, 200, SPLIT_WAIT), SPLIT_PARTIAL, 200);
}
END_TEST

/* What shows because its line waits shows as a whole: a prompt ends with a blank. */
START_TEST(a_flush_shows_blanks)
{
    check_split(split_text("Password: ", 16, SPLIT_FLUSH), SPLIT_PARTIAL, 10);
    check_split(split_text("  ", 16, SPLIT_END), SPLIT_PARTIAL, 2);
}
END_TEST

/* One byte behind the limit says enough, also where a later one would say that there is no
 * character. */
START_TEST(a_cut_does_not_depend_on_what_is_behind_it)
{
    check_split(split_text("1234567\xf0\x9f", 8, SPLIT_WAIT), SPLIT_PARTIAL, 7);
    check_split(split_text("1234567\xf0\x9f-", 8, SPLIT_WAIT), SPLIT_PARTIAL, 7);
    check_split(split_text("1234567\xf0-", 8, SPLIT_WAIT), SPLIT_PARTIAL, 8);
}
END_TEST

/* Whether a character may begin with these two bytes. */
static bool begins_character(uint8_t first, uint8_t second)
{
    const char bytes[] = {(char)first, (char)second, (char)0x80, (char)0x80};
    bool may = false;

    for (gssize length = 2; length <= 4; length++)
        may = may || g_utf8_validate(bytes, length, NULL);
    return may;
}

/* All pairs of bytes at a cut, the first one 1 to 3 bytes before it: another opinion says whether a
 * character spans the cut. */
START_TEST(each_character_is_known_by_its_first_bytes)
{
    enum { LIMIT = 16 };

    for (size_t back = 1; back <= 3; back++) {
        for (unsigned pair = 0x8000; pair <= 0xffff; pair++) {
            uint8_t bytes[LIMIT + 1];
            uint8_t first = (uint8_t)(pair >> 8);
            uint8_t second = (uint8_t)pair;
            size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
            bool spans = length > back && begins_character(first, second);
            Split split;

            /* A newline ends the line, a blank moves the cut, and so may another first byte. */
            if (second < 0x21 || (second >= 0xc0 && back > 1))
                continue;
            memset(bytes, 0x80, sizeof(bytes));
            memset(bytes, 'x', LIMIT - back);
            bytes[LIMIT - back] = first;
            bytes[LIMIT - back + 1] = second;
            split = splitter_next(bytes, sizeof(bytes), 0, LIMIT, SPLIT_WAIT);
            if (split.tag != SPLIT_PARTIAL || split.length != (spans ? LIMIT - back : LIMIT))
                ck_abort_msg("%02x %02x, %zu bytes before: %zu", first, second, back, split.length);
        }
    }
}
END_TEST

/* Nothing is known of the end of a read yet: what may become a character waits, all else does not.
 */
START_TEST(each_first_byte_waits_for_its_character)
{
    for (unsigned first = 0x80; first <= 0xff; first++) {
        const uint8_t bytes[] = {'x', (uint8_t)first};
        Split split = splitter_next(bytes, sizeof(bytes), 0, 16, SPLIT_FLUSH);
        bool waits = first >= 0xc2 && first <= 0xf4;

        ck_assert_int_eq(split.tag, SPLIT_PARTIAL);
        ck_assert_msg(split.length == (waits ? 1 : 2), "%02x", first);
    }
}
END_TEST

SUITE("splitter", each_character_is_known_by_its_first_bytes,
      each_first_byte_waits_for_its_character, every_input_comes_back, a_line_of_the_limit_is_whole,
      an_empty_line_is_an_empty_full_record, a_flush_keeps_a_character_whole,
      invalid_bytes_do_not_move_a_cut, a_cut_keeps_off_blanks,
      blanks_without_end_are_cut_at_the_limit, a_flush_shows_blanks,
      a_cut_does_not_depend_on_what_is_behind_it)
