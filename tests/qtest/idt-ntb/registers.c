/*
 * QTest testcase for idt-ntb: identity, capabilities, and what each register
 * holds after reset and lets be written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "fixture.h"

typedef struct Register {
    const char *name;
    uint32_t offset;
    uint32_t stride;
    unsigned count;
    uint32_t reset;
    uint32_t writable;
} Register;

/*
 * Registers of the NT function.  Left out: registers whose write triggers
 * something.  They have tests of their own.
 */
static const Register nt_registers[] = {
    { "NTCTL", A_NTCTL, 0, 1, 0, 0xf },
    { "NTINTSTS", A_NTINTSTS, 0, 1, 0, 0 },
    { "NTINTMSK", A_NTINTMSK, 0, 1, 0xbb, 0xbb },
    { "NTSDATA", A_NTSDATA, 0, 1, 0, 0xffffffff },
    { "NTIERRORMSK", A_NTIERRORMSK0, 4, 2, 0, 0xffffffff },
    { "INDBELLSTS", A_INDBELLSTS, 0, 1, 0, 0 },
    { "INDBELLMSK", A_INDBELLMSK, 0, 1, 0xffffffff, 0xffffffff },
    { "INMSG", A_INMSG0, 4, IDT_NUM_MESSAGES, 0, 0 },
    { "INMSGSRC", A_INMSGSRC0, 4, IDT_NUM_MESSAGES, 0, 0 },
    { "MSGSTS", A_MSGSTS, 0, 1, 0, 0 },
    { "MSGSTSMSK", A_MSGSTSMSK, 0, 1, 0x000f000f, 0x000f000f },
    { "BARSETUP0", A_BARSETUP0, 0, 1, 0x800004c0, 0x8000ffff },
    { "BARSETUP1", A_BARSETUP0 + 0x10, 0, 1, 0x80000140, 0x8000ffff },
    { "BARSETUP2", A_BARSETUP0 + 0x20, 0, 1, 0x8000119c, 0x8000ffff },
    { "BARSETUP3", A_BARSETUP0 + 0x30, 0, 1, 0, 0 },
    { "BARSETUP4", A_BARSETUP0 + 0x40, 0, 1, 0x8000014c, 0x8000ffff },
    { "BARSETUP5", A_BARSETUP0 + 0x50, 0, 1, 0, 0 },
    { "BARLIMIT", A_BARLIMIT0, IDT_BAR_STRIDE, 6, 0, 0xffffffff },
    { "BARLTBASE", A_BARLTBASE0, IDT_BAR_STRIDE, 6, 0, 0xfffffffc },
    { "BARUTBASE", A_BARUTBASE0, IDT_BAR_STRIDE, 6, 0, 0xffffffff },
    { "NTMTBLADDR", A_NTMTBLADDR, 0, 1, 0, 0x7f },
    { "NTMTBLSTS", A_NTMTBLSTS, 0, 1, 0, 0 },
    { "NTMTBLDATA", A_NTMTBLDATA, 0, 1, 0, 0xe00fffff },
    { "REQIDCAP", A_REQIDCAP, 0, 1, 0, 0 },
    { "LUTOFFSET", A_LUTOFFSET, 0, 1, 0, 0x71f },
    /* No entry is selected */
    { "LUTLDATA", A_LUTLDATA, 0, 1, 0, 0 },
    { "LUTMDATA", A_LUTMDATA, 0, 1, 0, 0 },
    { "LUTUDATA", A_LUTUDATA, 0, 1, 0, 0 },
    { "PTCCTL", A_PTCCTL0, 4, 2, 0, 0xffffffff },
    { "PTCDATA", A_PTCDATA, 0, 1, 0, 0xffffffff },
    { "PTCSTS", A_PTCSTS, 0, 1, 0, 0 },
    { "NTMCGPA", A_NTMCG0PA, 4, IDT_NUM_MCAST_GROUPS, 0, 0xffffffff },
    /* From here on the function's own: no other port sees them */
    { "ECFGADDR", A_ECFGADDR, 0, 1, 0, 0xffc },
    { "GASAADDR", A_GASAADDR, 0, 1, 0, 0x3fffc },
};

