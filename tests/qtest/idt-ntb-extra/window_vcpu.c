/*
 * QTest testcase for idt-ntb: memory windows as a vCPU sees them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include "qemu/bswap.h"
#include "hw/pci/pci_regs.h"
#include "extra.h"
#include "fake_port.h"
#include "vcpu.h"

static NtbPort *boot_vcpu(NtbFixture *f, unsigned i)
{
    f->ports[i] = win_boot(f->server, f->path, vcpu_args(), f->test->props);
    return f->ports[i];
}

/* BAR1 of a guest */
static uint64_t bar1(NtbPort *p)
{
    return win_bar_home(p, 1);
}

/* The vCPU of @a has a window to @b */
static void prepare(NtbFixture *f)
{
    NtbPort *a = boot_vcpu(f, 0), *b = ntb_start(f, 1, NULL);

    win_open(a, 1, b->partition, WIN_X);
}

static void prepare_both(NtbFixture *f)
{
    NtbPort *a = boot_vcpu(f, 0), *b = boot_vcpu(f, 1);

    win_open(a, 1, b->partition, WIN_X);
    win_open(b, 1, a->partition, WIN_X);
}

/* @b and ports[2] are in one QEMU */
static void prepare_targets(NtbFixture *f)
{
    NtbPort *a = boot_vcpu(f, 0);

    win_boot_both(f->server, f->path, f->test->props, &f->ports[1],
                  &f->ports[2]);
    win_open(a, 1, f->ports[1]->partition, WIN_X);
}

static void assert_hits(NtbFixture *f, uint64_t addr, uint64_t x, unsigned size)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t mask = MAKE_64BIT_MASK(0, 8 * size);
    uint64_t before = win_value(), value = win_value();

    qtest_writeq(b->qts, x, before);
    g_assert_cmphex(vcpu_read(a, addr, size), ==, before & mask);
    vcpu_write(a, addr, size, value);
    win_sync(b);
    g_assert_cmphex(qtest_readq(b->qts, x), ==,
                    (before & ~mask) | (value & mask));
    g_assert_cmphex(vcpu_read(a, addr, size), ==, value & mask);
}

static void assert_misses(NtbFixture *f, uint64_t addr, uint64_t x,
                          unsigned size)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t before = win_value();

    qtest_writeq(b->qts, x, before);
    g_assert_cmphex(vcpu_read(a, addr, size), ==,
                    MAKE_64BIT_MASK(0, 8 * size));
    vcpu_write(a, addr, size, win_value());
    win_sync(b);
    g_assert_cmphex(qtest_readq(b->qts, x), ==, before);
}

/* Every size and alignment, over the ends of pages */
static void test_accesses(NtbFixture *f)
{
    uint64_t base = bar1(f->ports[0]);

    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned at = 0; at < 16; at++) {
            assert_hits(f, base + at, WIN_X + at, size);
            assert_hits(f, base + 4088 + at, WIN_X + 4088 + at, size);
        }
        assert_hits(f, base + WIN_SIZE - size, WIN_X + WIN_SIZE - size, size);
    }
    win_assert_path(f->ports[0], f->path);
}

/* Pages that can be mapped and pages that can't, one after the other */
static void test_every_dword(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = bar1(a);
    unsigned step = g_test_slow() ? 4 : 36;

    for (unsigned at = 0; at <= 4096; at += step) {
        uint64_t x = WIN_X + at;

        win_aim(a, 1, b->partition, x);
        assert_hits(f, base, x, 8);
        assert_hits(f, base + 4093, x + 4093, 8);
        assert_hits(f, base + at, x + at, 4);
        if (at % 72 == 0) {
            win_aim(a, 1, b->partition, WIN_X);
            assert_hits(f, base, WIN_X, 8);
            assert_hits(f, base + 4094, WIN_X + 4094, 4);
            win_assert_path(a, f->path);
        }
    }
}

