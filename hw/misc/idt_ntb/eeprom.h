/*
 * IDT 89HPESxNTx PCIe switch: serial EEPROM images
 *
 * What the chip loads at power-up: a sequence of packed little-endian blocks
 * that write registers.  Here they are checked, executed and made; what the
 * registers do is the caller's.  docs/specs/idt-ntb.rst describes the format.
 *
 * No function has a state of its own: any thread may call them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_EEPROM_H
#define HW_MISC_IDT_NTB_EEPROM_H

#include "switch.h"

/*
 * What an image is executed on: the dword at @addr of the global address
 * space, a multiple of 4 below IDT_GAS_SIZE.
 */
typedef struct IdtNtbEepromOps {
    uint32_t (*read)(void *opaque, uint32_t addr);
    /* Returns: true, or false with @errp set, which ends the execution. */
    bool (*write)(void *opaque, uint32_t addr, uint32_t value, Error **errp);
} IdtNtbEepromOps;

/*
 * Reads the file @path: a regular one of 1 to IDT_NTB_EEPROM_SIZE bytes.  Does
 * not wait for what is no regular file, nor read it.  @writable: a descriptor
 * for it, which can be written, remains in @fd.
 *
 * Returns: true with @image set, to be freed with g_byte_array_unref(); or
 * false with @errp set.
 */
bool idt_ntb_eeprom_load(const char *path, bool writable, GByteArray **image,
                         int *fd, Error **errp);

/*
 * Executes @image.  A wait fails unless the register has its value already:
 * nothing but the image changes it.  Takes time in proportion to the size of
 * the image.  @to_error: executes it up to an error, as the chip does; else an
 * image that is malformed or does not end writes nothing.
 *
 * Returns: true, or false with @errp set, which names the byte of the image.
 */
bool idt_ntb_eeprom_run(const GByteArray *image, bool to_error,
                        const IdtNtbEepromOps *ops, void *opaque,
                        Error **errp);

/*
 * A new image, without any blocks; the next ones append blocks to it.  @addr is
 * as in IdtNtbEepromOps.  All of them together must not make more than
 * IDT_NTB_EEPROM_SIZE bytes.
 */
GByteArray *idt_ntb_eeprom_new(void);

/* Write @value to the register at @addr. */
void idt_ntb_eeprom_put(GByteArray *image, uint32_t addr, uint32_t value);

/* Wait until the register at @addr is @value; bits of @mask do not matter. */
void idt_ntb_eeprom_put_wait(GByteArray *image, uint32_t addr, uint32_t value,
                             uint32_t mask);

/* The checksum, which ends the image. */
void idt_ntb_eeprom_end(GByteArray *image);

#endif
