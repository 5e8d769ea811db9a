/*
 * QTest testcase for idt-ntb: errors of the NT function, as its AER capability
 * and the root port above it show them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "hw/misc/idt_ntb/shm.h"
#include "idt-ntb/window.h"

#define RP_SLOT         5
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

/* What the status registers can show */
#define UNCOR_ALL       0x03fff030
#define COR_ALL         0x0000f1c1

/* The messages that a root port has received */
#define MSG_COR         PCI_ERR_ROOT_COR_RCV
#define MSG_NONFATAL    (PCI_ERR_ROOT_UNCOR_RCV | PCI_ERR_ROOT_NONFATAL_RCV)
#define MSG_FATAL       (PCI_ERR_ROOT_UNCOR_RCV | PCI_ERR_ROOT_FIRST_FATAL | \
                         PCI_ERR_ROOT_FATAL_RCV)
#define MSG_ALL         0x7f

/*
 * A port behind a root port
 */

static NtbServer *server;
static QTestState *qts;
static NtbPort *p;
static uint64_t root;           /* the root port's configuration space */
static uint64_t root_aer;

static unsigned find_root_capability(unsigned id)
{
    unsigned at = qtest_readb(qts, root + PCI_CAPABILITY_LIST);

    while (at && qtest_readb(qts, root + at) != id) {
        at = qtest_readb(qts, root + at + 1);
    }
    g_assert_cmpuint(at, !=, 0);
    return at;
}

/* Error messages on, on the whole way */
static void enable_messages(void)
{
    unsigned cap = find_root_capability(PCI_CAP_ID_EXP);

    ntb_cfg_writew(p, DEVCTL, REPORT_ALL);
    qtest_writew(qts, root + cap + PCI_EXP_DEVCTL, REPORT_ALL);
    qtest_writew(qts, root + PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_SERR);
}

static void find_root(void)
{
    root = (p->ecam & ~0xfffffULL) - (1 << 20) + (RP_SLOT << 15);
    root_aer = root + PCI_CFG_SPACE_SIZE;
    g_assert_cmphex(PCI_EXT_CAP_ID(qtest_readl(qts, root_aer)), ==,
                    PCI_EXT_CAP_ID_ERR);
}

static void start(void)
{
    server = ntb_server_start();
    qts = win_boot_root_port(server, WIN_PLAIN);
    p = win_plug(qts, WIN_PLAIN);
    find_root();
    enable_messages();
}

static void stop(void)
{
    ntb_quit(p);
    qtest_quit(qts);
    ntb_server_stop(server);
}

/* What messages the root port has received since the last call */
static uint32_t take_messages(void)
{
    uint32_t status = qtest_readl(qts, root_aer + PCI_ERR_ROOT_STATUS);
    uint32_t source = qtest_readl(qts, root_aer + PCI_ERR_ROOT_ERR_SRC);

    status &= MSG_ALL;
    if (status & PCI_ERR_ROOT_COR_RCV) {
        g_assert_cmphex(source & 0xffff, ==, PORT_DEVFN);
    }
    if (status & PCI_ERR_ROOT_UNCOR_RCV) {
        g_assert_cmphex(source >> 16, ==, PORT_DEVFN);
    }
    qtest_writel(qts, root_aer + PCI_ERR_ROOT_STATUS, status);
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
    /* QEMU would write over it */
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

/* Every uncorrectable error, with the severity that it has and the other one */
static void test_emulate_uncorrectable(void)
{
    start();
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
            g_assert_cmphex(take_messages(), ==,
                            fatal ? MSG_FATAL : MSG_NONFATAL);
        }
        /* Masked: status only */
        ntb_cfg_write(p, UNCOR_MASK, bit);
        ntb_write(p, A_NTUEEM, bit);
        assert_errors(p, bit, 0, ur | PCI_EXP_DEVSTA_FED);
        g_assert_cmphex(take_messages(), ==, 0);
    }
    stop();
}

