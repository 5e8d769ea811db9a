/*
 * QTest testcase for idt-ntb: errors of the NT function, as its AER capability
 * and the root port above it show them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "hw/pci/pci_regs.h"
#include "hw/misc/idt_ntb/shm.h"
#include "extra.h"

#define ROOT_DEVFN      QPCI_DEVFN(5, 0)
#define RP_BAR0         0xe2000000
#define PORT_DEVFN      0x0100  /* bus 1, device 0 */

#define DEVCTL          (IDT_CAP_PCIE + PCI_EXP_DEVCTL)
#define DEVSTA          (IDT_CAP_PCIE + PCI_EXP_DEVSTA)
#define LNKCAP          (IDT_CAP_PCIE + PCI_EXP_LNKCAP)
#define UNCOR_STATUS    (IDT_CAP_AER + PCI_ERR_UNCOR_STATUS)
#define UNCOR_MASK      (IDT_CAP_AER + PCI_ERR_UNCOR_MASK)
#define UNCOR_SEVER     (IDT_CAP_AER + PCI_ERR_UNCOR_SEVER)
#define COR_STATUS      (IDT_CAP_AER + PCI_ERR_COR_STATUS)
#define COR_MASK        (IDT_CAP_AER + PCI_ERR_COR_MASK)
#define AER_CAP         (IDT_CAP_AER + PCI_ERR_CAP)
#define HEADER_LOG      (IDT_CAP_AER + PCI_ERR_HEADER_LOG)

#define REPORT_ALL      (PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | \
                         PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE)

/* Bits that the status registers can show */
#define UNCOR_ALL       0x03fff030
#define COR_ALL         0x0000f1c1

/* The messages that a root port has received */
#define MSG_COR         PCI_ERR_ROOT_COR_RCV
#define MSG_NONFATAL    (PCI_ERR_ROOT_UNCOR_RCV | PCI_ERR_ROOT_NONFATAL_RCV)
#define MSG_FATAL       (PCI_ERR_ROOT_UNCOR_RCV | PCI_ERR_ROOT_FIRST_FATAL | \
                         PCI_ERR_ROOT_FATAL_RCV)
#define MSG_ALL         0x7f

/*
 * ports[0] is behind the root port in f->root
 */

/* The root port's configuration space, and its AER capability there */
static uint64_t root(NtbFixture *f)
{
    return ntb_ecam(f->root, 0, ROOT_DEVFN);
}

static uint64_t root_aer(NtbFixture *f)
{
    return root(f) + PCI_CFG_SPACE_SIZE;
}

static unsigned find_root_capability(NtbFixture *f, unsigned id)
{
    unsigned at = qtest_readb(f->root, root(f) + PCI_CAPABILITY_LIST);

    while (at && qtest_readb(f->root, root(f) + at) != id) {
        at = qtest_readb(f->root, root(f) + at + 1);
    }
    g_assert_cmpuint(at, !=, 0);
    return at;
}

/* Enable error messages from the function to the root complex */
static void enable_messages(NtbFixture *f)
{
    unsigned cap = find_root_capability(f, PCI_CAP_ID_EXP);

    g_assert_cmphex(PCI_EXT_CAP_ID(qtest_readl(f->root, root_aer(f))), ==,
                    PCI_EXT_CAP_ID_ERR);
    ntb_cfg_writew(f->ports[0], DEVCTL, REPORT_ALL);
    qtest_writew(f->root, root(f) + cap + PCI_EXP_DEVCTL, REPORT_ALL);
    qtest_writew(f->root, root(f) + PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_SERR);
}

static void prepare(NtbFixture *f)
{
    ntb_plug(f, 0, NULL);
    enable_messages(f);
}

