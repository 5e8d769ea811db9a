/*
 * IDT 89HPESxNTx PCIe switch: direct mappings of windows
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "exec/target_page.h"
#include "idt_ntb_window.h"
#include "trace.h"

/* What can be mapped: whole pages around the offset that was accessed. */
typedef struct MapRange {
    uint64_t start;             /* offsets in the BAR */
    uint64_t end;
    uint64_t offset;            /* of @start, in the file or RAM region */
} MapRange;

static IdtNtbShmPort *port_block(const IdtNtbDirect *d, unsigned peer)
{
    const IdtNtbSwitch *sw = d->windows->sw;

    return idt_ntb_switch_block(sw, idt_ntb_switch_port(sw, peer));
}

/* Giving up */

static void give_up(IdtNtbDirect *d, IdtNtbMapping *m)
{
    const IdtNtbSwitch *sw = d->windows->sw;

    trace_idt_ntb_unmap(sw->port, m->bar, m->start,
                        idt_ntb_switch_port(sw, m->peer));
    QLIST_REMOVE(m, next);
    if (d->ones < 0) {
        d->ones = idt_ntb_ones_file();
    }
    if (!idt_ntb_mapping_give_up(m, d->stopping, d->ones)) {
        d->late = true;
    }
}

/* Forgets the RAM of a peer of which nothing is mapped. */
static void release_ram(IdtNtbTakenRam *taken)
{
    if (taken->fd >= 0) {
        close(taken->fd);
        taken->fd = -1;
        taken->seq = 1;         /* that of no table at rest */
    }
}

/* Shows the others whose memory we hold. */
static void update_holds(IdtNtbDirect *d)
{
    IdtNtbShmPort *p = port_block(d, d->windows->sw->self);
    IdtNtbMapping *m;
    uint32_t holds = 0;

    QLIST_FOREACH(m, &d->mappings, next) {
        holds |= BIT(m->peer);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(d->peer); i++) {
        if (!(holds & BIT(i))) {
            release_ram(&d->peer[i]);
        }
    }
    if (qatomic_read(&p->holds) != holds) {
        qatomic_set_mb(&p->holds, holds);
    }
}

typedef bool MappingFilter(const IdtNtbDirect *d, IdtNtbMapping *m,
                           const void *opaque);

static void give_up_if(IdtNtbDirect *d, MappingFilter *filter,
                       const void *opaque)
{
    IdtNtbMapping *m, *next;

    if (!d->started) {
        return;
    }
    QLIST_FOREACH_SAFE(m, &d->mappings, next, next) {
        if (filter(d, m, opaque)) {
            give_up(d, m);
        }
    }
    update_holds(d);
}

static bool mapping_any(const IdtNtbDirect *d, IdtNtbMapping *m,
                        const void *opaque)
{
    return true;
}

typedef struct BarRange {
    unsigned bar;
    uint64_t start;
    uint64_t end;
} BarRange;

static bool mapping_overlaps(const IdtNtbDirect *d, IdtNtbMapping *m,
                             const void *opaque)
{
    const BarRange *range = opaque;

    return m->bar == range->bar && m->start < range->end &&
           range->start < m->end;
}

/* Makes room for a mapping of @range. */
static void give_up_overlaps(IdtNtbDirect *d, unsigned bar,
                             const MapRange *range)
{
    BarRange place = { .bar = bar, .start = range->start, .end = range->end };

    give_up_if(d, mapping_overlaps, &place);
}

/*
 * The RAM of @local that begins at bus address @addr, up to @size bytes of it;
 * @mr is NULL if there is none, else to be unreferenced.
 */
static MemoryRegionSection find_local(IdtNtbRequests *local, uint64_t addr,
                                      uint64_t size)
{
    MemoryRegionSection section =
        memory_region_find(local->pci->bus_master_as.root, addr, size);

    if (section.mr && (!idt_ntb_memory_is_plain(&section) ||
                       section.offset_within_address_space != addr)) {
        memory_region_unref(section.mr);
        section = (MemoryRegionSection) { };
    }
    return section;
}

