/*
 * QTest testcase for idt-ntb: the capabilities of the NT function, and its
 * extended configuration space through ECFGADDR and ECFGDATA
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/fixture.h"

#define D3HOT 3

/*
 * Chain
 */

typedef struct Capability {
    unsigned offset;
    unsigned id;
    unsigned version;           /* of an extended one */
    unsigned size;
} Capability;

static const Capability capabilities[] = {
    { 0x040, PCI_CAP_ID_EXP, 0, 0x3c },
    { 0x0c0, PCI_CAP_ID_PM, 0, 8 },
    { 0x0d0, PCI_CAP_ID_MSI, 0, 0x0e },
    { 0x0f0, PCI_CAP_ID_SSVID, 0, 8 },
};

static const Capability ext_capabilities[] = {
    { 0x100, PCI_EXT_CAP_ID_ERR, 2, 0x48 },
    { 0x180, PCI_EXT_CAP_ID_DSN, 1, 0x0c },
    { 0x200, PCI_EXT_CAP_ID_VC, 1, 0x1c },
    { 0x320, PCI_EXT_CAP_ID_ACS, 1, 8 },
    { 0x330, PCI_EXT_CAP_ID_MCAST, 1, 0x28 },
};

/* Both lists are what they should be, in order, without overlap, and end */
static void test_chain(NtbFixture *f)
{
    NtbPort *p = f->ports[0];
    unsigned at = ntb_cfg_readw(p, PCI_CAPABILITY_LIST) & 0xff;
    unsigned end = PCI_STD_HEADER_SIZEOF;

    g_assert_cmphex(ntb_cfg_readw(p, PCI_STATUS) & PCI_STATUS_CAP_LIST, !=, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(capabilities); i++) {
        const Capability *c = &capabilities[i];

        g_assert_cmphex(at, ==, c->offset);
        g_assert_cmphex(at, >=, end);
        g_assert_cmphex(ntb_cfg_readw(p, at) & 0xff, ==, c->id);
        at = ntb_cfg_readw(p, at) >> 8;
        end = c->offset + c->size;
    }
    g_assert_cmphex(at, ==, 0);

    at = PCI_CFG_SPACE_SIZE;
    for (unsigned i = 0; i < G_N_ELEMENTS(ext_capabilities); i++) {
        const Capability *c = &ext_capabilities[i];
        uint32_t header = ntb_cfg_read(p, at);

        g_assert_cmphex(at, ==, c->offset);
        g_assert_cmphex(at, >=, end);
        g_assert_cmphex(PCI_EXT_CAP_ID(header), ==, c->id);
        g_assert_cmphex(PCI_EXT_CAP_VER(header), ==, c->version);
        at = PCI_EXT_CAP_NEXT(header);
        end = c->offset + c->size;
    }
    g_assert_cmphex(at, ==, 0);
}

/*
 * Registers
 */

typedef struct CapRegister {
    uint32_t offset;
    uint32_t reset;
    uint32_t writable;
} CapRegister;

