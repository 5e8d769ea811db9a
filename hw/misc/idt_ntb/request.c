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
#include "gate.h"
#include "port.h"
#include "request.h"
#include "trace.h"

/* How long to look for an answer before sleeping: about a round trip */
#define SPIN_US         50

/* How often to look whether the peer is alive */
#define REAP_US         10000

/* How long a turn of executing requests is */
#define SERVE_US        1000

#define MAX_LOCAL_PORTS 16

/* All devices of this process */
static QLIST_HEAD(, IdtNtbRequest) all_requests =
    QLIST_HEAD_INITIALIZER(all_requests);

static bool serve_stopped;

void idt_ntb_request_serve_stopped(bool serve)
{
    serve_stopped = serve;
}

static IdtNtbShmMailbox *mailbox(const IdtNtbRequest *r, unsigned from,
                                 unsigned to)
{
    return &r->sw->shm->mailbox[from][to].m;
}

static unsigned port_of(const IdtNtbRequest *r, unsigned slot)
{
    return idt_ntb_switch_port(r->sw, slot);
}

static IdtNtbShmPort *port_block(const IdtNtbRequest *r, unsigned slot)
{
    return idt_ntb_switch_block(r->sw, slot);
}

/* Signals the port at @slot if it sleeps. */
static void wake(IdtNtbRequest *r, unsigned slot)
{
    if (qatomic_read(&port_block(r, slot)->waiting)) {
        idt_ntb_switch_signal(r->sw, slot);
    }
}

void idt_ntb_request_wake(IdtNtbRequest *r)
{
    smp_mb();                   /* our answer before the look at @waiting */
    for (unsigned i = 0; i < r->sw->num_slots; i++) {
        wake(r, i);
    }
}

/* Serving */

static void execute(IdtNtbRequest *r, unsigned from, uint32_t number,
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
    } else if (epoch == idt_ntb_gate_epoch(r->sw, from, r->sw->slot) &&
               idt_ntb_gate_is_open(r->sw, from, r->sw->slot)) {
        ok = r->ops->access(r->opaque, from, addr, &data, size, !is_read);
    }
    trace_idt_ntb_request_served(r->sw->port, port_of(r, from), addr, size,
                                 is_read, ok);
    idt_ntb_switch_count(r->sw, IDT_NTB_COUNT_REQUESTS_SERVED, 1);
    if (is_read) {
        qatomic_set(&box->reply_data, data);
        qatomic_set(&box->reply_ok, ok);
        qatomic_store_release(&box->reply, number);
    }
}

/* Begins a round: it has the requests that are there now. */
static void begin_round(IdtNtbRequest *r)
{
    /* Read the heads after the status that the caller has read */
    smp_rmb();
    for (unsigned from = 0; from < r->sw->num_slots; from++) {
        IdtNtbRequestPeer *peer = &r->peer[from];

        peer->end = from == r->sw->slot ? peer->tail :
            qatomic_load_acquire(&mailbox(r, from, r->sw->slot)->head);
        if (peer->end - peer->tail > IDT_NTB_MAX_REQUESTS) {
            trace_idt_ntb_request_overrun(r->sw->port, port_of(r, from),
                                          peer->end - peer->tail);
            peer->tail = peer->end;
            qatomic_set(&mailbox(r, from, r->sw->slot)->tail, peer->tail);
        }
    }
    r->in_round = true;
}

/*
 * Executes the requests of this round in the mailbox from @from.
 *
 * Returns: false if some are left at @deadline.
 */
static bool serve_mailbox(IdtNtbRequest *r, unsigned from, int64_t deadline)
{
    IdtNtbShmMailbox *box = mailbox(r, from, r->sw->slot);
    IdtNtbRequestPeer *peer = &r->peer[from];
    bool late = false;

    if (peer->tail == peer->end && !qatomic_read(&box->awake)) {
        return true;
    }
    qatomic_set(&box->awake, 1);
    while (peer->tail != peer->end && !late) {
        execute(r, from, ++peer->tail, box);
        qatomic_store_release(&box->tail, peer->tail);
        late = g_get_monotonic_time() >= deadline;
    }
    qatomic_set_mb(&box->tail, peer->tail);
    if (peer->tail == peer->end) {
        late = false;
        qatomic_set_mb(&box->awake, 0);
    }
    wake(r, from);
    /* The sender can have set @head back */
    if (late || qatomic_read(&box->head) != peer->tail) {
        qemu_bh_schedule(r->look_bh);
    }
    return !late;
}

