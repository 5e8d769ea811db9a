/*
 * QTest testcase for idt-ntb: memory windows onto all kinds of things
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/window.h"

static WinPair w;
static uint64_t direct;         /* address in @w.a's guest */

static void setup(WinPath path, const char *args_b)
{
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, NULL, NULL);
    w.b = win_boot(w.server, path, args_b, NULL);
    direct = win_bar(w.a, WIN_DIRECT32);
}

static void look_at(uint64_t x)
{
    win_open(w.a, WIN_DIRECT32, w.b->partition, x);
}

static void poke(uint64_t offset, uint32_t value)
{
    qtest_writel(w.a->qts, direct + offset, value);
}

/*
 * Memory, and where there is none
 */

/* All of a small RAM, in steps; the end of it */
static void test_end_of_ram(WinPath path)
{
    const uint64_t edge = WIN_RAM_SIZE;

    setup(path, NULL);
    look_at(edge - WIN_SIZE / 2);
    win_assert_shows(w.a, direct + WIN_SIZE / 2 - 80, w.b, edge - 80);
    win_assert_ones(w.a, direct + WIN_SIZE / 2);
    win_assert_ones(w.a, direct + WIN_SIZE - 8);
    /* An access over it is two */
    for (unsigned size = 2; size <= 8; size++) {
        for (unsigned in = 1; in < size; in++) {
            uint64_t value = win_value();

            qtest_writeq(w.b->qts, edge - 8, value);
            g_assert_cmphex(ntb_read_sized(w.a, direct + WIN_SIZE / 2 - in,
                                           size), ==,
                            (value >> (64 - 8 * in) |
                             MAKE_64BIT_MASK(8 * in, 64 - 8 * in)) &
                            MAKE_64BIT_MASK(0, 8 * size));
            ntb_write_sized(w.a, direct + WIN_SIZE / 2 - in, size, 0);
            win_sync(w.b);
            g_assert_cmphex(qtest_readq(w.b->qts, edge - 8), ==,
                            value & MAKE_64BIT_MASK(0, 64 - 8 * in));
        }
    }
    look_at(edge - WIN_SIZE / 2 - 4);
    win_assert_shows(w.a, direct + WIN_SIZE / 2 - 76, w.b, edge - 80);
    win_assert_ones(w.a, direct + WIN_SIZE / 2 + 4);
    win_stop(&w);
}

