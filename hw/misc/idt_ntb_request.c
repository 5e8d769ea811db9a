/*
 * IDT 89HPESxNTx PCIe switch: memory accesses by request
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <poll.h>
#include "qemu/atomic.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/processor.h"
#include "qemu/timer.h"
#include "system/runstate.h"
#include "idt_ntb_request.h"
#include "trace.h"

/* How long to look for an answer before sleeping: about a round trip */
#define SPIN_US         50

/* How often to look whether who is waited for is alive */
#define REAP_US         10000

#define MAX_LOCAL_PORTS 16

/* All devices of this process */
static QLIST_HEAD(, IdtNtbRequests) all_requests =
    QLIST_HEAD_INITIALIZER(all_requests);

/* Counts the changes of that list */
static unsigned changes;

/* Requests are executed one at a time, and not inside one another */
static bool serving;

bool idt_ntb_requests_serving(void)
{
    return serving;
}

static IdtNtbShmMailbox *mailbox(const IdtNtbRequests *r, unsigned from,
                                 unsigned to)
{
    return &r->sw->shm->mailbox[from][to].m;
}

static unsigned port_of(const IdtNtbRequests *r, unsigned peer)
{
    return idt_ntb_switch_port(r->sw, peer);
}

static IdtNtbShmPort *port_block(const IdtNtbRequests *r, unsigned peer)
{
    return idt_ntb_switch_block(r->sw, port_of(r, peer));
}

/* Signals @peer if it sleeps. */
static void wake(IdtNtbRequests *r, unsigned peer)
{
    if (qatomic_read(&port_block(r, peer)->waiting)) {
        idt_ntb_switch_signal(r->sw, port_of(r, peer));
    }
}

void idt_ntb_requests_wake(IdtNtbRequests *r)
{
    smp_mb();                   /* our answer before the look at @waiting */
    for (unsigned i = 0; i < r->sw->num_ports; i++) {
        wake(r, i);
    }
}

/* Serving */

static void execute(IdtNtbRequests *r, unsigned from, uint32_t number,
                    IdtNtbShmMailbox *box)
{
    IdtNtbShmRequest *request =
        &box->request[(number - 1) % IDT_NTB_MAX_REQUESTS];
    uint64_t addr = qatomic_read(&request->addr);
    uint64_t data = qatomic_read(&request->data);
    uint32_t op = qatomic_read(&request->op);
    uint32_t epoch = qatomic_read(&request->epoch);
    unsigned size = FIELD_EX32(op, SHM_REQUEST, SIZE);
    bool is_read = FIELD_EX32(op, SHM_REQUEST, READ);
    bool ok = false;

    if (size < 1 || size > sizeof(data)) {
        trace_idt_ntb_request_bad(r->sw->port, port_of(r, from), size);
    } else if (epoch == idt_ntb_switch_epoch(r->sw, from, r->sw->self) &&
               idt_ntb_switch_open(r->sw, from, r->sw->self)) {
        ok = r->ops->access(r->opaque, addr, &data, size, !is_read, true);
    }
    trace_idt_ntb_request_served(r->sw->port, port_of(r, from), addr, size,
                                 is_read, ok);
    if (is_read && r->sw->shm) {
        qatomic_set(&box->reply_data, data);
        qatomic_set(&box->reply_ok, ok);
        qatomic_store_release(&box->reply, number);
    }
}

/*
 * Executes what is in the mailbox from @from, but not what comes meanwhile: the
 * sender shall not keep us here.
 */
static void serve_mailbox(IdtNtbRequests *r, unsigned from)
{
    IdtNtbShmMailbox *box = mailbox(r, from, r->sw->self);
    uint32_t *tail = &r->peer[from].tail;
    uint32_t end = qatomic_load_acquire(&box->head);

    if (end == *tail && !qatomic_read(&box->awake)) {
        return;
    }
    if (end - *tail > IDT_NTB_MAX_REQUESTS) {
        trace_idt_ntb_request_overrun(r->sw->port, port_of(r, from),
                                      end - *tail);
        *tail = end;
    }
    qatomic_set(&box->awake, 1);
    while (*tail != end) {
        execute(r, from, *tail + 1, box);
        if (!r->sw->shm) {
            return;             /* it has unplugged us */
        }
        ++*tail;
        qatomic_store_release(&box->tail, *tail);
    }
    qatomic_set_mb(&box->tail, *tail);
    qatomic_set_mb(&box->awake, 0);
    wake(r, from);
    if (qatomic_read(&box->head) != end) {
        qemu_bh_schedule(r->signalled);
    }
}