static bool serve_until(IdtNtbRequest *r, int64_t deadline)
{
    if (!(runstate_is_running() || serve_stopped) || !r->look_bh) {
        return false;
    }
    if (!r->in_round) {
        begin_round(r);
    }
    for (unsigned from = 0; from < r->sw->num_slots; from++) {
        if (from != r->sw->slot && !serve_mailbox(r, from, deadline)) {
            return false;
        }
    }
    r->in_round = false;
    return true;
}

bool idt_ntb_request_serve(IdtNtbRequest *r)
{
    return serve_until(r, g_get_monotonic_time() + SERVE_US);
}

void idt_ntb_request_drain(IdtNtbRequest *r)
{
    int64_t deadline = g_get_monotonic_time() + r->timeout_ms * 1000LL;

    if (r->in_round && !serve_until(r, deadline)) {
        return;
    }
    serve_until(r, deadline);
}

/* Waiting */

static unsigned collect_eventfds(struct pollfd *fds, IdtNtbRequest **owners)
{
    IdtNtbRequest *r;
    unsigned n = 0;

    QLIST_FOREACH(r, &all_requests, next) {
        if (n < MAX_LOCAL_PORTS && r->server->eventfd >= 0) {
            fds[n] = (struct pollfd) { .fd = r->server->eventfd,
                                       .events = POLLIN };
            owners[n++] = r;
        }
    }
    return n;
}

static void set_waiting(uint32_t waiting)
{
    IdtNtbRequest *r;

    QLIST_FOREACH(r, &all_requests, next) {
        qatomic_set(&port_block(r, r->sw->slot)->waiting, waiting);
    }
    smp_mb();                   /* before the last look for an answer */
}

/* Lets the ports of this process do what other ports may wait for. */
static void serve_all(void)
{
    IdtNtbRequest *r;

    QLIST_FOREACH(r, &all_requests, next) {
        r->ops->look(r->opaque);
        idt_ntb_request_serve(r);
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
    IdtNtbRequest *owners[MAX_LOCAL_PORTS];
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
            idt_ntb_untrusted_fd_clear(fds[i].fd);
            idt_ntb_switch_begin_look(owners[i]->sw);
            qemu_bh_schedule(owners[i]->look_bh);
        }
    }
    return true;
}

bool idt_ntb_request_wait(IdtNtbRequest *r, bool (*done)(void *opaque),
                          void *opaque, int64_t deadline)
{
    int64_t begin = g_get_monotonic_time();

    while (!done(opaque)) {
        int64_t now;

        serve_all();
        now = g_get_monotonic_time();
        if (now >= deadline) {
            return done(opaque);
        }
        if (now - begin < SPIN_US) {
            cpu_relax();
            continue;
        }
        set_waiting(1);
        if (!done(opaque) &&
            !sleep_for_signal(MIN(deadline - now, REAP_US))) {
            /* A dead peer never answers: free its port */
            idt_ntb_port_reap(r->sw);
        }
        set_waiting(0);
    }
    return true;
}

/* Sending */

void idt_ntb_request_begin_access(IdtNtbRequest *r)
{
    r->deadline = g_get_monotonic_time() + r->timeout_ms * 1000LL;
}

unsigned idt_ntb_request_access_ms(const IdtNtbRequest *r)
{
    return MAX(r->deadline - g_get_monotonic_time(), 0) / 1000;
}

bool idt_ntb_request_is_stalled(IdtNtbRequest *r, unsigned to)
{
    IdtNtbRequestPeer *peer = &r->peer[to];

    if (peer->stalled &&
        (int32_t)(qatomic_read(&mailbox(r, r->sw->slot, to)->tail) -
                  peer->stalled_head) >= 0) {
        peer->stalled = false;
        trace_idt_ntb_request_stalled(r->sw->port, port_of(r, to), false);
    }
    return peer->stalled;
}

static void set_stalled(IdtNtbRequest *r, unsigned to)
{
    IdtNtbRequestPeer *peer = &r->peer[to];

    peer->stalled = true;
    peer->stalled_head = peer->head;
    trace_idt_ntb_request_stalled(r->sw->port, port_of(r, to), true);
    qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: port %u does not answer "
                  "within %u ms\n", r->sw->port, port_of(r, to),
                  r->timeout_ms);
}

/* A request that is waited for */
typedef struct Wait {
    IdtNtbRequest *r;
    unsigned to;
    uint32_t number;
} Wait;

/* True if the peer has no link: it will not answer. */
static bool is_over(const Wait *w)
{
    return !idt_ntb_switch_link(w->r->sw, w->to);
}

