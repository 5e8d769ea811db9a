/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast is one piece of memory against another?
 *
 *   membench OPERATIONS SIZES SLICE BUDGET TARGET...
 *
 *   OPERATIONS  write,read,copy,movs,stores
 *   SIZES       bytes, e.g. 8,4096,67108864
 *   SLICE       milliseconds that one target is measured at a stretch
 *   BUDGET      milliseconds for all slices of one operation and size
 *   TARGET      ram=- for memory of this process, or NAME=FILE, a file to map:
 *               a PCI BAR in sysfs
 *
 * The targets take turns, so that what disturbs the machine for longer than a
 * slice disturbs all of them.  A line of output for each operation, size and
 * target: their names, and the nanoseconds of one pass over SIZE bytes in each
 * round.  Lines that begin with # are remarks.
 */

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MAX_TARGETS 4
#define MAX_ROUNDS 301
#define MIN_ROUNDS 5
#define CALIBRATIONS 3
#define PAGE 4096
/*
 * Each target lies in a room of its own, some pages off the start: a TLB picks
 * its entry by low bits of the page number, and source and target of a copy
 * must not drive each other out in one target more than in another.
 */
#define ROOM (256ul << 20)
#define SKEW (37 * PAGE)

typedef volatile uint64_t word;

struct target {
    const char *name;
    char *memory;
    unsigned long passes;
    double ns[MAX_ROUNDS];
};

static char *source;

/* Passes whose last store did not arrive */
static unsigned long lost;

/*
 * Under emulation, a jump to another page and an indirect call cost more than a
 * small pass, and not always the same: so the passes are counted in here, and
 * no loop of ours lies across two pages.
 */
#define OPERATION static __attribute__((noinline, aligned(512))) void

#define EIGHT_TIMES(statement) \
    do { \
        statement(0); statement(1); statement(2); statement(3); \
        statement(4); statement(5); statement(6); statement(7); \
    } while (0)

#define STORE(i) (p[i] = value + (i))
#define LOAD(i) ((void)p[i])

OPERATION op_write(char *memory, size_t size, unsigned long passes)
{
    word *end = (word *)(memory + size);

    while (passes--) {
        word *p = (word *)memory;
        uint64_t value = 0;

        for (; p + 8 <= end; p += 8, value += 8) {
            EIGHT_TIMES(STORE);
        }
        for (; p < end; p++, value++) {
            STORE(0);
        }
    }
}

OPERATION op_read(char *memory, size_t size, unsigned long passes)
{
    word *end = (word *)(memory + size);

    while (passes--) {
        word *p = (word *)memory;

        for (; p + 8 <= end; p += 8) {
            EIGHT_TIMES(LOAD);
        }
        for (; p < end; p++) {
            LOAD(0);
        }
    }
}

OPERATION op_copy(char *memory, size_t size, unsigned long passes)
{
    while (passes--) {
        memcpy(memory, source, size);
        /* The compiler must not see that nobody reads it */
        asm volatile("" : : "r"(memory) : "memory");
    }
}

/* As Linux's memcpy_toio() copies */
OPERATION op_movs(char *memory, size_t size, unsigned long passes)
{
    while (passes--) {
        char *to = memory;
        const char *from = source;
        size_t count = size / 4;

        asm volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count)
                     : : "memory");
    }
}

/* Stores that may be posted, and a load that waits until they are done */
OPERATION op_stores(char *memory, size_t size, unsigned long passes)
{
    size_t last = size / sizeof(word) - 1;

    while (passes--) {
        op_write(memory, size, 1);
        if (((word *)memory)[last] != last) {
            lost++;
        }
    }
}

static const struct operation {
    const char *name;
    void (*run)(char *memory, size_t size, unsigned long passes);
} operations[] = {
    { "write", op_write },
    { "read", op_read },
    { "copy", op_copy },
    { "movs", op_movs },
    { "stores", op_stores },
};

static const struct operation *find_operation(const char *name)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
        if (strcmp(operations[i].name, name) == 0) {
            return &operations[i];
        }
    }
    errx(2, "no operation '%s'", name);
}

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

static double run_ns(const struct operation *op, const struct target *target,
                     size_t size, unsigned long passes)
{
    double begin = now_ns();

    op->run(target->memory, size, passes);
    return now_ns() - begin;
}

/* How many passes make a slice?  Touches every page, too. */
static unsigned long passes_of_slice(const struct operation *op,
                                     const struct target *target, size_t size,
                                     double slice_ns)
{
    unsigned long passes = 1;
    double ns = run_ns(op, target, size, passes);

    while (ns < slice_ns / 2) {
        passes *= 2;
        ns = run_ns(op, target, size, passes);
    }
    passes = passes * slice_ns / ns;
    return passes ? passes : 1;
}