void idt_ntb_requests_serve(IdtNtbRequests *r)
{
    if (serving || !(runstate_is_running() || r->draining) || !r->signalled) {
        return;
    }
    serving = true;
    /* What the caller read of a status comes before the look at the heads */
    smp_rmb();
    object_ref(OBJECT(r->pci));
    for (unsigned from = 0; r->sw->shm && from < r->sw->num_ports; from++) {
        if (from != r->sw->self) {
            serve_mailbox(r, from);
        }
    }
    object_unref(OBJECT(r->pci));
    serving = false;
}

/* Waiting */

static unsigned collect_eventfds(struct pollfd *fds, IdtNtbRequests **owners)
{
    IdtNtbRequests *r;
    unsigned n = 0;

    QLIST_FOREACH(r, &all_requests, next) {
        if (n < MAX_LOCAL_PORTS && r->peers->eventfd >= 0) {
            fds[n] = (struct pollfd) { .fd = r->peers->eventfd,
                                       .events = POLLIN };
            owners[n++] = r;
        }
    }
    return n;
}

static void set_waiting(uint32_t waiting)
{
    IdtNtbRequests *r;

    QLIST_FOREACH(r, &all_requests, next) {
        qatomic_set(&port_block(r, r->sw->self)->waiting, waiting);
    }
    smp_mb();                   /* before the last look for an answer */
}

/* Lets the ports of this process do what others may be waiting for. */
static void serve_all(bool serve)
{
    unsigned before = changes;
    IdtNtbRequests *r;

    QLIST_FOREACH(r, &all_requests, next) {
        r->ops->look(r->opaque);
        if (serve) {
            idt_ntb_requests_serve(r);
        }
        if (changes != before) {
            return;             /* a request has unplugged one of us */
        }
    }
}

/*
 * Sleeps until a port of this process is signalled, or for @timeout_us.
 *
 * Returns: true if one was.
 */
static bool sleep_for_signal(int64_t timeout_us)
{
    struct pollfd fds[MAX_LOCAL_PORTS];
    IdtNtbRequests *owners[MAX_LOCAL_PORTS];
    unsigned n = collect_eventfds(fds, owners);
    struct timespec timeout = {
        .tv_sec = timeout_us / G_USEC_PER_SEC,
        .tv_nsec = timeout_us % G_USEC_PER_SEC * 1000,
    };

    if (ppoll(fds, n, &timeout, NULL) <= 0) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (fds[i].revents) {
            idt_ntb_eventfd_clear(fds[i].fd);
            qemu_bh_schedule(owners[i]->signalled);
        }
    }
    return true;
}

bool idt_ntb_requests_wait(IdtNtbRequests *r, bool (*done)(void *opaque),
                           void *opaque, bool serve)
{
    int64_t begin = g_get_monotonic_time();
    int64_t end = begin + r->timeout_ms * 1000LL;

    while (!done(opaque)) {
        int64_t now;

        serve_all(serve);
        now = g_get_monotonic_time();
        if (now >= end) {
            return done(opaque);
        }
        if (now - begin < SPIN_US) {
            cpu_relax();
            continue;
        }
        set_waiting(1);
        if (!done(opaque) && !sleep_for_signal(MIN(end - now, REAP_US)) &&
            r->sw->shm) {
            /* The dead don't answer: say that they are */
            idt_ntb_switch_reap(r->sw);
        }
        set_waiting(0);
    }
    return true;
}

/* Sending */

bool idt_ntb_request_is_stalled(IdtNtbRequests *r, unsigned to)
{
    IdtNtbRequestsPeer *peer = &r->peer[to];

    if (peer->stalled &&
        (int32_t)(qatomic_read(&mailbox(r, r->sw->self, to)->tail) -
                  peer->stalled_head) >= 0) {
        peer->stalled = false;
        trace_idt_ntb_request_stalled(r->sw->port, port_of(r, to), false);
    }
    return peer->stalled;
}

static void set_stalled(IdtNtbRequests *r, unsigned to)
{
    IdtNtbRequestsPeer *peer = &r->peer[to];

    peer->stalled = true;
    peer->stalled_head = peer->head;
    trace_idt_ntb_request_stalled(r->sw->port, port_of(r, to), true);
    qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: port %u does not answer "
                  "within %u ms\n", r->sw->port, port_of(r, to),
                  r->timeout_ms);
}