static void test_segments(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t lut = win_bar(a, WIN_LUT24);

    for (unsigned n = 0; n < 24; n++) {
        win_open_lut(a, WIN_LUT24, n, b->partition,
                     WIN_X + (23 - n) * WIN_SIZE);
    }
    for (unsigned n = 0; n < 23; n++) {
        uint64_t low = WIN_X + (24 - n) * WIN_SIZE;
        uint64_t high = WIN_X + (22 - n) * WIN_SIZE;

        qtest_writel(b->qts, low - 4, 0x11110000 + n);
        qtest_writel(b->qts, high, 0x22220000 + n);
        g_assert_cmphex(vcpu_read(a, lut + (n + 1) * WIN_SIZE - 4, 8), ==,
                        (0x22220000ULL + n) << 32 | (0x11110000 + n));
        vcpu_write(a, lut + (n + 1) * WIN_SIZE - 2, 4, 0xaabbccdd);
        win_sync(b);
        g_assert_cmphex(qtest_readw(b->qts, low - 2), ==, 0xccdd);
        g_assert_cmphex(qtest_readw(b->qts, high), ==, 0xaabb);
    }
    /* Over the end of the last entry */
    assert_misses(f, lut + 24 * WIN_SIZE, WIN_X, 8);
    g_assert_cmphex(vcpu_read(a, lut + 24 * WIN_SIZE - 4, 8) >> 32, ==,
                    UINT32_MAX);
}

/* Blocks, both ways, and their order */
static void test_copy(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = bar1(a);
    g_autofree uint8_t *data = g_malloc(WIN_SIZE);
    g_autofree uint8_t *is = g_malloc(WIN_SIZE);

    for (unsigned size = 1; size <= 20000; size = size * 3 + 1) {
        for (unsigned i = 0; i < size + 8; i += 8) {
            stq_le_p(data + i, win_value());
        }
        qtest_memwrite(a->qts, WIN_X, data, size);
        vcpu_copy(a, base + 4090, WIN_X, size);
        win_sync(b);
        qtest_memread(b->qts, WIN_X + 4090, is, size);
        g_assert_cmpmem(is, size, data, size);
        vcpu_copy(a, WIN_X + WIN_SIZE, base + 4090, size);
        qtest_memread(a->qts, WIN_X + WIN_SIZE, is, size);
        g_assert_cmpmem(is, size, data, size);
    }
}