/* All dwords that are not 0 or can be written */
static const CapRegister cap_registers[] = {
    /* PCIECAP, PCIEDCAP, PCIEDCTL, PCIELCAP, PCIELCTL */
    { 0x040, 0x0002c010, 0 },
    { 0x044, 0x10008020, 0 },
    { 0x048, 0, 0x0000000f },
    { 0x04c, 0x00000442, 0 },
    { 0x050, 0x10420000, 0x000000c3 },
    /* PCIEDCAP2, PCIEDCTL2, PCIELCTL2 */
    { 0x064, 0x00300000, 0 },
    { 0x068, 0, 0x00008000 },
    { 0x070, 0x00000002, 0x0000000f },
    /* PM */
    { 0x0c0, 0x0003d001, 0 },
    { 0x0c4, 0x00000008, 0x00000003 },
    /* MSI */
    { 0x0d0, 0x0080f005, 0x00010000 },
    { 0x0d4, 0, 0xfffffffc },
    { 0x0d8, 0, 0xffffffff },
    { 0x0dc, 0, 0x0000ffff },
    /* SSID and SSVID */
    { 0x0f0, 0x0000000d, 0 },
    { 0x0f4, 0x8091111d, 0 },
    { A_ECFGADDR, 0, 0x00000ffc },
    { A_ECFGDATA, NTB_ID, 0 },  /* ECFGADDR is 0 */
    /* AER: uncorrectable mask and severity, correctable mask, control */
    { 0x100, 0x18020001, 0 },
    { 0x108, 0x02400000, 0x03fff030 },
    { 0x10c, 0x00462030, 0x03fff030 },
    { 0x114, 0x0000e000, 0x0000f1c1 },
    { 0x118, 0x000000a0, 0x00000140 },
    { 0x180, 0x20010003, 0 },
    { 0x188, 0x111d8091, 0 },
    /* VC: one, enabled; traffic class 0 is always in it */
    { 0x200, 0x32010002, 0 },
    { 0x214, 0x800000ff, 0x000000fe },
    /* ACS: nothing to control */
    { 0x320, 0x3301000d, 0 },
    /* Multicast: four groups */
    { 0x330, 0x00010012, 0 },
    { 0x334, 0x00000003, 0x803f0000 },
    { 0x338, 0, 0xfffff03f },
    { 0x33c, 0, 0xffffffff },
    { 0x340, 0, 0x0000000f },
    { 0x348, 0, 0x0000000f },
    { 0x350, 0, 0x0000000f },
};

static CapRegister find_register(uint32_t offset)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cap_registers); i++) {
        if (cap_registers[i].offset == offset) {
            return cap_registers[i];
        }
    }
    return (CapRegister) { .offset = offset };
}

/* One line per register that differs, so that a failure says all of it */
static void check(unsigned *errors, uint32_t offset, const char *what,
                  uint32_t is, uint32_t should)
{
    if (is != should) {
        g_printerr("# 0x%03x: %s: 0x%08x, should be 0x%08x\n", offset, what,
                   is, should);
        (*errors)++;
    }
}

/*
 * Reset values, writable bits, and that there is nothing else: QEMU would make
 * what lies between the capabilities writable if we did not forbid it.
 */
static void test_registers(NtbFixture *f)
{
    NtbPort *p = f->ports[0];
    unsigned errors = 0;

    for (uint32_t offset = PCI_STD_HEADER_SIZEOF; offset < IDT_NT_REGS;
         offset += 4) {
        CapRegister r = find_register(offset);
        uint32_t fixed = r.reset & ~r.writable;
        uint32_t before = ntb_cfg_read(p, offset);
        uint32_t flr = offset == IDT_CAP_PCIE + PCI_EXP_DEVCTL ?
                       PCI_EXP_DEVCTL_BCR_FLR : 0;

        /* The harness has set up its MSI */
        if (offset < IDT_CAP_MSI || offset >= IDT_CAP_MSI + 0x10) {
            check(&errors, offset, "reset", before, r.reset);
        }
        ntb_cfg_write(p, offset, UINT32_MAX & ~flr);
        check(&errors, offset, "ones", ntb_cfg_read(p, offset),
              fixed | r.writable);
        ntb_cfg_write(p, offset, 0);
        check(&errors, offset, "zeros", ntb_cfg_read(p, offset), fixed);
        ntb_cfg_write(p, offset, before);
    }
    g_assert_cmpuint(errors, ==, 0);
}

