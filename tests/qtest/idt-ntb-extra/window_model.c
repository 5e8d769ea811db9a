/*
 * QTest testcase for idt-ntb: random accesses to memory windows against a model
 *
 * Three ports have windows of all modes onto each other and onto themselves,
 * which change all the time.  Compare each access with a model of translation,
 * and again and again all RAM around.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "idt-ntb/fixture.h"
#include "extra.h"

#define NUM_PORTS       3
#define PROPS ",bar1-size=64k,bar2-size=1M,bar4-mode=lut12," \
              "bar4-size=256k,bar4-64bit=off,bar5-mode=direct,bar5-size=16k," \
              "bar5-prefetch=on"

/* Windows show the arena; nobody may touch the guards around it */
#define ARENA           0x60000
#define GUARD           0x10000
#define ALL             (ARENA + 2 * GUARD)
#define ALL_X           (WIN_X - GUARD)

#define NO_PORT         UINT_MAX

typedef struct ModelBar {
    uint64_t base, size;
    unsigned entries;           /* 1: direct */
    unsigned usable;
    struct {
        unsigned target;        /* partition; NUM_PORTS and up: no port's */
        uint64_t x;
        bool valid;
    } entry[32];
    uint64_t limit;             /* direct */
} ModelBar;

typedef struct ModelPort {
    NtbPort *p;
    ModelBar bar[IDT_NUM_BARS];
    uint8_t ram[ALL];
    /* Wrote here last, through a window: others see it only after a sync */
    unsigned writer;
} ModelPort;

static ModelPort *ports;
static GRand *rng;
static uint64_t num_bytes, num_misses;

static unsigned below(unsigned end)
{
    return g_rand_int_range(rng, 0, end);
}

/* Return the port that a byte of a window shows, or NO_PORT; set the address */
static unsigned translate(unsigned from, unsigned bar, uint64_t offset,
                          uint64_t *x)
{
    ModelBar *b = &ports[from].bar[bar];
    uint64_t segment = b->size / b->entries;
    unsigned n = offset / segment;

    if (n >= b->usable || !b->entry[n].valid ||
        b->entry[n].target >= NUM_PORTS) {
        return NO_PORT;
    }
    if (b->entries == 1 && b->base + offset > (b->limit | 0x3ff)) {
        return NO_PORT;
    }
    *x = b->entry[n].x + offset % segment;
    return b->entry[n].target;
}

static uint8_t *model_byte(unsigned port, uint64_t x)
{
    g_assert_cmphex(x, >=, WIN_X);
    g_assert_cmphex(x, <, WIN_X + ARENA);
    return &ports[port].ram[x - ALL_X];
}

/* Call before @by, or NO_PORT for the guest itself, accesses @port's RAM */
static void take_turn(unsigned port, unsigned by, bool write)
{
    if (ports[port].writer != by && ports[port].writer != NO_PORT) {
        win_sync(ports[port].p);
        ports[port].writer = NO_PORT;
    }
    if (write) {
        ports[port].writer = by;
    }
}

static void take_turns(unsigned from, unsigned bar, uint64_t offset,
                       unsigned size, bool write)
{
    for (unsigned i = 0; i < size; i++) {
        uint64_t x;
        unsigned to = translate(from, bar, offset + i, &x);

        if (to != NO_PORT) {
            take_turn(to, from, write);
        }
    }
}

/*
 * Steps
 */

static void set_entry(unsigned from, unsigned bar, unsigned n)
{
    ModelPort *m = &ports[from];
    ModelBar *b = &m->bar[bar];
    uint64_t segment = b->size / b->entries;
    static const unsigned steps[] = { 4, 4096, 4096, 8, 512 };
    unsigned step = steps[below(G_N_ELEMENTS(steps))];
    bool lut = b->entries > 1;

    b->entry[n].target = below(8) ? below(NUM_PORTS) : below(8);
    b->entry[n].x = WIN_X + below((ARENA - segment) / step + 1) * step;
    b->entry[n].valid = lut ? below(8) : true;
    if (!lut) {
        win_aim(m->p, bar, b->entry[n].target, b->entry[n].x);
    } else if (b->entry[n].valid) {
        win_open_lut(m->p, bar, n, b->entry[n].target, b->entry[n].x);
    } else {
        win_close_lut(m->p, bar, n);
    }
}