/* Close and move what the vCPU has used */
static void test_changes(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = bar1(a);

    for (unsigned i = 0; i < 40; i++) {
        uint64_t x = WIN_X + i * 7 % 5 * 0x2000 + (i % 4 ? 0 : 4);

        win_aim(a, 1, b->partition, x);
        assert_hits(f, base, x, 4);
        assert_hits(f, base + 0x1fff, x + 0x1fff, 2);
        win_limit(a, 1, base + 0xfff);
        assert_hits(f, base + 0xff8, x + 0xff8, 8);
        assert_misses(f, base + 0x1000, x + 0x1000, 4);
        win_limit(a, 1, 0);
        assert_misses(f, base, x, 4);
        win_limit(a, 1, base + WIN_SIZE);
        assert_hits(f, base + 0x1000, x + 0x1000, 4);
        ntb_cfg_writew(b, PCI_COMMAND, PCI_COMMAND_MEMORY);
        assert_misses(f, base + 0x1000, x + 0x1000, 4);
        ntb_cfg_writew(b, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
}

/* The registers of the peer, and its own, through the window */
static void test_registers(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = bar1(a);

    for (unsigned i = 0; i < 10; i++) {
        NtbPort *to = i % 2 ? a : b;

        win_aim(a, 1, to->partition, to->bar0);
        ntb_write(to, A_NTSDATA, i);
        vcpu_write(a, base + A_NTSDATA, 4, 0x1234);
        g_assert_cmphex(vcpu_read(a, base + A_NTSDATA, 4), ==, UINT32_MAX);
        g_assert_cmphex(ntb_read(to, A_NTSDATA), ==, i);
    }
}

/* Each vCPU waits for the other's QEMU */
static void test_each_other(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = bar1(a);

    vcpu_start(a, base);
    vcpu_start(b, bar1(b));
    for (unsigned i = 0; i < 500; i++) {
        uint32_t at_a = qtest_readl(a->qts, WIN_X);
        uint32_t at_b = qtest_readl(b->qts, WIN_X);

        /* Both go on, and neither keeps the other from it */
        ntb_wait(qtest_readl(a->qts, WIN_X) != at_a);
        ntb_wait(qtest_readl(b->qts, WIN_X) != at_b);
        g_assert_cmphex(qtest_readl(a->qts, base), >=, at_b);
        ntb_write(b, A_NTSDATA, i);
    }
    vcpu_stop(a);
    vcpu_stop(b);
    win_sync(a);
    win_sync(b);
    g_assert_cmphex(qtest_readl(b->qts, WIN_X), ==, vcpu_count(a));
    g_assert_cmphex(qtest_readl(a->qts, WIN_X), ==, vcpu_count(b));
}

typedef struct Await {
    uint32_t reg, bits;
    uint32_t send, value;
    uint32_t clear;
} Await;

/*
 * Data, then a doorbell or a message: a vCPU that sees it in a register has the
 * data, wherever its QEMU's main loop is.
 */
static void test_await(NtbFixture *f)
{
    static const Await awaits[] = {
        { A_INDBELLSTS, 1 << 5, A_OUTDBELLSET, 1 << 5, A_INDBELLSTS },
        { A_MSGSTS, 1 << 16, A_OUTMSG0, 0x77, A_MSGSTS },
        { A_NTINTSTS, R_NTINTSTS_DBELL_MASK, A_OUTDBELLSET, 1 << 5,
          A_INDBELLSTS },
    };
    unsigned rounds = g_test_slow() ? 1500 : 150;
    NtbPort *a = f->ports[0], *b = f->ports[1];

    win_open(b, 1, a->partition, WIN_X);
    ntb_route_message(b, 0, a->partition, 0);
    ntb_write(a, A_INDBELLMSK, 0);
    for (unsigned i = 0; i < rounds * G_N_ELEMENTS(awaits); i++) {
        const Await *await = &awaits[i % G_N_ELEMENTS(awaits)];

        vcpu_await(a, a->bar0 + await->reg, await->bits, WIN_X + 0x80);
        for (unsigned k = 0; k < 5; k++) {
            qtest_writel(b->qts, bar1(b) + 0x20 * k, i);
        }
        ntb_write(b, await->send, await->value);
        g_assert_cmphex(vcpu_awaited(a), ==, i);
        ntb_write(a, await->clear, UINT32_MAX);
    }
}

/*
 * A mapping goes, and the window stays open: all stores arrive meanwhile, by
 * the mapping or by request
 */

#define WORDS   (WIN_SIZE / 4)

#define DELAY   100     /* the vCPU still stores when a mapping goes */

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

static void stop_and_go_on(NtbPort *p)
{
    qtest_qmp_assert_success(p->qts, "{'execute': 'stop'}");
    qtest_qmp_assert_success(p->qts, "{'execute': 'cont'}");
}

typedef struct Change {
    void (*act)(NtbFixture *f);
    unsigned rounds, words;
} Change;

/* Change something over and over, while the vCPU fills a window */
static void test_change(NtbFixture *f)
{
    const Change *change = f->test->data;
    NtbPort *a = f->ports[0];

    for (unsigned i = 0; i < change->rounds; i++) {
        uint32_t first = win_value();

        vcpu_fill(a, bar1(a), first, change->words, DELAY);
        do {
            change->act(f);
        } while (!vcpu_is_done(a));
        assert_filled(f->ports[1], WIN_X, first, change->words);
    }
}

static void stop_target(NtbFixture *f)
{
    stop_and_go_on(f->ports[1]);
}

static const Change target_stops = { stop_target, 5, WORDS };

/* Without CPEN, reads get no answer: a mapping, which could be read, goes */
static void disable_completions(NtbFixture *f)
{
    ntb_write(f->ports[0], A_NTCTL, 0);
    ntb_write(f->ports[0], A_NTCTL, R_NTCTL_CPEN_MASK);
}

static const Change completions = { disable_completions, 5, WORDS };

/* Nothing is mapped while a fault needs requests */
static void fail_completions(NtbFixture *f)
{
    ntb_set_property(f->ports[0], "fault-completions", "1");
    ntb_set_property(f->ports[0], "fault-completions", "0");
}

static const Change completion_fault = { fail_completions, 5, WORDS };

/* True if a store at @addr arrives at @x, as it does when the vCPU has left */
static bool stores(NtbFixture *f, uint64_t addr, uint64_t x, uint32_t value)
{
    NtbPort *b = f->ports[1];

    qtest_writel(f->ports[0]->qts, addr, value);
    win_sync(b);
    return qtest_readl(b->qts, x) == value;
}

/* The vCPU stores to what stays open while the window gets smaller, larger */
static void move_limit(NtbFixture *f)
{
    static const uint32_t part[] = { 0x1000, 0x400, 0x2c00, 0x8000 };
    uint64_t base = bar1(f->ports[0]);
    uint32_t value = win_value();

    win_limit(f->ports[0], 1,
              base + WIN_SIZE / 2 + part[value % G_N_ELEMENTS(part)] - 1);
    win_limit(f->ports[0], 1, base + WIN_SIZE);
    /* Replace the mapping of a part by one of the whole */
    ntb_wait(stores(f, base + WIN_SIZE - 4, WIN_X + WIN_SIZE - 4, value));
}

static const Change limit = { move_limit, 8, WORDS / 2 };

/*
 * The vCPU waits for @target, in the QEMU of @b, and can't leave its block of
 * code: @target answers while @b, which stops, waits for that
 */
static void stop_while_it_reads(NtbFixture *f, NtbPort *target)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    const unsigned size = 1000;
    g_autofree uint8_t *should = g_malloc(size);
    g_autofree uint8_t *is = g_malloc(size);
    uint64_t lut = win_bar(a, WIN_LUT24);

    win_open_lut(a, WIN_LUT24, 0, target->partition, WIN_X + 4);
    for (unsigned i = 0; i < size; i++) {
        should[i] = i * 7;
    }
    qtest_memwrite(b->qts, WIN_X + 4, should, size);
    for (unsigned i = 0; i < 20; i++) {
        qtest_memset(a->qts, WIN_X, 0, size);
        g_assert_cmphex(qtest_readb(a->qts, bar1(a) + 8), ==, should[4]);
        win_assert_path(a, f->path);
        vcpu_copy_begin(a, WIN_X, lut, size);
        stop_and_go_on(b);
        ntb_wait(vcpu_is_done(a));
        qtest_memread(a->qts, WIN_X, is, size);
        g_assert_cmpmem(is, size, should, size);
    }
}

static void test_target_stops_and_answers(NtbFixture *f)
{
    stop_while_it_reads(f, f->ports[1]);
}

static void test_two_targets_stop(NtbFixture *f)
{
    stop_while_it_reads(f, f->ports[2]);
}

/* Both have the other's memory mapped, and may stop at the same time */
static void test_both_stop(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 5; i++) {
        uint32_t first = win_value();
        pid_t pid;

        vcpu_fill(a, bar1(a), first, WORDS, DELAY);
        vcpu_fill(b, bar1(b), first, WORDS, DELAY);
        pid = ntb_fork();
        for (unsigned k = 0; k < 20; k++) {
            stop_and_go_on(pid ? a : b);
            g_usleep(k * 37 % 500);
        }
        if (!pid) {
            _exit(0);
        }
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        ntb_wait(vcpu_is_done(a));
        ntb_wait(vcpu_is_done(b));
        assert_filled(a, WIN_X, first, WORDS);
        assert_filled(b, WIN_X, first, WORDS);
    }
}