/* Switch registers that hold the same value at every time of these tests */
static const Register switch_registers[] = {
    { "SWCTL", A_SWCTL, 0, 1, 0, 0xffffffff },
    { "BCVSTS", A_BCVSTS, 0, 1, 0xd, 0 },
    { "PCLKMODE", A_PCLKMODE, 0, 1, 0, 0xffffffff },
    { "STKxCFG", A_STK0CFG, 4, IDT_NUM_STACKS, 0, 0xffffffff },
    { "RDRAINDELAY", A_RDRAINDELAY, 0, 1, 0xfa, 0xffff },
    { "POMCDELAY", A_POMCDELAY, 0, 1, 0x3e8, 0xffff },
    { "SEDELAY", A_SEDELAY, 0, 1, 0x3e8, 0xffff },
    { "USSBRDELAY", A_USSBRDELAY, 0, 1, 0, 0xffff },
    { "SWPARTxFCTL", A_SWPART0FCTL, IDT_PART_STRIDE, IDT_MAX_PARTITIONS, 0,
      0x00030003 },
    { "SWPORTxFCTL", A_SWPORT0FCTL, IDT_SWPORT_STRIDE, IDT_MAX_PORTS, 0,
      0x1f7f1f7f },
    /* FCAPxCTL triggers */
    { "FCAPxTIMER", A_FCAP0TIMER, IDT_FCAP_STRIDE, IDT_NUM_FAILOVER_CAPS, 0,
      0xffffffff },
    { "NTMTBLPROTx", A_NTMTBLPROT0, 4, IDT_MAX_PARTITIONS, 0, 0xffffffff },
    { "SESTS", A_SESTS, 0, 1, 0, 0 },
    { "SEMSK", A_SEMSK, 0, 1, 0x3f, 0x3f },
    { "SEPMSK", A_SEPMSK, 0, 1, 0xff, 0xff },
    { "SELINKUPMSK", A_SELINKUPMSK, 0, 1, 0xffffff, 0xffffff },
    { "SELINKDNMSK", A_SELINKDNMSK, 0, 1, 0xffffff, 0xffffff },
    { "SELINKDNSTS", A_SELINKDNSTS, 0, 1, 0, 0 },
    { "SEFRSTSTS", A_SEFRSTSTS, 0, 1, 0, 0 },
    { "SEFRSTMSK", A_SEFRSTMSK, 0, 1, 0xff, 0xff },
    { "SEHRSTSTS", A_SEHRSTSTS, 0, 1, 0, 0 },
    { "SEHRSTMSK", A_SEHRSTMSK, 0, 1, 0xff, 0xff },
    { "SEFOVRMSK", A_SEFOVRMSK, 0, 1, 0xf, 0xf },
    { "SEGSIGSTS", A_SEGSIGSTS, 0, 1, 0, 0 },
    { "SEGSIGMSK", A_SEGSIGMSK, 0, 1, 0xff, 0xff },
    { "GDBELLSTS", A_GDBELLSTS, 0, 1, 0, 0 },
    { "GODBELLMSK", A_GODBELLMSK0, 4, IDT_NUM_DOORBELLS, 0, 0xff },
    { "GIDBELLMSK", A_GIDBELLMSK0, 4, IDT_NUM_DOORBELLS, 0, 0xff },
    { "SWPxMSGCTLy", A_SWP0MSGCTL0, 4, IDT_NUM_MESSAGES * IDT_MAX_PARTITIONS,
      0, 0x73 },
    { "SxCTL", A_S0CTL, IDT_SERDES_STRIDE, IDT_NUM_SERDES, 0, 0xffffffff },
    { "SxTXLCTL0", A_S0TXLCTL0, IDT_SERDES_STRIDE, IDT_NUM_SERDES, 0,
      0xffffffff },
    { "SxTXLCTL1", A_S0TXLCTL1, IDT_SERDES_STRIDE, IDT_NUM_SERDES, 0,
      0xffffffff },
    { "SxRXEQLCTL", A_S0RXEQLCTL, IDT_SERDES_STRIDE, IDT_NUM_SERDES, 0,
      0xffffffff },
    { "GPIO", A_GPIOFUNC, 4, IDT_NUM_GPIO_REGS, 0, 0xffffffff },
    { "SMBUSSTS", A_SMBUSSTS, 0, 1,
      R_SMBUSSTS_EEPROMDONE_MASK | 0x74 << 1 | 0x50 << 9, 0 },
    { "SMBUSCTL", A_SMBUSCTL, 0, 1, 0, 0xffffffff },
    { "IOEXPADDRx", A_IOEXPADDR0, 4, IDT_NUM_IO_EXPANDERS, 0, 0xffffffff },
    { "GPECTL", A_GPECTL, 0, 1, 0, 0xffffffff },
    { "GPESTS", A_GPESTS, 0, 1, 0, 0 },
    { "TMPADJ", A_TMPADJ, 0, 1, 0, 0xff },
    { "TSSLOPE", A_TSSLOPE, 0, 1, 0, 0xffffffff },
    { "SMBUSCBHL", A_SMBUSCBHL, 0, 1, 0, 0xffffffff },
};

