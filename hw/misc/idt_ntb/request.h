/*
 * IDT 89HPESxNTx PCIe switch: memory accesses by request
 *
 * A port sends an access to the memory of another through the mailbox from its
 * port to the other's; the other executes it under its BQL.  Writes are
 * posted, reads wait for their answer behind the writes.  Ports of one process
 * need no mailbox.
 *
 * A request reaches RAM and ROM only.  So no other device runs inside it: it
 * can't unplug us, wait for another port, or come back to us.
 *
 * A vCPU that waits here serves, while it waits, what is addressed to any port
 * of its process, so that guests that wait for each other all get on.  An
 * access of our guest has one deadline, the completion timeout, for all that it
 * waits for.  A peer that let it pass is "stalled" and not waited for again
 * until it has executed all that was sent to it by then.
 *
 * All functions are called with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_REQUEST_H
#define HW_MISC_IDT_NTB_REQUEST_H

#include "hw/pci/pci_device.h"
#include "server.h"
#include "switch.h"

typedef struct IdtNtbRequestOps {
    /*
     * Accesses RAM or ROM of our guest, as the bus master that we are; @buf is
     * in the order of the bus.  @from is the place of the port that asks.
     *
     * Returns: false if there is none, or for a write to ROM.
     */
    bool (*access)(void *opaque, unsigned from, uint64_t addr, void *buf,
                   unsigned len, bool is_write);
    /* Called over and over while we wait: gives up mappings if asked to. */
    void (*look)(void *opaque);
} IdtNtbRequestOps;

/* What became of an access. */
typedef enum IdtNtbRequestResult {
    IDT_NTB_REQUEST_DONE,       /* or posted */
    IDT_NTB_REQUEST_REFUSED,    /* the window is closed, or nothing is there */
    IDT_NTB_REQUEST_TIMED_OUT,
    IDT_NTB_REQUEST_OUTDATED,   /* not sent: @addr may be wrong by now */
} IdtNtbRequestResult;

typedef struct IdtNtbRequestPeer {
    uint32_t head;              /* what we sent to it */
    uint32_t tail;              /* what we executed for it */
    uint32_t end;               /* what we execute in this round */
    bool stalled;
    uint32_t stalled_head;      /* @head then: it is back when it gets there */
} IdtNtbRequestPeer;

typedef struct IdtNtbRequest {
    IdtNtbSwitch *sw;
    IdtNtbServer *server;
    PCIDevice *pci;
    const IdtNtbRequestOps *ops;
    void *opaque;
    unsigned timeout_ms;
    IdtNtbRequestPeer peer[IDT_MAX_NT_PORTS];
    unsigned changes;           /* of what our accesses translate to */
    int64_t deadline;           /* of the access under way, monotonic us */
    bool in_round;              /* not all is executed up to @peer[].end */
    QEMUBH *signalled;          /* to look at what came during a wait */
    QLIST_ENTRY(IdtNtbRequest) next;
} IdtNtbRequest;

/*
 * Starts to send and to serve; @sw is attached.  @signalled is scheduled for
 * signals that a wait took from the main loop.
 */
void idt_ntb_request_start(IdtNtbRequest *r, QEMUBH *signalled);
void idt_ntb_request_stop(IdtNtbRequest *r);

/* To be called when @sw is attached to another memory. */
void idt_ntb_request_reset(IdtNtbRequest *r);

/* The device of this process that is @peer of the same switch, or NULL. */
IdtNtbRequest *idt_ntb_request_local(const IdtNtbRequest *r,
                                       unsigned peer);

/* Begins an access of our guest: the deadline of what it waits for. */
void idt_ntb_request_begin_access(IdtNtbRequest *r);

/* How long it may wait from now on, in milliseconds. */
unsigned idt_ntb_request_access_ms(const IdtNtbRequest *r);

/*
 * Writes @len bytes (1 to 8, in the order of the bus) to @addr in @to.  Waits
 * for room in the mailbox and, if @complete, until it is executed.
 *
 * Posted: if @to refuses it, we do not learn that.
 */
IdtNtbRequestResult idt_ntb_request_write(IdtNtbRequest *r, unsigned to,
                                          uint64_t addr, const void *buf,
                                          unsigned len, bool complete);

/* Reads likewise; @buf changes only if it is done. */
IdtNtbRequestResult idt_ntb_request_read(IdtNtbRequest *r, unsigned to,
                                         uint64_t addr, void *buf,
                                         unsigned len);

/*
 * Waits until all that was sent to @to is executed.
 *
 * Returns: true if it is.
 */
bool idt_ntb_request_flush(IdtNtbRequest *r, unsigned to);

/* True while @to is not waited for. */
bool idt_ntb_request_is_stalled(IdtNtbRequest *r, unsigned to);

/*
 * Executes what others sent to this port, in rounds: a round is what was there
 * when it began.  Goes on with the round that is under way, or begins one.
 * Stops after about a millisecond, and @signalled comes back to it: the main
 * loop has other work, and closings to acknowledge.
 *
 * Returns: true when the round is over; false while the VM is stopped, too.
 */
bool idt_ntb_request_serve(IdtNtbRequest *r);

/* Executes all that others sent up to now, within the completion timeout. */
void idt_ntb_request_drain(IdtNtbRequest *r);

/*
 * Waits until @done, up to @deadline (g_get_monotonic_time()), and executes
 * meanwhile what others send.
 *
 * Returns: what @done said last.
 */
bool idt_ntb_request_wait(IdtNtbRequest *r, bool (*done)(void *opaque),
                           void *opaque, int64_t deadline);

/* Lets the ports of this process serve, or not, while the VM does not run. */
void idt_ntb_request_serve_stopped(bool serve);

/* Wakes those that wait for something of us. */
void idt_ntb_request_wake(IdtNtbRequest *r);

#endif
