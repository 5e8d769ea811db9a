/*
 * IDT 89HPESxNTx PCIe switch: the bus memory tables
 *
 * A port shows the others which RAM its function reaches as a bus master, and
 * in which of its process's descriptors that RAM is, so that they may map it.
 * What is published is a hint of the peer's: nothing is opened before the
 * kernel has confirmed that the process holds the port, and has the file open
 * for reading and writing.
 *
 * All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_RAM_H
#define HW_MISC_IDT_NTB_RAM_H

#include "exec/memory.h"
#include "hw/pci/pci_device.h"
#include "switch.h"

/* What this port publishes. */
typedef struct IdtNtbRam {
    IdtNtbSwitch *sw;
    MemoryListener listener;
    IdtNtbShmRam ram[IDT_NTB_MAX_RAM];      /* as the listener sees it now */
    unsigned count;
    uint64_t fingerprint;       /* of all RAM, shared or not */
    IdtNtbShmRam shown[IDT_NTB_MAX_RAM];    /* as published */
    unsigned shown_count;
    uint32_t ids;               /* how many were given to RAM */
    uint32_t seq;               /* of the table, in case others change it */
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
    uint32_t id;                /* what has another one is other RAM */
    uint32_t pid;
    uint32_t lock_fd;
    uint32_t seq;               /* of the table */
} IdtNtbPeerRam;

/*
 * True for RAM that windows can show: not ROM, not a device's, and not what a
 * window shows itself (marked nonvolatile).
 */
bool idt_ntb_ram_is_plain(const MemoryRegionSection *section);

/*
 * Publishes the memory that @pci reaches, and keeps it up to date.
 * @changed_bh is scheduled when it changes, which can be in the middle of a
 * memory transaction.
 */
void idt_ntb_ram_start(IdtNtbRam *m, IdtNtbSwitch *sw, PCIDevice *pci,
                          QEMUBH *changed_bh);
void idt_ntb_ram_stop(IdtNtbRam *m);

/* Publishes nothing while @hidden. */
void idt_ntb_ram_hide(IdtNtbRam *m, bool hidden);

/* True if our memory has changed: who maps it must look at it again. */
bool idt_ntb_ram_take_changed(IdtNtbRam *m);

/* Publishes it all again: @sw is attached to another memory. */
void idt_ntb_ram_reset(IdtNtbRam *m);

/*
 * Looks up bus address @addr in the table of @peer.
 *
 * Returns: true, and what holds @addr in @ram.
 */
bool idt_ntb_ram_find(const IdtNtbSwitch *sw, unsigned peer,
                         uint64_t addr, IdtNtbPeerRam *ram);

/* The sequence number of the table of @peer. */
uint32_t idt_ntb_ram_seq(const IdtNtbSwitch *sw, unsigned peer);

/* The opening of a peer's RAM, in a thread: the kernel may ask the peer. */
typedef struct IdtNtbOpenJob IdtNtbOpenJob;

/*
 * Starts to open the file that @ram of @peer is in: if its process holds
 * the lock of the port and has the file open for reading and writing, and if it
 * is memory that stays (or @trust).
 */
IdtNtbOpenJob *idt_ntb_ram_open(const IdtNtbSwitch *sw, unsigned peer,
                                   const IdtNtbPeerRam *ram, bool trust);

/* Waits up to @timeout_ms.  Returns: true when @job is done. */
bool idt_ntb_ram_open_wait(IdtNtbOpenJob *job, unsigned timeout_ms);

/*
 * Takes the result of @job, which is done.
 *
 * Returns: a descriptor, or -1 with the reason in @why.
 */
int idt_ntb_ram_open_result(IdtNtbOpenJob *job, const char **why);

/* Frees @job, done or not. */
void idt_ntb_ram_open_end(IdtNtbOpenJob *job);

#endif
