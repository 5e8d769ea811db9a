/*
 * IDT 89HPESxNTx PCIe switch: mappings of other guests' RAM
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
#include "gate.h"
#include "mapping.h"
#include "trace.h"

/* Memory slots of KVM and vhost to leave to the rest of the machine */
#define SPARE_MEMSLOTS 4

/*
 * QEMU ends if an address space has 4096 sections.  A mapping takes two.  A
 * peer's RAM has a few pieces, but a hostile peer's table can show another page
 * with each access.
 */
#define MAX_MAPPINGS 128

/* The whole pages around an offset that can be mapped. */
typedef struct MapRange {
    uint64_t start;             /* offsets in the BAR */
    uint64_t end;
    uint64_t offset;            /* of @start, in the file or RAM region */
} MapRange;

static IdtNtbShmPort *port_block(const IdtNtbMapping *d, unsigned slot)
{
    return idt_ntb_switch_block(d->sw, slot);
}

/* Closes the RAM of a peer; nothing of it is mapped. */
static void release_ram(IdtNtbTakenRam *taken)
{
    if (taken->fd >= 0) {
        close(taken->fd);
        taken->fd = -1;
        taken->seq = 1;         /* odd: no table at rest has it */
    }
}

/* Shows the other ports whose memory we have mapped. */
static void update_holds(IdtNtbMapping *d)
{
    IdtNtbShmPort *p = port_block(d, d->sw->slot);
    IdtNtbAlias *m;
    uint32_t holds = 0;

    QLIST_FOREACH(m, &d->mappings, next) {
        holds |= BIT(m->slot);
    }
    for (unsigned slot = 0; slot < ARRAY_SIZE(d->taken); slot++) {
        if (!(holds & BIT(slot))) {
            release_ram(&d->taken[slot]);
        }
    }
    if (qatomic_read(&p->holds) != holds) {
        qatomic_set_mb(&p->holds, holds);
    }
}

/*
 * Finds RAM of @local that begins at bus address @addr, up to @size bytes.
 *
 * Returns: the section, whose @mr the caller unreferences; it is NULL if no RAM
 * is there.
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
    IdtNtbRequest *local = idt_ntb_request_local(d->request, m->slot);
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

    if (idt_ntb_ram_seq(sw, m->slot) == m->seq) {
        return true;
    }
    if (!idt_ntb_ram_find(sw, m->slot, m->addr, &ram) ||
        ram.fd != m->file || ram.id != m->id ||
        ram.offset + (m->addr - ram.addr) != m->file_offset ||
        ram.size - (m->addr - ram.addr) < m->end - m->start) {
        return false;
    }
    m->seq = ram.seq;
    return true;
}

/* True while the pages of @m may be in the window, be it open or closed. */
static bool is_allowed(const IdtNtbMapping *d, IdtNtbAlias *m)
{
    const IdtNtbSwitch *sw = d->sw;

    /* The guest can read what is mapped */
    return idt_ntb_gate_has_completions(sw, sw->slot) &&
           (m->local ? local_is_allowed(d, m) : remote_is_allowed(d, m));
}

/*
 * Returns: the offset up to which the window that @m is in is open and leads
 * to the same port and address as when @m was made; @m->start if it does not.
 */
static uint64_t find_open_end(const IdtNtbMapping *d, const IdtNtbAlias *m)
{
    const IdtNtbSwitch *sw = d->sw;
    IdtNtbTranslation t;

    idt_ntb_translate_offset(sw, d->pci, m->bar, m->start, &t);
    if (!t.ok || t.slot != m->slot ||
        t.addr + (m->start - t.start) != m->addr ||
        !idt_ntb_gate_is_open(sw, sw->slot, m->slot) ||
        (!m->local &&
         qatomic_read(&port_block(d, m->slot)->generation) != m->generation)) {
        return m->start;
    }
    return MIN(t.end, m->end);
}

/* Giving up */

static void forget_mapping(IdtNtbAlias *m)
{
    m->left = NULL;
    QLIST_REMOVE(m, next);
    object_unref(OBJECT(m));
}

/* Cuts @m off from offset @from on.  Returns: true if nothing reaches that. */
static bool cut_off(IdtNtbMapping *d, IdtNtbAlias *m, uint64_t from)
{
    if (m->local) {
        return true;
    }
    if (d->ones < 0) {
        d->ones = idt_ntb_alias_ones_file();
    }
    return idt_ntb_alias_cut_off(m, from, d->ones);
}

/* Called when @m is out of the guest's address space. */
static void finish_leaving(IdtNtbAlias *m)
{
    IdtNtbMapping *d = m->owner;

    /* DMA of another thread may still refer to it */
    cut_off(d, m, m->start);
    forget_mapping(m);
    update_holds(d);
    idt_ntb_request_wake(d->request);
    if (qatomic_read(&port_block(d, d->sw->slot)->close_req) !=
        d->acknowledged) {
        qemu_bh_schedule(d->request->look_bh);
    }
}

