/*
 * QTest testcase for idt-ntb: memory windows as a vCPU sees them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "fake_port.h"
#include "vcpu.h"

static WinPair w;
static uint64_t base;           /* BAR1 in @w.a's guest */

static void setup(WinPath path)
{
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, vcpu_args(), VCPU_PROPS);
    w.b = win_boot(w.server, path, NULL, VCPU_PROPS);
    base = win_bar(w.a, 1);
    win_open(w.a, 1, w.b->partition, WIN_X);
}

static void assert_hits(uint64_t addr, uint64_t x, unsigned size)
{
    uint64_t mask = MAKE_64BIT_MASK(0, 8 * size);
    uint64_t before = win_value(), value = win_value();

    qtest_writeq(w.b->qts, x, before);
    g_assert_cmphex(vcpu_read(w.a, addr, size), ==, before & mask);
    vcpu_write(w.a, addr, size, value);
    win_sync(w.b);
    g_assert_cmphex(qtest_readq(w.b->qts, x), ==,
                    (before & ~mask) | (value & mask));
    g_assert_cmphex(vcpu_read(w.a, addr, size), ==, value & mask);
}

static void assert_misses(uint64_t addr, uint64_t x, unsigned size)
{
    uint64_t before = win_value();

    qtest_writeq(w.b->qts, x, before);
    g_assert_cmphex(vcpu_read(w.a, addr, size), ==,
                    MAKE_64BIT_MASK(0, 8 * size));
    vcpu_write(w.a, addr, size, win_value());
    win_sync(w.b);
    g_assert_cmphex(qtest_readq(w.b->qts, x), ==, before);
}

/* Every size and alignment, over the ends of pages */
static void test_accesses(WinPath path)
{
    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned at = 0; at < 16; at++) {
            assert_hits(base + at, WIN_X + at, size);
            assert_hits(base + 4088 + at, WIN_X + 4088 + at, size);
        }
        assert_hits(base + WIN_SIZE - size, WIN_X + WIN_SIZE - size, size);
    }
    win_assert_path(w.a, path);
    win_stop(&w);
}

/* Pages that can be mapped and such that can't, one after the other */
static void test_every_dword(WinPath path)
{
    unsigned step = g_test_slow() ? 4 : 36;

    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned at = 0; at <= 4096; at += step) {
        uint64_t x = WIN_X + at;

        win_aim(w.a, 1, w.b->partition, x);
        assert_hits(base, x, 8);
        assert_hits(base + 4093, x + 4093, 8);
        assert_hits(base + at, x + at, 4);
        if (at % 72 == 0) {
            win_aim(w.a, 1, w.b->partition, WIN_X);
            assert_hits(base, WIN_X, 8);
            assert_hits(base + 4094, WIN_X + 4094, 4);
            win_assert_path(w.a, path);
        }
    }
    win_stop(&w);
}

static void test_segments(WinPath path)
{
    uint64_t lut;

    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    lut = win_bar(w.a, WIN_LUT24);
    for (unsigned n = 0; n < 24; n++) {
        win_open_lut(w.a, WIN_LUT24, n, w.b->partition,
                     WIN_X + (23 - n) * WIN_SIZE);
    }
    for (unsigned n = 0; n < 23; n++) {
        uint64_t low = WIN_X + (24 - n) * WIN_SIZE;
        uint64_t high = WIN_X + (22 - n) * WIN_SIZE;

        qtest_writel(w.b->qts, low - 4, 0x11110000 + n);
        qtest_writel(w.b->qts, high, 0x22220000 + n);
        g_assert_cmphex(vcpu_read(w.a, lut + (n + 1) * WIN_SIZE - 4, 8), ==,
                        (0x22220000ULL + n) << 32 | (0x11110000 + n));
        vcpu_write(w.a, lut + (n + 1) * WIN_SIZE - 2, 4, 0xaabbccdd);
        win_sync(w.b);
        g_assert_cmphex(qtest_readw(w.b->qts, low - 2), ==, 0xccdd);
        g_assert_cmphex(qtest_readw(w.b->qts, high), ==, 0xaabb);
    }
    /* Over the end of the last one */
    assert_misses(lut + 24 * WIN_SIZE, WIN_X, 8);
    g_assert_cmphex(vcpu_read(w.a, lut + 24 * WIN_SIZE - 4, 8) >> 32, ==,
                    UINT32_MAX);
    win_stop(&w);
}

