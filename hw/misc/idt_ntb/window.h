/*
 * IDT 89HPESxNTx PCIe switch: memory windows
 *
 * A BAR other than BAR0 is a window, or a table of them, onto the memory of the
 * guests in other partitions.  An access goes the direct way where the memory
 * there can be mapped (idt_ntb_direct.h), else by request
 * (idt_ntb_request.h); the guest can't tell which.
 *
 * All functions are called with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_WINDOW_H
#define HW_MISC_IDT_NTB_WINDOW_H

#include "closing.h"
#include "errors.h"
#include "mapping.h"
#include "ram.h"
#include "request.h"

typedef struct IdtNtbWindow IdtNtbWindow;

typedef struct IdtNtbWindowBar {
    IdtNtbWindow *window;
    unsigned bar;
    MemoryRegion mr;            /* answers accesses outside of mappings */
} IdtNtbWindowBar;

/* What was refused since a message told of it */
typedef struct IdtNtbRefusals {
    int64_t told;               /* when, QEMU_CLOCK_REALTIME, ms */
    unsigned count;
} IdtNtbRefusals;

struct IdtNtbWindow {
    /* Set by the owner before idt_ntb_window_init() */
    IdtNtbSwitch *sw;
    IdtNtbServer *server;
    PCIDevice *pci;
    IdtNtbErrors *errors;
    unsigned timeout_ms;
    bool direct;
    bool trust_peers;

    IdtNtbWindowBar bar[IDT_NUM_BARS];
    IdtNtbRequest request;
    IdtNtbRam ram;
    IdtNtbMapping mapping;
    IdtNtbClosing closing;
    VMChangeStateEntry *vm_state;
    bool told_slow;
    IdtNtbRefusals own_refusals;        /* accesses of our guest */
    IdtNtbRefusals served_refusals;     /* requests of others */
};

/* Makes the regions of the BARs, which get their sizes with their layout. */
void idt_ntb_window_init(IdtNtbWindow *w);

/*
 * Opens the windows, when the port is attached.  @signalled is scheduled for
 * signals that were taken from the main loop.
 */
void idt_ntb_window_start(IdtNtbWindow *w, QEMUBH *signalled);

/* Closes them, before the port is detached. */
void idt_ntb_window_stop(IdtNtbWindow *w);

/* Around a change of the memory that @w->sw is attached to. */
void idt_ntb_window_close_outbound(IdtNtbWindow *w);
void idt_ntb_window_reattached(IdtNtbWindow *w);

/*
 * To be called after register writes: the windows of the ports in @changed
 * may be others, the memory of those in @closed is not open any more, a bit
 * each.  On return what is closed is closed.  Waits for other processes, up to
 * the completion timeout.  Without waiting, it also tells those that have
 * memory of ours mapped that has changed.
 */
void idt_ntb_window_changed(IdtNtbWindow *w, uint32_t changed,
                             uint32_t closed);

/* Closes what others hold of our memory but may not; waits likewise. */
void idt_ntb_window_close_inbound(IdtNtbWindow *w);

/* Does what others asked for; when signalled, and now and then. */
void idt_ntb_window_look(IdtNtbWindow *w);

#endif
