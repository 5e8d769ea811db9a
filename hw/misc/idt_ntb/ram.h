/*
 * IDT 89HPESxNTx PCIe switch: tables of the RAM that other ports can map
 *
 * A port publishes which RAM its function reaches as a bus master, and which
 * descriptor of its process that RAM is in.  Do not trust the table of a peer:
 * before we open RAM, the kernel confirms that the process owns the port and
 * has the file open for reading and writing.
 *
 * Call all functions with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_RAM_H
#define HW_MISC_IDT_NTB_RAM_H

#include "exec/memory.h"
#include "hw/pci/pci_device.h"
#include "switch.h"

/* The RAM that this port publishes. */
typedef struct IdtNtbRam {
    IdtNtbSwitch *sw;
    MemoryListener listener;
    IdtNtbShmRam ram[IDT_NTB_MAX_RAM];      /* as the listener saw it last */
    unsigned count;
    uint64_t fingerprint;       /* of all RAM, shared or not */
    IdtNtbShmRam shown[IDT_NTB_MAX_RAM];    /* as published */
    unsigned shown_count;
    uint32_t ids;               /* the last id that RAM got */
    uint32_t seq;               /* of the table; others can overwrite that */
    uint64_t shown_fingerprint;
    bool hidden;                /* while the VM is stopped */
    bool changed;               /* since idt_ntb_ram_take_changed() */
    bool started;
    QEMUBH *changed_bh;
} IdtNtbRam;

/* RAM of a peer, as found in its table. */
typedef struct IdtNtbPeerRam {
    uint64_t addr;              /* bus address of its first byte */
    uint64_t size;
    uint64_t offset;            /* in the file */
    uint32_t fd;                /* number in process @pid */
    uint32_t id;                /* another one means other RAM */
    uint32_t pid;
    uint32_t lock_fd;
    uint32_t seq;               /* of the table */
} IdtNtbPeerRam;

/*
 * True for RAM that can be mapped: no ROM, no memory of a device, and no
 * mapping in a window (those are marked nonvolatile).
 */
bool idt_ntb_ram_is_plain(const MemoryRegionSection *section);

/*
 * Publish the RAM that @pci reaches, and keep the table up to date.  When it
 * changes, schedule @changed_bh: that can be within a memory transaction.
 */
void idt_ntb_ram_start(IdtNtbRam *m, IdtNtbSwitch *sw, PCIDevice *pci,
                       QEMUBH *changed_bh);

/* Stop following the RAM that the function reaches. */
void idt_ntb_ram_stop(IdtNtbRam *m);

/* Publish nothing while @hidden. */
void idt_ntb_ram_hide(IdtNtbRam *m, bool hidden);

/* Return true if our RAM has changed since the last call. */
bool idt_ntb_ram_take_changed(IdtNtbRam *m);

/* Publish everything again: @sw is attached to another memory. */
void idt_ntb_ram_reset(IdtNtbRam *m);

/*
 * Find the RAM at bus address @addr in the table of the port at @slot.
 *
 * Returns: true, and the RAM in @ram.
 */
bool idt_ntb_ram_find(const IdtNtbSwitch *sw, unsigned slot,
                      uint64_t addr, IdtNtbPeerRam *ram);

/* Return the sequence number of the table of the port at @slot. */
uint32_t idt_ntb_ram_seq(const IdtNtbSwitch *sw, unsigned slot);

/* Opens RAM of a peer, in a thread: the peer can make the kernel wait. */
typedef struct IdtNtbOpenJob IdtNtbOpenJob;

/*
 * Start to open the file of @ram, of the port at @slot.  Open it if the process
 * owns the port and has the file open for reading and writing, and if the file
 * can't shrink or fail (or @trust).
 */
IdtNtbOpenJob *idt_ntb_ram_open(const IdtNtbSwitch *sw, unsigned slot,
                                const IdtNtbPeerRam *ram, bool trust);

/* Wait up to @timeout_ms.  Returns: true if @job is done. */
bool idt_ntb_ram_open_wait(IdtNtbOpenJob *job, unsigned timeout_ms);

/*
 * Take the result of a @job that is done.
 *
 * Returns: a descriptor, or -1 with the reason in @why.
 */
int idt_ntb_ram_open_result(IdtNtbOpenJob *job, const char **why);

/* Free @job, whether it is done or not. */
void idt_ntb_ram_open_end(IdtNtbOpenJob *job);

#endif
