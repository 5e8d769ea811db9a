/*
 * IDT 89HPESxNTx PCIe switch: memory accesses by request
 *
 * A port sends an access to the memory of another through the mailbox from its
 * port to the other's; the other executes it under its BQL.  Writes are
 * posted, reads wait for their answer behind the writes.  Ports of one process
 * need no mailbox.
 *
 * A vCPU that waits here serves, while it waits, what is addressed to any port
 * of its process, so that guests that wait for each other all get on.  What
 * does not come within the completion timeout is given up; a peer that let it
 * pass is "stalled" and not waited for again until it has executed all that was
 * sent to it by then.
 *
 * All functions are called with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_REQUEST_H
#define HW_MISC_IDT_NTB_REQUEST_H

#include "hw/pci/pci_device.h"
#include "idt_ntb_peers.h"
#include "idt_ntb_switch.h"

typedef struct IdtNtbRequestsOps {
    /*
     * Executes an access to our guest's memory, as the bus master that we are;
     * @buf is in the order of the bus.  @remote: by another process.
     *
     * Returns: true if something answered.
     */
    bool (*access)(void *opaque, uint64_t addr, void *buf, unsigned len,
                   bool is_write, bool remote);
    /* Called over and over while we wait: gives up mappings if asked to. */
    void (*look)(void *opaque);
    /* One of our accesses is given up: no answer within the timeout. */
    void (*timed_out)(void *opaque);
} IdtNtbRequestsOps;

typedef struct IdtNtbRequestsPeer {
    uint32_t head;              /* what we sent to it */
    uint32_t tail;              /* what we executed for it */
    bool stalled;
    uint32_t stalled_head;      /* @head then: it is back when it gets there */
} IdtNtbRequestsPeer;

typedef struct IdtNtbRequests {
    IdtNtbSwitch *sw;
    IdtNtbPeers *peers;
    PCIDevice *pci;
    const IdtNtbRequestsOps *ops;
    void *opaque;
    unsigned timeout_ms;
    IdtNtbRequestsPeer peer[IDT_MAX_NT_PORTS];
    unsigned changes;           /* of what our accesses translate to */
    bool draining;              /* serve, although the VM does not run */
    QEMUBH *signalled;          /* to look at what came during a wait */
    QLIST_ENTRY(IdtNtbRequests) next;
} IdtNtbRequests;

/*
 * Starts to send and to serve; @sw is attached.  @signalled is scheduled for
 * signals that a wait took from the main loop.
 */
void idt_ntb_requests_start(IdtNtbRequests *r, QEMUBH *signalled);
void idt_ntb_requests_stop(IdtNtbRequests *r);

/* To be called when @sw is attached to another memory. */
void idt_ntb_requests_reset(IdtNtbRequests *r);

/* The device of this process that is @peer of the same switch, or NULL. */
IdtNtbRequests *idt_ntb_requests_local(const IdtNtbRequests *r,
                                       unsigned peer);

/*
 * Writes @len bytes (1 to 8, in the order of the bus) to @addr in @to.  Waits
 * for room in the mailbox and, if @complete, until it is executed.  What can't
 * be sent is dropped.
 *
 * Returns: false if @changes moved while it waited for room, and nothing was
 * sent: @addr may be out of date.
 */
bool idt_ntb_request_write(IdtNtbRequests *r, unsigned to, uint64_t addr,
                           const void *buf, unsigned len, bool complete);

/* Reads likewise; all ones if there is no answer. */
bool idt_ntb_request_read(IdtNtbRequests *r, unsigned to, uint64_t addr,
                          void *buf, unsigned len);

/*
 * Waits until all that was sent to @to is executed.
 *
 * Returns: true if it is.
 */
bool idt_ntb_request_flush(IdtNtbRequests *r, unsigned to);

/* True while @to is not waited for. */
bool idt_ntb_request_is_stalled(IdtNtbRequests *r, unsigned to);

/*
 * Executes what others sent to this port up to now.  Does nothing while the VM
 * is stopped, or inside such an access.
 */
void idt_ntb_requests_serve(IdtNtbRequests *r);

/* True while a request is executed in this process. */
bool idt_ntb_requests_serving(void);

/*
 * Waits until @done, up to the completion timeout.  With @serve what others
 * send is executed meanwhile, and any of it may unplug our device: @r->sw->shm
 * is NULL then.
 *
 * Returns: what @done said last.
 */
bool idt_ntb_requests_wait(IdtNtbRequests *r, bool (*done)(void *opaque),
                           void *opaque, bool serve);

/* Wakes those that wait for something of us. */
void idt_ntb_requests_wake(IdtNtbRequests *r);

#endif