/* Blocks, both ways, and their order */
static void test_copy(WinPath path)
{
    g_autofree uint8_t *data = g_malloc(WIN_SIZE);
    g_autofree uint8_t *is = g_malloc(WIN_SIZE);

    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned size = 1; size <= 20000; size = size * 3 + 1) {
        for (unsigned i = 0; i < size + 8; i += 8) {
            stq_le_p(data + i, win_value());
        }
        qtest_memwrite(w.a->qts, WIN_X, data, size);
        vcpu_copy(w.a, base + 4090, WIN_X, size);
        win_sync(w.b);
        qtest_memread(w.b->qts, WIN_X + 4090, is, size);
        g_assert_cmpmem(is, size, data, size);
        vcpu_copy(w.a, WIN_X + WIN_SIZE, base + 4090, size);
        qtest_memread(w.a->qts, WIN_X + WIN_SIZE, is, size);
        g_assert_cmpmem(is, size, data, size);
    }
    win_stop(&w);
}

/* What the vCPU has used is closed and moved under it */
static void test_changes(WinPath path)
{
    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned i = 0; i < 40; i++) {
        uint64_t x = WIN_X + i * 7 % 5 * 0x2000 + (i % 4 ? 0 : 4);

        win_aim(w.a, 1, w.b->partition, x);
        assert_hits(base, x, 4);
        assert_hits(base + 0x1fff, x + 0x1fff, 2);
        win_limit(w.a, 1, base + 0xfff);
        assert_hits(base + 0xff8, x + 0xff8, 8);
        assert_misses(base + 0x1000, x + 0x1000, 4);
        win_limit(w.a, 1, 0);
        assert_misses(base, x, 4);
        win_limit(w.a, 1, base + WIN_SIZE);
        assert_hits(base + 0x1000, x + 0x1000, 4);
        ntb_cfg_writew(w.b, PCI_COMMAND, PCI_COMMAND_MEMORY);
        assert_misses(base + 0x1000, x + 0x1000, 4);
        ntb_cfg_writew(w.b, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
    win_stop(&w);
}

/* The registers of the peer, and those of its own, from a vCPU */
static void test_registers(WinPath path)
{
    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned i = 0; i < 10; i++) {
        NtbPort *to = i % 2 ? w.a : w.b;

        win_aim(w.a, 1, to->partition, to->bar0);
        ntb_write(to, A_NTSDATA, i);
        vcpu_write(w.a, base + A_NTSDATA, 4, 0x1234);
        g_assert_cmphex(vcpu_read(w.a, base + A_NTSDATA, 4), ==, UINT32_MAX);
        g_assert_cmphex(ntb_read(to, A_NTSDATA), ==, i);
    }
    win_stop(&w);
}

/* Both are vCPUs, and each waits for the other's QEMU */
static void test_each_other(void)
{
    NtbPort *c;

    if (!vcpu_possible()) {
        return;
    }
    setup(WIN_FORCED);
    ntb_quit(w.b);
    ntb_wait(!ntb_link_up(w.a, 2));
    c = win_boot(w.server, WIN_FORCED, vcpu_args(), VCPU_PROPS);
    win_open(c, 1, w.a->partition, WIN_X);
    vcpu_start(w.a, base);
    vcpu_start(c, win_bar(c, 1));
    for (unsigned i = 0; i < 500; i++) {
        uint32_t a = qtest_readl(w.a->qts, WIN_X);
        uint32_t b = qtest_readl(c->qts, WIN_X);

        /* Both go on, and neither stands in the other's way */
        ntb_wait(qtest_readl(w.a->qts, WIN_X) != a);
        ntb_wait(qtest_readl(c->qts, WIN_X) != b);
        g_assert_cmphex(qtest_readl(w.a->qts, base), >=, b);
        ntb_write(c, A_NTSDATA, i);
    }
    vcpu_stop(w.a);
    vcpu_stop(c);
    win_sync(w.a);
    win_sync(c);
    g_assert_cmphex(qtest_readl(c->qts, WIN_X), ==, vcpu_count(w.a));
    g_assert_cmphex(qtest_readl(w.a->qts, WIN_X), ==, vcpu_count(c));
    w.b = c;
    win_stop(&w);
}

typedef struct Await {
    uint32_t reg, bits;
    uint32_t send, value;
    uint32_t clear;
} Await;

