/*
 * IDT 89HPESxNTx PCIe switch: temperature sensor
 *
 * The switch has one.  Temperatures are in half degrees Celsius, 0 to 127.5, as
 * in the registers; what they show has TMPADJ's offset added.
 *
 * All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_TEMP_H
#define HW_MISC_IDT_NTB_TEMP_H

#include "switch.h"

#define IDT_NTB_TEMP_MAX    255     /* half degrees */

/* What the sensor measures, without TMPADJ. */
unsigned idt_ntb_temp_get(const IdtNtbSwitch *sw);
void idt_ntb_temp_set(IdtNtbSwitch *sw, unsigned half_degrees);

/*
 * Measures, after a change: remembers lowest and highest, and raises alarms: an
 * enabled threshold that is passed sets its bit of TMPALARM, and TMPSENSOR in
 * NTINTSTS of all ports (inferred).  For our own the caller evaluates the
 * interrupt.
 */
void idt_ntb_temp_measure(IdtNtbSwitch *sw);

/* TMPSTS and TMPALARM as they read; 0 while the sensor is powered down. */
uint32_t idt_ntb_temp_status(IdtNtbSwitch *sw);
uint32_t idt_ntb_temp_alarm(IdtNtbSwitch *sw);

#endif
