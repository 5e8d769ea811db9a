/*
 * QTest testcase for idt-ntb: the three views of a register, accesses of every
 * size and alignment, and random ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/fixture.h"
#include "views.h"
#include "extra.h"

/*
 * Views: configuration cycles, BAR0, global address space
 */

static void test_views(NtbFixture *f)
{
    static const struct {
        uint32_t offset, mask;
    } regs[] = {
        { A_NTCTL, 0xf }, { A_NTINTMSK, 0xbb }, { A_NTSDATA, UINT32_MAX },
        { A_INDBELLMSK, UINT32_MAX }, { A_MSGSTSMSK, 0x000f000f },
        { A_NTMTBLADDR, 0x7f },
    };
    uint32_t value = 0x13579bdf;

    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
        for (View view = 0; view < VIEW_MAX; view++) {
            value = rol32(value, 5) ^ view;
            view_write(f, view, regs[i].offset, value);
            assert_all_views(f, regs[i].offset, value & regs[i].mask);
        }
        view_write(f, VIEW_BAR, regs[i].offset, 0);
    }
    assert_all_views(f, A_BARSETUP0, 0x800004c0);
}

/* A doorbell can be rung, and cleared, through each view */
static void test_views_doorbell(NtbFixture *f)
{
    for (View set = 0; set < VIEW_MAX; set++) {
        for (View clear = 0; clear < VIEW_MAX; clear++) {
            view_write(f, set, A_OUTDBELLSET, 0x80000400);
            assert_all_views(f, A_INDBELLSTS, 0x80000400);
            view_write(f, clear, A_INDBELLSTS, 0x400);
            assert_all_views(f, A_INDBELLSTS, 0x80000000);
            view_write(f, clear, A_INDBELLSTS, 0x80000000);
            assert_all_views(f, A_INDBELLSTS, 0);
        }
    }
}

/* A message that a peer sends by our registers comes from us */
static void test_views_message(NtbFixture *f)
{
    NtbPort *self = f->ports[1];
    NtbPort *peer = f->ports[0];

    ntb_route_message(self, 0, peer->partition, 3);
    for (View view = 0; view < VIEW_MAX; view++) {
        view_write(f, view, A_OUTMSG0, 0xfeed0000 + view);
        assert_all_views(f, A_OUTMSG0, 0xfeed0000 + view);
        g_assert_cmphex(ntb_read(peer, A_INMSG0 + 12), ==, 0xfeed0000 + view);
        g_assert_cmphex(ntb_read(peer, A_INMSGSRC0 + 12), ==, self->partition);
        g_assert_cmphex(ntb_read(peer, A_MSGSTS), ==, 1 << 19);
        ntb_write(peer, A_MSGSTS, 1 << 19);
    }
}

