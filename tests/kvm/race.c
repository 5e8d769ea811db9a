/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One CPU uses a window while another one changes it.
 *
 *   race DEVICE BAR WORDS ROUNDS CHANGE FIRST [SECOND]
 *
 *   DEVICE         directory of the function in sysfs
 *   BAR            number of the window's BAR, with 64 bits
 *   WORDS          of 8 bytes, how many of the window to use
 *   CHANGE         what happens in each of ROUNDS:
 *                    move    the window leads to SECOND, or back to FIRST
 *                    close   the window closes, or opens
 *                    bar     the BAR goes to another address, or back
 *                    wait    nothing; ends when /tmp/stop is there
 *   FIRST, SECOND  addresses of memory in the other guest
 *
 * A line of output: how often the reader found a word of the first and of the
 * second memory, ones, and anything else; how many words it stored, and how
 * many of them are in neither memory afterwards.
 */

#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define BAR_HIGH(bar) (0x14 + 4 * (bar))
#define LIMIT(bar) ((0x474 + 0x10 * (bar)) / 4)
#define LTBASE(bar) ((0x478 + 0x10 * (bar)) / 4)

static volatile uint32_t *registers;
static volatile uint64_t *window;
static unsigned long words, stored;
static unsigned long seen[2], ones, bad;
static atomic_bool stop;

/* Neither zeros nor ones; the lower half of each memory has it */
static uint64_t pattern(unsigned memory, unsigned long word)
{
    return (uint64_t)(memory + 1) << 56 | word;
}

/* Reads the lower half, and stores to each word of the upper half once. */
static void *use_window(void *unused)
{
    unsigned long word = 0;

    (void)unused;
    while (!stop) {
        uint64_t value;

        word = (word + 509) % (words / 2);
        value = window[word];
        if (value == pattern(0, word)) {
            seen[0]++;
        } else if (value == pattern(1, word)) {
            seen[1]++;
        } else if (value == UINT64_MAX) {
            ones++;
        } else {
            if (!bad++) {
                printf("# word %lu is %#llx\n", word,
                       (unsigned long long)value);
            }
        }
        if (stored < words / 2) {
            window[words / 2 + stored] = pattern(2, stored);
            stored++;
        }
    }
    return NULL;
}

static volatile void *map(const char *name, size_t size)
{
    int fd = open(name, O_RDWR | O_SYNC);
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd < 0 || at == MAP_FAILED) {
        err(1, "%s", name);
    }
    return at;
}

static int config;
static uint32_t limit, bar_high;
static unsigned bar;
static unsigned long addr[2];

static void move_window(bool other)
{
    registers[LTBASE(bar)] = addr[other];
}

static void close_window(bool other)
{
    registers[LIMIT(bar)] = other ? 0 : limit;
}

static void move_bar(bool other)
{
    uint32_t value = bar_high + other;

    if (pwrite(config, &value, 4, BAR_HIGH(bar)) != 4) {
        err(1, "BAR");
    }
}

static void wait_for_stop(bool other)
{
    (void)other;
    while (access("/tmp/stop", F_OK)) {
        usleep(10000);
    }
}

static const struct {
    const char *name;
    void (*change)(bool other);
} changes[] = {
    { "move", move_window },
    { "close", close_window },
    { "bar", move_bar },
    { "wait", wait_for_stop },
};

/* Makes the memory at @addr[number] known. */
static void fill(unsigned number)
{
    move_window(number);
    for (unsigned long word = 0; word < words; word++) {
        window[word] = word < words / 2 ? pattern(number, word) : 0;
    }
}

/* Returns: how many words are in neither of the @memories. */
static unsigned long count_lost(unsigned memories)
{
    char *arrived = calloc(1, stored + 1);
    unsigned long lost = 0;

    for (unsigned i = 0; i < memories; i++) {
        move_window(i);
        for (unsigned long word = 0; word < stored; word++) {
            arrived[word] |= window[words / 2 + word] == pattern(2, word);
        }
    }
    for (unsigned long word = 0; word < stored; word++) {
        lost += !arrived[word];
    }
    free(arrived);
    return lost;
}

static volatile void *map_resource(const char *device, unsigned number,
                                   size_t size)
{
    char name[200];

    snprintf(name, sizeof(name), "%s/resource%u", device, number);
    return map(name, size);
}

int main(int argc, char **argv)
{
    unsigned memories = argc - 6, kind = 0;
    pthread_t user;
    char name[200];
    long rounds;

    if (argc < 7 || argc > 8) {
        errx(2, "see the comment in the source");
    }
    bar = atoi(argv[2]);
    words = atol(argv[3]);
    rounds = atol(argv[4]);
    while (strcmp(changes[kind].name, argv[5])) {
        kind++;
    }
    registers = map_resource(argv[1], 0, PAGE);
    window = map_resource(argv[1], bar, words * 8);
    snprintf(name, sizeof(name), "%s/config", argv[1]);
    config = open(name, O_RDWR);
    if (config < 0 || pread(config, &bar_high, 4, BAR_HIGH(bar)) != 4) {
        err(1, "%s", name);
    }
    limit = registers[LIMIT(bar)];
    for (unsigned i = memories; i-- > 0; ) {
        addr[i] = strtoul(argv[6 + i], NULL, 0);
        fill(i);
    }
    pthread_create(&user, NULL, use_window, NULL);
    for (long round = 1; round <= rounds; round++) {
        changes[kind].change(round % 2);
        /* Map it while the other CPU finds nothing mapped */
        (void)window[0];
    }
    stop = true;
    pthread_join(user, NULL);
    changes[kind].change(false);
    printf("first %lu second %lu ones %lu bad %lu stored %lu lost %lu\n",
           seen[0], seen[1], ones, bad, stored, count_lost(memories));
    return 0;
}
