/*
 * IDT 89HPESxNTx PCIe switch: temperature sensor
 *
 * A switch has one sensor.  Temperatures are in half degrees Celsius, 0 to
 * IDT_NTB_TEMP_MAX, as in the registers.  Registers show the sample with the
 * offset of TMPADJ added.
 *
 * Source of the register layout: the Linux driver ntb_hw_idt.
 *
 * Call all functions with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_TEMP_H
#define HW_MISC_IDT_NTB_TEMP_H

#include "switch.h"

#define IDT_NTB_TEMP_MAX    255     /* half degrees: 127.5 degrees Celsius */

/* Return the temperature at the sensor, without TMPADJ. */
unsigned idt_ntb_temp_get(const IdtNtbSwitch *sw);

/*
 * Set the temperature at the sensor, and measure it.  Afterwards evaluate our
 * interrupt: notify_guest(), or schedule look_bh.
 */
void idt_ntb_temp_set(IdtNtbSwitch *sw, unsigned half_degrees);

/*
 * Measure: update the lowest and the highest temperature, and set the bit of an
 * enabled alarm in TMPALARM, and TMPSENSOR in NTINTSTS of all ports (inferred),
 * when its condition becomes true.  Afterwards evaluate our interrupt:
 * notify_guest(), or schedule look_bh.
 */
void idt_ntb_temp_measure(IdtNtbSwitch *sw);

/*
 * Return TMPSTS and TMPALARM, as they read; 0 while the sensor is powered down.
 */
uint32_t idt_ntb_temp_status(IdtNtbSwitch *sw);
uint32_t idt_ntb_temp_alarm(IdtNtbSwitch *sw);

#endif