/* The header as it is, wherever one looks from */
static void test_views_header(NtbFixture *f)
{
    NtbPort *self = f->ports[1];

    assert_all_views(f, PCI_VENDOR_ID, NTB_ID);
    for (View view = 0; view < VIEW_MAX; view++) {
        g_assert_cmphex(view_read(f, view, PCI_COMMAND) & 0xffff, ==,
                        PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        g_assert_cmphex(view_read(f, view, IDT_CAP_PCIE + PCI_EXP_LNKCAP) >> 24,
                        ==, self->port);
        g_assert_cmphex(view_read(f, view, IDT_CAP_PCIE + PCI_EXP_LNKCTL) >> 16,
                        ==, 0x1042);
    }
    /* The Linux driver looks at its peer's bus master enable that way */
    ntb_cfg_writew(self, PCI_COMMAND, PCI_COMMAND_MEMORY);
    g_assert_cmphex(view_read(f, VIEW_PEER, PCI_COMMAND) & 0xffff, ==,
                    PCI_COMMAND_MEMORY);
    /* From elsewhere it is for reading only */
    view_write(f, VIEW_PEER, PCI_COMMAND,
               PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmphex(ntb_cfg_readw(self, PCI_COMMAND), ==, PCI_COMMAND_MEMORY);
    g_assert_cmphex(view_read(f, VIEW_PEER, PCI_COMMAND) & 0xffff, ==,
                    PCI_COMMAND_MEMORY);
}

/*
 * Global address space registers
 */

static void test_gas(NtbFixture *f)
{
    NtbPort *self = f->ports[1];
    NtbPort *peer = f->ports[0];

    /* One address register per function */
    ntb_write(self, A_GASAADDR, A_SEMSK);
    ntb_write(peer, A_GASAADDR, A_SEPMSK);
    g_assert_cmphex(ntb_read(self, A_GASADATA), ==, 0x3f);
    g_assert_cmphex(ntb_read(peer, A_GASADATA), ==, 0xff);
    /* ... but the same for configuration cycles and BAR0 */
    ntb_cfg_write(self, A_GASAADDR, A_SELINKUPMSK);
    g_assert_cmphex(ntb_read(self, A_GASADATA), ==, 0xffffff);
    g_assert_cmphex(ntb_cfg_read(self, A_GASADATA), ==, 0xffffff);
    /* One switch: all ports see the same */
    ntb_gas_write(self, A_SEMSK, 0x15);
    g_assert_cmphex(ntb_gas_read(peer, A_SEMSK), ==, 0x15);
}

static void test_gas_recursion(NtbFixture *f)
{
    NtbPort *self = f->ports[1];

    for (unsigned i = 0; i < 2; i++) {
        unsigned port = i ? self->port : f->ports[0]->port;

        ntb_gas_write(self, ntb_gas_nt(port, A_GASAADDR), A_SEMSK);
        g_assert_cmphex(ntb_gas_read(self, ntb_gas_nt(port, A_GASAADDR)), ==,
                        0);
        g_assert_cmphex(ntb_gas_read(self, ntb_gas_nt(port, A_GASADATA)), ==,
                        0);
        ntb_gas_write(self, ntb_gas_nt(port, A_GASADATA), 0);
        ntb_gas_write(self, ntb_gas_nt(port, A_ECFGADDR), UINT32_MAX);
        g_assert_cmphex(ntb_gas_read(self, ntb_gas_nt(port, A_ECFGADDR)), ==,
                        0);
        g_assert_cmphex(ntb_gas_read(self, ntb_gas_nt(port, A_ECFGDATA)), ==,
                        0);
    }
    g_assert_cmphex(ntb_gas_read(self, A_SEMSK), ==, 0x3f);
}

/*
 * Sizes and alignments: an access is what its bytes do, one by one
 */

/* Two neighbours without side effects: NTINTMSK at 0, NTSDATA at 4 */
static const uint8_t pair_mask[8] = { 0xbb, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };

static void check_sized(NtbPort *p, uint64_t base, uint8_t *model,
                        unsigned offset, unsigned size, uint64_t value)
{
    uint64_t should = 0;

    ntb_write_sized(p, base + A_NTINTMSK + offset, size, value);
    for (unsigned i = 0; i < size; i++) {
        model[offset + i] = (value >> (8 * i)) & pair_mask[offset + i];
    }
    g_assert_cmphex(ntb_read(p, A_NTINTMSK), ==, (uint32_t)ldl_le_p(model));
    g_assert_cmphex(ntb_read(p, A_NTSDATA), ==,
                    (uint32_t)ldl_le_p(model + 4));
    for (unsigned i = 0; i < size; i++) {
        should |= (uint64_t)model[offset + i] << (8 * i);
    }
    g_assert_cmphex(ntb_read_sized(p, base + A_NTINTMSK + offset, size), ==,
                    should);
}

static void test_sizes(NtbFixture *f)
{
    NtbPort *p = f->ports[0];
    uint64_t value = 0x123456789abcdef0;
    uint8_t model[8] = { 0xbb };

    for (unsigned view = 0; view < ntb_num_views(); view++) {
        uint64_t base = view ? p->ecam : p->bar0;

        for (unsigned size = 1; size <= 8; size++) {
            for (unsigned offset = 0; offset + size <= 8; offset++) {
                value = value * 6364136223846793005ULL + 1442695040888963407ULL;
                check_sized(p, base, model, offset, size, value);
            }
        }
    }
}

/* Write-1-to-clear acts on the bytes that were written */
static void check_w1c_lanes(NtbPort *p, uint64_t base, unsigned offset,
                            unsigned size)
{
    uint64_t lanes = MAKE_64BIT_MASK(offset * 8, size * 8);

    ntb_write(p, A_OUTDBELLSET, UINT32_MAX);
    g_assert_cmphex(ntb_read(p, A_INDBELLSTS), ==, UINT32_MAX);
    ntb_write_sized(p, base + A_INDBELLSTS + offset, size, UINT64_MAX);
    g_assert_cmphex(ntb_read(p, A_INDBELLSTS), ==, (uint32_t)~lanes);
}

static void test_w1c_lanes(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    for (unsigned view = 0; view < ntb_num_views(); view++) {
        uint64_t base = view ? p->ecam : p->bar0;

        for (unsigned size = 1; size <= 4; size++) {
            for (unsigned offset = 0; offset + size <= 4; offset++) {
                check_w1c_lanes(p, base, offset, size);
            }
        }
        /* Over the edge into OUTDBELLSET's neighbour and INDBELLMSK */
        check_w1c_lanes(p, base, 2, 4);
        check_w1c_lanes(p, base, 0, 8);
        ntb_write(p, A_OUTDBELLSET, UINT32_MAX);
        ntb_write_sized(p, base + A_INDBELLSTS - 3, 4, UINT64_MAX);
        g_assert_cmphex(ntb_read(p, A_INDBELLSTS), ==, 0xffffff00);
    }
}

/* A byte of OUTDBELLSET is eight doorbells */
static void test_doorbell_lanes(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    for (unsigned lane = 0; lane < 4; lane++) {
        ntb_write_sized(p, p->bar0 + A_OUTDBELLSET + lane, 1, 0x81);
        g_assert_cmphex(ntb_read(p, A_INDBELLSTS), ==, 0x81u << (8 * lane));
        ntb_write(p, A_INDBELLSTS, UINT32_MAX);
    }
    ntb_write_sized(p, p->bar0 + A_OUTDBELLSET + 1, 2, 0x4002);
    g_assert_cmphex(ntb_read(p, A_INDBELLSTS), ==, 0x400200);
}

/* A write of any lane sends the register; one over two of them sends both */
static void test_message_lanes(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    ntb_route_message(p, 1, p->partition, 1);
    ntb_write(p, A_OUTMSG0, 0x11223344);
    g_assert_cmphex(ntb_read(p, A_MSGSTS), ==, 1 << 16);
    ntb_write(p, A_MSGSTS, UINT32_MAX);
    ntb_write_sized(p, p->bar0 + A_OUTMSG0 + 2, 1, 0xee);
    g_assert_cmphex(ntb_read(p, A_MSGSTS), ==, 1 << 16);
    g_assert_cmphex(ntb_read(p, A_INMSG0), ==, 0x11ee3344);
    ntb_write(p, A_MSGSTS, UINT32_MAX);
    ntb_write_sized(p, p->bar0 + A_OUTMSG0, 8, 0x0123456789abcdef);
    g_assert_cmphex(ntb_read(p, A_MSGSTS), ==, 3 << 16);
    g_assert_cmphex(ntb_read(p, A_INMSG0), ==, 0x89abcdef);
    g_assert_cmphex(ntb_read(p, A_INMSG0 + 4), ==, 0x01234567);
    g_assert_cmphex(ntb_read_sized(p, p->bar0 + A_INMSG0, 8), ==,
                    0x0123456789abcdef);
}

/* Byte lanes of GASADATA are those of the selected register */
static void test_gas_lanes(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    ntb_gas_write(p, ntb_gas_nt(p->port, A_NTSDATA), 0x11223344);
    qtest_writeb(p->qts, p->bar0 + A_GASADATA + 2, 0xaa);
    g_assert_cmphex(ntb_read(p, A_NTSDATA), ==, 0x11aa3344);
    g_assert_cmphex(qtest_readb(p->qts, p->bar0 + A_GASADATA + 3), ==, 0x11);
    ntb_cfg_writew(p, A_GASADATA, 0xbbcc);
    g_assert_cmphex(ntb_read(p, A_NTSDATA), ==, 0x11aabbcc);
    if (p->ecam) {
        g_assert_cmphex(ntb_read_sized(p, p->ecam + A_GASADATA + 1, 2), ==,
                        0xaabb);
    }
    /* GASAADDR and GASADATA in one access */
    ntb_write_sized(p, p->bar0 + A_GASAADDR, 8,
                  0x5555aaaaULL << 32 | ntb_gas_nt(p->port, A_NTSDATA));
    g_assert_cmphex(ntb_read(p, A_NTSDATA), ==, 0x5555aaaa);
}

/*
 * Random accesses.  Whatever they do, the QEMUs live and what never changes has
 * not changed.
 */

#define RANDOM_ACCESSES 30000

static uint64_t random_place(GRand *rng, NtbPort *p)
{
    uint32_t offset = g_rand_int_range(rng, 0, IDT_NT_CFG_SIZE);

    /* Mostly where registers are */
    if (g_rand_boolean(rng)) {
        offset = g_rand_int_range(rng, A_NTCTL, A_LUTUDATA + 4);
    }
    return (g_rand_boolean(rng) ? p->bar0 : p->ecam) + offset;
}

/* The header keeps BAR, MSI and power where the test can work with them */
static bool is_header(uint64_t address)
{
    return address % IDT_NT_CFG_SIZE < IDT_NT_REGS;
}

static unsigned random_size(GRand *rng, uint64_t address)
{
    unsigned size = g_rand_int_range(rng, 1, 9);

    return MIN(size, IDT_NT_CFG_SIZE - (address & (IDT_NT_CFG_SIZE - 1)));
}

/* Registers that take links down, or us from the others: topology.c */
static bool is_topology(uint32_t address)
{
    return (address >= A_SWPART0CTL && address < A_SWPORT0CTL +
            IDT_SWPORT_STRIDE * IDT_MAX_PORTS) || address == A_GASAPROT;
}

static void random_access(GRand *rng, NtbPort *p)
{
    uint64_t address = random_place(rng, p);
    unsigned size = random_size(rng, address);
    uint64_t value = (uint64_t)g_rand_int(rng) << 32 | g_rand_int(rng);

    switch (g_rand_int_range(rng, 0, 4)) {
    case 0:
        ntb_read_sized(p, address, size);
        break;
    case 1:
        if (!is_header(address)) {
            ntb_write_sized(p, address, size, value);
        }
        break;
    case 2:
        ntb_gas_read(p, value & (IDT_GAS_SIZE - 1));
        break;
    case 3:
        address = value & (IDT_GAS_SIZE - 1);
        if (g_rand_boolean(rng)) {
            address = IDT_GAS_SWITCH + value % (IDT_GAS_SIZE - IDT_GAS_SWITCH);
        }
        address &= ~3;
        if (!is_topology(address) &&
            (address >= IDT_GAS_SWITCH || !is_header(address))) {
            ntb_gas_write(p, address, value >> 32);
        }
        break;
    }
}

/* Derived registers fit those that they are derived from, at any values */
static void assert_derived(NtbPort *a, NtbPort *b)
{
    uint32_t doorbells = ntb_read(a, A_INDBELLSTS) | ntb_read(b, A_INDBELLSTS);

    g_assert_cmphex(ntb_gas_read(a, A_GDBELLSTS), ==, doorbells);
    for (unsigned i = 0; i < 2; i++) {
        NtbPort *p = i ? a : b;
        uint32_t sts = ntb_read(p, A_NTINTSTS);
        bool msg = ntb_read(p, A_MSGSTS) & ~ntb_read(p, A_MSGSTSMSK);
        bool dbell = ntb_read(p, A_INDBELLSTS) & ~ntb_read(p, A_INDBELLMSK);

        g_assert_cmpint(FIELD_EX32(sts, NTINTSTS, MSG), ==, msg);
        g_assert_cmpint(FIELD_EX32(sts, NTINTSTS, DBELL), ==, dbell);
        g_assert_cmphex(sts & ~0xbb, ==, 0);
    }
}

static void assert_invariants(NtbPort *p)
{
    g_assert_cmphex(ntb_cfg_read(p, PCI_VENDOR_ID), ==, NTB_ID);
    g_assert_cmphex(ntb_read(p, A_NTCTL) & ~0xf, ==, 0);
    g_assert_cmphex(ntb_read(p, A_NTINTMSK) & ~0xbb, ==, 0);
    g_assert_cmphex(ntb_read(p, A_MSGSTS) & ~0x000f000f, ==, 0);
    g_assert_cmphex(ntb_read(p, A_GASAADDR) & ~0x3fffc, ==, 0);
    for (unsigned i = 0; i < NTB_NUM_PORTS; i++) {
        unsigned port = ntb_ports[i];
        uint32_t up = i < 2 ? R_SWPORT0STS_LINKUP_MASK : 0;
        uint32_t sts = i < 2 ? up | 3 << 6 | i << 10 : 0;

        g_assert_cmphex(ntb_gas_read(p, ntb_gas_portsts(port)), ==, sts);
    }
    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        g_assert_cmphex(ntb_gas_read(p, A_GIDBELLMSK0 + 4 * n) & ~0xff, ==, 0);
    }
}

/* Bring what the random writes left to a state where things work */
static void calm_down(NtbPort *p)
{
    ntb_setup_function(p);
    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        ntb_gas_write(p, A_GODBELLMSK0 + 4 * n, 0);
        ntb_gas_write(p, A_GIDBELLMSK0 + 4 * n, 0);
    }
    ntb_gas_write(p, A_SEMSK, 0x3f);
    ntb_write(p, A_NTINTMSK, 0);
    ntb_write(p, A_INDBELLSTS, UINT32_MAX);
    ntb_write(p, A_MSGSTS, UINT32_MAX);
    ntb_write(p, A_NTINTSTS, UINT32_MAX);
}