static bool local_is_allowed(const IdtNtbDirect *d, const IdtNtbMapping *m)
{
    IdtNtbRequests *local = idt_ntb_requests_local(&d->windows->requests,
                                                   m->peer);
    MemoryRegionSection section;
    bool same;

    if (!local) {
        return false;
    }
    section = find_local(local, m->addr, m->end - m->start);
    same = section.mr == m->local &&
           section.offset_within_region == m->local_offset &&
           int128_get64(section.size) == m->end - m->start;
    memory_region_unref(section.mr);
    return same;
}

/* True while the peer's table says the same as when @m was made. */
static bool remote_is_allowed(const IdtNtbDirect *d, IdtNtbMapping *m)
{
    const IdtNtbSwitch *sw = d->windows->sw;
    IdtNtbRam ram;

    if (qatomic_read(&port_block(d, m->peer)->generation) !=
        m->generation) {
        return false;
    }
    if (idt_ntb_memory_seq(sw, m->peer) == m->seq) {
        return true;
    }
    if (!idt_ntb_memory_find(sw, m->peer, m->addr, &ram) ||
        ram.fd != m->file ||
        ram.offset + (m->addr - ram.addr) != m->file_offset ||
        ram.size - (m->addr - ram.addr) < m->end - m->start) {
        return false;
    }
    m->seq = ram.seq;
    return true;
}

static bool mapping_is_not_allowed(const IdtNtbDirect *d, IdtNtbMapping *m,
                                   const void *opaque)
{
    const IdtNtbSwitch *sw = d->windows->sw;
    IdtNtbTranslation t;

    idt_ntb_windows_translate(d->windows, m->bar, m->start, &t);
    if (!t.ok || t.peer != m->peer || m->end > t.end ||
        t.addr + (m->start - t.start) != m->addr ||
        !idt_ntb_switch_open(sw, sw->self, m->peer)) {
        return true;
    }
    return m->local ? !local_is_allowed(d, m) : !remote_is_allowed(d, m);
}

void idt_ntb_direct_drop_all(IdtNtbDirect *d)
{
    give_up_if(d, mapping_any, NULL);
}

void idt_ntb_direct_sync(IdtNtbDirect *d)
{
    if (!QLIST_EMPTY(&d->mappings)) {
        give_up_if(d, mapping_is_not_allowed, NULL);
    }
}

void idt_ntb_direct_look(IdtNtbDirect *d)
{
    IdtNtbShmPort *p;
    uint32_t request;

    if (!d->started) {
        return;
    }
    p = port_block(d, d->windows->sw->self);
    request = qatomic_load_acquire(&p->close_req);
    if (request == d->acknowledged) {
        return;
    }
    d->windows->requests.changes++;
    idt_ntb_direct_sync(d);
    if (d->late) {
        /* Until the vCPUs have left it, and we come again */
        d->late = false;
        qemu_bh_schedule(d->windows->requests.signalled);
        return;
    }
    d->acknowledged = request;
    qatomic_set_mb(&p->close_ack, request);
    idt_ntb_requests_wake(&d->windows->requests);
}

/* Mapping */

/* Pages of both the host and the guest */
static uint64_t map_page_size(void)
{
    return MAX(qemu_real_host_page_size(), qemu_target_page_size());
}

/* The whole pages around @offset that both @t and @ram cover. */
static bool find_range(const IdtNtbDirect *d, unsigned bar, uint64_t offset,
                       const IdtNtbTranslation *t, uint64_t ram_addr,
                       uint64_t ram_size, uint64_t ram_offset, MapRange *range)
{
    uint64_t page = map_page_size();
    uint64_t bar_addr = idt_ntb_windows_bar_addr(d->windows, bar);
    uint64_t guest = bar_addr + offset;
    uint64_t in_ram = t->addr + (offset - t->start) - ram_addr;
    uint64_t before = MIN(offset - t->start, in_ram);
    uint64_t after = MIN(t->end - offset, ram_size - in_ram);

    /* Memory can't be mapped at another offset in the page than its own */
    if ((ram_offset + in_ram - guest) % page) {
        return false;
    }
    range->start = ROUND_UP(guest - before, page) - bar_addr;
    range->end = ROUND_DOWN(guest + after, page) - bar_addr;
    range->offset = ram_offset + in_ram - (offset - range->start);
    return range->start <= offset && offset < range->end;
}