static void set_limit(unsigned from, unsigned bar)
{
    ModelBar *b = &ports[from].bar[bar];

    b->limit = below(4) ? b->base + b->size : b->base + below(b->size);
    if (!below(20)) {
        b->limit = 0;
    }
    win_limit(ports[from].p, bar, b->limit);
}

static void step_program(unsigned from, unsigned bar)
{
    ModelBar *b = &ports[from].bar[bar];

    if (b->entries == 1 && below(2)) {
        set_limit(from, bar);
    } else {
        /* Also write entries that show nothing */
        set_entry(from, bar, b->entries == 1 ? 0 : below(24));
    }
}

static void step_read(unsigned from, unsigned bar, uint64_t offset,
                      unsigned size)
{
    g_autofree uint8_t *is = g_malloc0(size + 8);
    ModelPort *m = &ports[from];

    take_turns(from, bar, offset, size, false);
    if (size <= 8) {
        stq_le_p(is, ntb_read_sized(m->p, m->bar[bar].base + offset, size));
    } else {
        qtest_memread(m->p->qts, m->bar[bar].base + offset, is, size);
    }
    for (unsigned i = 0; i < size; i++) {
        uint64_t x;
        unsigned to = translate(from, bar, offset + i, &x);
        uint8_t should = to == NO_PORT ? 0xff : *model_byte(to, x);

        num_misses += to == NO_PORT;
        if (is[i] != should) {
            ntb_fail("port %u, BAR%u + 0x%" PRIx64 ", %u bytes, byte %u: reads "
                     "0x%02x, should be 0x%02x", from, bar, offset, size, i,
                     is[i], should);
        }
    }
    num_bytes += size;
}

static void step_write(unsigned from, unsigned bar, uint64_t offset,
                       unsigned size)
{
    g_autofree uint8_t *data = g_malloc0(size + 8);
    ModelPort *m = &ports[from];

    take_turns(from, bar, offset, size, true);
    for (unsigned i = 0; i < size; i++) {
        uint64_t x;
        unsigned to = translate(from, bar, offset + i, &x);

        data[i] = below(255);
        if (to != NO_PORT) {
            *model_byte(to, x) = data[i];
        }
    }
    if (size <= 8) {
        ntb_write_sized(m->p, m->bar[bar].base + offset, size, ldq_le_p(data));
    } else {
        qtest_memwrite(m->p->qts, m->bar[bar].base + offset, data, size);
    }
    num_bytes += size;
}

/* The guest uses its RAM itself */
static void step_own(unsigned port)
{
    uint64_t x = WIN_X + below(ARENA - 16);
    unsigned size = 1 + below(16);
    uint8_t data[16];

    take_turn(port, NO_PORT, false);
    qtest_memread(ports[port].p->qts, x, data, size);
    g_assert_cmpmem(data, size, model_byte(port, x), size);
    for (unsigned i = 0; i < size; i++) {
        data[i] = below(255);
    }
    qtest_memwrite(ports[port].p->qts, x, data, size);
    memcpy(model_byte(port, x), data, size);
}

static void step(void)
{
    static const unsigned bars[] = { 1, 2, 4, 5 };
    unsigned from = below(NUM_PORTS);
    unsigned bar = bars[below(G_N_ELEMENTS(bars))];
    ModelBar *b = &ports[from].bar[bar];
    uint64_t segment = b->size / b->entries;
    unsigned size = below(16) ? 1 + below(8) : 9 + below(300);
    uint64_t offset = below(b->size);
    unsigned kind = below(32);

    /* Around the ends of segments, pages and what the limit allows */
    if (below(4) == 0) {
        offset = below(b->entries) * segment + below(16) - 8;
    } else if (below(4) == 0) {
        offset = below(b->size / 1024) * 1024 + below(16) - 8;
    } else if (below(4) == 0) {
        /* The same few bytes in all ways */
        offset = below(b->entries) * segment + 0x20 + below(32);
    }
    offset &= b->size - 1;
    size = MIN(size, b->size - offset);
    if (kind < 2) {
        step_program(from, bar);
    } else if (kind < 4) {
        step_own(from);
    } else if (kind < 18) {
        step_read(from, bar, offset, size);
    } else {
        step_write(from, bar, offset, size);
    }
}