/*
 * Data, then a doorbell or a message: the vCPU that waits for it in a register
 * has the data, whatever its QEMU's main loop has come to do.
 */
static void test_await(WinPath path)
{
    static const Await awaits[] = {
        { A_INDBELLSTS, 1 << 5, A_OUTDBELLSET, 1 << 5, A_INDBELLSTS },
        { A_MSGSTS, 1 << 16, A_OUTMSG0, 0x77, A_MSGSTS },
        { A_NTINTSTS, R_NTINTSTS_DBELL_MASK, A_OUTDBELLSET, 1 << 5,
          A_INDBELLSTS },
    };
    unsigned rounds = g_test_slow() ? 1500 : 150;
    NtbPort *from;

    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    from = w.b;
    win_open(from, 1, w.a->partition, WIN_X);
    ntb_route_message(from, 0, w.a->partition, 0);
    ntb_write(w.a, A_INDBELLMSK, 0);
    for (unsigned i = 0; i < rounds * G_N_ELEMENTS(awaits); i++) {
        const Await *a = &awaits[i % G_N_ELEMENTS(awaits)];

        vcpu_await(w.a, w.a->bar0 + a->reg, a->bits, WIN_X + 0x80);
        for (unsigned k = 0; k < 5; k++) {
            qtest_writel(from->qts, win_bar_home(from, 1) + 0x20 * k, i);
        }
        ntb_write(from, a->send, a->value);
        g_assert_cmphex(vcpu_awaited(w.a), ==, i);
        ntb_write(w.a, a->clear, UINT32_MAX);
    }
    win_stop(&w);
}

/*
 * A mapping goes, and the window stays open: all that is stored meanwhile
 * arrives, by one way or the other
 */

#define WORDS   (WIN_SIZE / 4)

/* Not so fast that all is over before anything happens */
#define DELAY   100

static void assert_filled(NtbPort *p, uint64_t x, uint32_t first,
                          unsigned words)
{
    g_autofree uint32_t *is = g_new(uint32_t, words);

    win_sync(p);
    qtest_memread(p->qts, x, is, 4 * words);
    for (unsigned i = 0; i < words; i++) {
        g_assert_cmphex(le32_to_cpu(is[i]), ==, first + i);
    }
}

static void test_target_stops(WinPath path)
{
    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t first = win_value();

        vcpu_fill(w.a, base, first, WORDS, DELAY);
        do {
            qtest_qmp_assert_success(w.b->qts, "{'execute': 'stop'}");
            qtest_qmp_assert_success(w.b->qts, "{'execute': 'cont'}");
        } while (!vcpu_is_done(w.a));
        assert_filled(w.b, WIN_X, first, WORDS);
    }
    win_stop(&w);
}

/* Its reads are to get no answer, and what is mapped could be read */
static void test_completions(WinPath path)
{
    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t first = win_value();

        vcpu_fill(w.a, base, first, WORDS, DELAY);
        do {
            ntb_write(w.a, A_NTCTL, 0);
            ntb_write(w.a, A_NTCTL, R_NTCTL_CPEN_MASK);
        } while (!vcpu_is_done(w.a));
        assert_filled(w.b, WIN_X, first, WORDS);
    }
    win_stop(&w);
}

/*
 * A vCPU that waits for @target, of the QEMU of @w.b, can't leave its block of
 * code: @target answers while @w.b waits for that
 */
static void stop_while_it_reads(NtbPort *target)
{
    const unsigned size = 1000;
    g_autofree uint8_t *should = g_malloc(size);
    g_autofree uint8_t *is = g_malloc(size);
    uint64_t lut = win_bar(w.a, WIN_LUT24);

    win_open_lut(w.a, WIN_LUT24, 0, target->partition, WIN_X + 4);
    for (unsigned i = 0; i < size; i++) {
        should[i] = i * 7;
    }
    qtest_memwrite(w.b->qts, WIN_X + 4, should, size);
    for (unsigned i = 0; i < 20; i++) {
        qtest_memset(w.a->qts, WIN_X, 0, size);
        g_assert_cmphex(qtest_readb(w.a->qts, base + 8), ==, should[4]);
        win_assert_path(w.a, w.path);
        vcpu_copy_begin(w.a, WIN_X, lut, size);
        qtest_qmp_assert_success(w.b->qts, "{'execute': 'stop'}");
        qtest_qmp_assert_success(w.b->qts, "{'execute': 'cont'}");
        ntb_wait(vcpu_is_done(w.a));
        qtest_memread(w.a->qts, WIN_X, is, size);
        g_assert_cmpmem(is, size, should, size);
    }
}

