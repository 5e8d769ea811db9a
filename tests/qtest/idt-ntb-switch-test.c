/*
 * QTest testcase for idt-ntb: what changes the switch: partitions, EEPROM, failover, power
 *
 * The tests are in idt-ntb-extra/; each file adds its own with libqos_init().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "idt-ntb/harness.h"

int main(int argc, char **argv)
{
    return ntb_main(argc, argv);
}