/* The test is the peer, and executes the guest's requests */
typedef struct Target {
    FakePort us;
    uint8_t *ram;               /* WIN_SIZE, at WIN_X */
    bool quit;
} Target;

static void target_execute(Target *t, uint32_t number)
{
    IdtNtbShmMailbox *box = fake_port_inbox(&t->us);
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
    IdtNtbShmMailbox *box = fake_port_inbox(&t->us);

    while (!qatomic_read(&t->quit)) {
        if (qatomic_load_acquire(&box->head) == box->tail) {
            g_usleep(20);
            continue;
        }
        target_execute(t, box->tail + 1);
        qatomic_store_release(&box->tail, box->tail + 1);
        fake_port_signal(&t->us);
    }
    return NULL;
}

/* Wait until QEMU has looked at its mappings */
static void target_ask(Target *t)
{
    IdtNtbShmPort *p = &t->us.shm->slot[0].p;
    uint32_t request = qatomic_fetch_inc(&p->close_req) + 1;

    fake_port_signal(&t->us);
    ntb_wait((int32_t)(qatomic_read(&p->close_ack) - request) >= 0);
}

/* The table is seen half written, or with less RAM, while the vCPU stores */
static void test_table(NtbFixture *f)
{
    IdtNtbShmRam all = { .addr = WIN_X, .size = WIN_SIZE };
    IdtNtbShmMemory *table;
    IdtNtbShmRam half;
    GThread *thread;
    Target t = { };

    t.us.server = fake_server_start(fake_serve, NULL);
    t.us.a = win_boot(&t.us.server->base, WIN_SHARED, vcpu_args(), VCPU_PROPS);
    fake_port_join(&t.us);
    all.fd = memfd_create("target", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    g_assert_cmpint(ftruncate(all.fd, WIN_SIZE), ==, 0);
    g_assert_cmpint(fcntl(all.fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
    t.ram = mmap(NULL, WIN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, all.fd, 0);
    g_assert_true(t.ram != MAP_FAILED);
    half = all;
    half.size /= 2;
    table = fake_port_table(&t.us);
    fake_port_publish(&t.us, 0, -1, &all);
    thread = g_thread_new("target", target_run, &t);
    win_open(t.us.a, 1, 1, WIN_X);

    for (unsigned i = 0; i < 5; i++) {
        uint32_t first = win_value();

        vcpu_fill(t.us.a, t.us.base, first, WORDS, DELAY);
        for (unsigned k = 0; !vcpu_is_done(t.us.a); k++) {
            if (k % 2) {
                fake_port_publish(&t.us, 0, -1, &half);
            } else {
                qatomic_set_mb(&table->seq, table->seq | 1);
            }
            target_ask(&t);
            fake_port_publish(&t.us, 0, -1, &all);
            g_usleep(500);
        }
        win_sync(t.us.a);
        ntb_wait(qatomic_read(&fake_port_inbox(&t.us)->tail) ==
                 fake_port_inbox(&t.us)->head);
        for (unsigned k = 0; k < WORDS; k++) {
            g_assert_cmphex((uint32_t)ldl_le_p(t.ram + 4 * k), ==,
                            first + k);
        }
    }
    qatomic_set(&t.quit, true);
    g_thread_join(thread);
    munmap(t.ram, WIN_SIZE);
    close(all.fd);
    fake_port_stop(&t.us);
}

static bool can_freeze(void)
{
    return vcpu_possible() && vcpu_freeze_possible();
}

/* Sleeping, so not in code of the guest */
static bool is_asleep(NtbPort *p, pid_t thread)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/stat",
                                            qtest_pid(p->qts), thread);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) &&
           g_str_has_prefix(strrchr(text, ')'), ") S");
}

