/*
 * IDT 89HPESxNTx PCIe switch: what configures a new switch
 *
 * As on the chip it is a serial EEPROM image: the user's, or one that is made
 * from the properties of the device.  The ports that attach later must agree
 * with it.
 *
 * All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_CONFIG_H
#define HW_MISC_IDT_NTB_CONFIG_H

#include "switch.h"

#define IDT_NTB_DEFAULT_PARTITIONS  2

struct IdtNtbConfig {
    GByteArray *image;
    const char *file;           /* of the user's image; NULL: made from these */
    bool writable;              /* guests may write it */
    int fd;                     /* of it then, until somebody takes it; or -1 */
    unsigned partitions;
    uint32_t barsetup[IDT_NUM_BARS];
    bool is_default;            /* nothing was asked for */
    uint8_t digest[IDT_NTB_DIGEST_SIZE];
};

/*
 * Loads the image @file, which guests may write if @writable, or makes one if
 * it is NULL: the first @partitions ports of @chip carry an NT function with
 * the BARs of @barsetup, each in a partition of its own.
 *
 * Returns: true, or false with @errp set.
 */
bool idt_ntb_config_init(IdtNtbConfig *boot, const IdtNtbChip *chip,
                       const char *file, bool writable, unsigned partitions,
                       const uint32_t barsetup[IDT_NUM_BARS], Error **errp);
void idt_ntb_config_cleanup(IdtNtbConfig *boot);

/*
 * Configures a switch that was just created and that nobody is attached to, by
 * @sw->boot.
 *
 * Returns: true, or false with @errp set.
 */
bool idt_ntb_config_run(IdtNtbSwitch *sw, Error **errp);

/*
 * True if the switch that is running was configured by what @sw->boot says, or
 * if that asks for nothing special; else @errp is set.
 */
bool idt_ntb_config_check(const IdtNtbSwitch *sw, Error **errp);

/* True if @port can be attached to: it carries an NT function, or did once. */
bool idt_ntb_config_has_nt(const IdtNtbSwitch *sw, unsigned port);

#endif