static IdtNtbShmMailbox *wait_mailbox(const Wait *w)
{
    return mailbox(w->r, w->r->sw->slot, w->to);
}

static bool box_has_room(const Wait *w)
{
    return w->r->peer[w->to].head -
           qatomic_load_acquire(&wait_mailbox(w)->tail) < IDT_NTB_MAX_REQUESTS;
}

static bool has_room(void *opaque)
{
    Wait *w = opaque;

    return is_over(w) || box_has_room(w);
}

static bool is_executed(void *opaque)
{
    Wait *w = opaque;
    uint32_t tail = qatomic_load_acquire(&wait_mailbox(w)->tail);

    return is_over(w) || (int32_t)(tail - w->number) >= 0;
}

static bool is_answered(void *opaque)
{
    Wait *w = opaque;

    return is_over(w) ||
           qatomic_load_acquire(&wait_mailbox(w)->reply) == w->number;
}

/* Waits for @done, unless the peer is known to be stalled. */
static IdtNtbRequestResult wait_for_peer(Wait *w, bool (*done)(void *opaque))
{
    IdtNtbRequest *r = w->r;
    bool was_stalled = idt_ntb_request_is_stalled(r, w->to);

    if (!done(w)) {
        if (was_stalled) {
            return IDT_NTB_REQUEST_TIMED_OUT;
        }
        if (!idt_ntb_request_wait(r, done, w, r->deadline)) {
            set_stalled(r, w->to);
            return IDT_NTB_REQUEST_TIMED_OUT;
        }
    }
    return is_over(w) ? IDT_NTB_REQUEST_REFUSED : IDT_NTB_REQUEST_DONE;
}

/* Waits for room in the mailbox, unless the translation changes. */
static IdtNtbRequestResult wait_for_room(Wait *w)
{
    IdtNtbRequest *r = w->r;
    unsigned changes = r->changes;
    IdtNtbRequestResult result;

    if (box_has_room(w)) {
        return IDT_NTB_REQUEST_DONE;
    }
    result = wait_for_peer(w, has_room);
    if (result == IDT_NTB_REQUEST_DONE && r->changes != changes) {
        return IDT_NTB_REQUEST_OUTDATED;
    }
    return result;
}

/* Puts a request into the mailbox.  Puts its number into @w. */
static IdtNtbRequestResult send_request(Wait *w, uint64_t addr, uint64_t data,
                                        uint32_t op)
{
    IdtNtbRequest *r = w->r;
    unsigned from = r->sw->slot;
    IdtNtbShmMailbox *box = wait_mailbox(w);
    IdtNtbRequestPeer *peer = &r->peer[w->to];
    uint32_t epoch = idt_ntb_gate_epoch(r->sw, from, w->to);
    IdtNtbRequestResult result = IDT_NTB_REQUEST_REFUSED;
    IdtNtbShmRequest *request;

    /* Read the epoch before: an end in between makes the request stale */
    if (idt_ntb_gate_is_open(r->sw, from, w->to)) {
        result = wait_for_room(w);
    }
    if (result != IDT_NTB_REQUEST_DONE) {
        trace_idt_ntb_request_dropped(r->sw->port, port_of(r, w->to), addr);
        return result;
    }
    request = &box->request[peer->head % IDT_NTB_MAX_REQUESTS];
    qatomic_set(&request->addr, addr);
    qatomic_set(&request->data, data);
    qatomic_set(&request->op, op);
    qatomic_set(&request->epoch, epoch);
    w->number = ++peer->head;
    qatomic_store_release(&box->head, peer->head);
    idt_ntb_switch_count(r->sw, IDT_NTB_COUNT_REQUESTS_SENT, 1);
    idt_ntb_switch_count(r->sw, IDT_NTB_COUNT_REQUEST_BYTES,
                         FIELD_EX32(op, SHM_REQUEST, SIZE));
    smp_mb();                   /* the receiver clears @awake, then looks */
    if (!qatomic_read(&box->awake)) {
        /* No signal for the next requests until it has looked */
        qatomic_set(&box->awake, 1);
        idt_ntb_switch_signal(r->sw, w->to);
    }
    return IDT_NTB_REQUEST_DONE;
}

/* Takes a late request back, unless its execution has just begun. */
static void withdraw(Wait *w)
{
    unsigned i = (w->number - 1) % IDT_NTB_MAX_REQUESTS;

    qatomic_set(&wait_mailbox(w)->request[i].op, 0);
    trace_idt_ntb_request_withdrawn(w->r->sw->port, port_of(w->r, w->to));
}