/*
 * Identity
 */

static void test_header(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    g_assert_cmphex(ntb_cfg_readw(p, PCI_VENDOR_ID), ==, NTB_VENDOR);
    g_assert_cmphex(ntb_cfg_readw(p, PCI_DEVICE_ID), ==, NTB_DEVICE);
    g_assert_cmphex(ntb_cfg_readw(p, PCI_CLASS_DEVICE), ==, 0x0680);
    g_assert_cmphex(ntb_cfg_readw(p, PCI_REVISION_ID), ==, 0x0002);
    g_assert_cmphex(ntb_cfg_readw(p, PCI_HEADER_TYPE) & 0x7f, ==, 0);
    g_assert_cmphex(ntb_cfg_readw(p, PCI_INTERRUPT_PIN) & 0xff, ==, 1);
}

static void test_bars(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    /* 4 KiB of 32-bit non-prefetchable memory */
    ntb_cfg_write(p, PCI_BASE_ADDRESS_0, UINT32_MAX);
    g_assert_cmphex(ntb_cfg_read(p, PCI_BASE_ADDRESS_0), ==, 0xfffff000);
    for (unsigned bar = 1; bar < 6; bar++) {
        ntb_cfg_write(p, PCI_BASE_ADDRESS_0 + 4 * bar, UINT32_MAX);
        g_assert_cmphex(ntb_cfg_read(p, PCI_BASE_ADDRESS_0 + 4 * bar), ==, 0);
    }
    ntb_cfg_write(p, PCI_ROM_ADDRESS, UINT32_MAX);
    g_assert_cmphex(ntb_cfg_read(p, PCI_ROM_ADDRESS), ==, 0);
}

static void assert_pcie(NtbPort *p, unsigned port)
{
    uint16_t flags = ntb_cfg_readw(p, IDT_CAP_PCIE + PCI_EXP_FLAGS);
    uint32_t cap = ntb_cfg_read(p, IDT_CAP_PCIE + PCI_EXP_LNKCAP);
    uint16_t status = ntb_cfg_readw(p, IDT_CAP_PCIE + PCI_EXP_LNKSTA);

    g_assert_cmphex(flags & PCI_EXP_FLAGS_VERS, ==, 2);
    g_assert_cmphex(flags & PCI_EXP_FLAGS_TYPE, ==,
                    PCI_EXP_TYPE_ENDPOINT << 4);
    g_assert_cmphex(cap & PCI_EXP_LNKCAP_SLS, ==, 2);
    g_assert_cmphex(cap & PCI_EXP_LNKCAP_MLW, ==, 4 << 4);
    g_assert_cmphex(cap >> 24, ==, port);
    g_assert_cmphex(status & PCI_EXP_LNKSTA_CLS, ==, 2);
    g_assert_cmphex(status & PCI_EXP_LNKSTA_NLW, ==, 4 << 4);
    g_assert_cmphex(status & PCI_EXP_LNKSTA_SLC, !=, 0);
}

static void test_pcie(NtbFixture *f)
{
    assert_pcie(ntb_start(f, 0, ",port=12"), 12);
    assert_pcie(ntb_start(f, 1, NULL), 0);
}

