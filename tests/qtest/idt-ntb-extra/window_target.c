/*
 * QTest testcase for idt-ntb: memory windows onto all kinds of things
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "extra.h"

static uint64_t direct;         /* address in the guest of ports[0] */

static void prepare(NtbFixture *f)
{
    direct = win_bar(f->ports[0], WIN_DIRECT32);
}

static void look_at(NtbFixture *f, uint64_t x)
{
    win_open(f->ports[0], WIN_DIRECT32, f->ports[1]->partition, x);
}

static void poke(NtbFixture *f, uint64_t offset, uint32_t value)
{
    qtest_writel(f->ports[0]->qts, direct + offset, value);
}

/*
 * Memory, and where there is none
 */

/* All of a small RAM, in steps; the end of it */
static void test_end_of_ram(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    const uint64_t edge = WIN_RAM_SIZE;

    look_at(f, edge - WIN_SIZE / 2);
    win_assert_shows(a, direct + WIN_SIZE / 2 - 80, b, edge - 80);
    win_assert_ones(a, direct + WIN_SIZE / 2);
    win_assert_ones(a, direct + WIN_SIZE - 8);
    /* An access over it is two */
    for (unsigned size = 2; size <= 8; size++) {
        for (unsigned in = 1; in < size; in++) {
            uint64_t value = win_value();

            qtest_writeq(b->qts, edge - 8, value);
            g_assert_cmphex(ntb_read_sized(a, direct + WIN_SIZE / 2 - in,
                                           size), ==,
                            (value >> (64 - 8 * in) |
                             MAKE_64BIT_MASK(8 * in, 64 - 8 * in)) &
                            MAKE_64BIT_MASK(0, 8 * size));
            ntb_write_sized(a, direct + WIN_SIZE / 2 - in, size, 0);
            win_sync(b);
            g_assert_cmphex(qtest_readq(b->qts, edge - 8), ==,
                            value & MAKE_64BIT_MASK(0, 64 - 8 * in));
        }
    }
    look_at(f, edge - WIN_SIZE / 2 - 4);
    win_assert_shows(a, direct + WIN_SIZE / 2 - 76, b, edge - 80);
    win_assert_ones(a, direct + WIN_SIZE / 2 + 4);
}

static void test_holes(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    static const uint64_t holes[] = {
        WIN_RAM_SIZE, 0x30000000, 0xafe00000, 0xfe000000, 0x0000700000000000,
        0xfffffffffff00000, 0xffffffff00000000,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(holes); i++) {
        look_at(f, holes[i]);
        win_assert_ones(a, direct);
        win_assert_ones(a, direct + WIN_SIZE - 8);
        qtest_writeq(a->qts, direct, i);
        qtest_memset(a->qts, direct + 64, 0x11, 1000);
        win_assert_ones(a, direct);
        g_assert_cmpuint(win_mappings(a), ==, 0);
    }
    look_at(f, WIN_X);
    win_assert_shows(a, direct, f->ports[1], WIN_X);
}

/* ACPI memory hot-plug of q35 */
#define DIMM_X          (4 * GiB)
#define DIMM_SELECT     0xa00
#define DIMM_CONTROL    0xa14
#define DIMM_EJECT      8

