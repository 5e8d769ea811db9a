/*
 * IDT 89HPESxNTx PCIe switch: memory windows
 *
 * A BAR other than BAR0 is a window, or a table of them, onto the memory of the
 * guests in other partitions.  If that memory can be mapped, an access goes to
 * the mapping (mapping.h), else by request (request.h).  The guest can't tell
 * which.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
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

/* Accesses that were refused since the last message about them */
typedef struct IdtNtbRefusals {
    int64_t told;               /* time of that, QEMU_CLOCK_REALTIME, ms */
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
    bool warned_slow;           /* that RAM of our guest is not shared */
    IdtNtbRefusals own_refusals;        /* accesses of our guest */
    IdtNtbRefusals served_refusals;     /* requests of others */
};

/* Make the regions of the BARs, without a size yet. */
void idt_ntb_window_init(IdtNtbWindow *w);

/*
 * Open the windows of a port that is attached.  @look_bh is scheduled if there
 * is something to look at: idt_ntb_window_look().
 */
void idt_ntb_window_start(IdtNtbWindow *w, QEMUBH *look_bh);

/* Close them, before the port is detached. */
void idt_ntb_window_stop(IdtNtbWindow *w);

/* Start over: @w->sw is attached to another memory. */
void idt_ntb_window_restart(IdtNtbWindow *w);

/*
 * Follow register writes: the windows of the ports in @changed may lead
 * elsewhere, the memory of those in @closed is not open any more; a bit per
 * slot.  On return nothing goes through a closed window: wait for other
 * processes, up to the completion timeout.
 *
 * If our guest's RAM has changed, also ask the ports that have it mapped to
 * look at it, without waiting.
 */
void idt_ntb_window_update(IdtNtbWindow *w, uint32_t changed, uint32_t closed);

/* Make other ports give up mappings of our memory; wait for them too. */
void idt_ntb_window_close_inbound(IdtNtbWindow *w);

/* Allow mappings of other ports' memory, or make each access a request. */
void idt_ntb_window_set_direct(IdtNtbWindow *w, bool direct);

/* Give up our mappings of other ports' memory. */
void idt_ntb_window_close_outbound(IdtNtbWindow *w);

/*
 * Make other ports reach our memory by request only.  Requests wait while the
 * VM is stopped.  Wait up to the completion timeout.
 *
 * Return true if no other process has our memory mapped any more.
 */
bool idt_ntb_window_hide(IdtNtbWindow *w);

/* The VM runs: execute what has waited, and let others @map our memory. */
void idt_ntb_window_show(IdtNtbWindow *w, bool map);

/*
 * Execute the requests that others have sent, although the VM is stopped, and
 * wait until they have executed ours.  Wait up to the completion timeout.
 */
void idt_ntb_window_complete(IdtNtbWindow *w);

/* Do what other ports asked for; when signalled, and once a second. */
void idt_ntb_window_look(IdtNtbWindow *w);

#endif