/* AER: status is clear, masks can be written, the log can not */
static void test_aer(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    ntb_cfg_write(p, IDT_CAP_AER + PCI_ERR_UNCOR_STATUS, UINT32_MAX);
    g_assert_cmphex(ntb_cfg_read(p, IDT_CAP_AER + PCI_ERR_UNCOR_STATUS), ==, 0);
    ntb_cfg_write(p, IDT_CAP_AER + PCI_ERR_COR_STATUS, UINT32_MAX);
    g_assert_cmphex(ntb_cfg_read(p, IDT_CAP_AER + PCI_ERR_COR_STATUS), ==, 0);
    g_assert_cmphex(ntb_cfg_read(p, IDT_CAP_AER + PCI_ERR_COR_MASK) &
                    PCI_ERR_COR_ADV_NFAT, !=, 0);
    ntb_cfg_write(p, IDT_CAP_AER + PCI_ERR_COR_MASK, 0);
    g_assert_cmphex(ntb_cfg_read(p, IDT_CAP_AER + PCI_ERR_COR_MASK), ==, 0);
    ntb_cfg_write(p, IDT_CAP_AER + PCI_ERR_UNCOR_MASK, UINT32_MAX);
    g_assert_cmphex(ntb_cfg_read(p, IDT_CAP_AER + PCI_ERR_UNCOR_MASK) &
                    PCI_ERR_UNC_UNSUP, !=, 0);
    ntb_cfg_write(p, IDT_CAP_AER + PCI_ERR_HEADER_LOG, UINT32_MAX);
    g_assert_cmphex(ntb_cfg_read(p, IDT_CAP_AER + PCI_ERR_HEADER_LOG), ==, 0);
}

/* A serial number of its own for each port, the same from everywhere */
static void test_serial(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    bool differs = false;

    for (unsigned offset = IDT_CAP_DSN; offset < IDT_CAP_DSN + 12;
         offset += 4) {
        uint32_t word = ntb_cfg_read(b, offset);

        differs |= word != ntb_cfg_read(a, offset);
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(2, offset)), ==, word);
        g_assert_cmphex(ntb_read(b, offset), ==, word);
    }
    g_assert_true(differs);
}

/* Power management: D0 and D3hot, memory is not decoded in D3hot */
static void test_power(NtbFixture *f)
{
    NtbPort *p = f->ports[0];
    unsigned control = IDT_CAP_PM + PCI_PM_CTRL;

    g_assert_cmphex(ntb_cfg_readw(p, control) & PCI_PM_CTRL_STATE_MASK, ==, 0);
    ntb_cfg_writew(p, control, D3HOT);
    g_assert_cmphex(ntb_cfg_readw(p, control) & PCI_PM_CTRL_STATE_MASK, ==,
                    D3HOT);
    ntb_cfg_writew(p, control, 0);
    ntb_setup_function(p);
    g_assert_cmphex(ntb_read(p, A_BARSETUP0), ==, 0x800004c0);
}

/*
 * Resets
 */

#define LNKCTL          (IDT_CAP_PCIE + PCI_EXP_LNKCTL)
#define LNKCTL2         (IDT_CAP_PCIE + PCI_EXP_LNKCTL2)
#define DEVSTA          (IDT_CAP_PCIE + PCI_EXP_DEVSTA)
#define VC_CTRL         (IDT_CAP_VC + PCI_VC_RES_CTRL)
#define UNCOR_STATUS    (IDT_CAP_AER + PCI_ERR_UNCOR_STATUS)
#define UNCOR_MASK      (IDT_CAP_AER + PCI_ERR_UNCOR_MASK)
#define COR_STATUS      (IDT_CAP_AER + PCI_ERR_COR_STATUS)

/* Check a reset: @link and @sticky are true if those bits stay */
static void assert_after_reset(NtbPort *p, bool link, bool sticky)
{
    g_assert_cmphex(ntb_cfg_readw(p, DEVSTA), ==, 0);
    g_assert_cmphex(ntb_cfg_read(p, A_MCBARH), ==, 0);
    g_assert_cmphex(ntb_cfg_readw(p, LNKCTL), ==, link ? 0x43 : 0);
    g_assert_cmphex(ntb_cfg_read(p, VC_CTRL), ==,
                    link ? 0x80000003 : 0x800000ff);
    g_assert_cmphex(ntb_cfg_readw(p, LNKCTL2), ==, sticky ? 1 : 2);
    g_assert_cmphex(ntb_cfg_read(p, UNCOR_MASK), ==,
                    sticky ? PCI_ERR_UNC_FCP : 0x02400000);
    g_assert_cmphex(ntb_cfg_read(p, UNCOR_STATUS), ==,
                    sticky ? PCI_ERR_UNC_UNSUP : 0);
    g_assert_cmphex(ntb_cfg_read(p, COR_STATUS), ==,
                    sticky ? PCI_ERR_COR_RCVR : 0);
    g_assert_cmphex(ntb_cfg_read(p, A_ECFGADDR), ==, 0);
}