static void plug_dimm(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{'execute': 'object-add', 'arguments': {"
                             "'qom-type': 'memory-backend-memfd', 'id': 'ram',"
                             "'size': %d, 'share': true}}",
                             (int)(2 * WIN_SIZE));
    qtest_qmp_assert_success(qts, "{'execute': 'device_add', 'arguments': {"
                             "'driver': 'pc-dimm', 'id': 'dimm',"
                             "'memdev': 'ram'}}");
}

static void unplug_dimm(QTestState *qts)
{
    unsigned fds = ntb_count_fds(qts);

    qtest_outl(qts, DIMM_SELECT, 0);
    qtest_outb(qts, DIMM_CONTROL, DIMM_EJECT);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
    qtest_qmp_assert_success(qts, "{'execute': 'object-del', 'arguments': {"
                             "'id': 'ram'}}");
    ntb_wait(ntb_count_fds(qts) < fds);
}

/* Return the entry of the table for the RAM at @x */
static IdtNtbShmRam published(NtbFixture *f, uint64_t x)
{
    const IdtNtbShmMemory *table =
        &f->server->mem->memory[f->ports[1]->partition].m;

    for (unsigned i = 0; i < table->count; i++) {
        if (table->ram[i].addr == x) {
            return table->ram[i];
        }
    }
    ntb_fail("no RAM at 0x%" PRIx64, x);
    return (IdtNtbShmRam) { };
}

/*
 * RAM at the same address, in a file with the same number, is not what it was.
 * The holder sees no table in between.
 */
static void test_replugged_ram(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = ntb_start_args(f, 1, "-m 64M,slots=1,maxmem=256M", NULL);

    plug_dimm(b->qts);
    look_at(f, DIMM_X);
    for (unsigned i = 0; i < 5; i++) {
        IdtNtbShmRam before = published(f, DIMM_X);
        uint64_t value = win_value();

        win_assert_hits(a, direct + 8, b, DIMM_X + 8, 8);
        win_assert_path(a, f->path);
        ntb_freeze(a);
        unplug_dimm(b->qts);
        plug_dimm(b->qts);
        g_assert_cmpuint(published(f, DIMM_X).fd, ==, before.fd);
        qtest_writeq(b->qts, DIMM_X, value);
        ntb_thaw(a);
        ntb_settle(a->qts);
        g_assert_cmphex(qtest_readq(a->qts, direct), ==, value);
    }
}

/* X + offset goes around; no byte below X is in the window */
static void test_wrap(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 3; i++) {
        uint64_t x = -(uint64_t)(0x1000 + 4 * i);

        qtest_memset(b->qts, 0x8000, 0x77, 64);
        look_at(f, x);
        win_assert_ones(a, direct);
        win_assert_ones(a, direct - x - 8);
        qtest_readq(a->qts, direct - x - 4);
        qtest_readq(a->qts, direct - x);
        qtest_writeq(a->qts, direct - x - 4, win_value());
    }
    look_at(f, WIN_X);
    win_assert_shows(a, direct, b, WIN_X);
}

/* The first MiB: what is RAM there, what is the firmware, what is neither */
static void test_low_memory(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    look_at(f, 0);
    win_assert_shows(a, direct + 8, b, 8);
    win_assert_shows(a, direct + 0x9ff00, b, 0x9ff00);
    /* The empty firmware: as its own CPU sees it, and it stays so */
    for (uint64_t x = 0xf0000; x < 0x100000; x += 0x0ff8) {
        uint64_t before = qtest_readq(b->qts, x);

        g_assert_cmphex(qtest_readq(a->qts, direct + x), ==, before);
        qtest_writeq(a->qts, direct + x, win_value());
        win_sync(b);
        g_assert_cmphex(qtest_readq(b->qts, x), ==, before);
    }
    look_at(f, 0xfff00000);
    g_assert_cmphex(qtest_readq(a->qts, direct + 0xffff0), ==,
                    qtest_readq(b->qts, 0xfffffff0));
    poke(f, 0xffff0, 0x1badb002);
    win_sync(b);
    g_assert_cmphex(qtest_readl(b->qts, 0xfffffff0), !=, 0x1badb002);
}