/* Compare all RAM, with the guards */
static void compare(void)
{
    g_autofree uint8_t *is = g_malloc(ALL);

    for (unsigned i = 0; i < NUM_PORTS; i++) {
        take_turn(i, NO_PORT, false);
        qtest_bufread(ports[i].p->qts, ALL_X, is, ALL);
        for (unsigned k = 0; k < ALL; k++) {
            if (is[k] != ports[i].ram[k]) {
                ntb_fail("port %u: RAM at 0x%" PRIx64 " is 0x%02x, should be "
                         "0x%02x", i, (uint64_t)ALL_X + k, is[k],
                         ports[i].ram[k]);
            }
        }
    }
}

static void setup_bar(unsigned port, unsigned bar, unsigned entries)
{
    ModelBar *b = &ports[port].bar[bar];

    b->base = win_bar(ports[port].p, bar);
    b->size = win_bar_size(ports[port].p, bar);
    b->entries = entries;
    b->usable = entries == 1 ? 1 : entries * 3 / 4;
    for (unsigned n = 0; n < (entries == 1 ? 1 : 24); n++) {
        set_entry(port, bar, n);
    }
    if (entries == 1) {
        set_limit(port, bar);
    }
}

static void prepare(NtbFixture *f)
{
    rng = ntb_random("random accesses");
    ports = g_new0(ModelPort, NUM_PORTS);
    for (unsigned i = 0; i < NUM_PORTS; i++) {
        ports[i].p = f->ports[i];
        ports[i].writer = NO_PORT;
        for (unsigned k = 0; k < ALL; k += 4) {
            stl_le_p(ports[i].ram + k, g_rand_int(rng));
        }
        qtest_bufwrite(ports[i].p->qts, ALL_X, ports[i].ram, ALL);
    }
    for (unsigned i = 0; i < NUM_PORTS; i++) {
        setup_bar(i, 1, 1);
        setup_bar(i, 2, 32);
        setup_bar(i, 4, 16);
        setup_bar(i, 5, 1);
    }
}

/* The RAM of each port is reached by another path */
static void prepare_mixed(NtbFixture *f)
{
    for (WinPath path = 0; path < WIN_NUM_PATHS; path++) {
        f->ports[path] = win_boot(f->server, path, NULL, ",partitions=3" PROPS);
    }
    prepare(f);
}

static void finish(NtbFixture *f)
{
    g_free(ports);
    g_rand_free(rng);
}

static void test_random(NtbFixture *f)
{
    unsigned steps = g_test_slow() ? 100000 : 8000;

    for (unsigned i = 0; i < steps; i++) {
        step();
        if (i % 4000 == 3999) {
            compare();
        }
    }
    compare();
    g_test_message("%" PRIu64 " bytes, %" PRIu64 " of them read where nothing "
                   "is", num_bytes, num_misses);
    g_assert_cmpuint(num_misses, >, num_bytes / 100);
    g_assert_cmpuint(num_misses, <, num_bytes / 2);
}

static const NtbTest tests[] = {
    { "window-model/matches-random-accesses", test_random, .ports = NUM_PORTS,
      .props = PROPS, .prepare = prepare, .finish = finish, .q35 = true,
      .windows = WIN_ONLY(WIN_SHARED) | WIN_ONLY(WIN_PLAIN) |
                 WIN_ONLY(WIN_FORCED) },
    { "window-model/matches-random-accesses-mixed", test_random,
      .prepare = prepare_mixed, .finish = finish, .q35 = true },
};

ntb_tests(tests);
