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
#include "hw/mem/memory-device.h"
#include "hw/virtio/vhost.h"
#include "system/kvm.h"
#include "mapping.h"
#include "trace.h"

/* Memory slots of KVM and vhost that are left to the rest of the machine */
#define SPARE_SLOTS 4

/*
 * An address space can't have 4096 sections: QEMU would end.  A mapping takes
 * two.  A good peer's RAM has a few pieces; a bad one's table could show
 * another page with each access.
 */
#define MAX_MAPPINGS 128

/* How often to tell that a port does not give up its windows */
#define SILENCE_PERIOD_US (60 * G_TIME_SPAN_SECOND)

/* What can be mapped: whole pages around the offset that was accessed. */
typedef struct MapRange {
    uint64_t start;             /* offsets in the BAR */
    uint64_t end;
    uint64_t offset;            /* of @start, in the file or RAM region */
} MapRange;

static IdtNtbShmPort *port_block(const IdtNtbMapping *d, unsigned peer)
{
    const IdtNtbSwitch *sw = d->sw;

    return idt_ntb_switch_block(sw, idt_ntb_switch_port(sw, peer));
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
static void update_holds(IdtNtbMapping *d)
{
    IdtNtbShmPort *p = port_block(d, d->sw->slot);
    IdtNtbAlias *m;
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

/*
 * The RAM of @local that begins at bus address @addr, up to @size bytes of it;
 * @mr is NULL if there is none, else to be unreferenced.
 */
static MemoryRegionSection find_local(IdtNtbRequest *local, uint64_t addr,
                                      uint64_t size)
{
    MemoryRegionSection section =
        memory_region_find(local->pci->bus_master_as.root, addr, size);

    if (section.mr && (!idt_ntb_ram_is_plain(&section) ||
                       section.offset_within_address_space != addr)) {
        memory_region_unref(section.mr);
        section = (MemoryRegionSection) { };
    }
    return section;
}

static bool local_is_allowed(const IdtNtbMapping *d, const IdtNtbAlias *m)
{
    IdtNtbRequest *local = idt_ntb_request_local(d->request,
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
static bool remote_is_allowed(const IdtNtbMapping *d, IdtNtbAlias *m)
{
    const IdtNtbSwitch *sw = d->sw;
    IdtNtbPeerRam ram;

    if (idt_ntb_ram_seq(sw, m->peer) == m->seq) {
        return true;
    }
    if (!idt_ntb_ram_find(sw, m->peer, m->addr, &ram) ||
        ram.fd != m->file || ram.id != m->id ||
        ram.offset + (m->addr - ram.addr) != m->file_offset ||
        ram.size - (m->addr - ram.addr) < m->end - m->start) {
        return false;
    }
    m->seq = ram.seq;
    return true;
}

/* True while the pages of @m may be in the window, open or not. */
static bool mapping_is_allowed(const IdtNtbMapping *d, IdtNtbAlias *m)
{
    const IdtNtbSwitch *sw = d->sw;

    /* What is mapped can be read */
    return idt_ntb_switch_has_completions(sw, sw->slot) &&
           (m->local ? local_is_allowed(d, m) : remote_is_allowed(d, m));
}

/*
 * Returns: the offset up to which the window that @m is in is open and leads
 * to the same port and address as when @m was made; @m->start if it does not.
 */
static uint64_t open_end(const IdtNtbMapping *d, const IdtNtbAlias *m)
{
    const IdtNtbSwitch *sw = d->sw;
    IdtNtbTranslation t;

    idt_ntb_translate_offset(sw, d->pci, m->bar, m->start, &t);
    if (!t.ok || t.slot != m->peer ||
        t.addr + (m->start - t.start) != m->addr ||
        !idt_ntb_switch_open(sw, sw->slot, m->peer) ||
        (!m->local &&
         qatomic_read(&port_block(d, m->peer)->generation) != m->generation)) {
        return m->start;
    }
    return MIN(t.end, m->end);
}

/* Giving up */

static void forget(IdtNtbAlias *m)
{
    m->left = NULL;
    QLIST_REMOVE(m, next);
    object_unref(OBJECT(m));
}

/* Cuts off what @m has from offset @from on; true if that can't be reached. */
static bool cut_off(IdtNtbMapping *d, IdtNtbAlias *m, uint64_t from)
{
    if (m->local) {
        return true;
    }
    if (d->ones < 0) {
        d->ones = idt_ntb_ones_file();
    }
    return idt_ntb_alias_cut_off(m, from, d->ones);
}

/* @m is out of the guest's address space. */
static void mapping_left(IdtNtbAlias *m)
{
    IdtNtbMapping *d = m->owner;

    /* DMA of another thread may still refer to it */
    cut_off(d, m, m->start);
    forget(m);
    update_holds(d);
    idt_ntb_request_wake(d->request);
    if (qatomic_read(&port_block(d, d->sw->slot)->close_req) !=
        d->acknowledged) {
        qemu_bh_schedule(d->request->signalled);
    }
}

/*
 * Gives up @m, whose window is open up to offset @end.
 *
 * With TCG, vCPUs can store to the pages until they leave their block of code.
 * What is closed is cut off at once: such stores are void, and the closer does
 * not wait for vCPUs, which may be waiting for it.  What is open is not cut
 * off: such stores arrive, and later ones come to window_access().
 */
static void give_up(IdtNtbMapping *d, IdtNtbAlias *m, uint64_t end)
{
    const IdtNtbSwitch *sw = d->sw;
    uint64_t from = m->start + ROUND_UP(end - m->start,
                                        qemu_real_host_page_size());
    bool done;

    trace_idt_ntb_unmap(sw->port, m->bar, m->start,
                        idt_ntb_switch_port(sw, m->peer));
    m->left = mapping_left;
    if (idt_ntb_alias_leave(m, d->stopping, end < m->end)) {
        cut_off(d, m, m->start);
        forget(m);
        return;
    }
    if (end == m->end) {
        return;
    }
    done = from >= m->end || cut_off(d, m, from);
    if (done && from == m->start) {
        forget(m);
        return;
    }
    m->closed |= !done || from != end;
    m->end = end;
}

static void give_up_all(IdtNtbMapping *d)
{
    IdtNtbAlias *m, *next;

    QLIST_FOREACH_SAFE(m, &d->mappings, next, next) {
        give_up(d, m, m->start);
    }
    update_holds(d);
}

/* Makes room for a mapping of @range. */
static void give_up_overlaps(IdtNtbMapping *d, unsigned bar,
                             const MapRange *range)
{
    IdtNtbAlias *m, *next;

    QLIST_FOREACH_SAFE(m, &d->mappings, next, next) {
        if (m->open && m->bar == bar && m->start < range->end &&
            range->start < m->end) {
            give_up(d, m, open_end(d, m));
        }
    }
    update_holds(d);
}

void idt_ntb_mapping_drop_all(IdtNtbMapping *d)
{
    if (d->started) {
        give_up_all(d);
    }
}

void idt_ntb_mapping_sync(IdtNtbMapping *d)
{
    IdtNtbAlias *m, *next;

    if (!d->started || QLIST_EMPTY(&d->mappings)) {
        return;
    }
    QLIST_FOREACH_SAFE(m, &d->mappings, next, next) {
        uint64_t end = open_end(d, m);

        if (end < m->end || (m->open && !mapping_is_allowed(d, m))) {
            give_up(d, m, end);
        }
    }
    update_holds(d);
}

/* True if what is closed can still be reached: mapping_left() ends that. */
static bool is_late(const IdtNtbMapping *d)
{
    IdtNtbAlias *m;

    QLIST_FOREACH(m, &d->mappings, next) {
        if (m->closed) {
            return true;
        }
    }
    return false;
}

void idt_ntb_mapping_look(IdtNtbMapping *d)
{
    IdtNtbShmPort *p;
    uint32_t request;

    if (!d->started) {
        return;
    }
    p = port_block(d, d->sw->slot);
    request = qatomic_load_acquire(&p->close_req);
    if (request == d->acknowledged) {
        return;
    }
    d->request->changes++;
    idt_ntb_mapping_sync(d);
    if (is_late(d)) {
        return;
    }
    d->acknowledged = request;
    qatomic_set_mb(&p->close_ack, request);
    idt_ntb_request_wake(d->request);
}

/* Mapping */

/* Pages of both the host and the guest */
static uint64_t map_page_size(void)
{
    return MAX(qemu_real_host_page_size(), qemu_target_page_size());
}

/* The whole pages around @offset that both @t and @ram cover. */
static bool find_range(const IdtNtbMapping *d, unsigned bar, uint64_t offset,
                       const IdtNtbTranslation *t, uint64_t ram_addr,
                       uint64_t ram_size, uint64_t ram_offset, MapRange *range)
{
    uint64_t page = map_page_size();
    uint64_t bar_addr = idt_ntb_translate_bar_addr(d->sw, d->pci, bar);
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

/* Says where @m belongs. */
static void place(IdtNtbMapping *d, IdtNtbAlias *m, unsigned bar,
                  const IdtNtbTranslation *t, const MapRange *range)
{
    m->owner = d;
    m->bar = bar;
    m->peer = t->slot;
    m->addr = t->addr + (range->start - t->start);
    m->start = range->start;
    m->end = range->end;
}

/* Puts @m into its place. */
static void insert(IdtNtbMapping *d, IdtNtbAlias *m)
{
    const IdtNtbSwitch *sw = d->sw;

    idt_ntb_alias_enter(m, d->bar[m->bar]);
    QLIST_INSERT_HEAD(&d->mappings, m, next);
    update_holds(d);
    trace_idt_ntb_map(sw->port, m->bar, m->start, m->end - m->start,
                      idt_ntb_switch_port(sw, m->peer), m->addr);
}

/* Remembers, until its table changes, that the RAM of @peer can't be mapped. */
static void refuse_ram(IdtNtbMapping *d, unsigned peer, const char *why)
{
    const IdtNtbSwitch *sw = d->sw;
    IdtNtbTakenRam *taken = &d->peer[peer];

    if (taken->fd >= 0) {
        close(taken->fd);
        taken->fd = -1;
    }
    taken->refused = true;
    warn_report_once("idt-ntb: port %u: windows onto the memory of port %u are "
                     "slow: %s", sw->port, idt_ntb_switch_port(sw, peer),
                     why);
}

/* True if @taken is, was or will be the RAM that @ram says. */
static bool is_taken(const IdtNtbTakenRam *taken, const IdtNtbPeerRam *ram,
                     uint32_t generation)
{
    return taken->seq == ram->seq && taken->generation == generation &&
           taken->number == ram->fd;
}

/*
 * The file of @ram, which stays ours; or -1.  Leaves half of its time to the
 * access, to go by request: the next one looks again.
 */
static int take_ram(IdtNtbMapping *d, unsigned peer, const IdtNtbPeerRam *ram)
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
        taken->job = idt_ntb_ram_open(d->sw, peer, ram,
                                         d->trust_peers);
        timeout_ms = idt_ntb_request_access_ms(d->request) / 2;
    }
    if (!idt_ntb_ram_open_wait(taken->job, timeout_ms)) {
        return -1;
    }
    taken->fd = idt_ntb_ram_open_result(taken->job, &why);
    g_clear_pointer(&taken->job, idt_ntb_ram_open_end);
    if (taken->fd < 0) {
        refuse_ram(d, peer, why);
    }
    return is_taken(taken, ram, generation) ? taken->fd : -1;
}

/*
 * Shows that we hold memory of @peer.  Look again after it.  A port that closes
 * its memory does it the other way round: at least one side sees the other's
 * update.
 */
static void hold(IdtNtbMapping *d, unsigned peer)
{
    qatomic_fetch_or(&port_block(d, d->sw->slot)->holds, BIT(peer));
    smp_mb__after_rmw();        /* pairs with idt_ntb_window_changed() */
}

static IdtNtbAlias *map_remote(IdtNtbMapping *d, unsigned bar,
                                 uint64_t offset, const IdtNtbTranslation *t)
{
    IdtNtbAlias *m;
    MapRange range;
    IdtNtbPeerRam ram;
    const char *why;
    int fd;

    if (!idt_ntb_ram_find(d->sw, t->slot,
                             t->addr + (offset - t->start), &ram) ||
        !find_range(d, bar, offset, t, ram.addr, ram.size, ram.offset,
                    &range) ||
        idt_ntb_request_is_stalled(d->request, t->slot)) {
        return NULL;
    }
    give_up_overlaps(d, bar, &range);
    /* Complete earlier requests before what is stored from now on */
    if (take_ram(d, t->slot, &ram) < 0 ||
        !idt_ntb_request_flush(d->request, t->slot)) {
        goto fail;
    }
    /* Waiting for them can release RAM of which nothing is mapped */
    fd = take_ram(d, t->slot, &ram);
    if (fd < 0) {
        goto fail;
    }
    m = idt_ntb_alias_new(fd, range.offset, range.end - range.start, &why);
    if (!m) {
        refuse_ram(d, t->slot, why);
        goto fail;
    }
    m->seq = ram.seq;
    m->generation = d->peer[t->slot].generation;
    m->file = ram.fd;
    m->id = ram.id;
    m->file_offset = range.offset;
    place(d, m, bar, t, &range);
    hold(d, t->slot);
    /* Closed since @t was made?  Whoever closes it from now on waits for us */
    if (open_end(d, m) < m->end || !mapping_is_allowed(d, m)) {
        object_unref(OBJECT(m));
        goto fail;
    }
    insert(d, m);
    return m;

fail:
    update_holds(d);
    return NULL;
}

/* The RAM of @local around @offset: all of @t, or from the page on */
static MemoryRegionSection find_local_around(const IdtNtbMapping *d,
                                             IdtNtbRequest *local,
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
static void map_local(IdtNtbMapping *d, IdtNtbRequest *local, unsigned bar,
                      uint64_t offset, const IdtNtbTranslation *t)
{
    MemoryRegionSection section = find_local_around(d, local, offset, t);
    MapRange range;
    IdtNtbAlias *m;

    if (section.mr &&
        find_range(d, bar, offset, t, section.offset_within_address_space,
                   int128_get64(section.size), section.offset_within_region,
                   &range)) {
        give_up_overlaps(d, bar, &range);
        m = idt_ntb_alias_new_local(section.mr, range.offset);
        place(d, m, bar, t, &range);
        insert(d, m);
    }
    memory_region_unref(section.mr);
}

/*
 * A mapping takes a memory slot.  Without a free one KVM ends QEMU, and vhost
 * keeps the memory table that it had.
 */
static bool has_free_slot(const IdtNtbMapping *d)
{
    unsigned available = vhost_get_free_memslots();

    if (idt_ntb_mapping_count(d) >= MAX_MAPPINGS) {
        warn_report_once("idt-ntb: port %u: windows are slow: what they show "
                         "is in more than %u pieces", d->sw->port,
                         MAX_MAPPINGS);
        return false;
    }
    if (kvm_enabled()) {
        available = MIN(available, kvm_get_free_memslots());
    }
    if (available > SPARE_SLOTS + memory_devices_get_reserved_memslots()) {
        return true;
    }
    warn_report_once("idt-ntb: port %u: windows are slow: KVM or vhost has too "
                     "few free memory slots", d->sw->port);
    return false;
}

void *idt_ntb_mapping_map(IdtNtbMapping *d, unsigned bar, uint64_t offset,
                         const IdtNtbTranslation *t, uint64_t *len)
{
    uint64_t page = map_page_size();
    uint64_t guest = idt_ntb_translate_bar_addr(d->sw, d->pci, bar) + offset;
    const IdtNtbSwitch *sw = d->sw;
    IdtNtbRequest *local;
    IdtNtbAlias *m;

    QLIST_FOREACH(m, &d->mappings, next) {
        if (m->open && m->bar == bar && m->start <= offset &&
            offset < m->end) {
            break;
        }
    }
    if (!m && d->enabled &&
        idt_ntb_switch_has_completions(sw, sw->slot) && has_free_slot(d)) {
        local = idt_ntb_request_local(d->request, t->slot);
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

bool idt_ntb_mapping_holds(const IdtNtbMapping *d, unsigned peer)
{
    IdtNtbAlias *m;

    QLIST_FOREACH(m, &d->mappings, next) {
        if (m->peer == peer) {
            return true;
        }
    }
    return false;
}

/* Closing what others hold */

typedef struct CloseWait {
    IdtNtbMapping *d;
    uint32_t pending;           /* a bit per peer */
    bool all;                   /* what is mapped of ours, open or not */
    uint32_t request[IDT_MAX_NT_PORTS];
} CloseWait;

static bool has_closed(const CloseWait *w, unsigned i)
{
    const IdtNtbSwitch *sw = w->d->sw;
    IdtNtbShmPort *p = port_block(w->d, i);
    uint32_t ack = qatomic_load_acquire(&p->close_ack);
    uint32_t holds = qatomic_load_acquire(&p->holds);

    /* A dead port has no link and holds nothing; one in reset can hold */
    if (!holds && !idt_ntb_switch_link(sw, idt_ntb_switch_port(sw, i))) {
        return true;
    }
    return (int32_t)(ack - w->request[i]) >= 0 &&
           !(w->all && holds & BIT(sw->slot));
}

static bool all_have_closed(void *opaque)
{
    CloseWait *w = opaque;

    for (unsigned i = 0; i < w->d->sw->num_ports; i++) {
        if (w->pending & BIT(i) && has_closed(w, i)) {
            w->pending &= ~BIT(i);
        }
    }
    return !w->pending;
}

/* True for a holder that let us wait before and still does. */
static bool is_silent(IdtNtbMapping *d, unsigned i)
{
    IdtNtbTakenRam *peer = &d->peer[i];

    if (peer->silent &&
        (int32_t)(qatomic_read(&port_block(d, i)->close_ack) -
                  peer->silent_request) >= 0) {
        peer->silent = false;
    }
    return peer->silent;
}

static void set_silent(IdtNtbMapping *d, unsigned i, uint32_t request)
{
    IdtNtbSwitch *sw = d->sw;
    int64_t now = g_get_monotonic_time();

    d->peer[i].silent = true;
    d->peer[i].silent_request = request;
    trace_idt_ntb_close_stalled(sw->port, idt_ntb_switch_port(sw, i));
    if (d->peer[i].silence_told &&
        now - d->peer[i].silence_told < SILENCE_PERIOD_US) {
        return;
    }
    d->peer[i].silence_told = now;
    warn_report("idt-ntb: port %u: port %u has not given up its windows onto "
                "this guest within %u ms; it may still access its memory",
                sw->port, idt_ntb_switch_port(sw, i),
                d->timeout_ms);
}

/* Asks @holders; what to wait for is in @w. */
static void ask(CloseWait *w, uint32_t holders)
{
    IdtNtbSwitch *sw = w->d->sw;

    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned port = idt_ntb_switch_port(sw, i);

        if (i == sw->slot || !(holders & BIT(i)) ||
            (!qatomic_read(&port_block(w->d, i)->holds) &&
             !idt_ntb_switch_link(sw, port))) {
            continue;
        }
        w->request[i] = idt_ntb_switch_ask_close(sw, port);
        if (!is_silent(w->d, i)) {
            w->pending |= BIT(i);
        }
    }
}

static void wait_for_holders(CloseWait *w)
{
    IdtNtbMapping *d = w->d;
    int64_t deadline = g_get_monotonic_time() +
                       d->timeout_ms * 1000LL;

    if (!w->pending ||
        idt_ntb_request_wait(d->request, all_have_closed, w,
                              deadline)) {
        return;
    }
    for (unsigned i = 0; i < d->sw->num_ports; i++) {
        if (w->pending & BIT(i)) {
            set_silent(d, i, w->request[i]);
        }
    }
}

void idt_ntb_mapping_ask(IdtNtbMapping *d)
{
    CloseWait w = { .d = d };

    ask(&w, idt_ntb_switch_holders(d->sw, BIT(d->sw->slot)));
}

void idt_ntb_mapping_close(IdtNtbMapping *d, uint32_t holders)
{
    CloseWait w = { .d = d };

    ask(&w, holders);
    wait_for_holders(&w);
}

void idt_ntb_mapping_expel(IdtNtbMapping *d)
{
    const IdtNtbSwitch *sw = d->sw;
    CloseWait w = { .d = d, .all = true };

    smp_mb();                   /* pairs with hold() */
    ask(&w, idt_ntb_switch_holders(sw, BIT(sw->slot)));
    for (unsigned i = 0; i < sw->num_ports; i++) {
        if (idt_ntb_request_local(d->request, i)) {
            w.pending &= ~BIT(i);       /* its vCPUs have stopped too */
        }
    }
    /* A vCPU that waits for us can't leave its block of code: serve it */
    idt_ntb_request_serve_stopped(true);
    wait_for_holders(&w);
    idt_ntb_request_serve_stopped(false);
}

/* Start and stop; what there is to see */

void idt_ntb_mapping_start(IdtNtbMapping *d)
{
    QLIST_INIT(&d->mappings);
    for (unsigned i = 0; i < ARRAY_SIZE(d->peer); i++) {
        d->peer[i] = (IdtNtbTakenRam) { .fd = -1, .seq = 1 };
    }
    d->ones = -1;
    d->started = true;
    /* Requests to who had the port before */
    d->acknowledged = qatomic_read(&port_block(d, d->sw->slot)
                                   ->close_req) - 1;
    idt_ntb_mapping_look(d);
}

void idt_ntb_mapping_stop(IdtNtbMapping *d)
{
    if (!d->started) {
        return;
    }
    d->stopping = true;
    give_up_all(d);
    d->stopping = false;
    for (unsigned i = 0; i < ARRAY_SIZE(d->peer); i++) {
        g_clear_pointer(&d->peer[i].job, idt_ntb_ram_open_end);
    }
    if (d->ones >= 0) {
        close(d->ones);
    }
    d->started = false;
}

unsigned idt_ntb_mapping_count(const IdtNtbMapping *d)
{
    IdtNtbAlias *m;
    unsigned n = 0;

    QLIST_FOREACH(m, &d->mappings, next) {
        n++;
    }
    return n;
}

char *idt_ntb_mapping_list(const IdtNtbMapping *d)
{
    const IdtNtbSwitch *sw = d->sw;
    GString *text = g_string_new(NULL);
    IdtNtbAlias *m;

    QLIST_FOREACH(m, &d->mappings, next) {
        unsigned port = idt_ntb_switch_port(sw, m->peer);

        g_string_append_printf(text, "BAR%u+0x%" PRIx64 "-0x%" PRIx64
                               ": partition %u, 0x%" PRIx64 "\n", m->bar,
                               m->start, m->end - 1,
                               idt_ntb_switch_partition(sw, port), m->addr);
    }
    return g_string_free(text, FALSE);
}
