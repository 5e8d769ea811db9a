/*
 * QTest testcase for idt-ntb: the machines that it runs on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_MACHINE_H
#define TESTS_QTEST_IDT_NTB_MACHINE_H

#include "libqtest.h"
#include "libqos/libqos-malloc.h"
#include "libqos/pci-pc.h"
#include "libqos/pci-spapr.h"

/* Differences between the machines of the tests */
typedef struct NtbMachine {
    bool has_iommu;             /* so that nobody's windows alias its RAM */
    uint64_t pci;               /* where PCI addresses below 4 GiB are */
    uint64_t bar32;             /* where BARs of windows are put */
    uint64_t bar64;             /* the same address on the bus */
    unsigned ram_mib;
} NtbMachine;

/*
 * Find out what QTEST_QEMU_BINARY and, if it is set, QTEST_QEMU_BINARY_PEER
 * are.  Returns: false if there is no machine for this test.
 */
bool ntb_machine_init(void);

/* All QEMUs are q35: the only machine for tests that know its chipset */
bool ntb_machine_is_q35(void);

/* BAR0 and, where that is memory too, configuration space */
unsigned ntb_num_views(void);

/*
 * What the next QEMU is to be started with, but for the device itself.  With a
 * peer's binary, every other one is of that.
 */
const char *ntb_next_machine(void);

/* The machine of the last ntb_next_machine(), and of @qts */
const NtbMachine *ntb_this_machine(void);
const NtbMachine *ntb_machine_of(QTestState *qts);

/* Wait until the machine is ready for a device's DMA to all RAM below 64 MiB */
void ntb_machine_ready(QTestState *qts);

/*
 * With TCG, a mapping that a device changes follows when the vCPU has left
 * translated code: wait for that
 */
void ntb_machine_settle(QTestState *qts);

/* From an address of the CPU's to one on the PCI bus, and back */
uint64_t ntb_to_pci(QTestState *qts, uint64_t address);
uint64_t ntb_from_pci(QTestState *qts, uint64_t address);

/*
 * 1 to 8 bytes at any alignment, byte lanes in little-endian order.  One access
 * where QEMU has one of this size.
 */
uint64_t ntb_mem_read(QTestState *qts, uint64_t address, unsigned size);
void ntb_mem_write(QTestState *qts, uint64_t address, unsigned size,
                   uint64_t value);

/* Make @bus the first PCI bus; RTAS calls put their arguments into @alloc */
typedef union NtbBus {
    QPCIBusPC pc;
    QPCIBusSPAPR spapr;
} NtbBus;

QPCIBus *ntb_machine_bus(NtbBus *bus, QTestState *qts, QGuestAllocator *alloc);

/* Extended configuration space, which libqos does not reach */
uint32_t ntb_ext_config_read(QPCIDevice *dev, uint32_t offset, unsigned size);
void ntb_ext_config_write(QPCIDevice *dev, uint32_t offset, unsigned size,
                          uint32_t value);

/* Address of the function's configuration space; 0 if it is not memory */
uint64_t ntb_ecam(QTestState *qts, unsigned bus, unsigned devfn);

#endif
