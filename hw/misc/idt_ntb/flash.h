/*
 * IDT 89HPESxNTx PCIe switch: software access to the serial EEPROM
 *
 * EEPROMINTF reads and writes the EEPROM, a byte at a time.  Its bytes are in
 * the memory of the switch, so that all ports see the same.  A port whose user
 * allows it writes them to its image file too, for accesses of its own guest
 * only; the next switch is configured by that.
 *
 * All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_FLASH_H
#define HW_MISC_IDT_NTB_FLASH_H

#include "switch.h"

/* A file that takes what the guest of a port writes */
typedef struct IdtNtbFlash IdtNtbFlash;

/* Use @fd, which is @path, for the port of @sw; takes over @fd. */
IdtNtbFlash *idt_ntb_flash_new(IdtNtbSwitch *sw, int fd, const char *path);

/* A write that the host has not finished goes on.  @flash may be NULL. */
void idt_ntb_flash_free(IdtNtbFlash *flash);

/* Put @image into the EEPROM of a new switch; the rest is erased. */
void idt_ntb_flash_fill(IdtNtbSwitch *sw, const GByteArray *image);

/* True if the EEPROM holds @image, and nothing behind it. */
bool idt_ntb_flash_holds(const IdtNtbSwitch *sw, const GByteArray *image);

/* Go on with the EEPROM of @old in the place of which @sw was created. */
void idt_ntb_flash_copy(IdtNtbSwitch *sw, const IdtNtbSwitch *old);

/* EEPROMINTF as it reads */
uint32_t idt_ntb_flash_read(const IdtNtbSwitch *sw);

/*
 * Write the @lanes of EEPROMINTF.  @flash: where the byte goes besides the
 * memory of the switch, or NULL.  Does not wait for the host: BUSY is set until
 * the file has the byte.
 */
void idt_ntb_flash_write(IdtNtbSwitch *sw, IdtNtbFlash *flash, uint32_t value,
                         uint32_t lanes);

/* End an operation of @port, whose owner has gone. */
void idt_ntb_flash_abandon(IdtNtbSwitch *sw, unsigned port);

#endif
