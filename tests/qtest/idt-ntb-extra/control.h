/*
 * QTest testcase for idt-ntb: control of ports and partitions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_CONTROL_H
#define TESTS_QTEST_IDT_NTB_CONTROL_H

#include "idt-ntb/harness.h"

/* SWPORTxSTS, SWPARTxSTS and FCAPxSTS: change initiated, change completed */
#define OMCI    R_SWPORT0STS_OMCI_MASK
#define OMCC    R_SWPORT0STS_OMCC_MASK
#define SCI     R_SWPART0STS_SCI_MASK
#define SCC     R_SWPART0STS_SCC_MASK

/* The register of @port or @part that is @reg0 for the first one */
static inline uint32_t port_reg(unsigned port, uint32_t reg0)
{
    return reg0 + IDT_SWPORT_STRIDE * port;
}

static inline uint32_t part_reg(unsigned part, uint32_t reg0)
{
    return reg0 + IDT_PART_STRIDE * part;
}

/* SWPORTxCTL */
static inline uint32_t port_ctl(unsigned mode, unsigned part)
{
    return FIELD_DP32(mode, SWPORT0CTL, SWPART, part);
}

/* Write SWPORTxCTL, SWPARTxCTL; wait until it applies; clear its status */
void set_port(NtbPort *by, unsigned port, uint32_t ctl);
void set_partition(NtbPort *by, unsigned part, uint32_t state);

#endif