/* Return which messages the root port has received since the last call */
static uint32_t take_messages(NtbFixture *f)
{
    uint32_t status = qtest_readl(f->root, root_aer(f) + PCI_ERR_ROOT_STATUS);
    uint32_t source = qtest_readl(f->root, root_aer(f) + PCI_ERR_ROOT_ERR_SRC);

    status &= MSG_ALL;
    if (status & PCI_ERR_ROOT_COR_RCV) {
        g_assert_cmphex(source & 0xffff, ==, PORT_DEVFN);
    }
    if (status & PCI_ERR_ROOT_UNCOR_RCV) {
        g_assert_cmphex(source >> 16, ==, PORT_DEVFN);
    }
    qtest_writel(f->root, root_aer(f) + PCI_ERR_ROOT_STATUS, status);
    return status;
}

static void clear_errors(NtbPort *port)
{
    ntb_cfg_write(port, UNCOR_STATUS, UINT32_MAX);
    ntb_cfg_write(port, COR_STATUS, UINT32_MAX);
    ntb_cfg_writew(port, DEVSTA, UINT16_MAX);
}

/* The status registers of @port; all is clear after it */
static void assert_errors(NtbPort *port, uint32_t uncor, uint32_t cor,
                          uint16_t devsta)
{
    g_assert_cmphex(ntb_cfg_read(port, UNCOR_STATUS), ==, uncor);
    g_assert_cmphex(ntb_cfg_read(port, COR_STATUS), ==, cor);
    g_assert_cmphex(ntb_cfg_readw(port, DEVSTA), ==, devsta);
    /* QEMU must not write over it */
    g_assert_cmphex(ntb_cfg_read(port, LNKCAP), ==,
                    0x442 | (uint32_t)port->port << 24);
    clear_errors(port);
    g_assert_cmphex(ntb_cfg_read(port, UNCOR_STATUS), ==, 0);
    g_assert_cmphex(ntb_cfg_read(port, COR_STATUS), ==, 0);
    g_assert_cmphex(ntb_cfg_readw(port, DEVSTA), ==, 0);
}

static void assert_header(NtbPort *port, uint32_t dw0, uint32_t dw1,
                          uint32_t dw2, uint32_t dw3)
{
    g_assert_cmphex(ntb_cfg_read(port, HEADER_LOG), ==, dw0);
    g_assert_cmphex(ntb_cfg_read(port, HEADER_LOG + 4), ==, dw1);
    g_assert_cmphex(ntb_cfg_read(port, HEADER_LOG + 8), ==, dw2);
    g_assert_cmphex(ntb_cfg_read(port, HEADER_LOG + 12), ==, dw3);
}

/*
 * Emulation
 */

/* Every uncorrectable error, with either severity */
static void test_emulate_uncorrectable(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    for (unsigned i = 0; i < 32; i++) {
        uint32_t bit = BIT(i);
        uint16_t ur = bit == PCI_ERR_UNC_UNSUP ? PCI_EXP_DEVSTA_URD : 0;

        if (!(UNCOR_ALL & bit)) {
            continue;
        }
        ntb_cfg_write(p, UNCOR_MASK, 0);
        for (unsigned fatal = 0; fatal < 2; fatal++) {
            uint16_t devsta = ur | (fatal ? PCI_EXP_DEVSTA_FED
                                          : PCI_EXP_DEVSTA_NFED);

            ntb_cfg_write(p, UNCOR_SEVER, fatal ? bit : ~bit);
            ntb_write(p, A_NTUEEM, bit);
            g_assert_cmphex(ntb_read(p, A_NTUEEM), ==, 0);
            g_assert_cmphex(PCI_ERR_CAP_FEP(ntb_cfg_read(p, AER_CAP)), ==, i);
            assert_header(p, 0, 0, 0, 0);
            assert_errors(p, bit, 0, devsta);
            g_assert_cmphex(take_messages(f), ==,
                            fatal ? MSG_FATAL : MSG_NONFATAL);
        }
        /* Masked: status only */
        ntb_cfg_write(p, UNCOR_MASK, bit);
        ntb_write(p, A_NTUEEM, bit);
        assert_errors(p, bit, 0, ur | PCI_EXP_DEVSTA_FED);
        g_assert_cmphex(take_messages(f), ==, 0);
    }
}

