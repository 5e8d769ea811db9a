/*
 * IDT 89HPESxNTx PCIe switch: how others give up mappings of our memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "closing.h"
#include "gate.h"
#include "trace.h"

/* How often to report that a port does not give up its mappings */
#define SILENCE_PERIOD_US (60 * G_TIME_SPAN_SECOND)

typedef struct CloseWait {
    IdtNtbClosing *c;
    uint32_t pending;           /* a bit per slot */
    bool all;                   /* until nothing of ours is mapped */
    uint32_t request[IDT_MAX_NT_PORTS];
} CloseWait;

static bool has_closed(const CloseWait *w, unsigned slot)
{
    const IdtNtbSwitch *sw = w->c->request->sw;
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);
    uint32_t ack = qatomic_load_acquire(&p->close_ack);
    uint32_t holds = qatomic_load_acquire(&p->holds);

    /* A dead port has no link and holds nothing; one in reset can hold */
    if (!holds && !idt_ntb_switch_link(sw, slot)) {
        return true;
    }
    return (int32_t)(ack - w->request[slot]) >= 0 &&
           !(w->all && holds & BIT(sw->slot));
}

static bool all_have_closed(void *opaque)
{
    CloseWait *w = opaque;

    for (unsigned slot = 0; slot < w->c->request->sw->num_slots; slot++) {
        if (w->pending & BIT(slot) && has_closed(w, slot)) {
            w->pending &= ~BIT(slot);
        }
    }
    return !w->pending;
}

/* True for a holder that let us wait before and still does. */
static bool is_silent(IdtNtbClosing *c, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(c->request->sw, slot);
    IdtNtbHolder *holder = &c->holder[slot];

    if (holder->silent &&
        (int32_t)(qatomic_read(&p->close_ack) - holder->awaited) >= 0) {
        holder->silent = false;
    }
    return holder->silent;
}

static void set_silent(IdtNtbClosing *c, unsigned slot, uint32_t awaited)
{
    const IdtNtbSwitch *sw = c->request->sw;
    IdtNtbHolder *holder = &c->holder[slot];
    int64_t now = g_get_monotonic_time();

    holder->silent = true;
    holder->awaited = awaited;
    trace_idt_ntb_close_stalled(sw->port, idt_ntb_switch_port(sw, slot));
    if (holder->told && now - holder->told < SILENCE_PERIOD_US) {
        return;
    }
    holder->told = now;
    warn_report("idt-ntb: port %u: port %u has not given up its windows onto "
                "this guest within %u ms; it may still access its memory",
                sw->port, idt_ntb_switch_port(sw, slot),
                c->request->timeout_ms);
}

/* Asks @holders.  Records in @w what to wait for. */
static void ask_holders(CloseWait *w, uint32_t holders)
{
    IdtNtbSwitch *sw = w->c->request->sw;

    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        if (slot == sw->slot || !(holders & BIT(slot)) ||
            (!qatomic_read(&idt_ntb_switch_block(sw, slot)->holds) &&
             !idt_ntb_switch_link(sw, slot))) {
            continue;
        }
        w->request[slot] = idt_ntb_gate_ask_close(sw, slot);
        if (!is_silent(w->c, slot)) {
            w->pending |= BIT(slot);
        }
    }
}

static void wait_for_holders(CloseWait *w)
{
    IdtNtbRequest *r = w->c->request;
    int64_t deadline = g_get_monotonic_time() + r->timeout_ms * 1000LL;

    if (!w->pending || idt_ntb_request_wait(r, all_have_closed, w, deadline)) {
        return;
    }
    for (unsigned slot = 0; slot < r->sw->num_slots; slot++) {
        if (w->pending & BIT(slot)) {
            set_silent(w->c, slot, w->request[slot]);
        }
    }
}

static uint32_t our_holders(const IdtNtbClosing *c)
{
    const IdtNtbSwitch *sw = c->request->sw;

    return idt_ntb_gate_holders(sw, BIT(sw->slot));
}

void idt_ntb_closing_ask(IdtNtbClosing *c)
{
    CloseWait w = { .c = c };

    ask_holders(&w, our_holders(c));
}

void idt_ntb_closing_wait(IdtNtbClosing *c, uint32_t holders)
{
    CloseWait w = { .c = c };

    ask_holders(&w, holders);
    wait_for_holders(&w);
}

bool idt_ntb_closing_expel(IdtNtbClosing *c)
{
    CloseWait w = { .c = c, .all = true };
    uint32_t others = idt_ntb_switch_all(c->request->sw);

    smp_mb();                   /* pairs with show_hold() of mapping.c */
    ask_holders(&w, our_holders(c));
    for (unsigned slot = 0; slot < c->request->sw->num_slots; slot++) {
        if (idt_ntb_request_local(c->request, slot)) {
            /* Its vCPUs have stopped too, or write as our guest does */
            w.pending &= ~BIT(slot);
            others &= ~BIT(slot);
        }
    }
    /* A vCPU that waits for us can't leave its block of code: serve it */
    idt_ntb_request_serve_stopped(true);
    wait_for_holders(&w);
    idt_ntb_request_serve_stopped(false);
    return !(our_holders(c) & others);
}

void idt_ntb_closing_start(IdtNtbClosing *c, IdtNtbRequest *request)
{
    *c = (IdtNtbClosing) { .request = request };
}