/*
 * Freeze the vCPU of @a in an access to a window: the main loop of @a waits for
 * @b, and the vCPU for the main loop.
 */
static pid_t freeze_in_access(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint32_t *head = &f->server->mem->mailbox[0][1].m.head;
    pid_t vcpu = vcpu_thread(a), reader;
    uint32_t before = qatomic_read(head);

    ntb_freeze(b);
    reader = ntb_fork();
    if (!reader) {
        qtest_readl(a->qts, bar1(a));
        _exit(0);
    }
    ntb_wait(qatomic_read(head) != before && is_asleep(a, vcpu));
    vcpu_freeze(vcpu);
    ntb_thaw(b);
    ntb_end_child(reader);
    return vcpu;
}

/* The BAR of an access is gone when that gets its turn */
static void test_late_access(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    uint64_t bar3 = win_bar(a, 3);
    uint32_t setup = ntb_read(a, win_reg(2, A_BARSETUP0));
    pid_t vcpu;

    ntb_write(a, win_reg(3, A_BARLIMIT0), 0);
    vcpu_start(a, bar3);
    vcpu = freeze_in_access(f);
    /* Its register becomes the upper half of BAR2 */
    ntb_write(a, win_reg(2, A_BARSETUP0),
              FIELD_DP32(setup, BARSETUP0, TYPE, IDT_BAR_TYPE_64));
    ntb_cfg_writew(a, PCI_COMMAND, 0);
    ntb_cfg_write(a, PCI_BASE_ADDRESS_3, 0x1000);
    g_assert_cmphex(ntb_cfg_read(a, PCI_BASE_ADDRESS_3), ==, 0x1000);
    vcpu_thaw(vcpu);
    vcpu_stop(a);
}

