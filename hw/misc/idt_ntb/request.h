/*
 * IDT 89HPESxNTx PCIe switch: memory accesses by request
 *
 * A port puts a request into the mailbox from its slot to the slot of another
 * port; the other QEMU executes it under its BQL.  Writes are posted.  Reads
 * wait for their answer, behind the writes.  Ports of one process need no
 * mailbox.
 *
 * A request reaches RAM and ROM only.  So no other device runs inside it: it
 * can't unplug us, wait for another port, or come back to us.
 *
 * While a vCPU waits here it executes requests to any port of its process, so
 * that guests that wait for each other make progress.  An access of our guest
 * has one deadline for all its waits, the completion timeout.  A peer that
 * misses it is "stalled": don't wait for it again until it has executed all
 * that it was sent before.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
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
     * Accesses RAM or ROM of our guest as a bus master; @buf is in the order of
     * the bus.  @from is the slot of the port that asks.
     *
     * Returns: false if no RAM or ROM is there, or for a write to ROM.
     */
    bool (*access)(void *opaque, unsigned from, uint64_t addr, void *buf,
                   unsigned len, bool is_write);
    /* Called again and again while we wait: gives up mappings if asked to. */
    void (*look)(void *opaque);
} IdtNtbRequestOps;

/* How an access ended. */
typedef enum IdtNtbRequestResult {
    IDT_NTB_REQUEST_DONE,       /* or posted */
    IDT_NTB_REQUEST_REFUSED,    /* the window is closed, or nothing is there */
    IDT_NTB_REQUEST_TIMED_OUT,
    IDT_NTB_REQUEST_OUTDATED,   /* not sent: translate its offset again */
} IdtNtbRequestResult;

typedef struct IdtNtbRequestPeer {
    uint32_t head;              /* number of the last one that we sent */
    uint32_t tail;              /* number of the last one that we executed */
    uint32_t end;               /* number of the last one of this round */
    bool stalled;
    uint32_t stalled_head;      /* executing this one ends the stall */
} IdtNtbRequestPeer;

typedef struct IdtNtbRequest {
    IdtNtbSwitch *sw;
    IdtNtbServer *server;
    PCIDevice *pci;
    const IdtNtbRequestOps *ops;
    void *opaque;
    unsigned timeout_ms;
    IdtNtbRequestPeer peer[IDT_MAX_NT_PORTS];   /* by slot */
    unsigned changes;           /* counts changes of the translation */
    int64_t deadline;           /* of the access under way, monotonic us */
    bool in_round;              /* not all up to @peer[].end is executed */
    QEMUBH *look_bh;            /* NULL: stopped */
    QLIST_ENTRY(IdtNtbRequest) next;
} IdtNtbRequest;

/*
 * Start to send and to execute; @sw is attached.  Schedule @look_bh if requests
 * are left over, or if a wait has taken a signal from the main loop.
 */
void idt_ntb_request_start(IdtNtbRequest *r, QEMUBH *look_bh);

/* Stop sending and executing, before @sw is detached. */
void idt_ntb_request_stop(IdtNtbRequest *r);

/* Start over: @sw is attached to another memory. */
void idt_ntb_request_reset(IdtNtbRequest *r);

/*
 * Return the device of this process that is at @slot of the same switch, or
 * NULL.
 */
IdtNtbRequest *idt_ntb_request_local(const IdtNtbRequest *r,
                                     unsigned slot);

/* Begin an access of our guest: set the deadline of its waits. */
void idt_ntb_request_begin_access(IdtNtbRequest *r);

/* Return how long the access may wait from now on, in milliseconds. */
unsigned idt_ntb_request_access_ms(const IdtNtbRequest *r);

/*
 * Write @len bytes (1 to 8, in the order of the bus) to @addr behind slot @to.
 * Wait for room in the mailbox and, if @complete, until it is executed.
 *
 * We do not learn it if the other port refuses a write.
 */
IdtNtbRequestResult idt_ntb_request_write(IdtNtbRequest *r, unsigned to,
                                          uint64_t addr, const void *buf,
                                          unsigned len, bool complete);

/* Read; @buf changes only if that is done. */
IdtNtbRequestResult idt_ntb_request_read(IdtNtbRequest *r, unsigned to,
                                         uint64_t addr, void *buf,
                                         unsigned len);

/*
 * Wait until all requests to slot @to are executed.
 *
 * Returns: true if they are.
 */
bool idt_ntb_request_flush(IdtNtbRequest *r, unsigned to);

/* Return true while @to is stalled. */
bool idt_ntb_request_is_stalled(IdtNtbRequest *r, unsigned to);

/*
 * Execute requests to this port, in rounds: a round has the requests that were
 * in the mailboxes when it began.  Go on with the round that is under way, or
 * begin one.  Stop after about a millisecond and schedule @look_bh: the main
 * loop has other work, and closings to acknowledge.
 *
 * Returns: true if the round is over; false also while the VM is stopped.
 */
bool idt_ntb_request_serve(IdtNtbRequest *r);

/* Execute all requests up to now, within the completion timeout. */
void idt_ntb_request_drain(IdtNtbRequest *r);

/*
 * Execute requests until @done, up to @deadline (g_get_monotonic_time()).
 *
 * Returns: the last result of @done.
 */
bool idt_ntb_request_wait(IdtNtbRequest *r, bool (*done)(void *opaque),
                          void *opaque, int64_t deadline);

/*
 * Let ports of this process execute requests while the VM is stopped, or not.
 */
void idt_ntb_request_serve_stopped(bool serve);

/* Signal the ports that sleep until we have done something. */
void idt_ntb_request_wake(IdtNtbRequest *r);

#endif