static void test_emulate_correctable(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    for (unsigned i = 0; i < 32; i++) {
        uint32_t bit = BIT(i);

        if (!(COR_ALL & bit)) {
            continue;
        }
        ntb_cfg_write(p, COR_MASK, ~bit);
        ntb_write(p, A_NTCEEM, bit);
        g_assert_cmphex(ntb_read(p, A_NTCEEM), ==, 0);
        assert_errors(p, 0, bit, PCI_EXP_DEVSTA_CED);
        g_assert_cmphex(take_messages(f), ==, MSG_COR);
        ntb_cfg_write(p, COR_MASK, bit);
        ntb_write(p, A_NTCEEM, bit);
        assert_errors(p, 0, bit, PCI_EXP_DEVSTA_CED);
        g_assert_cmphex(take_messages(f), ==, 0);
    }
}

/* Several at once, byte lanes, bits without an error, messages disabled */
static void test_emulate_bits(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    ntb_write(p, A_NTUEEM, PCI_ERR_UNC_UNSUP | PCI_ERR_UNC_COMP_ABORT);
    assert_errors(p, PCI_ERR_UNC_UNSUP | PCI_ERR_UNC_COMP_ABORT, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    g_assert_cmphex(take_messages(f), ==,
                    MSG_NONFATAL | PCI_ERR_ROOT_MULTI_UNCOR_RCV);

    ntb_write_sized(p, p->bar0 + A_NTUEEM + 1, 1, 0xff);
    assert_errors(p, 0xf000 & UNCOR_ALL, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED);
    g_assert_cmphex(take_messages(f), !=, 0);

    ntb_write(p, A_NTUEEM, (uint32_t)~UNCOR_ALL);
    ntb_write(p, A_NTCEEM, (uint32_t)~COR_ALL);
    ntb_settle(f->root);
    assert_errors(p, 0, 0, 0);
    g_assert_cmphex(take_messages(f), ==, 0);

    ntb_cfg_writew(p, DEVCTL, 0);
    ntb_write(p, A_NTUEEM, PCI_ERR_UNC_COMP_ABORT);
    ntb_write(p, A_NTCEEM, PCI_ERR_COR_RCVR);
    assert_errors(p, PCI_ERR_UNC_COMP_ABORT, PCI_ERR_COR_RCVR,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_CED);
    g_assert_cmphex(take_messages(f), ==, 0);
}

/* The owner reports what another port writes, and shows it to all */
static void test_emulate_by_peer(NtbFixture *f)
{
    NtbPort *p = f->ports[0], *other = ntb_start(f, 1, NULL);

    for (unsigned i = 0; i < 3; i++) {
        ntb_gas_write(other, ntb_gas_nt(p->port, A_NTUEEM),
                      PCI_ERR_UNC_COMP_ABORT);
        ntb_gas_write(other, ntb_gas_nt(p->port, A_NTCEEM), PCI_ERR_COR_RCVR);
        g_assert_cmphex(ntb_gas_read(other, ntb_gas_nt(p->port, A_NTUEEM)),
                        ==, 0);
        ntb_wait(ntb_cfg_read(p, COR_STATUS) &&
                 ntb_cfg_read(p, UNCOR_STATUS));
        ntb_settle(f->root);
        g_assert_cmphex(ntb_gas_read(other, ntb_gas_nt(p->port, UNCOR_STATUS)),
                        ==, PCI_ERR_UNC_COMP_ABORT);
        g_assert_cmphex(ntb_gas_read(other, ntb_gas_nt(p->port, COR_STATUS)),
                        ==, PCI_ERR_COR_RCVR);
        assert_errors(p, PCI_ERR_UNC_COMP_ABORT, PCI_ERR_COR_RCVR,
                      PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_CED);
        g_assert_cmphex(take_messages(f), ==, MSG_NONFATAL | MSG_COR);
        assert_errors(other, 0, 0, 0);
    }
    /* A port can emulate its own through the global address space */
    ntb_gas_write(p, ntb_gas_nt(p->port, A_NTCEEM), PCI_ERR_COR_RCVR);
    assert_errors(p, 0, PCI_ERR_COR_RCVR, PCI_EXP_DEVSTA_CED);
}

/* A port that attaches later does not see errors of before */
static void test_emulate_nobody(NtbFixture *f)
{
    NtbPort *b;

    ntb_gas_write(f->ports[0], ntb_gas_nt(2, A_NTUEEM), PCI_ERR_UNC_UNSUP);
    b = ntb_start(f, 1, NULL);
    ntb_settle(b->qts);
    assert_errors(b, 0, 0, 0);
}

/* Another process writes all ones to the words of the memory */
static void test_emulate_hostile(NtbFixture *f)
{
    NtbPort *p = f->ports[0], *other = ntb_start(f, 1, NULL);
    IdtNtbShm *shm = f->server->mem;

    qatomic_set(&shm->slot[ntb_slot(p->port)].p.ntueem, UINT32_MAX);
    qatomic_set(&shm->slot[ntb_slot(p->port)].p.ntceem, UINT32_MAX);
    ntb_gas_write(other, ntb_gas_nt(p->port, A_NTSDATA), 1);
    ntb_wait(ntb_cfg_read(p, COR_STATUS));
    assert_errors(p, UNCOR_ALL, COR_ALL,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED |
                  PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_URD);
}

/*
 * Unsupported requests
 */

typedef struct Access {
    unsigned bar;
    uint64_t offset;
    unsigned size;
    bool write;
    uint32_t dw0, dw1;
    uint64_t tlp_offset;        /* of the address in the header */
} Access;

/* Length, direction, 64 or 32 bits of address, byte enables */
static const Access accesses[] = {
    { WIN_DIRECT32, 0, 4, false, 0x00000001, 0x0f, 0 },
    { WIN_DIRECT32, 0x10, 4, true, 0x40000001, 0x0f, 0x10 },
    { WIN_DIRECT32, 0x23, 1, false, 0x00000001, 0x08, 0x20 },
    { WIN_DIRECT32, 0x31, 2, true, 0x40000001, 0x06, 0x30 },
    { WIN_DIRECT32, 0x43, 2, true, 0x40000002, 0x18, 0x40 },
    { WIN_DIRECT64, 0x18, 8, false, 0x20000002, 0xff, 0x18 },
    { WIN_DIRECT64, 0x80, 8, true, 0x60000002, 0xff, 0x80 },
    { WIN_DIRECT64, 0x92, 8, true, 0x60000003, 0x3c, 0x90 },
    { WIN_LUT24, 5 * WIN_SIZE + 0xff0, 4, false, 0x20000001, 0x0f,
      5 * WIN_SIZE + 0xff0 },
    { WIN_LUT24, 30 * WIN_SIZE, 1, true, 0x60000001, 0x01, 30 * WIN_SIZE },
};

static void do_access(NtbFixture *f, const Access *a)
{
    NtbPort *p = f->ports[0];
    uint64_t addr = win_bar(p, a->bar) + a->offset;

    if (a->write) {
        ntb_write_sized(p, addr, a->size, 0);
    } else {
        g_assert_cmphex(ntb_read_sized(p, addr, a->size), ==,
                        MAKE_64BIT_MASK(0, a->size * 8));
    }
}

static void assert_access_header(NtbFixture *f, const Access *a)
{
    NtbPort *p = f->ports[0];
    uint64_t addr = win_bar(p, a->bar) + a->tlp_offset;

    if (a->dw0 & 0x20000000) {
        assert_header(p, a->dw0, a->dw1, addr >> 32, addr);
    } else {
        assert_header(p, a->dw0, a->dw1, addr, 0);
    }
}

/* A read is an advisory error, because its completion tells it too */
static void test_unsupported(NtbFixture *f)
{
    NtbPort *p = f->ports[0];
    const uint16_t ur = PCI_EXP_DEVSTA_URD;

    ntb_cfg_write(p, COR_MASK, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(accesses); i++) {
        const Access *a = &accesses[i];

        do_access(f, a);
        g_assert_cmphex(PCI_ERR_CAP_FEP(ntb_cfg_read(p, AER_CAP)), ==, 20);
        assert_access_header(f, a);
        assert_errors(p, PCI_ERR_UNC_UNSUP, a->write ? 0 : PCI_ERR_COR_ADV_NFAT,
                      ur | (a->write ? PCI_EXP_DEVSTA_NFED
                                     : PCI_EXP_DEVSTA_CED));
        g_assert_cmphex(take_messages(f), ==,
                        a->write ? MSG_NONFATAL : MSG_COR);
    }

    /* Advisory errors are masked in reset */
    ntb_cfg_write(p, COR_MASK, PCI_ERR_COR_ADV_NFAT);
    for (unsigned i = 0; i < 3; i++) {
        do_access(f, &accesses[0]);
    }
    assert_errors(p, 0, PCI_ERR_COR_ADV_NFAT, ur | PCI_EXP_DEVSTA_CED);
    g_assert_cmphex(take_messages(f), ==, 0);

    /* Fatal errors are not advisory */
    ntb_cfg_write(p, UNCOR_SEVER, PCI_ERR_UNC_UNSUP);
    do_access(f, &accesses[0]);
    assert_access_header(f, &accesses[0]);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0, ur | PCI_EXP_DEVSTA_FED);
    g_assert_cmphex(take_messages(f), ==, MSG_FATAL);

    /* Reporting of unsupported requests is disabled */
    ntb_cfg_writew(p, DEVCTL, REPORT_ALL & ~PCI_EXP_DEVCTL_URRE);
    do_access(f, &accesses[1]);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0, ur | PCI_EXP_DEVSTA_FED);
    g_assert_cmphex(take_messages(f), ==, 0);
}