static void test_target_stops_and_answers(WinPath path)
{
    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    stop_while_it_reads(w.b);
    win_stop(&w);
}

static void test_two_targets_stop(WinPath path)
{
    NtbPort *other;

    if (!vcpu_possible()) {
        return;
    }
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, vcpu_args(), VCPU_PROPS ",partitions=3");
    win_boot_both(w.server, path, VCPU_PROPS ",partitions=3", &w.b, &other);
    base = win_bar(w.a, 1);
    win_open(w.a, 1, w.b->partition, WIN_X);
    stop_while_it_reads(other);
    g_free(other);
    win_stop(&w);
}

static void stop_and_go_on(NtbPort *p, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        qtest_qmp_assert_success(p->qts, "{'execute': 'stop'}");
        qtest_qmp_assert_success(p->qts, "{'execute': 'cont'}");
        g_usleep(i * 37 % 500);
    }
}

/* Both have the other's memory mapped, and may stop at the same time */
static void test_both_stop(WinPath path)
{
    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    ntb_quit(w.b);
    ntb_wait(!ntb_link_up(w.a, 2));
    w.b = win_boot(w.server, path, vcpu_args(), VCPU_PROPS);
    win_open(w.a, 1, w.b->partition, WIN_X);
    win_open(w.b, 1, w.a->partition, WIN_X);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t first = win_value();
        pid_t pid;

        vcpu_fill(w.a, base, first, WORDS, DELAY);
        vcpu_fill(w.b, win_bar_home(w.b, 1), first, WORDS, DELAY);
        pid = ntb_fork();
        stop_and_go_on(pid ? w.a : w.b, 20);
        if (!pid) {
            _exit(0);
        }
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        ntb_wait(vcpu_is_done(w.a));
        ntb_wait(vcpu_is_done(w.b));
        assert_filled(w.a, WIN_X, first, WORDS);
        assert_filled(w.b, WIN_X, first, WORDS);
    }
    win_stop(&w);
}

/* True if a store at @addr comes to @x, as it does when the vCPU has left */
static bool stores(uint64_t addr, uint64_t x, uint32_t value)
{
    qtest_writel(w.a->qts, addr, value);
    win_sync(w.b);
    return qtest_readl(w.b->qts, x) == value;
}

/* The window gets smaller and larger, and the vCPU stores to what stays open */
static void test_limit(WinPath path)
{
    static const uint32_t part[] = { 0x1000, 0x400, 0x2c00, 0x8000 };

    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned i = 0; i < 8; i++) {
        uint32_t first = win_value();

        vcpu_fill(w.a, base, first, WORDS / 2, DELAY);
        for (unsigned k = 0; !vcpu_is_done(w.a); k++) {
            uint32_t size = WIN_SIZE / 2 + part[k % 4];

            win_limit(w.a, 1, base + size - 1);
            win_limit(w.a, 1, base + WIN_SIZE);
            /* Replaces the mapping of a part by one of the whole */
            ntb_wait(stores(base + WIN_SIZE - 4, WIN_X + WIN_SIZE - 4, k));
        }
        assert_filled(w.b, WIN_X, first, WORDS / 2);
    }
    win_stop(&w);
}

/* The test is the peer, and executes the requests of the guest */
typedef struct Target {
    FakePort f;
    uint8_t *ram;               /* WIN_SIZE, at WIN_X */
    bool quit;
} Target;

static void target_execute(Target *t, uint32_t number)
{
    IdtNtbShmMailbox *box = fake_port_inbox(&t->f);
    IdtNtbShmRequest *r = &box->request[(number - 1) % IDT_NTB_MAX_REQUESTS];
    unsigned size = FIELD_EX32(r->op, SHM_REQUEST, SIZE);
    uint64_t at = r->addr - WIN_X;

    if (size > WIN_SIZE || at > WIN_SIZE - size) {
        return;
    }
    if (FIELD_EX32(r->op, SHM_REQUEST, READ)) {
        memcpy(&box->reply_data, t->ram + at, size);
        box->reply_ok = 1;
        qatomic_store_release(&box->reply, number);
    } else {
        memcpy(t->ram + at, &r->data, size);
    }
}

