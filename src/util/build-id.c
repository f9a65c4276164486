#include "util/build-id.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Made by the linker: where the program's own ELF header has been loaded. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static size_t padded(size_t length)
{
    return (length + 3) / 4 * 4;
}

static void print(const uint8_t *bytes, size_t length, char *text, size_t size)
{
    for (size_t i = 0; i < length && 2 * i + 2 < size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

void build_id(char *text, size_t size)
{
    const uint8_t *start = (const uint8_t *)&__ehdr_start;
    const ElfW(Phdr) *segment = (const void *)(start + __ehdr_start.e_phoff);

    text[0] = '\0';
    for (size_t i = 0; i < __ehdr_start.e_phnum; i++, segment++) {
        const uint8_t *at = start + segment->p_vaddr;
        const uint8_t *end = at + segment->p_memsz;

        while (segment->p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *note = (const void *)at;
            const uint8_t *name = at + sizeof(*note);
            const uint8_t *content = name + padded(note->n_namesz);

            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == sizeof(ELF_NOTE_GNU) &&
                memcmp(name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0) {
                print(content, note->n_descsz, text, size);
                return;
            }
            at = content + padded(note->n_descsz);
        }
    }
}
