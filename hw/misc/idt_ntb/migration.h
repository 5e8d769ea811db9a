/*
 * IDT 89HPESxNTx PCIe switch: migration and snapshots of one port
 *
 * The NT function moves with its guest: its configuration space, its registers
 * and the entries of the mapping table for its partition.  The switch and its
 * other registers stay where they are.
 *
 * When the VM stops, freeze the registers, then complete the writes in front of
 * them: a doorbell that is in the state has its data in RAM.  While a migration
 * is active, other ports write by request only, so that QEMU sees which pages
 * are dirty.  When the VM stops for the end of it, the link goes down; the port
 * is freed before the state is sent, so that the destination can claim it.  If
 * the migration fails, claim it again.
 *
 * Call all functions with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_MIGRATION_H
#define HW_MISC_IDT_NTB_MIGRATION_H

#include "qapi/qapi-types-migration.h"
#include "qemu/notify.h"
#include "shm.h"

typedef struct IdtNtbState IdtNtbState;

#define IDT_NTB_LUT_LEN (IDT_NUM_LUTS * IDT_LUT_ENTRIES * IDT_LUT_WORDS)

/* Is in QEMU's list for one mode of migration */
typedef struct IdtNtbMigrationNotifier {
    NotifierWithReturn notifier;
    IdtNtbState *s;
} IdtNtbMigrationNotifier;

typedef struct IdtNtbMigration {
    /* Must be the same where the state is loaded */
    uint32_t device_id;
    uint32_t port;
    uint32_t from_file;         /* as in IdtNtbShmHeader */
    uint32_t partitions;
    uint32_t barsetup[IDT_NUM_BARS];
    uint8_t digest[IDT_NTB_DIGEST_SIZE];
    /* The NT function */
    uint32_t layout[IDT_NUM_BARS];      /* of its BARs */
    IdtNtbShmPort regs;
    uint32_t lut[IDT_NTB_LUT_LEN];
    uint32_t ecfgaddr;
    uint32_t gasaaddr;
    uint32_t partition;
    uint32_t mtbl[IDT_NUM_MTBL];        /* entries of @partition, others 0 */

    /* Not in the state */
    bool frozen;                /* the above is up to date */
    bool away;                  /* the function is in the above only */
    bool held;                  /* no link until the VM runs */
    bool active;                /* a migration from here is under way */
    IdtNtbMigrationNotifier notifier[MIG_MODE__MAX];
    VMChangeStateEntry *vm_state;
} IdtNtbMigration;

extern const VMStateDescription idt_ntb_vmstate;

/* Follow migrations and stops of the VM. */
void idt_ntb_migration_start(IdtNtbState *s);
void idt_ntb_migration_stop(IdtNtbState *s);

/*
 * Return true if the device waits for the state of its guest: it claims its
 * port when that comes.
 */
bool idt_ntb_migration_is_awaited(void);

/* Call at a reset: if that is for loadvm, hold the link down. */
void idt_ntb_migration_hold(IdtNtbState *s);

/* Call when the function has changed while the VM may be stopped. */
void idt_ntb_migration_forget(IdtNtbState *s);

/* Claim the port of a guest that runs without one, if it is free. */
void idt_ntb_migration_retry(IdtNtbState *s);

#endif