static void prepare_reset(NtbPort *p)
{
    ntb_cfg_writew(p, LNKCTL, 0x43);
    ntb_cfg_writew(p, LNKCTL2, 1);
    ntb_cfg_write(p, VC_CTRL, 3);
    ntb_cfg_write(p, A_MCBARH, 0x1234);
    ntb_cfg_write(p, UNCOR_MASK, PCI_ERR_UNC_FCP);
    ntb_write(p, A_NTUEEM, PCI_ERR_UNC_UNSUP);
    ntb_write(p, A_NTCEEM, PCI_ERR_COR_RCVR);
    ntb_cfg_write(p, A_ECFGADDR, 0x400);
    g_assert_cmphex(ntb_cfg_readw(p, DEVSTA), !=, 0);
}

static void test_reset_function(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    prepare_reset(p);
    ntb_cfg_writew(p, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    assert_after_reset(p, true, true);
}

static void test_reset_bus(NtbFixture *f)
{
    NtbPort *p = ntb_plug(f, 0, NULL);

    prepare_reset(p);
    ntb_secondary_bus_reset(f->root);
    assert_after_reset(p, false, true);
}

static void test_reset_system(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    prepare_reset(p);
    qtest_system_reset(p->qts);
    ntb_setup_function(p);
    assert_after_reset(p, false, false);
}

/*
 * ECFGADDR and ECFGDATA
 */

static uint32_t ecfg_read(NtbPort *p, uint32_t offset)
{
    ntb_cfg_write(p, A_ECFGADDR, offset);
    return ntb_cfg_read(p, A_ECFGDATA);
}

static void ecfg_write(NtbPort *p, uint32_t offset, uint32_t value)
{
    ntb_cfg_write(p, A_ECFGADDR, offset);
    ntb_cfg_write(p, A_ECFGDATA, value);
}

/* Every register reads as it does directly; the two of them as 0 */
static void test_ecfg_read(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    ntb_write(p, A_NTSDATA, 0xfeedbeef);
    ntb_write(p, A_GASAADDR, A_SWPART0STS);
    for (uint32_t offset = 0; offset < IDT_NT_CFG_SIZE; offset += 4) {
        uint32_t should = offset == A_ECFGADDR || offset == A_ECFGDATA ?
                          0 : ntb_cfg_read(p, offset);

        g_assert_cmphex(ecfg_read(p, offset), ==, should);
        /* The address is one of bytes, in 11:2 */
        g_assert_cmphex(ecfg_read(p, offset | 0xfffff003), ==, should);
        g_assert_cmphex(ntb_cfg_read(p, A_ECFGADDR), ==, offset);
        /* BAR0 shows them too */
        g_assert_cmphex(ntb_read(p, A_ECFGADDR), ==, offset);
        g_assert_cmphex(ntb_read(p, A_ECFGDATA), ==, should);
    }
}

/* Writes have their effects, by byte lanes */
static void test_ecfg_write(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ecfg_write(a, A_NTSDATA, 0x11223344);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x11223344);
    ntb_write_sized(a, a->bar0 + A_ECFGDATA + 1, 2, 0xaabb);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x11aabb44);
    g_assert_cmphex(ntb_cfg_readw(a, A_ECFGDATA + 2), ==, 0x11aa);
    /* Address and data in one access */
    ntb_write_sized(a, a->bar0 + A_ECFGADDR, 8,
                    (uint64_t)0xc001d00d << 32 | A_NTSDATA);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0xc001d00d);

    /* A doorbell, with its interrupt */
    ntb_unmask_all(b);
    ecfg_write(a, A_OUTDBELLSET, 0x100);
    ntb_assert_msi(b);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0x100);

    /* Through the global address space */
    ecfg_write(a, A_GASAADDR, ntb_gas_nt(b->port, A_NTSDATA));
    ecfg_write(a, A_GASADATA, 0x600dda7a);
    g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0x600dda7a);
    g_assert_cmphex(ecfg_read(a, A_GASADATA), ==, 0x600dda7a);

    /* Capabilities, write 1 to clear included */
    ecfg_write(a, UNCOR_MASK, PCI_ERR_UNC_FCP);
    g_assert_cmphex(ntb_cfg_read(a, UNCOR_MASK), ==, PCI_ERR_UNC_FCP);
    ecfg_write(a, A_NTUEEM, PCI_ERR_UNC_UNSUP);
    g_assert_cmphex(ecfg_read(a, UNCOR_STATUS), ==, PCI_ERR_UNC_UNSUP);
    ecfg_write(a, UNCOR_STATUS, PCI_ERR_UNC_UNSUP);
    g_assert_cmphex(ntb_cfg_read(a, UNCOR_STATUS), ==, 0);

    /* The header: the other port sees the bus master go */
    ecfg_write(a, PCI_COMMAND, PCI_COMMAND_MEMORY);
    g_assert_cmphex(ntb_gas_read(b, ntb_gas_nt(a->port, PCI_COMMAND)) & 0xffff,
                    ==, PCI_COMMAND_MEMORY);

    /* A function level reset */
    ntb_write(a, A_NTSDATA, 1);
    ecfg_write(a, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(ntb_cfg_read(a, A_NTSDATA), ==, 0);
    g_assert_cmphex(ntb_cfg_read(a, A_ECFGADDR), ==, 0);
}