static void test_holes(WinPath path)
{
    static const uint64_t holes[] = {
        WIN_RAM_SIZE, 0x30000000, 0xafe00000, 0xfe000000, 0x0000700000000000,
        0xfffffffffff00000, 0xffffffff00000000,
    };

    setup(path, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(holes); i++) {
        look_at(holes[i]);
        win_assert_ones(w.a, direct);
        win_assert_ones(w.a, direct + WIN_SIZE - 8);
        qtest_writeq(w.a->qts, direct, i);
        qtest_memset(w.a->qts, direct + 64, 0x11, 1000);
        win_assert_ones(w.a, direct);
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
    }
    look_at(WIN_X);
    win_assert_shows(w.a, direct, w.b, WIN_X);
    win_stop(&w);
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

/* What the table says of the RAM at @x */
static IdtNtbShmRam published(uint64_t x)
{
    const IdtNtbShmMemory *table =
        &((IdtNtbShm *)w.server->mem)->memory[w.b->partition].m;

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
static void test_replugged_ram(WinPath path)
{
    setup(path, "-m 64M,slots=1,maxmem=256M");
    plug_dimm(w.b->qts);
    look_at(DIMM_X);
    for (unsigned i = 0; i < 5; i++) {
        IdtNtbShmRam before = published(DIMM_X);
        uint64_t value = win_value();

        win_assert_hits(w.a, direct + 8, w.b, DIMM_X + 8, 8);
        win_assert_path(w.a, path);
        ntb_freeze(w.a);
        unplug_dimm(w.b->qts);
        plug_dimm(w.b->qts);
        g_assert_cmpuint(published(DIMM_X).fd, ==, before.fd);
        qtest_writeq(w.b->qts, DIMM_X, value);
        ntb_thaw(w.a);
        ntb_settle(w.a->qts);
        g_assert_cmphex(qtest_readq(w.a->qts, direct), ==, value);
    }
    win_stop(&w);
}

/* X + offset goes around; no byte below X is in the window */
static void test_wrap(WinPath path)
{
    setup(path, NULL);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t x = -(uint64_t)(0x1000 + 4 * i);

        qtest_memset(w.b->qts, 0x8000, 0x77, 64);
        look_at(x);
        win_assert_ones(w.a, direct);
        win_assert_ones(w.a, direct - x - 8);
        qtest_readq(w.a->qts, direct - x - 4);
        qtest_readq(w.a->qts, direct - x);
        qtest_writeq(w.a->qts, direct - x - 4, win_value());
    }
    look_at(WIN_X);
    win_assert_shows(w.a, direct, w.b, WIN_X);
    win_stop(&w);
}

/* The first MiB: what is RAM there, what is the firmware, what is neither */
static void test_low_memory(WinPath path)
{
    setup(path, NULL);
    look_at(0);
    win_assert_shows(w.a, direct + 8, w.b, 8);
    win_assert_shows(w.a, direct + 0x9ff00, w.b, 0x9ff00);
    /* The empty firmware: as its own CPU sees it, and it stays so */
    for (uint64_t x = 0xf0000; x < 0x100000; x += 0x0ff8) {
        uint64_t before = qtest_readq(w.b->qts, x);

        g_assert_cmphex(qtest_readq(w.a->qts, direct + x), ==, before);
        qtest_writeq(w.a->qts, direct + x, win_value());
        win_sync(w.b);
        g_assert_cmphex(qtest_readq(w.b->qts, x), ==, before);
    }
    look_at(0xfff00000);
    g_assert_cmphex(qtest_readq(w.a->qts, direct + 0xffff0), ==,
                    qtest_readq(w.b->qts, 0xfffffff0));
    poke(0xffff0, 0x1badb002);
    win_sync(w.b);
    g_assert_cmphex(qtest_readl(w.b->qts, 0xfffffff0), !=, 0x1badb002);
    win_stop(&w);
}

/* The target unplugs and moves what a window shows */
static void test_memory_moves(WinPath path)
{
    uint64_t shown;

    setup(path, "-m 64M,maxmem=1G,slots=1 "
          "-object memory-backend-memfd,id=dimm,size=128M,share=on");
    look_at(4 * GiB);
    win_assert_ones(w.a, direct);
    qtest_qmp_device_add(w.b->qts, "pc-dimm", "d0", "{'memdev': 'dimm'}");
    win_assert_shows(w.a, direct + 64, w.b, 4 * GiB + 64);
    win_assert_shows(w.a, direct + WIN_SIZE - 64, w.b,
                     4 * GiB + WIN_SIZE - 64);
    /* PAM0: a segment below 1 MiB becomes RAM, and the firmware again */
    look_at(0);
    shown = win_value();
    for (unsigned i = 0; i < 3; i++) {
        qtest_writeb(w.b->qts, 0xb0000090, 0x30);
        ntb_settle(w.b->qts);
        qtest_writeq(w.b->qts, 0xf0000, shown);
        g_assert_cmphex(qtest_readq(w.a->qts, direct + 0xf0000), ==, shown);
        win_assert_shows(w.a, direct + 0xf1000, w.b, 0xf1000);
        qtest_writeb(w.b->qts, 0xb0000090, 0x00);
        ntb_settle(w.b->qts);
        g_assert_cmphex(qtest_readq(w.a->qts, direct + 0xf0000), ==, 0);
        qtest_writeq(w.a->qts, direct + 0xf0000, 1);
        win_sync(w.b);
        qtest_writeb(w.b->qts, 0xb0000090, 0x10);
        g_assert_cmphex(qtest_readq(w.b->qts, 0xf0000), ==, shown);
    }
    win_stop(&w);
}

/*
 * What is neither RAM nor ROM
 */

#define UNCOR_STATUS    (IDT_CAP_AER + PCI_ERR_UNCOR_STATUS)
#define COR_STATUS      (IDT_CAP_AER + PCI_ERR_COR_STATUS)

/* True if the sender has recorded an unsupported request; it is clear then */
static bool take_unsupported(void)
{
    uint32_t uncor = ntb_cfg_read(w.a, UNCOR_STATUS);
    uint32_t cor = ntb_cfg_read(w.a, COR_STATUS);

    g_assert_cmphex(uncor & ~PCI_ERR_UNC_UNSUP, ==, 0);
    g_assert_cmphex(cor & ~PCI_ERR_COR_ADV_NFAT, ==, 0);
    ntb_cfg_write(w.a, UNCOR_STATUS, UINT32_MAX);
    ntb_cfg_write(w.a, COR_STATUS, UINT32_MAX);
    return uncor | cor;
}

/* A read is all ones and an error, a write is lost */
static void assert_refused(uint64_t x)
{
    look_at(x & ~0xfffULL);
    x &= 0xfff;
    g_assert_false(take_unsupported());
    for (unsigned size = 1; size <= 8; size *= 2) {
        g_assert_cmphex(ntb_read_sized(w.a, direct + x, size), ==,
                        MAKE_64BIT_MASK(0, 8 * size));
        g_assert_true(take_unsupported());
        ntb_write_sized(w.a, direct + x, size, 0x1234567890abcdef);
        win_sync(w.b);
        g_assert_false(take_unsupported());
    }
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
}

/* Of the NT function at the other end */
static void test_peer_registers(WinPath path)
{
    setup(path, NULL);
    ntb_write(w.b, A_NTSDATA, 0x600dc0de);
    ntb_write(w.b, A_INDBELLMSK, 0);
    ntb_write(w.b, A_NTINTMSK, 0);
    assert_refused(w.b->bar0 + A_NTSDATA);
    assert_refused(w.b->bar0 + A_OUTDBELLSET);
    g_assert_cmphex(ntb_read(w.b, A_NTSDATA), ==, 0x600dc0de);
    g_assert_cmphex(ntb_read(w.b, A_INDBELLSTS), ==, 0);
    ntb_assert_no_msi(w.b);
    win_stop(&w);
}

#define ECAM        0xb0000000ULL
#define EDU_ECAM    (ECAM + 0x38000)    /* 00:07.0 */
#define EDU_BAR     0xe1000000ULL

/* Of other devices: a handler in another access could do anything */
static void test_devices(WinPath path)
{
    static const uint64_t places[] = {
        EDU_BAR + 4, ECAM, ECAM + 0x90, EDU_ECAM + PCI_BASE_ADDRESS_0,
        0xfec00000, 0xfed00000, 0xfed000f0,
    };

    setup(path, "-device edu,addr=7");
    qtest_writel(w.b->qts, EDU_ECAM + PCI_BASE_ADDRESS_0, EDU_BAR);
    qtest_writew(w.b->qts, EDU_ECAM + PCI_COMMAND, PCI_COMMAND_MEMORY);
    qtest_writel(w.b->qts, EDU_BAR + 4, 0x12121212);
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        uint32_t before = qtest_readl(w.b->qts, places[i]);

        assert_refused(places[i]);
        g_assert_cmphex(qtest_readl(w.b->qts, places[i]), ==, before);
    }
    look_at(WIN_X);
    win_assert_shows(w.a, direct, w.b, WIN_X);
    win_stop(&w);
}