/*
 * Gives up @m, whose window is open up to offset @end.
 *
 * With TCG, vCPUs can store to the pages until they leave their block of code.
 * Cut the closed part off at once: drop such stores, so that the closer does
 * not wait for vCPUs, which may be waiting for it.  Don't cut off the open
 * part: such stores arrive, and later ones go by request.
 */
static void give_up_mapping(IdtNtbMapping *d, IdtNtbAlias *m, uint64_t end)
{
    const IdtNtbSwitch *sw = d->sw;
    uint64_t from = m->start + ROUND_UP(end - m->start,
                                        qemu_real_host_page_size());
    bool done;

    trace_idt_ntb_unmap(sw->port, m->bar, m->start,
                        idt_ntb_switch_port(sw, m->slot));
    m->left = finish_leaving;
    if (idt_ntb_alias_leave(m, d->stopping, end < m->end)) {
        cut_off(d, m, m->start);
        forget_mapping(m);
        return;
    }
    if (end == m->end) {
        return;
    }
    done = from >= m->end || cut_off(d, m, from);
    if (done && from == m->start) {
        forget_mapping(m);
        return;
    }
    m->closed |= !done || from != end;
    m->end = end;
}

static void give_up_all(IdtNtbMapping *d)
{
    IdtNtbAlias *m, *next;

    QLIST_FOREACH_SAFE(m, &d->mappings, next, next) {
        give_up_mapping(d, m, m->start);
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
            give_up_mapping(d, m, find_open_end(d, m));
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
        uint64_t end = find_open_end(d, m);

        if (end < m->end || (m->open && !is_allowed(d, m))) {
            give_up_mapping(d, m, end);
        }
    }
    update_holds(d);
}

/* True if a vCPU can reach a closed part until finish_leaving(). */
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

/* Sets what @m maps, and where. */
static void place_mapping(IdtNtbMapping *d, IdtNtbAlias *m, unsigned bar,
                          const IdtNtbTranslation *t, const MapRange *range)
{
    m->owner = d;
    m->bar = bar;
    m->slot = t->slot;
    m->addr = t->addr + (range->start - t->start);
    m->start = range->start;
    m->end = range->end;
}

/* Shows @m to the guest. */
static void insert_mapping(IdtNtbMapping *d, IdtNtbAlias *m)
{
    const IdtNtbSwitch *sw = d->sw;

    idt_ntb_alias_enter(m, d->bar[m->bar]);
    QLIST_INSERT_HEAD(&d->mappings, m, next);
    update_holds(d);
    trace_idt_ntb_map(sw->port, m->bar, m->start, m->end - m->start,
                      idt_ntb_switch_port(sw, m->slot), m->addr);
}

/* Remembers, until its table changes, that this RAM can't be mapped. */
static void refuse_ram(IdtNtbMapping *d, unsigned slot, const char *why)
{
    const IdtNtbSwitch *sw = d->sw;
    IdtNtbTakenRam *taken = &d->taken[slot];

    if (taken->fd >= 0) {
        close(taken->fd);
        taken->fd = -1;
    }
    taken->refused = true;
    warn_report_once("idt-ntb: port %u: windows onto the memory of port %u are "
                     "slow: %s", sw->port, idt_ntb_switch_port(sw, slot),
                     why);
}

/* True if @taken is @ram: open, refused, or being opened. */
static bool is_taken(const IdtNtbTakenRam *taken, const IdtNtbPeerRam *ram,
                     uint32_t generation)
{
    return taken->seq == ram->seq && taken->generation == generation &&
           taken->number == ram->fd;
}

static bool is_refused(const IdtNtbMapping *d, unsigned slot,
                       const IdtNtbPeerRam *ram)
{
    const IdtNtbTakenRam *taken = &d->taken[slot];

    return taken->refused &&
           is_taken(taken, ram,
                    qatomic_read(&port_block(d, slot)->generation));
}

/*
 * Opens @ram.  Spends at most half of the access's time, so that the access can
 * go by request; the next access looks again.
 *
 * Returns: a descriptor, which stays ours, or -1.
 */
static int take_ram(IdtNtbMapping *d, unsigned slot, const IdtNtbPeerRam *ram)
{
    IdtNtbTakenRam *taken = &d->taken[slot];
    uint32_t generation = qatomic_read(&port_block(d, slot)->generation);
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
        taken->job = idt_ntb_ram_open(d->sw, slot, ram, d->trust_peers);
        timeout_ms = idt_ntb_request_access_ms(d->request) / 2;
    }
    if (!idt_ntb_ram_open_wait(taken->job, timeout_ms)) {
        return -1;
    }
    taken->fd = idt_ntb_ram_open_result(taken->job, &why);
    g_clear_pointer(&taken->job, idt_ntb_ram_open_end);
    if (taken->fd < 0) {
        refuse_ram(d, slot, why);
    }
    return is_taken(taken, ram, generation) ? taken->fd : -1;
}

/*
 * Shows that we hold memory of the port at @slot.  The caller looks again after
 * that.  A port that closes its memory does it the other way round: at least
 * one side sees the other's update.
 */