/* A request that is waited for; all is over when our device is unplugged. */
typedef struct Wait {
    IdtNtbRequests *r;
    unsigned to;
    uint32_t number;
    bool outdated;              /* not sent: the address may be wrong by now */
    bool timed_out;
} Wait;

/* True when there is nothing to wait for any more. */
static bool is_over(const Wait *w)
{
    const IdtNtbSwitch *sw = w->r->sw;

    return !sw->shm ||
           !idt_ntb_switch_link(sw, idt_ntb_switch_port(sw, w->to));
}

/* NULL when it is over */
static const IdtNtbShmMailbox *wait_mailbox(const Wait *w)
{
    return is_over(w) ? NULL : mailbox(w->r, w->r->sw->self, w->to);
}

static bool box_has_room(const Wait *w, const IdtNtbShmMailbox *box)
{
    return w->r->peer[w->to].head - qatomic_load_acquire(&box->tail) <
           IDT_NTB_MAX_REQUESTS;
}

static bool has_room(void *opaque)
{
    Wait *w = opaque;
    const IdtNtbShmMailbox *box = wait_mailbox(w);

    return !box || box_has_room(w, box);
}

static bool is_executed(void *opaque)
{
    Wait *w = opaque;
    const IdtNtbShmMailbox *box = wait_mailbox(w);

    return !box || (int32_t)(qatomic_load_acquire(&box->tail) - w->number) >= 0;
}

static bool is_answered(void *opaque)
{
    Wait *w = opaque;
    const IdtNtbShmMailbox *box = wait_mailbox(w);

    return !box || qatomic_load_acquire(&box->reply) == w->number;
}

/* Waits for @done, unless the peer is known to be stalled. */
static bool wait_for_peer(Wait *w, bool (*done)(void *opaque))
{
    bool was_stalled = idt_ntb_request_is_stalled(w->r, w->to);

    if (!done(w)) {
        if (was_stalled) {
            w->timed_out = true;
            return false;
        }
        if (!idt_ntb_requests_wait(w->r, done, w, true)) {
            set_stalled(w->r, w->to);
            w->timed_out = true;
            return false;
        }
    }
    return !is_over(w);
}

/*
 * Puts a request into the mailbox.
 *
 * Returns: its number in @w, or false if there was no room in time.
 */
static bool send_request(Wait *w, uint64_t addr, uint64_t data, uint32_t op)
{
    IdtNtbRequests *r = w->r;
    unsigned from = r->sw->self;
    IdtNtbShmMailbox *box = mailbox(r, from, w->to);
    IdtNtbRequestsPeer *peer = &r->peer[w->to];
    uint32_t epoch = idt_ntb_switch_epoch(r->sw, from, w->to);
    unsigned changes = r->changes;
    IdtNtbShmRequest *request;

    /* The epoch before the look: what ends in between makes it stale */
    if (!idt_ntb_switch_open(r->sw, from, w->to) ||
        (!box_has_room(w, box) && !wait_for_peer(w, has_room))) {
        trace_idt_ntb_request_dropped(r->sw->port, port_of(r, w->to), addr);
        return false;
    }
    if (r->changes != changes) {
        w->outdated = true;
        return false;
    }
    request = &box->request[peer->head % IDT_NTB_MAX_REQUESTS];
    qatomic_set(&request->addr, addr);
    qatomic_set(&request->data, data);
    qatomic_set(&request->op, op);
    qatomic_set(&request->epoch, epoch);
    w->number = ++peer->head;
    qatomic_store_release(&box->head, peer->head);
    smp_mb();                   /* the receiver clears @awake, then looks */
    if (!qatomic_read(&box->awake)) {
        /* Others of the same kind need not signal again */
        qatomic_set(&box->awake, 1);
        idt_ntb_switch_signal(r->sw, port_of(r, w->to));
    }
    return true;
}

/* Takes back a request that is late, unless its execution has just begun. */
static void withdraw(Wait *w)
{
    IdtNtbShmMailbox *box = mailbox(w->r, w->r->sw->self, w->to);

    qatomic_set(&box->request[(w->number - 1) % IDT_NTB_MAX_REQUESTS].op, 0);
    trace_idt_ntb_request_withdrawn(w->r->sw->port, port_of(w->r, w->to));
}