/* Who is interrupted takes few passes for a slice: the most are right. */
static void calibrate(const struct operation *op, struct target *target,
                      size_t size, double slice_ns)
{
    target->passes = 1;
    for (int i = 0; i < CALIBRATIONS; i++) {
        unsigned long passes = passes_of_slice(op, target, size, slice_ns);

        target->passes = passes > target->passes ? passes : target->passes;
    }
}

static void measure(const struct operation *op, size_t size, double slice_ns,
                    double budget_ns, struct target *targets, int count)
{
    int rounds = 0, bad = 0;
    double end;

    for (int i = 0; i < count; i++) {
        calibrate(op, &targets[i], size, slice_ns);
    }
    end = now_ns() + budget_ns;
    while (rounds < MAX_ROUNDS && (rounds < MIN_ROUNDS || now_ns() < end)) {
        lost = 0;
        /* Each is the first one in turn */
        for (int i = 0; i < count; i++) {
            struct target *target = &targets[(rounds + i) % count];

            /* What the others left in TLBs and caches is not its own */
            if (target->passes > 1) {
                run_ns(op, target, size, 1);
            }
            target->ns[rounds] = run_ns(op, target, size, target->passes) /
                                 target->passes;
        }
        if (!lost) {
            rounds++;
        } else if (++bad > MAX_ROUNDS) {
            errx(1, "what is stored does not arrive");
        }
    }
    if (bad) {
        printf("# %s %zu: %d rounds thrown away, the other guest did not take "
               "stores in time\n", op->name, size, bad);
    }
    for (int i = 0; i < count; i++) {
        printf("%s %zu %s", op->name, size, targets[i].name);
        for (int round = 0; round < rounds; round++) {
            printf(" %.1f", targets[i].ns[round]);
        }
        putchar('\n');
    }
}

static char *map(char *where, size_t size, const char *path)
{
    int fd = -1;
    char *memory;

    if (path) {
        fd = open(path, O_RDWR);
        if (fd < 0) {
            err(1, "%s", path);
        }
    }
    memory = mmap(where, size, PROT_READ | PROT_WRITE, MAP_FIXED |
                  (path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS), fd, 0);
    if (memory == MAP_FAILED) {
        err(1, "mapping %zu bytes of %s", size, path ? path : "memory");
    }
    if (path) {
        close(fd);
    } else {
        /* Linux maps BARs with small pages, too */
        madvise(memory, size, MADV_NOHUGEPAGE);
        memset(memory, 1, size);
    }
    return memory;
}

static size_t parse_size(const char *text)
{
    size_t size = strtoul(text, NULL, 0);

    if (size == 0 || size % sizeof(word) || size > ROOM / 2) {
        errx(2, "size '%s' is no multiple of a word, or too large", text);
    }
    return size;
}

static size_t largest_size(const char *list)
{
    char *copy = strdup(list), *rest = copy, *text;
    size_t largest = PAGE;

    while ((text = strsep(&rest, ","))) {
        size_t size = parse_size(text);

        largest = size > largest ? size : largest;
    }
    free(copy);
    return largest;
}

static void map_target(struct target *target, char *where, size_t size,
                       char *argument)
{
    char *path = strchr(argument, '=');

    if (!path) {
        errx(2, "'%s' is not NAME=FILE", argument);
    }
    *path++ = '\0';
    target->name = argument;
    target->memory = map(where, size, strcmp(path, "-") ? path : NULL);
}

int main(int argc, char **argv)
{
    struct target targets[MAX_TARGETS];
    char *rooms, *name, *text;
    int count = argc - 5;
    double slice_ns, budget_ns;
    size_t largest;

    if (count < 1 || count > MAX_TARGETS) {
        errx(2, "usage: membench OPERATIONS SIZES SLICE BUDGET TARGET...");
    }
    largest = largest_size(argv[2]);
    slice_ns = atof(argv[3]) * 1e6;
    budget_ns = atof(argv[4]) * 1e6;
    rooms = mmap(NULL, (count + 1) * ROOM, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (rooms == MAP_FAILED) {
        err(1, "no room");
    }
    source = map(rooms, largest, NULL);
    for (int i = 0; i < count; i++) {
        map_target(&targets[i], rooms + (i + 1) * ROOM + SKEW, largest,
                   argv[5 + i]);
    }

    while ((name = strsep(&argv[1], ","))) {
        const struct operation *op = find_operation(name);
        char *sizes = strdup(argv[2]), *rest = sizes;

        while ((text = strsep(&rest, ","))) {
            measure(op, parse_size(text), slice_ns, budget_ns, targets, count);
        }
        free(sizes);
    }
    return 0;
}
