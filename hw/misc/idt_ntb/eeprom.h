/*
 * IDT 89HPESxNTx PCIe switch: serial EEPROM images
 *
 * The chip loads an image at power-up: a sequence of packed little-endian
 * blocks that write registers (docs/specs/idt-ntb.rst describes the format).
 * Check, execute and make such images here; callbacks access the registers.
 *
 * No function has a state: call them from any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_EEPROM_H
#define HW_MISC_IDT_NTB_EEPROM_H

/*
 * The registers that an image accesses: dwords of the global address space.
 * @addr is in bytes, a multiple of 4 below IDT_GAS_SIZE.
 */
typedef struct IdtNtbEepromOps {
    uint32_t (*read)(void *opaque, uint32_t addr);
    /* Returns: true, or false with @errp set to end the execution. */
    bool (*write)(void *opaque, uint32_t addr, uint32_t value, Error **errp);
} IdtNtbEepromOps;

/*
 * Read the file @path, which must be a regular file of 1 to IDT_EEPROM_SIZE
 * bytes.  Do not block on a FIFO or device, nor read it.  If @writable, keep
 * the file open for reading and writing, with its descriptor in @fd.
 *
 * Returns: true with @image set, to be freed by g_byte_array_unref(); or false
 * with @errp set.
 */
bool idt_ntb_eeprom_load(const char *path, bool writable, GByteArray **image,
                         int *fd, Error **errp);

/*
 * Execute @image.  A wait fails unless the register has its value already,
 * because only the image changes registers.  The time that this takes is
 * proportional to the size of the image.  If @to_error, execute a malformed
 * image up to its first error, as the chip does.  Else write nothing if it is
 * malformed or does not end.
 *
 * Returns: true; or false with @errp set, which names the byte of the image.
 */
bool idt_ntb_eeprom_run(const GByteArray *image, bool to_error,
                        const IdtNtbEepromOps *ops, void *opaque,
                        Error **errp);

/*
 * Make an image without blocks.  The functions below append blocks to it, up to
 * IDT_EEPROM_SIZE bytes; their @addr is that of IdtNtbEepromOps.
 */
GByteArray *idt_ntb_eeprom_new(void);

/* Append: write @value to the register at @addr. */
void idt_ntb_eeprom_put(GByteArray *image, uint32_t addr, uint32_t value);

/* Append: wait until the register at @addr is @value, except bits in @mask. */
void idt_ntb_eeprom_put_wait(GByteArray *image, uint32_t addr, uint32_t value,
                             uint32_t mask);

/* Append the checksum, which ends the image. */
void idt_ntb_eeprom_end(GByteArray *image);

#endif