static bool has_irr(NtbPort *p, const char *vector)
{
    g_autofree char *lapic = qtest_hmp(p->qts, "info lapic");
    char *irr = strstr(lapic, "IRR");

    return irr && strstr(irr, vector);
}

/* Where devices send their interrupts */
static void test_msi(WinPath path)
{
    setup(path, NULL);
    assert_refused(0xfee00000);
    look_at(0xfee00000 - 0x1000);
    poke(0x1000, 0x99);
    win_sync(w.b);
    g_assert_false(has_irr(w.b, " 153 "));
    g_assert_false(has_irr(w.b, " 239 "));
    win_stop(&w);
}

static bool is_told(const char *path, const char *what)
{
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) && strstr(text, what);
}

/* A write is posted: the QEMU that refuses it tells whose it was */
static void test_told(WinPath path)
{
    g_autofree char *log = ntb_tmp_path("log");
    g_autofree char *args = g_strdup_printf("-d guest_errors -D %s", log);

    setup(path, args);
    look_at(w.b->bar0);
    poke(A_NTSDATA, 1);
    ntb_wait(is_told(log, " by port 0 is refused: neither RAM nor ROM "
                          "(1 times since the last message)"));
    win_stop(&w);
    unlink(log);
}

/* Half an access is in RAM */
static void test_half(WinPath path)
{
    setup(path, NULL);
    look_at(WIN_RAM_SIZE - WIN_SIZE + 4);
    qtest_writel(w.b->qts, WIN_RAM_SIZE - 4, 0x600d600d);
    g_assert_cmphex(qtest_readl(w.a->qts, direct + WIN_SIZE - 8), ==,
                    0x600d600d);
    g_assert_false(take_unsupported());
    qtest_readq(w.a->qts, direct + WIN_SIZE - 8);
    g_assert_true(take_unsupported());
    win_stop(&w);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    if (ntb_machine_is_q35()) {
        win_add_case_at("window-target/replugged-ram", test_replugged_ram,
                        WIN_SHARED);
    }
    win_add_case("window-target/end-of-ram", test_end_of_ram);
    win_add_case_shared("window-target/holes", test_holes);
    win_add_case_shared("window-target/wrap", test_wrap);
    win_add_case("window-target/low-memory", test_low_memory);
    win_add_case("window-target/memory-moves", test_memory_moves);
    win_add_case("window-target/peer-registers", test_peer_registers);
    win_add_case("window-target/devices", test_devices);
    win_add_case_shared("window-target/msi", test_msi);
    win_add_case_shared("window-target/told", test_told);
    win_add_case("window-target/half", test_half);
}

libqos_init(add_tests);