static void *target_run(void *opaque)
{
    Target *t = opaque;
    IdtNtbShmMailbox *box = fake_port_inbox(&t->f);

    while (!qatomic_read(&t->quit)) {
        if (qatomic_load_acquire(&box->head) == box->tail) {
            g_usleep(20);
            continue;
        }
        target_execute(t, box->tail + 1);
        qatomic_store_release(&box->tail, box->tail + 1);
        fake_port_signal(&t->f);
    }
    return NULL;
}

/* The QEMU has looked at its mappings */
static void target_ask(Target *t)
{
    IdtNtbShmPort *a = &t->f.shm->slot[0].p;
    uint32_t request = qatomic_fetch_inc(&a->close_req) + 1;

    fake_port_signal(&t->f);
    ntb_wait((int32_t)(qatomic_read(&a->close_ack) - request) >= 0);
}

/* The table is seen half written, or with less RAM, while the vCPU stores */
static void test_table(void)
{
    IdtNtbShmRam all = { .addr = WIN_X, .size = WIN_SIZE };
    IdtNtbShmMemory *table;
    IdtNtbShmRam half;
    GThread *thread;
    Target t = { };

    if (!vcpu_possible()) {
        return;
    }
    t.f.server = fake_server_start(fake_serve, NULL);
    t.f.a = win_boot(&t.f.server->base, WIN_SHARED, vcpu_args(), VCPU_PROPS);
    fake_port_join(&t.f);
    all.fd = memfd_create("target", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    g_assert_cmpint(ftruncate(all.fd, WIN_SIZE), ==, 0);
    g_assert_cmpint(fcntl(all.fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
    t.ram = mmap(NULL, WIN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, all.fd, 0);
    g_assert_true(t.ram != MAP_FAILED);
    half = all;
    half.size /= 2;
    table = fake_port_table(&t.f);
    fake_port_publish(&t.f, 0, -1, &all);
    thread = g_thread_new("target", target_run, &t);
    win_open(t.f.a, 1, 1, WIN_X);

    for (unsigned i = 0; i < 5; i++) {
        uint32_t first = win_value();

        vcpu_fill(t.f.a, t.f.base, first, WORDS, DELAY);
        for (unsigned k = 0; !vcpu_is_done(t.f.a); k++) {
            if (k % 2) {
                fake_port_publish(&t.f, 0, -1, &half);
            } else {
                qatomic_set_mb(&table->seq, table->seq | 1);
            }
            target_ask(&t);
            fake_port_publish(&t.f, 0, -1, &all);
            g_usleep(500);
        }
        win_sync(t.f.a);
        ntb_wait(qatomic_read(&fake_port_inbox(&t.f)->tail) ==
                 fake_port_inbox(&t.f)->head);
        for (unsigned k = 0; k < WORDS; k++) {
            g_assert_cmphex((uint32_t)ldl_le_p(t.ram + 4 * k), ==,
                            first + k);
        }
    }
    qatomic_set(&t.quit, true);
    g_thread_join(thread);
    munmap(t.ram, WIN_SIZE);
    close(all.fd);
    fake_port_stop(&t.f);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    win_add_case_shared("window-vcpu/target-stops", test_target_stops);
    win_add_case_shared("window-vcpu/completions", test_completions);
    win_add_case_shared("window-vcpu/target-stops-and-answers",
                        test_target_stops_and_answers);
    win_add_case_shared("window-vcpu/two-targets-stop", test_two_targets_stop);
    win_add_case_shared("window-vcpu/both-stop", test_both_stop);
    win_add_case_shared("window-vcpu/limit", test_limit);
    qtest_add_func("/idt-ntb/window-vcpu/table", test_table);
    win_add_case("window-vcpu/await", test_await);
    win_add_case("window-vcpu/accesses", test_accesses);
    win_add_case_shared("window-vcpu/every-dword", test_every_dword);
    win_add_case("window-vcpu/segments", test_segments);
    win_add_case_shared("window-vcpu/copy", test_copy);
    win_add_case_shared("window-vcpu/changes", test_changes);
    win_add_case_shared("window-vcpu/registers", test_registers);
    qtest_add_func("/idt-ntb/window-vcpu/each-other", test_each_other);
}

libqos_init(add_tests);
