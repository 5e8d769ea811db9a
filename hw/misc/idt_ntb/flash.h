/*
 * IDT 89HPESxNTx PCIe switch: software access to the serial EEPROM
 *
 * Software reads and writes the EEPROM through EEPROMINTF, one byte at a time.
 * Its contents are in the shared memory, so that all ports see the same.  With
 * eeprom-writable=on a port also writes to its image file, for accesses of its
 * own guest only.  The next switch is configured by that file.
 *
 * The fields of EEPROMINTF come from the manuals of sibling chips;
 * docs/specs/idt-ntb.rst says what is inferred.
 *
 * Call all functions with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_FLASH_H
#define HW_MISC_IDT_NTB_FLASH_H

#include "switch.h"

/* An image file that the guest of a port writes */
typedef struct IdtNtbFlash IdtNtbFlash;

/*
 * Make the file of the port of @sw.  Take over @fd, which is open for reading
 * and writing; @path is for messages.
 */
IdtNtbFlash *idt_ntb_flash_new(IdtNtbSwitch *sw, int fd, const char *path);

/*
 * Free @flash, which may be NULL, and close its file.  If a write is in
 * progress, its thread completes it and closes the file: do not wait for that.
 */
void idt_ntb_flash_free(IdtNtbFlash *flash);

/* Put @image into the EEPROM of a new switch, and erase the rest. */
void idt_ntb_flash_fill(IdtNtbSwitch *sw, const GByteArray *image);

/* Return true if the EEPROM holds @image, and the rest is erased. */
bool idt_ntb_flash_holds(const IdtNtbSwitch *sw, const GByteArray *image);

/* Copy the EEPROM of @old to @sw, a new switch that replaces it. */
void idt_ntb_flash_copy(IdtNtbSwitch *sw, const IdtNtbSwitch *old);

/* Return the value that EEPROMINTF reads as. */
uint32_t idt_ntb_flash_read(const IdtNtbSwitch *sw);

/*
 * Write those bits of EEPROMINTF that are set in @lanes.  A write to DATA
 * starts an operation.  If it writes to the file @flash, which may be NULL,
 * BUSY stays set until a worker thread has done so.
 */
void idt_ntb_flash_write(IdtNtbSwitch *sw, IdtNtbFlash *flash, uint32_t value,
                         uint32_t lanes);

/* Let an operation of the port in @slot fail: its owner has gone. */
void idt_ntb_flash_abandon(IdtNtbSwitch *sw, unsigned slot);

#endif