static void insert(IdtNtbDirect *d, IdtNtbMapping *m, unsigned bar,
                   const IdtNtbTranslation *t, const MapRange *range)
{
    const IdtNtbSwitch *sw = d->windows->sw;

    m->bar = bar;
    m->peer = t->peer;
    m->addr = t->addr + (range->start - t->start);
    idt_ntb_mapping_enter(m, &d->windows->bar[bar].mr, range->start,
                          range->end);
    QLIST_INSERT_HEAD(&d->mappings, m, next);
    update_holds(d);
    trace_idt_ntb_map(sw->port, bar, m->start, m->end - m->start,
                      idt_ntb_switch_port(sw, m->peer), m->addr);
}

/* Takes note that the RAM of @peer can't be had. */
static void refuse_ram(IdtNtbDirect *d, unsigned peer, const char *why)
{
    const IdtNtbSwitch *sw = d->windows->sw;

    d->peer[peer].refused = true;
    warn_report_once("idt-ntb: port %u: windows onto the memory of port %u are "
                     "slow: %s", sw->port, idt_ntb_switch_port(sw, peer),
                     why);
}

/* True if @taken is, was or will be the RAM that @ram says. */
static bool is_taken(const IdtNtbTakenRam *taken, const IdtNtbRam *ram,
                     uint32_t generation)
{
    return taken->seq == ram->seq && taken->generation == generation &&
           taken->number == ram->fd;
}

/*
 * The file of @ram, which stays ours; or -1.  What takes longer than the
 * completion timeout is looked at again with the next access.
 */
static int take_ram(IdtNtbDirect *d, unsigned peer, const IdtNtbRam *ram)
{
    IdtNtbTakenRam *taken = &d->peer[peer];
    uint32_t generation = qatomic_read(&port_block(d, peer)->generation);
    unsigned timeout_ms = 0;
    const char *why = NULL;

    if (is_taken(taken, ram, generation) && !taken->job) {
        return taken->refused ? -1 : taken->fd;
    }
    if (!taken->job) {
        release_ram(taken);
        taken->seq = ram->seq;
        taken->generation = generation;
        taken->number = ram->fd;
        taken->refused = false;
        taken->job = idt_ntb_memory_open(d->windows->sw, peer, ram,
                                         d->windows->trust_peers);
        timeout_ms = d->windows->timeout_ms;
    }
    if (!idt_ntb_memory_open_wait(taken->job, timeout_ms)) {
        return -1;
    }
    taken->fd = idt_ntb_memory_open_result(taken->job, &why);
    g_clear_pointer(&taken->job, idt_ntb_memory_open_end);
    if (taken->fd < 0) {
        refuse_ram(d, peer, why);
    }
    return is_taken(taken, ram, generation) ? taken->fd : -1;
}

/*
 * Shows that we hold memory of @peer, then looks again: who closes it does
 * it the other way round.
 */
static bool hold(IdtNtbDirect *d, unsigned peer, uint32_t seq)
{
    const IdtNtbSwitch *sw = d->windows->sw;

    qatomic_fetch_or(&port_block(d, sw->self)->holds, BIT(peer));
    smp_mb__after_rmw();        /* pairs with idt_ntb_windows_changed() */
    return idt_ntb_switch_open(sw, sw->self, peer) &&
           idt_ntb_memory_seq(sw, peer) == seq;
}

static IdtNtbMapping *map_remote(IdtNtbDirect *d, unsigned bar,
                                 uint64_t offset, const IdtNtbTranslation *t)
{
    IdtNtbMapping *m;
    MapRange range;
    IdtNtbRam ram;
    const char *why;
    int fd;

    if (!idt_ntb_memory_find(d->windows->sw, t->peer,
                             t->addr + (offset - t->start), &ram) ||
        !find_range(d, bar, offset, t, ram.addr, ram.size, ram.offset,
                    &range) ||
        idt_ntb_request_is_stalled(&d->windows->requests, t->peer)) {
        return NULL;
    }
    give_up_overlaps(d, bar, &range);
    fd = take_ram(d, t->peer, &ram);
    /* What was sent by request comes before what is stored from now on */
    if (fd < 0 || !idt_ntb_request_flush(&d->windows->requests, t->peer) ||
        !d->started || !hold(d, t->peer, ram.seq)) {
        goto fail;
    }
    m = idt_ntb_mapping_new(fd, range.offset, range.end - range.start, &why);
    if (!m) {
        refuse_ram(d, t->peer, why);
        goto fail;
    }
    m->seq = ram.seq;
    m->generation = d->peer[t->peer].generation;
    m->file = ram.fd;
    m->file_offset = range.offset;
    insert(d, m, bar, t, &range);
    /* What was closed since @t was made; what is from now on asks us */
    if (mapping_is_not_allowed(d, m, NULL)) {
        give_up(d, m);
        goto fail;
    }
    return m;

fail:
    if (d->started) {
        update_holds(d);
    }
    return NULL;
}