/* The header log keeps the first one until it is cleared */
static void test_unsupported_once(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    for (unsigned round = 0; round < 2; round++) {
        const Access *first = &accesses[1 + 5 * round];

        do_access(f, first);
        g_assert_cmphex(take_messages(f), ==, MSG_NONFATAL);
        ntb_cfg_writew(p, DEVSTA, UINT16_MAX);
        for (unsigned i = 0; i < G_N_ELEMENTS(accesses); i++) {
            do_access(f, &accesses[i]);
        }
        assert_access_header(f, first);
        g_assert_cmphex(take_messages(f), ==, 0);
        assert_errors(p, PCI_ERR_UNC_UNSUP, 0, 0);
    }
}

/* Only the part of an access beyond the limit of its window is an error */
static void test_unsupported_limit(NtbFixture *f)
{
    NtbPort *p = f->ports[0];
    uint64_t base = win_bar(p, WIN_DIRECT64);

    win_aim(p, WIN_DIRECT64, p->partition, WIN_X);
    win_limit(p, WIN_DIRECT64, base + 0x400 - 1);
    win_assert_shows(p, base, p, WIN_X);
    assert_errors(p, 0, 0, 0);
    ntb_write_sized(p, base + 0x3fd, 8, UINT64_MAX);
    g_assert_cmphex(qtest_readl(f->root, WIN_X + 0x3fd) & 0xffffff, ==,
                    0xffffff);
    assert_header(p, 0x60000002, 0x1f, base >> 32, (base & ~3) + 0x400);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    win_close(p, WIN_DIRECT64);
    ntb_write_sized(p, base, 4, 0);
    assert_header(p, 0x60000001, 0x0f, base >> 32, base);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
}