static void show_hold(IdtNtbMapping *d, unsigned slot)
{
    qatomic_fetch_or(&port_block(d, d->sw->slot)->holds, BIT(slot));
    smp_mb__after_rmw();        /* pairs with idt_ntb_window_update() */
}

/*
 * True if KVM and vhost have room for a mapping, which takes a memory slot:
 * without a free one KVM ends QEMU, and vhost keeps its old memory table.
 */
static bool has_free_memslot(const IdtNtbMapping *d)
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
    if (available > SPARE_MEMSLOTS + memory_devices_get_reserved_memslots()) {
        return true;
    }
    warn_report_once("idt-ntb: port %u: windows are slow: KVM or vhost has too "
                     "few free memory slots", d->sw->port);
    return false;
}

static IdtNtbAlias *map_remote(IdtNtbMapping *d, unsigned bar,
                               uint64_t offset, const IdtNtbTranslation *t)
{
    IdtNtbAlias *m;
    MapRange range;
    IdtNtbPeerRam ram;
    const char *why;
    int fd;

    if (!idt_ntb_ram_find(d->sw, t->slot, t->addr + (offset - t->start),
                          &ram) ||
        !find_range(d, bar, offset, t, ram.addr, ram.size, ram.offset,
                    &range) ||
        idt_ntb_request_is_stalled(d->request, t->slot) ||
        is_refused(d, t->slot, &ram) || !has_free_memslot(d)) {
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
    m->generation = d->taken[t->slot].generation;
    m->file = ram.fd;
    m->id = ram.id;
    m->file_offset = range.offset;
    place_mapping(d, m, bar, t, &range);
    show_hold(d, t->slot);
    /* Look whether it was closed meanwhile; a later closer waits for us */
    if (find_open_end(d, m) < m->end || !is_allowed(d, m)) {
        object_unref(OBJECT(m));
        goto fail;
    }
    insert_mapping(d, m);
    return m;

fail:
    update_holds(d);
    return NULL;
}

/* Finds the RAM of @local around @offset: in all of @t, or from the page on. */
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

/* Maps RAM of this QEMU. */
static void map_local(IdtNtbMapping *d, IdtNtbRequest *local, unsigned bar,
                      uint64_t offset, const IdtNtbTranslation *t)
{
    MemoryRegionSection section = find_local_around(d, local, offset, t);
    MapRange range;
    IdtNtbAlias *m;

    if (section.mr &&
        find_range(d, bar, offset, t, section.offset_within_address_space,
                   int128_get64(section.size), section.offset_within_region,
                   &range) &&
        has_free_memslot(d)) {
        give_up_overlaps(d, bar, &range);
        m = idt_ntb_alias_new_local(section.mr, range.offset);
        place_mapping(d, m, bar, t, &range);
        insert_mapping(d, m);
    }
    memory_region_unref(section.mr);
}

void *idt_ntb_mapping_map(IdtNtbMapping *d, unsigned bar, uint64_t offset,
                          const IdtNtbTranslation *t, uint64_t *len)
{
    uint64_t page = map_page_size();
    uint64_t guest = idt_ntb_translate_bar_addr(d->sw, d->pci, bar) + offset;
    IdtNtbRequest *local;
    IdtNtbAlias *m;

    QLIST_FOREACH(m, &d->mappings, next) {
        if (m->open && m->bar == bar && m->start <= offset &&
            offset < m->end) {
            break;
        }
    }
    if (!m && d->enabled && idt_ntb_gate_has_completions(d->sw, d->sw->slot)) {
        local = idt_ntb_request_local(d->request, t->slot);
        if (local) {
            map_local(d, local, bar, offset, t);
        } else {
            m = map_remote(d, bar, offset, t);
        }
    }
    if (!m || m->local) {
        /* QEMU tracks changes of local RAM: write it by request */
        *len = MIN(*len, page - guest % page);
        return NULL;
    }
    *len = MIN(*len, m->end - offset);
    return m->ptr + (offset - m->start);
}

bool idt_ntb_mapping_holds(const IdtNtbMapping *d, unsigned slot)
{
    IdtNtbAlias *m;

    QLIST_FOREACH(m, &d->mappings, next) {
        if (m->slot == slot) {
            return true;
        }
    }
    return false;
}

/* Start, stop and properties */

void idt_ntb_mapping_start(IdtNtbMapping *d)
{
    QLIST_INIT(&d->mappings);
    for (unsigned slot = 0; slot < ARRAY_SIZE(d->taken); slot++) {
        d->taken[slot] = (IdtNtbTakenRam) { .fd = -1, .seq = 1 };
    }
    d->ones = -1;
    d->started = true;
    /* Ignore requests to a former owner of the port */
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
    for (unsigned slot = 0; slot < ARRAY_SIZE(d->taken); slot++) {
        g_clear_pointer(&d->taken[slot].job, idt_ntb_ram_open_end);
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
        g_string_append_printf(text, "BAR%u+0x%" PRIx64 "-0x%" PRIx64
                               ": partition %u, 0x%" PRIx64 "\n", m->bar,
                               m->start, m->end - 1,
                               idt_ntb_switch_partition(sw, m->slot), m->addr);
    }
    return g_string_free(text, FALSE);
}