/* MSI: 64-bit, one vector, no masking; all of it writable where it may be */
static void test_msi(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    ntb_cfg_writew(p, IDT_CAP_MSI + PCI_MSI_FLAGS, 0xffff);
    g_assert_cmphex(ntb_cfg_readw(p, IDT_CAP_MSI + PCI_MSI_FLAGS) &
                    ~PCI_MSI_FLAGS_QSIZE, ==,
                    PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_ENABLE);
    ntb_cfg_write(p, IDT_CAP_MSI + PCI_MSI_ADDRESS_HI, 0x12345678);
    g_assert_cmphex(ntb_cfg_read(p, IDT_CAP_MSI + PCI_MSI_ADDRESS_HI), ==,
                    0x12345678);
}

/*
 * Reset values and writable bits
 */

static uint32_t at(const Register *reg, unsigned index)
{
    return reg->offset + index * reg->stride;
}

/* One line per register that differs, so that a failure says all of it */
static void check(unsigned *errors, const Register *reg, unsigned index,
                  const char *what, uint32_t is, uint32_t should)
{
    if (is != should) {
        g_printerr("# %s %u (0x%x): %s: 0x%08x, should be 0x%08x\n", reg->name,
                   index, at(reg, index), what, is, should);
        (*errors)++;
    }
}

typedef uint32_t ReadFn(NtbPort *p, uint32_t offset);
typedef void WriteFn(NtbPort *p, uint32_t offset, uint32_t value);

static void check_registers(NtbPort *p, const Register *regs, unsigned count,
                            ReadFn *rd, WriteFn *wr)
{
    static const uint32_t patterns[] = {
        UINT32_MAX, 0, 0x55555555, 0xaaaaaaaa
    };
    unsigned errors = 0;

    for (unsigned i = 0; i < count; i++) {
        const Register *r = &regs[i];

        for (unsigned n = 0; n < r->count; n++) {
            check(&errors, r, n, "reset", rd(p, at(r, n)), r->reset);
            for (unsigned k = 0; k < G_N_ELEMENTS(patterns); k++) {
                uint32_t fixed = r->reset & ~r->writable;

                wr(p, at(r, n), patterns[k]);
                check(&errors, r, n, "written", rd(p, at(r, n)),
                      fixed | (patterns[k] & r->writable));
            }
            wr(p, at(r, n), r->reset);
        }
    }
    g_assert_cmpuint(errors, ==, 0);
}

static void test_nt_by_bar(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    check_registers(p, nt_registers, G_N_ELEMENTS(nt_registers), ntb_read,
                    ntb_write);
}

static void test_nt_by_config(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    check_registers(p, nt_registers, G_N_ELEMENTS(nt_registers), ntb_cfg_read,
                    ntb_cfg_write);
}

static uint32_t peer_read(NtbPort *p, uint32_t offset)
{
    return ntb_gas_read(p, ntb_gas_nt(2, offset));
}

static void peer_write(NtbPort *p, uint32_t offset, uint32_t value)
{
    ntb_gas_write(p, ntb_gas_nt(2, offset), value);
}

#define NUM_OWN 2

/* A port's registers as another port sees them */
static void test_nt_by_peer(NtbFixture *f)
{
    check_registers(f->ports[0], nt_registers,
                    G_N_ELEMENTS(nt_registers) - NUM_OWN, peer_read,
                    peer_write);
}

static void test_switch(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    check_registers(p, switch_registers, G_N_ELEMENTS(switch_registers),
                    ntb_gas_read, ntb_gas_write);
}

/*
 * Registers that do not exist read as zero
 */

static const Register *find_register(const Register *regs, unsigned count,
                                     uint32_t offset)
{
    for (unsigned i = 0; i < count; i++) {
        const Register *r = &regs[i];

        for (unsigned n = 0; n < r->count; n++) {
            if (at(r, n) == offset) {
                return r;
            }
        }
    }
    return NULL;
}

static bool is_nt_register(uint32_t offset)
{
    return find_register(nt_registers, G_N_ELEMENTS(nt_registers), offset) ||
           offset == A_NTGSIGNAL || offset == A_OUTDBELLSET ||
           offset == A_NTUEEM || offset == A_NTCEEM ||
           (offset >= A_OUTMSG0 && offset < A_INMSG0) || offset == A_GASADATA;
}