static void test_random(NtbFixture *f)
{
    NtbPort *self = f->ports[1];
    NtbPort *peer = f->ports[0];
    GRand *rng = ntb_random("random accesses");

    for (unsigned i = 0; i < RANDOM_ACCESSES; i++) {
        random_access(rng, g_rand_boolean(rng) ? self : peer);
        if (i % 500 == 0) {
            assert_derived(self, peer);
        }
    }
    assert_invariants(self);
    assert_invariants(peer);
    calm_down(self);
    calm_down(peer);
    ntb_assert_talk(self, peer);
    ntb_assert_talk(peer, self);
    g_rand_free(rng);
}

/* The header and capabilities, too: QEMU must survive */
static void test_random_config(NtbFixture *f)
{
    NtbPort *self = f->ports[1];
    NtbPort *peer = f->ports[0];
    GRand *rng = ntb_random("random configuration writes");

    for (unsigned i = 0; i < RANDOM_ACCESSES / 6; i++) {
        uint32_t offset = g_rand_int_range(rng, 0, IDT_NT_CFG_SIZE);
        unsigned size = random_size(rng, offset);
        uint64_t value = (uint64_t)g_rand_int(rng) << 32 | g_rand_int(rng);

        ntb_write_sized(self, self->ecam + offset, size, value);
        ntb_read_sized(self, self->ecam + offset, size);
        ntb_write(peer, A_OUTDBELLSET, value);
    }
    g_assert_cmphex(ntb_cfg_read(self, PCI_VENDOR_ID), ==, NTB_ID);
    qtest_system_reset(self->qts);
    qtest_system_reset(peer->qts);
    g_rand_free(rng);
}

static const NtbTest tests[] = {
    { "views/show-the-same-registers", test_views, .ports = 2 },
    { "views/ring-and-clear-doorbells", test_views_doorbell, .ports = 2 },
    { "views/send-messages-of-the-port", test_views_message, .ports = 2 },
    { "views/show-the-header", test_views_header, .ports = 2 },
    { "gas/address-is-the-functions-own", test_gas, .ports = 2 },
    { "gas/does-not-reach-itself", test_gas_recursion, .ports = 2 },
    { "access/every-size-and-alignment", test_sizes, .ports = 1 },
    { "access/clears-bytes-that-are-written", test_w1c_lanes, .ports = 1 },
    { "access/doorbells-by-the-byte", test_doorbell_lanes, .ports = 1 },
    { "access/any-byte-sends-the-message", test_message_lanes, .ports = 1 },
    { "access/gas-data-has-byte-lanes", test_gas_lanes, .ports = 1 },
    { "access/survives-random-accesses", test_random, .ports = 2, .q35 = true },
    { "access/survives-random-configuration", test_random_config, .ports = 2,
      .q35 = true },
};

ntb_tests(tests);