/* The target unplugs and moves what a window shows */
static void test_memory_moves(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = ntb_start_args(f, 1, "-m 64M,maxmem=1G,slots=1 "
        "-object memory-backend-memfd,id=dimm,size=128M,share=on", NULL);
    uint64_t shown = win_value();

    look_at(f, 4 * GiB);
    win_assert_ones(a, direct);
    qtest_qmp_device_add(b->qts, "pc-dimm", "d0", "{'memdev': 'dimm'}");
    win_assert_shows(a, direct + 64, b, 4 * GiB + 64);
    win_assert_shows(a, direct + WIN_SIZE - 64, b,
                     4 * GiB + WIN_SIZE - 64);
    /* PAM0: a segment below 1 MiB becomes RAM, and the firmware again */
    look_at(f, 0);
    for (unsigned i = 0; i < 3; i++) {
        qtest_writeb(b->qts, 0xb0000090, 0x30);
        ntb_settle(b->qts);
        qtest_writeq(b->qts, 0xf0000, shown);
        g_assert_cmphex(qtest_readq(a->qts, direct + 0xf0000), ==, shown);
        win_assert_shows(a, direct + 0xf1000, b, 0xf1000);
        qtest_writeb(b->qts, 0xb0000090, 0x00);
        ntb_settle(b->qts);
        g_assert_cmphex(qtest_readq(a->qts, direct + 0xf0000), ==, 0);
        qtest_writeq(a->qts, direct + 0xf0000, 1);
        win_sync(b);
        qtest_writeb(b->qts, 0xb0000090, 0x10);
        g_assert_cmphex(qtest_readq(b->qts, 0xf0000), ==, shown);
    }
}

/*
 * Addresses of neither RAM nor ROM
 */

#define UNCOR_STATUS    (IDT_CAP_AER + PCI_ERR_UNCOR_STATUS)
#define COR_STATUS      (IDT_CAP_AER + PCI_ERR_COR_STATUS)

/* True if the sender has recorded an unsupported request; it is clear then */
static bool take_unsupported(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    uint32_t uncor = ntb_cfg_read(a, UNCOR_STATUS);
    uint32_t cor = ntb_cfg_read(a, COR_STATUS);

    g_assert_cmphex(uncor & ~PCI_ERR_UNC_UNSUP, ==, 0);
    g_assert_cmphex(cor & ~PCI_ERR_COR_ADV_NFAT, ==, 0);
    ntb_cfg_write(a, UNCOR_STATUS, UINT32_MAX);
    ntb_cfg_write(a, COR_STATUS, UINT32_MAX);
    return uncor | cor;
}

/* A read is all ones and an error, a write is lost */
static void assert_refused(NtbFixture *f, uint64_t x)
{
    NtbPort *a = f->ports[0];

    look_at(f, x & ~0xfffULL);
    x &= 0xfff;
    g_assert_false(take_unsupported(f));
    for (unsigned size = 1; size <= 8; size *= 2) {
        g_assert_cmphex(ntb_read_sized(a, direct + x, size), ==,
                        MAKE_64BIT_MASK(0, 8 * size));
        g_assert_true(take_unsupported(f));
        ntb_write_sized(a, direct + x, size, 0x1234567890abcdef);
        win_sync(f->ports[1]);
        g_assert_false(take_unsupported(f));
    }
    g_assert_cmpuint(win_mappings(a), ==, 0);
}

/* Of the NT function at the other end */
static void test_peer_registers(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    ntb_write(b, A_NTSDATA, 0x600dc0de);
    ntb_write(b, A_INDBELLMSK, 0);
    ntb_write(b, A_NTINTMSK, 0);
    assert_refused(f, b->bar0 + A_NTSDATA);
    assert_refused(f, b->bar0 + A_OUTDBELLSET);
    g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0x600dc0de);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0);
    ntb_assert_no_msi(b);
}

#define ECAM        0xb0000000ULL
#define EDU_ECAM    (ECAM + 0x38000)    /* 00:07.0 */
#define EDU_BAR     0xe1000000ULL