static void test_nt_holes(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    for (uint32_t offset = IDT_NT_REGS; offset < 0x1000; offset += 4) {
        if (is_nt_register(offset)) {
            continue;
        }
        ntb_write(p, offset, UINT32_MAX);
        g_assert_cmphex(ntb_read(p, offset), ==, 0);
        ntb_cfg_write(p, offset, UINT32_MAX);
        g_assert_cmphex(ntb_cfg_read(p, offset), ==, 0);
    }
}

static bool is_switch_register(uint32_t address)
{
    return find_register(switch_registers, G_N_ELEMENTS(switch_registers),
                         address) ||
           (address >= A_SWPART0CTL && address < A_SWPORT0CTL +
            IDT_SWPORT_STRIDE * IDT_MAX_PORTS) ||
           (address >= A_FCAP0CTL && address <= A_FCAP0STS +
            IDT_FCAP_STRIDE * (IDT_NUM_FAILOVER_CAPS - 1) &&
            (address - A_FCAP0CTL) % IDT_FCAP_STRIDE <= 4) ||
           address == A_SELINKUPSTS || address == A_GASAPROT ||
           address == A_EEPROMINTF ||
           (address >= A_TMPCTL && address <= A_TMPALARM);
}

static void test_switch_holes(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    for (uint32_t address = IDT_GAS_SWITCH; address < IDT_GAS_SIZE;
         address += 4) {
        if (is_switch_register(address)) {
            continue;
        }
        ntb_gas_write(p, address, UINT32_MAX);
        g_assert_cmphex(ntb_gas_read(p, address), ==, 0);
    }
}

/* Ports without an NT function, and the gap before the switch */
static void test_port_holes(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    for (uint32_t address = 0; address < IDT_GAS_SWITCH; address += 4) {
        unsigned port = address / IDT_GAS_PORT_STRIDE;
        uint32_t in_port = address % IDT_GAS_PORT_STRIDE;

        if (in_port >= IDT_GAS_NT_FUNCTION && (port == 0 || port == 2)) {
            address += IDT_GAS_NT_FUNCTION - 4;
            continue;
        }
        /* A page each, and the places where registers would be */
        if (address % 0x100 > 0x10 && in_port < IDT_GAS_NT_FUNCTION) {
            continue;
        }
        /* Bridge functions have tests of their own */
        if (in_port < IDT_NT_REGS && port <= 12) {
            continue;
        }
        ntb_gas_write(p, address, UINT32_MAX);
        g_assert_cmphex(ntb_gas_read(p, address), ==, 0);
    }
}

/*
 * Topology
 */

static void assert_port(NtbPort *p, unsigned port, unsigned partitions,
                        uint32_t attached)
{
    uint32_t ctl = ntb_gas_read(p, ntb_gas_portsts(port) - 4);
    uint32_t sts = ntb_gas_read(p, ntb_gas_portsts(port));
    uint32_t should_ctl = 0;
    uint32_t should_sts = 0;

    for (unsigned n = 0; n < partitions; n++) {
        if (ntb_ports[n] == port) {
            should_ctl = 3 | n << 4;
            should_sts = 3 << 6 | n << 10;
        }
    }
    if (attached & 1u << port) {
        should_sts |= R_SWPORT0STS_LINKUP_MASK;
    }
    g_assert_cmphex(ctl, ==, should_ctl);
    g_assert_cmphex(sts, ==, should_sts);
}

static void assert_topology(NtbPort *p, unsigned partitions, uint32_t attached)
{
    for (unsigned n = 0; n < IDT_MAX_PARTITIONS; n++) {
        uint32_t ctl = ntb_gas_read(p, ntb_gas_partsts(n) - 4);
        uint32_t sts = ntb_gas_read(p, ntb_gas_partsts(n));

        g_assert_cmphex(ctl, ==, n < partitions ? 1 : 0);
        g_assert_cmphex(FIELD_EX32(sts, SWPART0STS, STATE), ==,
                        n < partitions ? 1 : 0);
        g_assert_cmphex(FIELD_EX32(sts, SWPART0STS, NT), ==, n < partitions);
        g_assert_cmphex(sts & ~(R_SWPART0STS_STATE_MASK |
                                R_SWPART0STS_NT_MASK), ==, 0);
    }
    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        assert_port(p, port, partitions, attached);
    }
}

