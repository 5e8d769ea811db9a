/*
 * QTest testcase for idt-ntb: the machines that it runs on
 *
 * q35, and the big-endian pseries.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqos/rtas.h"
#include "ppc-util.h"
#include "harness.h"

#define PEER_BINARY     "QTEST_QEMU_BINARY_PEER"

#define ECAM_BASE       0xb0000000ULL
#define MCH_PCIEXBAR    0x60

#define FIRMWARE_SIZE   (64 * KiB)

/* pseries: a flag that its firmware sets */
#define DMA_READY       0x200000

static const NtbMachine q35 = {
    .bar32 = 0x40000000ULL,
    .bar64 = 0x4300000000ULL,
    .ram_mib = 64,
};

static const NtbMachine pseries = {
    .has_iommu = true,
    .pci = 1ULL << 45,
    .bar32 = (1ULL << 45) + 0x80000000ULL,
    .bar64 = 0x210000000000ULL,
    .ram_mib = 256,
};

/*
 * A device has no access to the RAM of a pseries until the guest asks for it.
 *
 *     .org 0x100
 *     li      14, 0
 *     lis     15, 0x400       # 64 MiB
 * 1:  li      3, 0x20         # H_PUT_TCE
 *     li      4, 1
 *     sldi    4, 4, 31        # of the first PHB's first window
 *     mr      5, 14
 *     ori     6, 14, 3        # each page for itself, to read and write
 *     sc      1
 *     addi    14, 14, 0x1000
 *     cmpld   14, 15
 *     blt     1b
 *     lis     14, 0x20        # DMA_READY
 *     li      15, 1
 *     std     15, 0(14)
 * 2:  li      3, 0xe0         # H_CEDE
 *     sc      1
 *     b       2b
 *     .org 0x900              # decrementer
 *     lis     3, 0x7fff
 *     mtdec   3
 *     rfid
 */
static const uint32_t spapr_reset[] = {
    0x39c00000, 0x3de00400, 0x38600020, 0x38800001, 0x7884f824, 0x7dc57378,
    0x61c60003, 0x44000022, 0x39ce1000, 0x7c2e7840, 0x4180ffe0, 0x3dc00020,
    0x39e00001, 0xf9ee0000, 0x386000e0, 0x44000022, 0x4bfffff8,
};

static const uint32_t spapr_decrementer[] = {
    0x3c607fff, 0x7c7603a6, 0x4c000024,
};

/* The binaries; the second one may be NULL */
static struct {
    char *path;
    const NtbMachine *machine;
    char *args;
} binaries[2];

static unsigned started;

static const NtbMachine *machine_of_binary(const char *path)
{
    return g_str_has_suffix(path, "-x86_64") ? &q35 :
           g_str_has_suffix(path, "-ppc64") ? &pseries : NULL;
}

static void put_code(uint8_t *at, const uint32_t *code, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        stl_be_p(at + 4 * i, code[i]);
    }
}

/*
 * The test does not depend on the blobs that were installed.  In a q35 no
 * instruction is ever executed, so an empty file does.
 */
static char *make_firmware(const NtbMachine *machine)
{
    char *path = ntb_tmp_path("bios");
    g_autofree uint8_t *data = g_malloc0(FIRMWARE_SIZE);

    if (machine == &pseries) {
        put_code(data + 0x100, spapr_reset, G_N_ELEMENTS(spapr_reset));
        put_code(data + 0x900, spapr_decrementer,
                 G_N_ELEMENTS(spapr_decrementer));
    }
    g_assert_true(g_file_set_contents(path, (char *)data, FIRMWARE_SIZE,
                                      NULL));
    return path;
}

static char *make_args(const NtbMachine *machine)
{
    g_autofree char *firmware = make_firmware(machine);

    return g_strdup_printf("%s -m %uM -nodefaults -bios %s",
                           machine == &q35 ?
                           "-M q35 -global apic-common.vapic=off" :
                           "-M pseries," PSERIES_DEFAULT_CAPABILITIES
                           " -accel tcg",
                           machine->ram_mib, firmware);
}

bool ntb_machine_init(void)
{
    binaries[0].path = g_strdup(getenv("QTEST_QEMU_BINARY"));
    binaries[1].path = g_strdup(getenv(PEER_BINARY));
    for (unsigned i = 0; i < 2; i++) {
        const char *path = binaries[i].path;

        if (path) {
            binaries[i].machine = machine_of_binary(path);
            if (!binaries[i].machine) {
                return false;
            }
            binaries[i].args = make_args(binaries[i].machine);
        }
    }
    if (binaries[0].machine == &pseries && !qtest_has_accel("tcg")) {
        return false;
    }
    return qtest_has_machine(binaries[0].machine == &q35 ? "q35" : "pseries");
}