/* The RAM of @local around @offset: all of @t, or from the page on */
static MemoryRegionSection find_local_around(const IdtNtbDirect *d,
                                             IdtNtbRequests *local,
                                             uint64_t offset,
                                             const IdtNtbTranslation *t)
{
    uint64_t page = qemu_target_page_size();
    uint64_t addr = t->addr + (offset - t->start);
    MemoryRegionSection section = find_local(local, t->addr, t->end - t->start);

    if (section.mr && int128_get64(section.size) > offset - t->start) {
        return section;
    }
    memory_region_unref(section.mr);
    return find_local(local, ROUND_DOWN(addr, page),
                      addr % page + (t->end - offset));
}

/* Shows RAM of this very QEMU. */
static void map_local(IdtNtbDirect *d, IdtNtbRequests *local, unsigned bar,
                      uint64_t offset, const IdtNtbTranslation *t)
{
    MemoryRegionSection section = find_local_around(d, local, offset, t);
    MapRange range;
    IdtNtbMapping *m;

    if (section.mr &&
        find_range(d, bar, offset, t, section.offset_within_address_space,
                   int128_get64(section.size), section.offset_within_region,
                   &range)) {
        give_up_overlaps(d, bar, &range);
        m = idt_ntb_mapping_new_local(section.mr, range.offset);
        insert(d, m, bar, t, &range);
    }
    memory_region_unref(section.mr);
}

void *idt_ntb_direct_map(IdtNtbDirect *d, unsigned bar, uint64_t offset,
                         const IdtNtbTranslation *t, uint64_t *len)
{
    uint64_t page = map_page_size();
    uint64_t guest = idt_ntb_windows_bar_addr(d->windows, bar) + offset;
    IdtNtbRequests *local;
    IdtNtbMapping *m;

    QLIST_FOREACH(m, &d->mappings, next) {
        if (m->bar == bar && m->start <= offset && offset < m->end) {
            break;
        }
    }
    if (!m && d->windows->direct_enabled) {
        local = idt_ntb_requests_local(&d->windows->requests, t->peer);
        if (local) {
            map_local(d, local, bar, offset, t);
        } else {
            m = map_remote(d, bar, offset, t);
        }
    }
    if (!m || m->local) {
        /* What is local tracks its changes: not to be written from here */
        *len = MIN(*len, page - guest % page);
        return NULL;
    }
    *len = MIN(*len, m->end - offset);
    return m->ptr + (offset - m->start);
}

bool idt_ntb_direct_holds(const IdtNtbDirect *d, unsigned peer)
{
    IdtNtbMapping *m;

    QLIST_FOREACH(m, &d->mappings, next) {
        if (m->peer == peer) {
            return true;
        }
    }
    return false;
}

/* Closing what others hold */

typedef struct CloseWait {
    IdtNtbDirect *d;
    uint32_t pending;           /* a bit per peer */
    uint32_t request[IDT_MAX_NT_PORTS];
} CloseWait;

static bool has_closed(const CloseWait *w, unsigned i)
{
    const IdtNtbSwitch *sw = w->d->windows->sw;
    IdtNtbShmPort *p = port_block(w->d, i);
    uint32_t ack = qatomic_load_acquire(&p->close_ack);

    /* The dead have no link, and hold nothing; in a reset one holds a while */
    return (int32_t)(ack - w->request[i]) >= 0 ||
           (!qatomic_read(&p->holds) &&
            !idt_ntb_switch_link(sw, idt_ntb_switch_port(sw, i)));
}

static bool all_have_closed(void *opaque)
{
    CloseWait *w = opaque;

    if (!w->d->started) {
        return true;
    }
    for (unsigned i = 0; i < w->d->windows->sw->num_ports; i++) {
        if (w->pending & BIT(i) && has_closed(w, i)) {
            w->pending &= ~BIT(i);
        }
    }
    return !w->pending;
}