#define VCPU    .needs = vcpu_possible, .props = VCPU_PROPS, .q35 = true
#define EACH    .windows = WIN_EACH, .prepare = prepare, VCPU
#define SHARED  .windows = WIN_MOSTLY_SHARED, VCPU

static const NtbTest tests[] = {
    { "window-vcpu/accesses-of-any-size-arrive", test_accesses, EACH },
    { "window-vcpu/access-over-entries-is-split", test_segments, EACH },
    { "window-vcpu/has-data-before-its-signal", test_await, EACH },
    { "window-vcpu/target-at-every-dword", test_every_dword,
      .prepare = prepare, SHARED },
    { "window-vcpu/blocks-of-any-size-arrive", test_copy,
      .prepare = prepare, SHARED },
    { "window-vcpu/sees-each-change", test_changes,
      .prepare = prepare, SHARED },
    { "window-vcpu/sees-no-registers", test_registers,
      .prepare = prepare, SHARED },
    { "window-vcpu/two-guests-access-each-other", test_each_other,
      .windows = WIN_ONLY(WIN_FORCED), .prepare = prepare_both, VCPU },
    { "window-vcpu/stop-of-the-target-loses-no-store", test_change,
      .data = &target_stops, .prepare = prepare, SHARED },
    { "window-vcpu/stop-of-both-loses-no-store", test_both_stop,
      .prepare = prepare_both, SHARED },
    { "window-vcpu/completion-enable-loses-no-store", test_change,
      .data = &completions, .prepare = prepare, SHARED },
    { "window-vcpu/completion-fault-loses-no-store", test_change,
      .data = &completion_fault, .prepare = prepare, SHARED },
    { "window-vcpu/limit-loses-no-store", test_change,
      .data = &limit, .prepare = prepare, SHARED },
    { "window-vcpu/table-loses-no-store", test_table,
      .server = ntb_no_server, VCPU },
    { "window-vcpu/access-to-a-removed-bar-ends", test_late_access,
      .windows = WIN_ONLY(WIN_FORCED), .prepare = prepare,
      .needs = can_freeze, .props = VCPU_PROPS ",bar3-mode=direct",
      .q35 = true },
    { "window-vcpu/target-answers-while-it-stops",
      test_target_stops_and_answers, .prepare = prepare, SHARED },
    { "window-vcpu/target-answers-while-two-stop", test_two_targets_stop,
      .windows = WIN_MOSTLY_SHARED, .prepare = prepare_targets,
      .needs = vcpu_possible, .props = VCPU_PROPS ",partitions=3",
      .q35 = true },
};

ntb_tests(tests);