/* They don't reach themselves, in no way round, and no other port's */
static void test_ecfg_self(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ecfg_write(a, A_ECFGADDR, 0x40c);
    g_assert_cmphex(ntb_cfg_read(a, A_ECFGADDR), ==, A_ECFGADDR);
    ecfg_write(a, A_ECFGDATA, 0x40c);
    g_assert_cmphex(ntb_cfg_read(a, A_ECFGADDR), ==, A_ECFGDATA);
    ntb_write(a, A_GASAADDR, ntb_gas_nt(a->port, A_ECFGDATA));
    ecfg_write(a, A_GASADATA, 0x40c);
    g_assert_cmphex(ecfg_read(a, A_GASADATA), ==, 0);

    ntb_cfg_write(b, A_ECFGADDR, A_NTSDATA);
    ntb_write(b, A_NTSDATA, 0x77);
    ntb_gas_write(a, ntb_gas_nt(b->port, A_ECFGADDR), 0);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(b->port, A_ECFGADDR)), ==, 0);
    ntb_gas_write(a, ntb_gas_nt(b->port, A_ECFGDATA), 0x55);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(b->port, A_ECFGDATA)), ==, 0);
    g_assert_cmphex(ntb_cfg_read(b, A_ECFGADDR), ==, A_NTSDATA);
    g_assert_cmphex(ntb_cfg_read(b, A_ECFGDATA), ==, 0x77);
}

static const NtbTest tests[] = {
    { "identity/aer-masks-are-writable", test_aer, .ports = 1 },
    { "identity/each-port-has-a-serial-number", test_serial, .ports = 2 },
    { "identity/d3hot-and-back", test_power, .ports = 1 },
    { "capabilities/lists-are-in-order-and-end", test_chain, .ports = 1 },
    { "capabilities/reset-values-and-writable-bits", test_registers,
      .ports = 1 },
    { "capabilities/function-reset-keeps-link-and-sticky", test_reset_function,
      .ports = 1 },
    { "capabilities/bus-reset-keeps-sticky", test_reset_bus,
      .root_port = true, .q35 = true },
    { "capabilities/system-reset-keeps-nothing", test_reset_system,
      .ports = 1 },
    { "ecfg/reads-every-register-but-itself", test_ecfg_read, .ports = 1 },
    { "ecfg/writes-have-their-effects", test_ecfg_write, .ports = 2 },
    { "ecfg/does-not-reach-itself", test_ecfg_self, .ports = 2 },
};

ntb_tests(tests);