/* An access within this process */
static bool access_local(IdtNtbRequest *r, IdtNtbRequest *local,
                         uint64_t addr, void *buf, unsigned len, bool is_write)
{
    return idt_ntb_gate_is_open(r->sw, r->sw->slot, local->sw->slot) &&
           local->ops->access(local->opaque, r->sw->slot, addr, buf, len,
                              is_write);
}

IdtNtbRequestResult idt_ntb_request_write(IdtNtbRequest *r, unsigned to,
                                          uint64_t addr, const void *buf,
                                          unsigned len, bool complete)
{
    IdtNtbRequest *local = idt_ntb_request_local(r, to);
    Wait w = { .r = r, .to = to };
    IdtNtbRequestResult result;
    uint64_t data = 0;

    memcpy(&data, buf, len);
    if (local) {
        access_local(r, local, addr, &data, len, true);
        return IDT_NTB_REQUEST_DONE;
    }
    result = send_request(&w, addr, data,
                          FIELD_DP32(0, SHM_REQUEST, SIZE, len));
    if (result != IDT_NTB_REQUEST_DONE || !complete) {
        return result;
    }
    result = wait_for_peer(&w, is_executed);
    if (result != IDT_NTB_REQUEST_DONE) {
        /* It must not be executed after what follows it */
        withdraw(&w);
    }
    return result;
}

IdtNtbRequestResult idt_ntb_request_read(IdtNtbRequest *r, unsigned to,
                                         uint64_t addr, void *buf,
                                         unsigned len)
{
    IdtNtbRequest *local = idt_ntb_request_local(r, to);
    Wait w = { .r = r, .to = to };
    uint32_t op = FIELD_DP32(R_SHM_REQUEST_READ_MASK, SHM_REQUEST, SIZE, len);
    IdtNtbRequestResult result;
    uint64_t data = 0;
    bool ok;

    if (local) {
        ok = access_local(r, local, addr, &data, len, false);
    } else if (idt_ntb_request_is_stalled(r, to)) {
        return IDT_NTB_REQUEST_TIMED_OUT;
    } else {
        result = send_request(&w, addr, 0, op);
        if (result == IDT_NTB_REQUEST_DONE) {
            result = wait_for_peer(&w, is_answered);
        }
        if (result != IDT_NTB_REQUEST_DONE) {
            return result;
        }
        data = qatomic_read(&wait_mailbox(&w)->reply_data);
        ok = qatomic_read(&wait_mailbox(&w)->reply_ok);
    }
    if (!ok) {
        return IDT_NTB_REQUEST_REFUSED;
    }
    memcpy(buf, &data, len);
    return IDT_NTB_REQUEST_DONE;
}

bool idt_ntb_request_flush(IdtNtbRequest *r, unsigned to)
{
    Wait w = { .r = r, .to = to, .number = r->peer[to].head };

    return idt_ntb_request_local(r, to) ||
           wait_for_peer(&w, is_executed) == IDT_NTB_REQUEST_DONE;
}

/* Start and stop */

IdtNtbRequest *idt_ntb_request_local(const IdtNtbRequest *r,
                                     unsigned slot)
{
    IdtNtbRequest *other;

    QLIST_FOREACH(other, &all_requests, next) {
        if (other->sw->slot == slot &&
            idt_ntb_switch_is_same(other->sw, r->sw)) {
            return other;
        }
    }
    return NULL;
}

void idt_ntb_request_reset(IdtNtbRequest *r)
{
    unsigned slot = r->sw->slot;

    for (unsigned i = 0; i < r->sw->num_slots; i++) {
        IdtNtbShmMailbox *out = mailbox(r, slot, i);
        IdtNtbShmMailbox *in = mailbox(r, i, slot);
        uint32_t end = qatomic_read(&in->head);

        r->peer[i] = (IdtNtbRequestPeer) {
            .head = qatomic_read(&out->head),
            .tail = end,
            .end = end,
        };
        /* Drop requests to a former owner of the port */
        qatomic_set(&in->tail, end);
        qatomic_set(&in->awake, 0);
    }
    r->in_round = false;
    qatomic_set_mb(&port_block(r, slot)->waiting, 0);
}

void idt_ntb_request_start(IdtNtbRequest *r, QEMUBH *look_bh)
{
    r->look_bh = look_bh;
    idt_ntb_request_reset(r);
    QLIST_INSERT_HEAD(&all_requests, r, next);
}

void idt_ntb_request_stop(IdtNtbRequest *r)
{
    if (r->look_bh) {
        QLIST_REMOVE(r, next);
        r->look_bh = NULL;
    }
}