/* True for a holder that let us wait before and still does. */
static bool is_silent(IdtNtbDirect *d, unsigned i)
{
    IdtNtbTakenRam *peer = &d->peer[i];

    if (peer->silent &&
        (int32_t)(qatomic_read(&port_block(d, i)->close_ack) -
                  peer->silent_request) >= 0) {
        peer->silent = false;
    }
    return peer->silent;
}

static void set_silent(IdtNtbDirect *d, unsigned i, uint32_t request)
{
    IdtNtbSwitch *sw = d->windows->sw;

    d->peer[i].silent = true;
    d->peer[i].silent_request = request;
    warn_report("idt-ntb: port %u: port %u has not given up its windows onto "
                "this guest within %u ms; it may still access its memory",
                sw->port, idt_ntb_switch_port(sw, i),
                d->windows->timeout_ms);
}

void idt_ntb_direct_close(IdtNtbDirect *d, uint32_t holders)
{
    IdtNtbSwitch *sw = d->windows->sw;
    CloseWait w = { .d = d };

    for (unsigned i = 0; i < sw->num_ports; i++) {
        if (i == sw->self || !(holders & BIT(i)) ||
            (!qatomic_read(&port_block(d, i)->holds) &&
             !idt_ntb_switch_link(sw, idt_ntb_switch_port(sw, i)))) {
            continue;
        }
        w.request[i] =
            idt_ntb_switch_ask_close(sw, idt_ntb_switch_port(sw, i));
        if (!is_silent(d, i)) {
            w.pending |= BIT(i);
        }
    }
    /*
     * Without serving: it could unplug us, in the middle of a reset even.  And
     * while serving others wait already.
     */
    if (!w.pending || idt_ntb_requests_serving() ||
        idt_ntb_requests_wait(&d->windows->requests, all_have_closed, &w,
                              false)) {
        return;
    }
    for (unsigned i = 0; i < sw->num_ports; i++) {
        if (w.pending & BIT(i)) {
            set_silent(d, i, w.request[i]);
        }
    }
}

/* Start and stop; what there is to see */

void idt_ntb_direct_start(IdtNtbDirect *d, IdtNtbWindows *windows)
{
    d->windows = windows;
    QLIST_INIT(&d->mappings);
    for (unsigned i = 0; i < ARRAY_SIZE(d->peer); i++) {
        d->peer[i] = (IdtNtbTakenRam) { .fd = -1, .seq = 1 };
    }
    d->ones = -1;
    d->started = true;
    /* Requests to who had the port before */
    d->acknowledged = qatomic_read(&port_block(d, windows->sw->self)
                                   ->close_req) - 1;
    idt_ntb_direct_look(d);
}

void idt_ntb_direct_stop(IdtNtbDirect *d)
{
    if (!d->started) {
        return;
    }
    d->stopping = true;
    idt_ntb_direct_drop_all(d);
    d->stopping = false;
    for (unsigned i = 0; i < ARRAY_SIZE(d->peer); i++) {
        g_clear_pointer(&d->peer[i].job, idt_ntb_memory_open_end);
    }
    if (d->ones >= 0) {
        close(d->ones);
    }
    d->started = false;
}

unsigned idt_ntb_direct_count(const IdtNtbDirect *d)
{
    IdtNtbMapping *m;
    unsigned n = 0;

    QLIST_FOREACH(m, &d->mappings, next) {
        n++;
    }
    return n;
}

char *idt_ntb_direct_list(const IdtNtbDirect *d)
{
    const IdtNtbSwitch *sw = d->windows->sw;
    GString *text = g_string_new(NULL);
    IdtNtbMapping *m;

    QLIST_FOREACH(m, &d->mappings, next) {
        unsigned port = idt_ntb_switch_port(sw, m->peer);

        g_string_append_printf(text, "BAR%u+0x%" PRIx64 "-0x%" PRIx64
                               ": partition %u, 0x%" PRIx64 "\n", m->bar,
                               m->start, m->end - 1,
                               idt_ntb_switch_partition(sw, port), m->addr);
    }
    return g_string_free(text, FALSE);
}
