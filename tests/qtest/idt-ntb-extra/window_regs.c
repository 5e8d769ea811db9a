/*
 * QTest testcase for idt-ntb: registers of memory windows
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "extra.h"
#include "views.h"

/* In all views, @fixed bits are ones, @rw bits can be written */
static void check_bits(NtbFixture *f, uint32_t offset, uint32_t fixed,
                       uint32_t rw)
{
    static const uint32_t patterns[] = {
        UINT32_MAX, 0, 0x55555555, 0xaaaaaaaa, 0x13579bdf,
    };

    for (View view = 0; view < VIEW_MAX; view++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(patterns); i++) {
            view_write(f, view, offset, patterns[i]);
            assert_all_views(f, offset, fixed | (patterns[i] & rw));
        }
        view_write(f, view, offset, 0);
    }
}

static void test_barsetup(NtbFixture *f)
{
    /* The upper half of a 64-bit BAR cannot be set up */
    for (View view = 0; view < VIEW_MAX; view++) {
        for (unsigned bar = 3; bar < IDT_NUM_BARS; bar += 2) {
            view_write(f, view, win_reg(bar, A_BARSETUP0), UINT32_MAX);
            assert_all_views(f, win_reg(bar, A_BARSETUP0), 0);
        }
    }
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        check_bits(f, win_reg(bar, A_BARSETUP0), 0, 0x8000ffff);
    }
}

static void test_translation(NtbFixture *f)
{
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        check_bits(f, win_reg(bar, A_BARLIMIT0), 0, UINT32_MAX);
        check_bits(f, win_reg(bar, A_BARLTBASE0), 0, 0xfffffffc);
        check_bits(f, win_reg(bar, A_BARUTBASE0), 0, UINT32_MAX);
    }
}

/* Each BAR of each port has registers of its own */
static void test_translation_apart(NtbFixture *f)
{
    NtbPort *peer = f->ports[0];
    static const uint32_t regs[] = {
        A_BARLIMIT0, A_BARLTBASE0, A_BARUTBASE0
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
        for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
            ntb_write(f->ports[1], win_reg(bar, regs[i]),
                      0x1000 * bar + 0x100 * i);
            ntb_write(peer, win_reg(bar, regs[i]), 0xa000 * bar + 0x400 * i);
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
        for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
            assert_all_views(f, win_reg(bar, regs[i]),
                             0x1000 * bar + 0x100 * i);
            g_assert_cmphex(ntb_read(peer, win_reg(bar, regs[i])), ==,
                            0xa000 * bar + 0x400 * i);
        }
    }
}

/* Access bytes, and parts of two registers at once */
static void test_lanes(NtbFixture *f)
{
    NtbPort *self = f->ports[1];

    for (unsigned view = 0; view < ntb_num_views(); view++) {
        uint64_t base = view ? self->ecam : self->bar0;
        uint64_t lt = base + win_reg(1, A_BARLTBASE0);

        ntb_write_sized(self, lt, 8, 0x8877665544332211);
        g_assert_cmphex(ntb_read(self, win_reg(1, A_BARLTBASE0)), ==,
                        0x44332210);
        g_assert_cmphex(ntb_read(self, win_reg(1, A_BARUTBASE0)), ==,
                        0x88776655);
        ntb_write_sized(self, lt, 1, 0xff);
        ntb_write_sized(self, lt + 3, 2, 0xabcd);
        g_assert_cmphex(ntb_read_sized(self, lt, 8), ==, 0x887766abcd3322fc);
        ntb_write_sized(self, base + win_reg(1, A_BARSETUP0) + 1, 1, 0xff);
        g_assert_cmphex(ntb_read(self, win_reg(1, A_BARSETUP0)), ==,
                        0x8000ff40);
        ntb_write_sized(self, base + win_reg(1, A_BARSETUP0) + 3, 1, 0x7f);
        g_assert_cmphex(ntb_read(self, win_reg(1, A_BARSETUP0)), ==, 0xff40);
        ntb_write(self, win_reg(1, A_BARSETUP0), 0x80000140);
    }
}

/*
 * Lookup tables
 */

static void select_entry(NtbFixture *f, View view, unsigned bar, unsigned entry)
{
    view_write(f, view, A_LUTOFFSET, bar << R_LUTOFFSET_BAR_SHIFT | entry);
}

