/*
 * IDT 89HPESxNTx PCIe switch: the reset image
 *
 * A serial EEPROM image configures a new switch, as on the chip: one of the
 * user, or one that is made from the properties of the device.  What the
 * image leaves in the registers of an NT function is what a reset returns to.
 * Ports that attach later must agree with the image.
 *
 * Call all functions with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_CONFIG_H
#define HW_MISC_IDT_NTB_CONFIG_H

#include "switch.h"

#define IDT_NTB_DEFAULT_PARTITIONS  2

struct IdtNtbConfig {
    GByteArray *image;
    const char *file;           /* path of the user's image, or NULL */
    bool writable;              /* the guest may write @file */
    int fd;                     /* of @file if @writable, else -1 */
    /* Properties; they are in force if @file is NULL */
    unsigned partitions;
    uint32_t barsetup[IDT_NUM_BARS];
    bool is_default;            /* the user has set none of them, nor @file */
    uint8_t digest[IDT_NTB_DIGEST_SIZE];    /* SHA-256 of @image */
};

/*
 * Load the image in @file or, if that is NULL, make one: the first @partitions
 * ports of @chip have an NT function with the BARs of @barsetup, each in a
 * partition of its own.  Call idt_ntb_config_cleanup() in the end.
 *
 * Returns: true, or false with @errp set and nothing to clean up.
 */
bool idt_ntb_config_init(IdtNtbConfig *config, const IdtNtbChip *chip,
                         const char *file, bool writable, unsigned partitions,
                         const uint32_t barsetup[IDT_NUM_BARS], Error **errp);

/* Free what idt_ntb_config_init() made. */
void idt_ntb_config_cleanup(IdtNtbConfig *config);

/*
 * Configure the new switch @sw->shm by the image in @sw->config.  No port is
 * attached, and the caller holds the lock of the header.
 *
 * Returns: true, or false with @errp set.
 */
bool idt_ntb_config_run(IdtNtbSwitch *sw, Error **errp);

/*
 * Compare the running switch with @sw->config.
 *
 * Returns: true if they agree, or if @sw->config is the default; else false
 * with @errp set.
 */
bool idt_ntb_config_check(const IdtNtbSwitch *sw, Error **errp);

/*
 * Return true if a device can attach to the port in @slot: it has an NT
 * function, or had one when the image was executed.
 */
bool idt_ntb_config_has_nt(const IdtNtbSwitch *sw, unsigned slot);

/* Return the dword at @offset of the configuration space of @slot in reset. */
uint32_t idt_ntb_config_reset_cfg(const IdtNtbSwitch *sw, unsigned slot,
                                  unsigned offset);

/* Show the other ports the configuration space of @slot in reset. */
void idt_ntb_config_publish_reset(IdtNtbSwitch *sw, unsigned slot);

#endif