/* An access within this process */
static bool access_local(IdtNtbRequests *r, IdtNtbRequests *local,
                         uint64_t addr, void *buf, unsigned len, bool is_write)
{
    bool ok;

    if (!idt_ntb_switch_open(r->sw, r->sw->self, local->sw->self)) {
        return false;
    }
    /* Like that of another process: nothing of ours inside it */
    serving = true;
    object_ref(OBJECT(local->pci));
    ok = local->ops->access(local->opaque, addr, buf, len, is_write, false);
    object_unref(OBJECT(local->pci));
    serving = false;
    return ok;
}

bool idt_ntb_request_write(IdtNtbRequests *r, unsigned to, uint64_t addr,
                           const void *buf, unsigned len, bool complete)
{
    IdtNtbRequests *local = idt_ntb_requests_local(r, to);
    Wait w = { .r = r, .to = to };
    uint64_t data = 0;

    memcpy(&data, buf, len);
    if (local) {
        access_local(r, local, addr, &data, len, true);
        return true;
    }
    if (send_request(&w, addr, data, FIELD_DP32(0, SHM_REQUEST, SIZE, len)) &&
        complete && !wait_for_peer(&w, is_executed) && r->sw->shm) {
        /* Not to be executed after what follows it */
        withdraw(&w);
    }
    if (w.timed_out) {
        r->ops->timed_out(r->opaque);
    }
    return !w.outdated;
}

bool idt_ntb_request_read(IdtNtbRequests *r, unsigned to, uint64_t addr,
                          void *buf, unsigned len)
{
    IdtNtbRequests *local = idt_ntb_requests_local(r, to);
    Wait w = { .r = r, .to = to };
    uint64_t data = UINT64_MAX;
    bool ok = false;

    if (local) {
        ok = access_local(r, local, addr, &data, len, false);
    } else if (idt_ntb_request_is_stalled(r, to)) {
        w.timed_out = true;
    } else if (send_request(&w, addr, 0,
                    FIELD_DP32(R_SHM_REQUEST_READ_MASK, SHM_REQUEST, SIZE,
                               len)) &&
               wait_for_peer(&w, is_answered)) {
        IdtNtbShmMailbox *box = mailbox(r, r->sw->self, to);

        data = qatomic_read(&box->reply_data);
        ok = qatomic_read(&box->reply_ok);
    }
    if (!ok) {
        data = UINT64_MAX;
    }
    if (w.timed_out) {
        r->ops->timed_out(r->opaque);
    }
    memcpy(buf, &data, len);
    return !w.outdated;
}

bool idt_ntb_request_flush(IdtNtbRequests *r, unsigned to)
{
    Wait w = { .r = r, .to = to, .number = r->peer[to].head };

    return idt_ntb_requests_local(r, to) || wait_for_peer(&w, is_executed);
}

/* Start and stop */

IdtNtbRequests *idt_ntb_requests_local(const IdtNtbRequests *r,
                                       unsigned peer)
{
    IdtNtbRequests *other;

    QLIST_FOREACH(other, &all_requests, next) {
        if (other->sw->self == peer &&
            idt_ntb_switch_is_same(other->sw, r->sw)) {
            return other;
        }
    }
    return NULL;
}

void idt_ntb_requests_reset(IdtNtbRequests *r)
{
    unsigned self = r->sw->self;

    for (unsigned i = 0; i < r->sw->num_ports; i++) {
        IdtNtbShmMailbox *out = mailbox(r, self, i);
        IdtNtbShmMailbox *in = mailbox(r, i, self);
        uint32_t end = qatomic_read(&in->head);

        r->peer[i] = (IdtNtbRequestsPeer) {
            .head = qatomic_read(&out->head),
            .tail = end,
        };
        /* What was sent to who had the port before */
        qatomic_set(&in->tail, end);
        qatomic_set(&in->awake, 0);
    }
    qatomic_set_mb(&port_block(r, self)->waiting, 0);
}

void idt_ntb_requests_start(IdtNtbRequests *r, QEMUBH *signalled)
{
    r->signalled = signalled;
    idt_ntb_requests_reset(r);
    changes++;
    QLIST_INSERT_HEAD(&all_requests, r, next);
}

void idt_ntb_requests_stop(IdtNtbRequests *r)
{
    if (r->signalled) {
        QLIST_REMOVE(r, next);
        changes++;
        r->signalled = NULL;
    }
}