static void test_lut_bits(NtbFixture *f)
{
    check_bits(f, A_LUTOFFSET, 0, 0x71f);
    for (unsigned bar = 2; bar <= 4; bar += 2) {
        select_entry(f, VIEW_BAR, bar, 23);
        check_bits(f, A_LUTLDATA, 0, 0xfffffffc);
        check_bits(f, A_LUTMDATA, 0, UINT32_MAX);
        check_bits(f, A_LUTUDATA, 0, 0x8000000f);
    }
}

static uint32_t entry_word(unsigned bar, unsigned entry, unsigned word)
{
    uint32_t value = 0x01000000 * bar + 0x10000 * entry + 0x100 * word;

    return word == 2 ? R_LUTUDATA_VALID_MASK | (entry + bar) % 16 : value;
}

/* Write the entries by different views */
static void test_lut_entries(NtbFixture *f)
{
    for (unsigned i = 0; i < 48; i++) {
        View view = i % VIEW_MAX;

        select_entry(f, view, i % 2 ? 2 : 4, i / 2);
        for (unsigned word = 0; word < 3; word++) {
            view_write(f, view, A_LUTLDATA + 4 * word,
                       entry_word(i % 2 ? 2 : 4, i / 2, word));
        }
    }
    for (unsigned i = 0; i < 48; i++) {
        select_entry(f, VIEW_PEER, i % 2 ? 2 : 4, i / 2);
        for (unsigned word = 0; word < 3; word++) {
            assert_all_views(f, A_LUTLDATA + 4 * word,
                             entry_word(i % 2 ? 2 : 4, i / 2, word));
        }
    }
}

/* An entry that does not exist reads zero and keeps nothing */
static void test_lut_holes(NtbFixture *f)
{
    for (unsigned bar = 0; bar < 8; bar++) {
        for (unsigned entry = 0; entry < 32; entry++) {
            if ((bar == 2 || bar == 4) && entry < 24) {
                continue;
            }
            select_entry(f, VIEW_BAR, bar, entry);
            for (unsigned word = 0; word < 3; word++) {
                uint32_t reg = A_LUTLDATA + 4 * word;

                view_write(f, (bar + entry) % VIEW_MAX, reg, UINT32_MAX);
                assert_all_views(f, reg, 0);
            }
        }
    }
    /* Nothing went elsewhere */
    for (unsigned i = 0; i < 48; i++) {
        select_entry(f, VIEW_BAR, i % 2 ? 2 : 4, i / 2);
        for (unsigned word = 0; word < 3; word++) {
            g_assert_cmphex(ntb_read(f->ports[1], A_LUTLDATA + 4 * word), ==,
                            0);
        }
    }
}

/* Each port has its own selection and its own table */
static void test_lut_apart(NtbFixture *f)
{
    NtbPort *peer = f->ports[0];

    select_entry(f, VIEW_BAR, 2, 3);
    ntb_write(peer, A_LUTOFFSET, 4 << R_LUTOFFSET_BAR_SHIFT | 5);
    ntb_write(f->ports[1], A_LUTLDATA, 0x1110);
    ntb_write(peer, A_LUTLDATA, 0x2220);
    assert_all_views(f, A_LUTOFFSET, 0x203);
    assert_all_views(f, A_LUTLDATA, 0x1110);
    g_assert_cmphex(ntb_read(peer, A_LUTOFFSET), ==, 0x405);
    g_assert_cmphex(ntb_read(peer, A_LUTLDATA), ==, 0x2220);
    ntb_write(peer, A_LUTOFFSET, 0x203);
    g_assert_cmphex(ntb_read(peer, A_LUTLDATA), ==, 0);
}

/*
 * Reset
 */

static void dirty(NtbPort *p)
{
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        ntb_write(p, win_reg(bar, A_BARSETUP0), UINT32_MAX);
        ntb_write(p, win_reg(bar, A_BARLIMIT0), UINT32_MAX);
        ntb_write(p, win_reg(bar, A_BARLTBASE0), UINT32_MAX);
        ntb_write(p, win_reg(bar, A_BARUTBASE0), UINT32_MAX);
    }
    for (unsigned i = 0; i < 48; i++) {
        win_open_lut(p, i % 2 ? 2 : 4, i / 2, 7, UINT64_MAX);
    }
}