bool ntb_machine_is_q35(void)
{
    return binaries[0].machine == &q35 &&
           (!binaries[1].path || binaries[1].machine == &q35);
}

unsigned ntb_num_views(void)
{
    return ntb_machine_is_q35() ? 2 : 1;
}

static unsigned this_binary(void)
{
    return binaries[1].path ? (started - 1) % 2 : 0;
}

const char *ntb_next_machine(void)
{
    started++;
    if (binaries[1].path) {
        /* libqtest looks there for each QEMU that it starts */
        g_setenv("QTEST_QEMU_BINARY", binaries[this_binary()].path, true);
    }
    return binaries[this_binary()].args;
}

const NtbMachine *ntb_this_machine(void)
{
    return binaries[this_binary()].machine;
}

const NtbMachine *ntb_machine_of(QTestState *qts)
{
    return qtest_big_endian(qts) ? &pseries : &q35;
}

void ntb_machine_ready(QTestState *qts)
{
    if (ntb_machine_of(qts) == &q35) {
        qtest_outl(qts, 0xcf8, 0x80000000 | MCH_PCIEXBAR);
        qtest_outl(qts, 0xcfc, ECAM_BASE | 1);
    } else {
        ntb_wait(qtest_readq(qts, DMA_READY) == 1);
    }
}

void ntb_machine_settle(QTestState *qts)
{
    if (ntb_machine_of(qts) == &q35) {
        return;
    }
    /* A vCPU stops, and then does its work; the second time it had to */
    for (unsigned i = 0; i < 2; i++) {
        qtest_qmp_assert_success(qts, "{'execute': 'stop'}");
        qtest_qmp_assert_success(qts, "{'execute': 'cont'}");
    }
}

uint64_t ntb_to_pci(QTestState *qts, uint64_t address)
{
    uint64_t pci = ntb_machine_of(qts)->pci;

    return address - pci <= UINT32_MAX ? address - pci : address;
}

uint64_t ntb_from_pci(QTestState *qts, uint64_t address)
{
    return address <= UINT32_MAX ? address + ntb_machine_of(qts)->pci : address;
}

uint64_t ntb_mem_read(QTestState *qts, uint64_t address, unsigned size)
{
    uint8_t bytes[8] = { };

    qtest_memread(qts, address, bytes, size);
    return ldq_le_p(bytes);
}

void ntb_mem_write(QTestState *qts, uint64_t address, unsigned size,
                   uint64_t value)
{
    uint8_t bytes[8];

    stq_le_p(bytes, value);
    qtest_memwrite(qts, address, bytes, size);
}

/*
 * PCI
 */

QPCIBus *ntb_machine_bus(NtbBus *bus, QTestState *qts, QGuestAllocator *alloc)
{
    if (ntb_machine_of(qts) == &q35) {
        qpci_init_pc(&bus->pc, qts, alloc);
        return &bus->pc.bus;
    }
    qpci_init_spapr(&bus->spapr, qts, alloc);
    return &bus->spapr.bus;
}

uint64_t ntb_ecam(QTestState *qts, unsigned bus, unsigned devfn)
{
    return ntb_machine_of(qts) == &q35 ?
           ECAM_BASE + (bus << 20) + (devfn << 12) : 0;
}

/* As RTAS wants it: the upper bits of @offset are above the function's */
static uint32_t rtas_address(QPCIDevice *dev, uint32_t offset)
{
    return (offset & 0xf00) << 20 | dev->devfn << 8 | (offset & 0xff);
}

uint32_t ntb_ext_config_read(QPCIDevice *dev, uint32_t offset, unsigned size)
{
    QTestState *qts = dev->bus->qts;
    QPCIBusSPAPR *spapr = container_of(dev->bus, QPCIBusSPAPR, bus);

    if (ntb_machine_of(qts) == &q35) {
        return ntb_mem_read(qts, ntb_ecam(qts, 0, dev->devfn) + offset, size);
    }
    return qrtas_ibm_read_pci_config(qts, spapr->alloc, spapr->buid,
                                     rtas_address(dev, offset), size);
}

void ntb_ext_config_write(QPCIDevice *dev, uint32_t offset, unsigned size,
                          uint32_t value)
{
    QTestState *qts = dev->bus->qts;
    QPCIBusSPAPR *spapr = container_of(dev->bus, QPCIBusSPAPR, bus);

    if (ntb_machine_of(qts) == &q35) {
        ntb_mem_write(qts, ntb_ecam(qts, 0, dev->devfn) + offset, size, value);
    } else {
        g_assert_cmpint(qrtas_ibm_write_pci_config(
            qts, spapr->alloc, spapr->buid, rtas_address(dev, offset), size,
            value), ==, 0);
    }
}