static void test_emulate_correctable(void)
{
    start();
    for (unsigned i = 0; i < 32; i++) {
        uint32_t bit = BIT(i);

        if (!(COR_ALL & bit)) {
            continue;
        }
        ntb_cfg_write(p, COR_MASK, ~bit);
        ntb_write(p, A_NTCEEM, bit);
        g_assert_cmphex(ntb_read(p, A_NTCEEM), ==, 0);
        assert_errors(p, 0, bit, PCI_EXP_DEVSTA_CED);
        g_assert_cmphex(take_messages(), ==, MSG_COR);
        ntb_cfg_write(p, COR_MASK, bit);
        ntb_write(p, A_NTCEEM, bit);
        assert_errors(p, 0, bit, PCI_EXP_DEVSTA_CED);
        g_assert_cmphex(take_messages(), ==, 0);
    }
    stop();
}

/* Several at once, by byte lanes; bits without an error; messages off */
static void test_emulate_bits(void)
{
    start();
    ntb_write(p, A_NTUEEM, PCI_ERR_UNC_UNSUP | PCI_ERR_UNC_COMP_ABORT);
    assert_errors(p, PCI_ERR_UNC_UNSUP | PCI_ERR_UNC_COMP_ABORT, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    g_assert_cmphex(take_messages(), ==,
                    MSG_NONFATAL | PCI_ERR_ROOT_MULTI_UNCOR_RCV);

    ntb_write_sized(p, p->bar0 + A_NTUEEM + 1, 1, 0xff);
    assert_errors(p, 0xf000 & UNCOR_ALL, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED);
    g_assert_cmphex(take_messages(), !=, 0);

    ntb_write(p, A_NTUEEM, (uint32_t)~UNCOR_ALL);
    ntb_write(p, A_NTCEEM, (uint32_t)~COR_ALL);
    ntb_settle(qts);
    assert_errors(p, 0, 0, 0);
    g_assert_cmphex(take_messages(), ==, 0);

    ntb_cfg_writew(p, DEVCTL, 0);
    ntb_write(p, A_NTUEEM, PCI_ERR_UNC_COMP_ABORT);
    ntb_write(p, A_NTCEEM, PCI_ERR_COR_RCVR);
    assert_errors(p, PCI_ERR_UNC_COMP_ABORT, PCI_ERR_COR_RCVR,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_CED);
    g_assert_cmphex(take_messages(), ==, 0);
    stop();
}

/* Written by another port: the owner reports it, and shows it to the others */
static void test_emulate_by_peer(void)
{
    NtbPort *other;

    start();
    other = ntb_boot(server, NULL);
    for (unsigned i = 0; i < 3; i++) {
        ntb_gas_write(other, ntb_gas_nt(p->port, A_NTUEEM),
                      PCI_ERR_UNC_COMP_ABORT);
        ntb_gas_write(other, ntb_gas_nt(p->port, A_NTCEEM), PCI_ERR_COR_RCVR);
        g_assert_cmphex(ntb_gas_read(other, ntb_gas_nt(p->port, A_NTUEEM)),
                        ==, 0);
        ntb_wait(ntb_cfg_read(p, COR_STATUS) &&
                 ntb_cfg_read(p, UNCOR_STATUS));
        ntb_settle(qts);
        g_assert_cmphex(ntb_gas_read(other, ntb_gas_nt(p->port, UNCOR_STATUS)),
                        ==, PCI_ERR_UNC_COMP_ABORT);
        g_assert_cmphex(ntb_gas_read(other, ntb_gas_nt(p->port, COR_STATUS)),
                        ==, PCI_ERR_COR_RCVR);
        assert_errors(p, PCI_ERR_UNC_COMP_ABORT, PCI_ERR_COR_RCVR,
                      PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_CED);
        g_assert_cmphex(take_messages(), ==, MSG_NONFATAL | MSG_COR);
        assert_errors(other, 0, 0, 0);
    }
    /* The own function through the global address space */
    ntb_gas_write(p, ntb_gas_nt(p->port, A_NTCEEM), PCI_ERR_COR_RCVR);
    assert_errors(p, 0, PCI_ERR_COR_RCVR, PCI_EXP_DEVSTA_CED);
    ntb_quit(other);
    stop();
}

/* Nobody is there: who comes later has not seen that error */
static void test_emulate_nobody(void)
{
    NtbPort *a, *b;

    server = ntb_server_start();
    a = ntb_boot(server, NULL);
    ntb_gas_write(a, ntb_gas_nt(2, A_NTUEEM), PCI_ERR_UNC_UNSUP);
    b = ntb_boot(server, NULL);
    ntb_settle(b->qts);
    assert_errors(b, 0, 0, 0);
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

/* Whatever another process has written to the words */
static void test_emulate_hostile(void)
{
    IdtNtbShm *shm;
    NtbPort *other;

    start();
    other = ntb_boot(server, NULL);
    shm = (IdtNtbShm *)server->mem;
    qatomic_set(&shm->slot[ntb_slot(p->port)].p.ntueem, UINT32_MAX);
    qatomic_set(&shm->slot[ntb_slot(p->port)].p.ntceem, UINT32_MAX);
    ntb_gas_write(other, ntb_gas_nt(p->port, A_NTSDATA), 1);
    ntb_wait(ntb_cfg_read(p, COR_STATUS));
    assert_errors(p, UNCOR_ALL, COR_ALL,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED |
                  PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_URD);
    ntb_quit(other);
    stop();
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

static void do_access(const Access *a)
{
    uint64_t addr = win_bar(p, a->bar) + a->offset;

    if (a->write) {
        ntb_write_sized(p, addr, a->size, 0);
    } else {
        g_assert_cmphex(ntb_read_sized(p, addr, a->size), ==,
                        MAKE_64BIT_MASK(0, a->size * 8));
    }
}

static void assert_access_header(const Access *a)
{
    uint64_t addr = win_bar(p, a->bar) + a->tlp_offset;

    if (a->dw0 & 0x20000000) {
        assert_header(p, a->dw0, a->dw1, addr >> 32, addr);
    } else {
        assert_header(p, a->dw0, a->dw1, addr, 0);
    }
}

/* A write is an error, a read an advisory one: its completion tells too */
static void test_unsupported(void)
{
    const uint16_t ur = PCI_EXP_DEVSTA_URD;

    start();
    ntb_cfg_write(p, COR_MASK, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(accesses); i++) {
        const Access *a = &accesses[i];

        do_access(a);
        g_assert_cmphex(PCI_ERR_CAP_FEP(ntb_cfg_read(p, AER_CAP)), ==, 20);
        assert_access_header(a);
        assert_errors(p, PCI_ERR_UNC_UNSUP, a->write ? 0 : PCI_ERR_COR_ADV_NFAT,
                      ur | (a->write ? PCI_EXP_DEVSTA_NFED
                                     : PCI_EXP_DEVSTA_CED));
        g_assert_cmphex(take_messages(), ==, a->write ? MSG_NONFATAL : MSG_COR);
    }

    /* Advisory errors masked, as they are in reset */
    ntb_cfg_write(p, COR_MASK, PCI_ERR_COR_ADV_NFAT);
    for (unsigned i = 0; i < 3; i++) {
        do_access(&accesses[0]);
    }
    assert_errors(p, 0, PCI_ERR_COR_ADV_NFAT, ur | PCI_EXP_DEVSTA_CED);
    g_assert_cmphex(take_messages(), ==, 0);

    /* Fatal ones are not advisory */
    ntb_cfg_write(p, UNCOR_SEVER, PCI_ERR_UNC_UNSUP);
    do_access(&accesses[0]);
    assert_access_header(&accesses[0]);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0, ur | PCI_EXP_DEVSTA_FED);
    g_assert_cmphex(take_messages(), ==, MSG_FATAL);

    /* Reporting of unsupported requests off */
    ntb_cfg_writew(p, DEVCTL, REPORT_ALL & ~PCI_EXP_DEVCTL_URRE);
    do_access(&accesses[1]);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0, ur | PCI_EXP_DEVSTA_FED);
    g_assert_cmphex(take_messages(), ==, 0);
    stop();
}

/* The first one stands for all that follow, until it is cleared */
static void test_unsupported_once(void)
{
    start();
    for (unsigned round = 0; round < 2; round++) {
        const Access *first = &accesses[1 + 5 * round];

        do_access(first);
        g_assert_cmphex(take_messages(), ==, MSG_NONFATAL);
        ntb_cfg_writew(p, DEVSTA, UINT16_MAX);
        for (unsigned i = 0; i < G_N_ELEMENTS(accesses); i++) {
            do_access(&accesses[i]);
        }
        assert_access_header(first);
        g_assert_cmphex(take_messages(), ==, 0);
        assert_errors(p, PCI_ERR_UNC_UNSUP, 0, 0);
    }
    stop();
}

/* What goes through a window is none; of what goes half through, the rest is */
static void test_unsupported_limit(void)
{
    uint64_t base;

    start();
    base = win_bar(p, WIN_DIRECT64);
    win_aim(p, WIN_DIRECT64, p->partition, WIN_X);
    win_limit(p, WIN_DIRECT64, base + 0x400 - 1);
    win_assert_shows(p, base, p, WIN_X);
    assert_errors(p, 0, 0, 0);
    ntb_write_sized(p, base + 0x3fd, 8, UINT64_MAX);
    g_assert_cmphex(qtest_readl(qts, WIN_X + 0x3fd) & 0xffffff, ==, 0xffffff);
    assert_header(p, 0x60000002, 0x1f, base >> 32, (base & ~3) + 0x400);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    win_close(p, WIN_DIRECT64);
    ntb_write_sized(p, base, 4, 0);
    assert_header(p, 0x60000001, 0x0f, base >> 32, base);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    stop();
}

/* On the root bus nobody hears of it; the status registers show it */
static void test_unsupported_root_bus(void)
{
    WinPair w;

    win_start(&w, WIN_PLAIN, NULL);
    ntb_cfg_writew(w.a, DEVCTL, REPORT_ALL);
    qtest_writel(w.a->qts, win_bar(w.a, WIN_DIRECT32), 0);
    /* ... and other ports see them */
    g_assert_cmphex(ntb_gas_read(w.b, ntb_gas_nt(w.a->port, UNCOR_STATUS)), ==,
                    PCI_ERR_UNC_UNSUP);
    assert_errors(w.a, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    /* No admission; no bus master there */
    win_open(w.a, WIN_DIRECT32, w.b->partition, WIN_X);
    qtest_writel(w.a->qts, win_bar(w.a, WIN_DIRECT32), 0);
    assert_errors(w.a, 0, 0, 0);
    win_admit(w.a, false);
    qtest_writel(w.a->qts, win_bar(w.a, WIN_DIRECT32), 0);
    assert_errors(w.a, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    win_admit(w.a, true);
    ntb_cfg_writew(w.b, PCI_COMMAND, PCI_COMMAND_MEMORY);
    qtest_writel(w.a->qts, win_bar(w.a, WIN_DIRECT32), 0);
    assert_errors(w.a, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    /* Where nothing answers there */
    ntb_cfg_writew(w.b, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    win_open(w.a, WIN_DIRECT32, w.b->partition, 0xd0000000);
    g_assert_cmphex(qtest_readl(w.a->qts, win_bar(w.a, WIN_DIRECT32)), ==,
                    UINT32_MAX);
    assert_errors(w.a, 0, PCI_ERR_COR_ADV_NFAT,
                  PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_URD);
    assert_errors(w.b, 0, 0, 0);
    win_stop(&w);
}

/*
 * Completion timeouts
 */

static void test_timeout(void)
{
    WinPair w;
    uint64_t base;

    win_start(&w, WIN_PLAIN, ",completion-timeout=2000");
    base = win_bar(w.a, WIN_DIRECT64);
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
    win_assert_shows(w.a, base, w.b, WIN_X);
    ntb_freeze(w.b);
    /* Posted: nobody waits for it */
    qtest_writeq(w.a->qts, base, 0x1234);
    assert_errors(w.a, 0, 0, 0);

    g_assert_cmphex(qtest_readq(w.a->qts, base), ==, UINT64_MAX);
    g_assert_cmphex(PCI_ERR_CAP_FEP(ntb_cfg_read(w.a, AER_CAP)), ==, 14);
    assert_header(w.a, 0, 0, 0, 0);
    ntb_cfg_writew(w.a, DEVSTA, UINT16_MAX);
    g_assert_cmphex(qtest_readq(w.a->qts, base), ==, UINT64_MAX);
    assert_errors(w.a, PCI_ERR_UNC_COMP_TIME, 0, 0);
    /* Not waited for, but without an answer as before */
    g_assert_cmphex(qtest_readq(w.a->qts, base), ==, UINT64_MAX);
    assert_errors(w.a, PCI_ERR_UNC_COMP_TIME, 0, PCI_EXP_DEVSTA_NFED);

    ntb_thaw(w.b);
    ntb_wait(qtest_readq(w.a->qts, base) == 0x1234);
    clear_errors(w.a);
    win_assert_shows(w.a, base, w.b, WIN_X);
    assert_errors(w.a, 0, 0, 0);

    /* More than there is room for */
    ntb_freeze(w.b);
    for (unsigned i = 0; i < IDT_NTB_MAX_REQUESTS; i++) {
        qtest_writeb(w.a->qts, base, i & 0x7f);
    }
    assert_errors(w.a, 0, 0, 0);
    qtest_writeb(w.a->qts, base, 0x55);
    assert_errors(w.a, PCI_ERR_UNC_COMP_TIME, 0, PCI_EXP_DEVSTA_NFED);
    ntb_thaw(w.b);
    ntb_wait(qtest_readb(w.a->qts, base) == 0x7f);
    win_stop(&w);
}

/*
 * Where the interrupt of an error message may be aimed at
 */

/* The root port's interrupt for errors writes @data to @addr */
static void aim_root_interrupt(uint64_t addr, uint32_t data)
{
    unsigned cap = find_root_capability(PCI_CAP_ID_MSIX);
    uint32_t table = qtest_readl(qts, root + cap + PCI_MSIX_TABLE);

    g_assert_cmphex(table & PCI_MSIX_TABLE_BIR, ==, 0);
    qtest_writel(qts, root + PCI_BASE_ADDRESS_0, RP_BAR0);
    table = RP_BAR0 + (table & PCI_MSIX_TABLE_OFFSET);
    qtest_writel(qts, table + PCI_MSIX_ENTRY_LOWER_ADDR, addr);
    qtest_writel(qts, table + PCI_MSIX_ENTRY_UPPER_ADDR, addr >> 32);
    qtest_writel(qts, table + PCI_MSIX_ENTRY_DATA, data);
    qtest_writel(qts, table + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    qtest_writew(qts, root + cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE);
    qtest_writel(qts, root_aer + PCI_ERR_ROOT_COMMAND,
                 PCI_ERR_ROOT_CMD_COR_EN | PCI_ERR_ROOT_CMD_NONFATAL_EN |
                 PCI_ERR_ROOT_CMD_FATAL_EN);
}

static void test_interrupt(void)
{
    start();
    /* At RAM, as it should be */
    aim_root_interrupt(WIN_X, 0x5afe);
    do_access(&accesses[1]);
    g_assert_cmphex(qtest_readl(qts, WIN_X), ==, 0x5afe);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    g_assert_cmphex(take_messages(), ==, MSG_NONFATAL);

    /* At a closed window.  QEMU blocks what comes out of a BAR of its own */
    aim_root_interrupt(win_bar(p, WIN_DIRECT64), 0);
    do_access(&accesses[1]);
    assert_access_header(&accesses[1]);
    assert_errors(p, PCI_ERR_UNC_UNSUP, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    g_assert_cmphex(take_messages(), ==, MSG_NONFATAL);
    ntb_cfg_write(p, A_NTUEEM, PCI_ERR_UNC_COMP_ABORT);
    ntb_wait(ntb_cfg_read(p, UNCOR_STATUS) & PCI_ERR_UNC_UNSUP);
    assert_errors(p, PCI_ERR_UNC_UNSUP | PCI_ERR_UNC_COMP_ABORT, 0,
                  PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_URD);
    take_messages();

    /* At the error emulation: another one */
    aim_root_interrupt(p->bar0 + A_NTUEEM, PCI_ERR_UNC_COMP_ABORT);
    ntb_cfg_write(p, A_NTUEEM, PCI_ERR_UNC_COMP_TIME);
    ntb_wait(ntb_cfg_read(p, UNCOR_STATUS) & PCI_ERR_UNC_COMP_ABORT);
    assert_errors(p, PCI_ERR_UNC_COMP_TIME | PCI_ERR_UNC_COMP_ABORT, 0,
                  PCI_EXP_DEVSTA_NFED);
    stop();
}

static void write_emulation(void)
{
    ntb_write(p, A_NTUEEM, UNCOR_ALL);
}

static void write_closed_window(void)
{
    uint32_t bar1 = p->bar0 + 1 * MiB;

    qtest_writel(qts, root + PCI_MEMORY_BASE, bar1 | p->bar0 >> 16);
    ntb_cfg_write(p, PCI_BASE_ADDRESS_1, bar1);
    qtest_writel(qts, bar1, 0);
}

/*
 * At the power of our slot: the message unplugs who sends it.  (Not from a
 * configuration cycle: QEMU allows no access to ECAM inside one.)
 */
static void test_interrupt_unplugs(const void *opaque)
{
    void (*make_error)(void) = opaque;
    NtbPort *other;
    unsigned cap;

    server = ntb_server_start();
    other = ntb_boot(server, NULL);
    qts = qtest_initf("%s -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support"
                      "=off -chardev socket,path=%s,id=ntb "
                      "-device pcie-root-port,id=rp0,bus=pcie.0,addr=%x.0,"
                      "chassis=1 -device idt-ntb,id=ntb1,bus=rp0,chardev=ntb",
                      ntb_next_machine(), server->socket, RP_SLOT);
    p = ntb_open_plugged(qts);
    find_root();
    enable_messages();
    cap = find_root_capability(PCI_CAP_ID_EXP);
    qtest_writew(qts, root + cap + PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_ON);
    aim_root_interrupt(root + cap + PCI_EXP_SLTCTL,
                       PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PWR_OFF);
    g_assert_true(ntb_link_up(other, p->port));
    make_error();
    g_assert_cmphex(qtest_readw(qts, root + cap + PCI_EXP_SLTCTL) &
                    PCI_EXP_SLTCTL_PWR_OFF, !=, 0);
    g_assert_cmphex(ntb_cfg_read(p, 0), ==, UINT32_MAX);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
    g_assert_false(ntb_link_up(other, p->port));
    ntb_quit(other);
    stop();
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/errors/emulate-uncorrectable",
                   test_emulate_uncorrectable);
    qtest_add_func("/idt-ntb/errors/emulate-correctable",
                   test_emulate_correctable);
    qtest_add_func("/idt-ntb/errors/emulate-bits", test_emulate_bits);
    qtest_add_func("/idt-ntb/errors/emulate-by-peer", test_emulate_by_peer);
    qtest_add_func("/idt-ntb/errors/emulate-nobody", test_emulate_nobody);
    qtest_add_func("/idt-ntb/errors/emulate-hostile", test_emulate_hostile);
    qtest_add_func("/idt-ntb/errors/unsupported", test_unsupported);
    qtest_add_func("/idt-ntb/errors/unsupported-once", test_unsupported_once);
    qtest_add_func("/idt-ntb/errors/unsupported-limit", test_unsupported_limit);
    qtest_add_func("/idt-ntb/errors/unsupported-root-bus",
                   test_unsupported_root_bus);
    qtest_add_func("/idt-ntb/errors/timeout", test_timeout);
    qtest_add_func("/idt-ntb/errors/interrupt", test_interrupt);
    qtest_add_data_func("/idt-ntb/errors/interrupt-unplugs-bar",
                        write_emulation, test_interrupt_unplugs);
    qtest_add_data_func("/idt-ntb/errors/interrupt-unplugs-window",
                        write_closed_window, test_interrupt_unplugs);
}

libqos_init(add_tests);