/* Registers that the driver reads in its probe, before any peer exists */
static void test_scan(NtbFixture *f)
{
    static const uint32_t setups[IDT_NUM_BARS] = {
        0x800004c0, 0x80000140, 0x8000119c, 0, 0x8000014c, 0
    };
    unsigned partitions = f->test->partitions;
    NtbPort *p = f->ports[0];

    assert_topology(p, partitions, 1 << 0);
    for (unsigned n = 0; n < partitions; n++) {
        unsigned port = ntb_ports[n];

        for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
            uint32_t offset = A_BARSETUP0 + bar * IDT_BAR_STRIDE;

            g_assert_cmphex(ntb_gas_read(p, ntb_gas_nt(port, offset)), ==,
                            setups[bar]);
        }
    }
}

/* The levels of the pins of the board at power-up */
static void test_boot_vector(NtbFixture *f)
{
    NtbPort *p = f->ports[0];
    uint32_t value = ntb_gas_read(p, A_BCVSTS);

    g_assert_cmpuint(FIELD_EX32(value, BCVSTS, SWMODE), ==,
                     IDT_SWMODE_PARTS_EEPROM);
    g_assert_cmpuint(FIELD_EX32(value, BCVSTS, GCLKFSEL), ==, 0);
    g_assert_cmpuint(FIELD_EX32(value, BCVSTS, CLKMODE), ==, 0);
    /* The pins are the low bits of the slave's address */
    g_assert_cmphex(0x74 | FIELD_EX32(value, BCVSTS, SSMBADDR), ==,
                    FIELD_EX32(ntb_gas_read(p, A_SMBUSSTS), SMBUSSTS,
                               SSMBADDR));
    g_assert_cmphex(FIELD_EX32(ntb_gas_read(p, A_SMBUSSTS), SMBUSSTS,
                               MSMBADDR), ==, 0x50);
}

/* Software that waits for the end of a punch-through request goes on */
static void test_punch_through(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    for (unsigned i = 0; i < 2; i++) {
        uint32_t ctl = i ? UINT32_MAX : 0;

        g_assert_cmphex(ntb_read(p, A_PTCSTS), ==, 0);
        ntb_write(p, A_PTCCTL0, ctl);
        ntb_write(p, A_PTCCTL1, ctl);
        ntb_write(p, A_PTCDATA, 0x12345678);
        g_assert_cmphex(ntb_read(p, A_PTCSTS), ==, 0);
        g_assert_cmphex(ntb_read(p, A_PTCDATA), ==, 0x12345678);
    }
}

static const NtbTest tests[] = {
    { "identity/header-names-the-chip", test_header, .ports = 1 },
    { "identity/bar0-is-4k-of-memory", test_bars, .ports = 1,
      .props = ",bar1-mode=off,bar2-mode=off,bar4-mode=off" },
    { "identity/link-capability-has-port-number", test_pcie,
      .partitions = 6 },
    { "identity/msi-is-64-bit-one-vector", test_msi, .ports = 1 },
    { "registers/function-by-bar0", test_nt_by_bar, .ports = 1 },
    { "registers/function-by-configuration", test_nt_by_config, .ports = 1 },
    { "registers/function-by-other-port", test_nt_by_peer, .ports = 2 },
    { "registers/switch-by-gas", test_switch, .ports = 1 },
    { "registers/function-holes-read-zero", test_nt_holes, .ports = 1 },
    { "registers/switch-holes-read-zero", test_switch_holes, .ports = 1 },
    { "registers/absent-ports-read-zero", test_port_holes, .ports = 1 },
    { "registers/boot-vector-fits-smbus", test_boot_vector, .ports = 1 },
    { "registers/punch-through-is-never-busy", test_punch_through, .ports = 1 },
    { "topology/two-partitions-before-any-peer", test_scan, .ports = 1,
      .partitions = 2 },
    { "topology/six-partitions-before-any-peer", test_scan, .ports = 1,
      .partitions = 6 },
};

ntb_tests(tests);
