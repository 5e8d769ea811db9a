/*
 * IDT 89HPESxNTx PCIe switch: the state of the device
 *
 * Only idt_ntb.c, props.c and fault_props.c include this file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_STATE_H
#define HW_MISC_IDT_NTB_STATE_H

#include "chardev/char-fe.h"
#include "hw/misc/idt_ntb.h"
#include "bars.h"
#include "config.h"
#include "errors.h"
#include "faults.h"
#include "migration.h"
#include "server.h"
#include "regs.h"
#include "window.h"

OBJECT_DECLARE_SIMPLE_TYPE(IdtNtbState, IDT_NTB)

struct IdtNtbState {
    PCIDevice parent_obj;

    /* Properties */
    CharBackend chr;
    char *chip;
    char *eeprom;
    bool eeprom_writable;
    const char *given;          /* set by the user and by eeprom= */
    int32_t port;
    uint32_t partitions;
    uint32_t server_timeout;
    uint32_t completion_timeout;
    bool direct;
    bool trust_peers;
    IdtNtbBarConfig bars[IDT_NUM_BARS];

    IdtNtbConfig image;         /* reset image of a new switch */
    IdtNtbFlash *flash;         /* the image file, if the guest may write it */
    IdtNtbServer server;
    IdtNtbSwitch sw;
    IdtNtbRegs regs;
    IdtNtbWindow window;
    IdtNtbErrors errors;
    IdtNtbFaults faults;
    unsigned link_width;        /* negotiated, as in the PCIe capability */
    unsigned link_speed;
    bool held_in_reset;         /* the partition, by a fault */
    bool was_enabled;           /* before that */
    MemoryRegion bar0;
    uint32_t layout_seen[IDT_NUM_BARS]; /* of the BARSETUP registers */
    uint32_t int_level;         /* of NTINTSTS, in the last MSI; 0: INTx */
    uint32_t int_ready;         /* unmasked NTINTSTS as the round began */
    bool intx;                  /* level of the pin when last looked at */
    bool following_topology;    /* resets the function for it */
    bool powered_off;           /* its guest sleeps or is off, until reset */
    Notifier suspend_notifier;
    Notifier shutdown_notifier;
    QEMUBH *look_bh;            /* looks at what others did */
    QEMUTimer *reap_timer;
    int64_t reap_fast_until;    /* QEMU_CLOCK_REALTIME, ms */
    bool server_loss_told;
    int64_t strangers_at;       /* when to look for them; 0: done */
    IdtNtbMigration migration;
    bool configured;            /* had a port: has BARs and a port number */
};

/* idt_ntb.c */

/* Reads the reset image again.  Returns: true, or false with @errp set. */
bool idt_ntb_load_image(IdtNtbState *s, Error **errp);

/*
 * Claims our port and opens the windows; the link stays down.
 *
 * @wait_ms: how long to wait until the port is free
 * @lock_ms: how long to wait for another process that attaches or detaches
 *
 * Returns: true, or false with @errp set.
 */
bool idt_ntb_claim(IdtNtbState *s, unsigned wait_ms, unsigned lock_ms,
                   Error **errp);

/* Frees our port; see idt_ntb_port_detach().  The device stays without one. */
void idt_ntb_release(IdtNtbState *s, bool away);

/* Gives the BARs a layout that idt_ntb_bars_check() accepts. */
void idt_ntb_set_layout(IdtNtbState *s, const uint32_t layout[IDT_NUM_BARS]);

/* Trains the link, if there is power and the topology allows it. */
void idt_ntb_train_link(IdtNtbState *s);

/* fault_props.c */

/* True if windows may be mapped: no fault needs requests. */
bool idt_ntb_can_map(const IdtNtbState *s);

/*
 * Checks that @port can be fault-port of the device, which is attached.
 * Returns: true, or false with @errp set.
 */
bool idt_ntb_fault_props_check(const IdtNtbState *s, int port, Error **errp);

/* Adds the properties for faults on demand, sets their defaults. */
void idt_ntb_fault_props_init_class(ObjectClass *klass);
void idt_ntb_fault_props_init(IdtNtbState *s);

/* props.c */

/* Adds the properties: the configuration, and those that show live state. */
void idt_ntb_props_init_class(ObjectClass *klass);

/* Sets the defaults of strings: qdev has none for them. */
void idt_ntb_props_init(IdtNtbState *s);

/* Checks what is given.  Returns: true, or false with @errp set. */
bool idt_ntb_props_check(IdtNtbState *s, Error **errp);

#endif