/* Of other devices: a handler in another access could do anything */
static void test_devices(NtbFixture *f)
{
    static const uint64_t places[] = {
        EDU_BAR + 4, ECAM, ECAM + 0x90, EDU_ECAM + PCI_BASE_ADDRESS_0,
        0xfec00000, 0xfed00000, 0xfed000f0,
    };
    NtbPort *b = ntb_start_args(f, 1, "-device edu,addr=7", NULL);

    qtest_writel(b->qts, EDU_ECAM + PCI_BASE_ADDRESS_0, EDU_BAR);
    qtest_writew(b->qts, EDU_ECAM + PCI_COMMAND, PCI_COMMAND_MEMORY);
    qtest_writel(b->qts, EDU_BAR + 4, 0x12121212);
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        uint32_t before = qtest_readl(b->qts, places[i]);

        assert_refused(f, places[i]);
        g_assert_cmphex(qtest_readl(b->qts, places[i]), ==, before);
    }
    look_at(f, WIN_X);
    win_assert_shows(f->ports[0], direct, b, WIN_X);
}

static bool has_irr(NtbPort *p, const char *vector)
{
    g_autofree char *lapic = qtest_hmp(p->qts, "info lapic");
    char *irr = strstr(lapic, "IRR");

    return irr && strstr(irr, vector);
}

/* Where devices send their interrupts */
static void test_msi(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    assert_refused(f, 0xfee00000);
    look_at(f, 0xfee00000 - 0x1000);
    poke(f, 0x1000, 0x99);
    win_sync(b);
    g_assert_false(has_irr(b, " 153 "));
    g_assert_false(has_irr(b, " 239 "));
}

/* A write is posted: the QEMU that refuses it tells whose it was */
static void test_told(NtbFixture *f)
{
    g_autofree char *log = ntb_tmp_path("log");
    g_autofree char *args = g_strdup_printf("-d guest_errors -D %s", log);
    NtbPort *b = ntb_start_args(f, 1, args, NULL);

    look_at(f, b->bar0);
    poke(f, A_NTSDATA, 1);
    ntb_wait(ntb_is_logged(log, " by port 0 is refused: neither RAM nor ROM "
                           "(1 times since the last message)"));
    unlink(log);
}

/* Half an access is in RAM */
static void test_half(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    look_at(f, WIN_RAM_SIZE - WIN_SIZE + 4);
    qtest_writel(f->ports[1]->qts, WIN_RAM_SIZE - 4, 0x600d600d);
    g_assert_cmphex(qtest_readl(a->qts, direct + WIN_SIZE - 8), ==,
                    0x600d600d);
    g_assert_false(take_unsupported(f));
    qtest_readq(a->qts, direct + WIN_SIZE - 8);
    g_assert_true(take_unsupported(f));
}

#define EACH .ports = 2, .prepare = prepare, .windows = WIN_EACH, .q35 = true
#define SHARED \
    .ports = 2, .prepare = prepare, .windows = WIN_MOSTLY_SHARED, .q35 = true

static const NtbTest tests[] = {
    { "window-target/replugged-ram-is-mapped-anew", test_replugged_ram,
      .ports = 1, .prepare = prepare,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "window-target/access-over-the-end-of-ram-is-split", test_end_of_ram,
      EACH },
    { "window-target/holes-read-ones", test_holes, SHARED },
    { "window-target/addresses-do-not-wrap-into-ram", test_wrap, SHARED },
    { "window-target/firmware-is-read-only", test_low_memory, EACH },
    { "window-target/hot-plugged-ram-is-shown", test_memory_moves,
      .ports = 1, .prepare = prepare, .windows = WIN_EACH, .q35 = true },
    { "window-target/registers-of-the-peer-are-refused", test_peer_registers,
      EACH },
    { "window-target/devices-are-refused", test_devices, .ports = 1,
      .prepare = prepare, .windows = WIN_EACH,
      .q35 = true },
    { "window-target/interrupt-messages-are-refused", test_msi, SHARED },
    { "window-target/refused-write-is-logged", test_told, .ports = 1,
      .prepare = prepare, .windows = WIN_MOSTLY_SHARED, .q35 = true },
    { "window-target/access-half-outside-ram-is-an-error", test_half, EACH },
};

ntb_tests(tests);