/* On the root bus, only the status registers show it */
static void test_unsupported_root_bus(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_cfg_writew(a, DEVCTL, REPORT_ALL);
    qtest_writel(a->qts, win_bar(a, WIN_DIRECT32), 0);
    /* Other ports see them too */
    g_assert_cmphex(ntb_gas_read(b, ntb_gas_nt(a->port, UNCOR_STATUS)), ==,
                    PCI_ERR_UNC_UNSUP);
    assert_errors(a, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    /* Open, then not admitted, then the peer is no bus master */
    win_open(a, WIN_DIRECT32, b->partition, WIN_X);
    qtest_writel(a->qts, win_bar(a, WIN_DIRECT32), 0);
    assert_errors(a, 0, 0, 0);
    win_admit(a, false);
    qtest_writel(a->qts, win_bar(a, WIN_DIRECT32), 0);
    assert_errors(a, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    win_admit(a, true);
    ntb_cfg_writew(b, PCI_COMMAND, PCI_COMMAND_MEMORY);
    qtest_writel(a->qts, win_bar(a, WIN_DIRECT32), 0);
    assert_errors(a, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    /* The target address has no device */
    ntb_cfg_writew(b, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    win_open(a, WIN_DIRECT32, b->partition, 0xd0000000);
    g_assert_cmphex(qtest_readl(a->qts, win_bar(a, WIN_DIRECT32)), ==,
                    UINT32_MAX);
    assert_errors(a, 0, PCI_ERR_COR_ADV_NFAT,
                  PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_URD);
    assert_errors(b, 0, 0, 0);
}

/*
 * Completion timeouts
 */

static void test_timeout(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = win_bar(a, WIN_DIRECT64);

    win_open(a, WIN_DIRECT64, b->partition, WIN_X);
    win_assert_shows(a, base, b, WIN_X);
    ntb_freeze(b);
    /* Do not wait for a posted write */
    qtest_writeq(a->qts, base, 0x1234);
    assert_errors(a, 0, 0, 0);

    g_assert_cmphex(qtest_readq(a->qts, base), ==, UINT64_MAX);
    g_assert_cmphex(PCI_ERR_CAP_FEP(ntb_cfg_read(a, AER_CAP)), ==, 14);
    assert_header(a, 0, 0, 0, 0);
    ntb_cfg_writew(a, DEVSTA, UINT16_MAX);
    g_assert_cmphex(qtest_readq(a->qts, base), ==, UINT64_MAX);
    assert_errors(a, PCI_ERR_UNC_COMP_TIME, 0, 0);
    /* The next ones fail without a wait */
    g_assert_cmphex(qtest_readq(a->qts, base), ==, UINT64_MAX);
    assert_errors(a, PCI_ERR_UNC_COMP_TIME, 0, PCI_EXP_DEVSTA_NFED);

    ntb_thaw(b);
    ntb_wait(qtest_readq(a->qts, base) == 0x1234);
    clear_errors(a);
    win_assert_shows(a, base, b, WIN_X);
    assert_errors(a, 0, 0, 0);

    /* One write more than fits into the mailbox */
    ntb_freeze(b);
    for (unsigned i = 0; i < IDT_NTB_MAX_REQUESTS; i++) {
        qtest_writeb(a->qts, base, i & 0x7f);
    }
    assert_errors(a, 0, 0, 0);
    qtest_writeb(a->qts, base, 0x55);
    assert_errors(a, PCI_ERR_UNC_COMP_TIME, 0, PCI_EXP_DEVSTA_NFED);
    ntb_thaw(b);
    ntb_wait(qtest_readb(a->qts, base) == 0x7f);
}

/*
 * Targets of the interrupt for an error message
 */

/* The root port's interrupt for errors writes @data to @addr */
static void aim_root_interrupt(NtbFixture *f, uint64_t addr, uint32_t data)
{
    unsigned cap = find_root_capability(f, PCI_CAP_ID_MSIX);
    uint32_t table = qtest_readl(f->root, root(f) + cap + PCI_MSIX_TABLE);

    g_assert_cmphex(table & PCI_MSIX_TABLE_BIR, ==, 0);
    qtest_writel(f->root, root(f) + PCI_BASE_ADDRESS_0, RP_BAR0);
    table = RP_BAR0 + (table & PCI_MSIX_TABLE_OFFSET);
    qtest_writel(f->root, table + PCI_MSIX_ENTRY_LOWER_ADDR, addr);
    qtest_writel(f->root, table + PCI_MSIX_ENTRY_UPPER_ADDR, addr >> 32);
    qtest_writel(f->root, table + PCI_MSIX_ENTRY_DATA, data);
    qtest_writel(f->root, table + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    qtest_writew(f->root, root(f) + cap + PCI_MSIX_FLAGS,
                 PCI_MSIX_FLAGS_ENABLE);
    qtest_writel(f->root, root_aer(f) + PCI_ERR_ROOT_COMMAND,
                 PCI_ERR_ROOT_CMD_COR_EN | PCI_ERR_ROOT_CMD_NONFATAL_EN |
                 PCI_ERR_ROOT_CMD_FATAL_EN);
}

static void test_interrupt(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    /* RAM, the usual target */
    aim_root_interrupt(f, WIN_X, 0x5afe);
    do_access(f, &accesses[1]);
    g_assert_cmphex(qtest_readl(f->root, WIN_X), ==, 0x5afe);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    g_assert_cmphex(take_messages(f), ==, MSG_NONFATAL);

    /* A closed window.  QEMU blocks what a BAR handler does to the same BAR */
    aim_root_interrupt(f, win_bar(p, WIN_DIRECT64), 0);
    do_access(f, &accesses[1]);
    assert_access_header(f, &accesses[1]);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    g_assert_cmphex(take_messages(f), ==, MSG_NONFATAL);
    ntb_cfg_write(p, A_NTUEEM, PCI_ERR_UNC_COMP_ABORT);
    ntb_wait(ntb_cfg_read(p, UNCOR_STATUS) & PCI_ERR_UNC_UNSUP);
    assert_errors(p, PCI_ERR_UNC_UNSUP | PCI_ERR_UNC_COMP_ABORT, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    take_messages(f);

    /* The error emulation: raises another error */
    aim_root_interrupt(f, p->bar0 + A_NTUEEM, PCI_ERR_UNC_COMP_ABORT);
    ntb_cfg_write(p, A_NTUEEM, PCI_ERR_UNC_COMP_TIME);
    ntb_wait(ntb_cfg_read(p, UNCOR_STATUS) & PCI_ERR_UNC_COMP_ABORT);
    assert_errors(p, PCI_ERR_UNC_COMP_TIME | PCI_ERR_UNC_COMP_ABORT, 0,
                  PCI_EXP_DEVSTA_NFED);
}

static void write_emulation(NtbFixture *f)
{
    ntb_write(f->ports[0], A_NTUEEM, UNCOR_ALL);
}

static void write_closed_window(NtbFixture *f)
{
    NtbPort *p = f->ports[0];
    uint32_t bar1 = p->bar0 + 1 * MiB;

    qtest_writel(f->root, root(f) + PCI_MEMORY_BASE, bar1 | p->bar0 >> 16);
    ntb_cfg_write(p, PCI_BASE_ADDRESS_1, bar1);
    qtest_writel(f->root, bar1, 0);
}

/*
 * The power of the slot: the message unplugs its sender.  (Not from a
 * configuration cycle: QEMU allows no access to ECAM inside one.)
 */
static void test_interrupt_unplugs(NtbFixture *f)
{
    void (*make_error)(NtbFixture *f) = f->test->data;
    NtbPort *other = ntb_start(f, 1, NULL), *p;
    unsigned cap;

    f->root = qtest_initf(
        "%s -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off "
        "-chardev socket,path=%s,id=ntb "
        "-device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,chassis=1 "
        "-device idt-ntb,id=ntb1,bus=rp0,chardev=ntb",
        ntb_next_machine(), f->server->socket);
    p = f->ports[0] = ntb_open_plugged(f->root);
    enable_messages(f);
    cap = find_root_capability(f, PCI_CAP_ID_EXP);
    qtest_writew(f->root, root(f) + cap + PCI_EXP_SLTCTL,
                 PCI_EXP_SLTCTL_PWR_IND_ON);
    aim_root_interrupt(f, root(f) + cap + PCI_EXP_SLTCTL,
                       PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PWR_OFF);
    g_assert_true(ntb_link_up(other, p->port));
    make_error(f);
    g_assert_cmphex(qtest_readw(f->root, root(f) + cap + PCI_EXP_SLTCTL) &
                    PCI_EXP_SLTCTL_PWR_OFF, !=, 0);
    g_assert_cmphex(ntb_cfg_read(p, 0), ==, UINT32_MAX);
    qtest_qmp_eventwait(f->root, "DEVICE_DELETED");
    g_assert_false(ntb_link_up(other, p->port));
}

/* By a command of QEMU's monitor */
static void test_inject(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    for (unsigned i = 0; i < 2; i++) {
        g_free(qtest_hmp(p->qts, "pcie_aer_inject_error ntb1 COMP_TIME"));
        g_assert_cmphex(PCI_ERR_CAP_FEP(ntb_cfg_read(p, AER_CAP)), ==, 14);
        assert_errors(p, PCI_ERR_UNC_COMP_TIME, 0, PCI_EXP_DEVSTA_NFED);
        g_assert_cmphex(take_messages(f), ==, MSG_NONFATAL);
        g_free(qtest_hmp(p->qts, "pcie_aer_inject_error -c ntb1 0x1000"));
        assert_errors(p, 0, PCI_ERR_COR_REP_TIMER, PCI_EXP_DEVSTA_CED);
        g_assert_cmphex(take_messages(f), ==, MSG_COR);
    }
}

static const NtbTest tests[] = {
    { "errors/user-can-inject-them", test_inject, .prepare = prepare,
      .windows = WIN_ONLY(WIN_PLAIN), .root_port = true, .q35 = true },
    { "errors/emulate-each-uncorrectable-one", test_emulate_uncorrectable,
      .prepare = prepare, .windows = WIN_ONLY(WIN_PLAIN), .root_port = true,
      .q35 = true },
    { "errors/emulate-each-correctable-one", test_emulate_correctable,
      .prepare = prepare, .windows = WIN_ONLY(WIN_PLAIN), .root_port = true,
      .q35 = true },
    { "errors/emulate-several-at-once", test_emulate_bits, .prepare = prepare,
      .windows = WIN_ONLY(WIN_PLAIN), .root_port = true, .q35 = true },
    { "errors/peer-can-emulate-them", test_emulate_by_peer,
      .prepare = prepare, .windows = WIN_ONLY(WIN_PLAIN), .root_port = true,
      .q35 = true },
    { "errors/of-a-free-port-are-lost", test_emulate_nobody, .ports = 1,
      .q35 = true },
    { "errors/memory-of-all-ones-sets-known-bits", test_emulate_hostile,
      .prepare = prepare, .windows = WIN_ONLY(WIN_PLAIN), .root_port = true,
      .q35 = true },
    { "errors/closed-window-is-an-unsupported-request", test_unsupported,
      .prepare = prepare, .windows = WIN_ONLY(WIN_PLAIN), .root_port = true,
      .q35 = true },
    { "errors/log-keeps-the-first-one", test_unsupported_once,
      .prepare = prepare, .windows = WIN_ONLY(WIN_PLAIN), .root_port = true,
      .q35 = true },
    { "errors/begin-beyond-the-window-limit", test_unsupported_limit,
      .prepare = prepare, .windows = WIN_ONLY(WIN_PLAIN), .root_port = true,
      .q35 = true },
    { "errors/on-the-root-bus-show-in-status", test_unsupported_root_bus,
      .ports = 2, .windows = WIN_ONLY(WIN_PLAIN), .q35 = true },
    { "errors/stalled-peer-is-a-completion-timeout", test_timeout, .ports = 2,
      .props = ",completion-timeout=2000", .windows = WIN_ONLY(WIN_PLAIN),
      .q35 = true },
    { "errors/interrupt-may-have-any-target", test_interrupt,
      .prepare = prepare, .windows = WIN_ONLY(WIN_PLAIN), .root_port = true,
      .q35 = true },
    { "errors/interrupt-may-unplug-after-a-bar-write", test_interrupt_unplugs,
      .q35 = true, .data = write_emulation },
    { "errors/interrupt-may-unplug-after-a-window-write",
      test_interrupt_unplugs, .q35 = true, .data = write_closed_window },
};

ntb_tests(tests);