static void assert_reset(NtbPort *viewer, unsigned port)
{
    static const uint32_t setups[IDT_NUM_BARS] = {
        0x800004c0, 0x80000140, 0x8000119c, 0, 0x8000014c, 0
    };

    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        uint32_t reg = ntb_gas_nt(port, win_reg(bar, A_BARSETUP0));

        g_assert_cmphex(ntb_gas_read(viewer, reg), ==, setups[bar]);
        for (unsigned word = 1; word < 4; word++) {
            g_assert_cmphex(ntb_gas_read(viewer, reg + 4 * word), ==, 0);
        }
    }
    g_assert_cmphex(ntb_gas_read(viewer, ntb_gas_nt(port, A_LUTOFFSET)), ==,
                    0);
    for (unsigned i = 0; i < 48; i++) {
        ntb_gas_write(viewer, ntb_gas_nt(port, A_LUTOFFSET),
                      (i % 2 ? 2 : 4) << R_LUTOFFSET_BAR_SHIFT | i / 2);
        for (unsigned word = 0; word < 3; word++) {
            uint32_t reg = ntb_gas_nt(port, A_LUTLDATA + 4 * word);

            g_assert_cmphex(ntb_gas_read(viewer, reg), ==, 0);
        }
    }
    ntb_gas_write(viewer, ntb_gas_nt(port, A_LUTOFFSET), 0);
}

static void test_reset(NtbFixture *f)
{
    NtbPort *self = f->ports[1], *peer = f->ports[0];

    assert_reset(peer, self->port);
    assert_reset(self, peer->port);
    dirty(self);
    ntb_cfg_writew(self, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                   PCI_EXP_DEVCTL_BCR_FLR);
    assert_reset(peer, self->port);
    ntb_setup_function(self);
    dirty(self);
    qtest_system_reset(self->qts);
    assert_reset(peer, self->port);
}

/* A port has its reset values without a QEMU, and when the next one starts */
static void test_detach(NtbFixture *f)
{
    NtbPort *self = f->ports[1], *peer = f->ports[0];

    dirty(self);
    ntb_end(f, 1);
    ntb_wait(!ntb_link_up(peer, 2));
    assert_reset(peer, 2);
    self = ntb_start(f, 1, NULL);
    assert_reset(peer, 2);
    dirty(self);
    ntb_end_by_kill(f, 1);
    ntb_wait(!ntb_link_up(peer, 2));
    assert_reset(peer, 2);
    self = ntb_start(f, 1, NULL);
    assert_reset(self, 2);
}

/* Forget what is written to a port before its guest exists */
static void test_before_attach(NtbFixture *f)
{
    NtbPort *peer = f->ports[0];
    uint32_t limit = ntb_gas_nt(2, win_reg(1, A_BARLIMIT0));

    assert_reset(peer, 2);
    ntb_gas_write(peer, limit, 0x12345678);
    ntb_gas_write(peer, ntb_gas_nt(2, A_LUTOFFSET), 0x203);
    ntb_gas_write(peer, ntb_gas_nt(2, A_LUTUDATA), 0x80000001);
    ntb_start(f, 1, NULL);
    assert_reset(peer, 2);
}

static const NtbTest tests[] = {
    { "window-registers/barsetup-keeps-its-bits", test_barsetup, .ports = 2 },
    { "window-registers/translation-keeps-its-bits", test_translation,
      .ports = 2 },
    { "window-registers/each-bar-has-its-translation",
      test_translation_apart, .ports = 2 },
    { "window-registers/take-parts-of-a-dword", test_lanes, .ports = 2 },
    { "window-registers/lut-keeps-its-bits", test_lut_bits, .ports = 2 },
    { "window-registers/lut-has-48-entries", test_lut_entries, .ports = 2 },
    { "window-registers/lut-holes-read-zero", test_lut_holes, .ports = 2 },
    { "window-registers/each-port-has-its-lut", test_lut_apart, .ports = 2 },
    { "window-registers/reset-restores-all", test_reset, .ports = 2 },
    { "window-registers/next-port-starts-from-reset", test_detach,
      .ports = 2 },
    { "window-registers/absent-port-forgets-writes", test_before_attach,
      .ports = 1 },
};

ntb_tests(tests);
