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

static IdtNtbShmPort *port_block(const IdtNtbMapping *m, unsigned slot)
{
    return idt_ntb_switch_block(m->sw, slot);
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
static void update_holds(IdtNtbMapping *m)
{
    IdtNtbShmPort *p = port_block(m, m->sw->slot);
    IdtNtbAlias *alias;
    uint32_t holds = 0;

    QLIST_FOREACH(alias, &m->mappings, next) {
        holds |= BIT(alias->slot);
    }
    for (unsigned slot = 0; slot < ARRAY_SIZE(m->taken); slot++) {
        if (!(holds & BIT(slot))) {
            release_ram(&m->taken[slot]);
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

static bool local_is_allowed(const IdtNtbMapping *m, const IdtNtbAlias *alias)
{
    IdtNtbRequest *local = idt_ntb_request_local(m->request, alias->slot);
    MemoryRegionSection section;
    bool same;

    if (!local) {
        return false;
    }
    section = find_local(local, alias->addr, alias->end - alias->start);
    same = section.mr == alias->local &&
           section.offset_within_region == alias->local_offset &&
           int128_get64(section.size) == alias->end - alias->start;
    memory_region_unref(section.mr);
    return same;
}

/* True while the peer's table says the same as when @alias was made. */
static bool remote_is_allowed(const IdtNtbMapping *m, IdtNtbAlias *alias)
{
    const IdtNtbSwitch *sw = m->sw;
    IdtNtbPeerRam ram;

    if (idt_ntb_ram_seq(sw, alias->slot) == alias->seq) {
        return true;
    }
    if (!idt_ntb_ram_find(sw, alias->slot, alias->addr, &ram) ||
        ram.fd != alias->file || ram.id != alias->id ||
        ram.offset + (alias->addr - ram.addr) != alias->file_offset ||
        ram.size - (alias->addr - ram.addr) < alias->end - alias->start) {
        return false;
    }
    alias->seq = ram.seq;
    return true;
}

/*
 * Returns: true while we may read the pages of @alias: our NTCTL.CPEN is set,
 * and the RAM is still the same.
 */
static bool is_allowed(const IdtNtbMapping *m, IdtNtbAlias *alias)
{
    const IdtNtbSwitch *sw = m->sw;

    /* The guest can read what is mapped */
    return idt_ntb_gate_has_completions(sw, sw->slot) &&
           (alias->local ? local_is_allowed(m, alias) :
                           remote_is_allowed(m, alias));
}

/*
 * Returns: the offset up to which the window of @alias is open and leads to the
 * same port and address as when @alias was made; @alias->start if it does not.
 */
static uint64_t find_open_end(const IdtNtbMapping *m, const IdtNtbAlias *alias)
{
    const IdtNtbSwitch *sw = m->sw;
    IdtNtbTranslation t;

    idt_ntb_translate_offset(sw, m->pci, alias->bar, alias->start, &t);
    if (!t.ok || t.slot != alias->slot ||
        t.addr + (alias->start - t.start) != alias->addr ||
        !idt_ntb_gate_is_open(sw, sw->slot, alias->slot) ||
        (!alias->local &&
         qatomic_read(&port_block(m, alias->slot)->generation) !=
         alias->generation)) {
        return alias->start;
    }
    return MIN(t.end, alias->end);
}

/* Giving up */

static void forget_mapping(IdtNtbAlias *alias)
{
    alias->left = NULL;
    QLIST_REMOVE(alias, next);
    object_unref(OBJECT(alias));
}

/* Cuts @alias off from @from on.  Returns: true if nothing reaches that. */
static bool cut_off(IdtNtbMapping *m, IdtNtbAlias *alias, uint64_t from)
{
    if (alias->local) {
        return true;
    }
    if (m->ones < 0) {
        m->ones = idt_ntb_alias_ones_file();
    }
    return idt_ntb_alias_cut_off(alias, from, m->ones);
}

/* Called when @alias is out of the guest's address space. */
static void finish_leaving(IdtNtbAlias *alias)
{
    IdtNtbMapping *m = alias->owner;

    /* DMA of another thread may still refer to it */
    cut_off(m, alias, alias->start);
    forget_mapping(alias);
    update_holds(m);
    idt_ntb_request_wake(m->request);
    if (qatomic_read(&port_block(m, m->sw->slot)->close_req) !=
        m->acknowledged) {
        qemu_bh_schedule(m->request->look_bh);
    }
}

/*
 * Gives up @alias, whose window is open up to offset @end.
 *
 * With TCG, vCPUs can store to the pages until they leave their block of code.
 * Cut the closed part off at once: drop such stores, so that the closer does
 * not wait for vCPUs, which may be waiting for it.  Don't cut off the open
 * part: such stores arrive, and later ones go by request.
 */
static void give_up_mapping(IdtNtbMapping *m, IdtNtbAlias *alias, uint64_t end)
{
    const IdtNtbSwitch *sw = m->sw;
    uint64_t from = alias->start + ROUND_UP(end - alias->start,
                                            qemu_real_host_page_size());
    bool done;

    trace_idt_ntb_unmap(sw->port, alias->bar, alias->start,
                        idt_ntb_switch_port(sw, alias->slot));
    alias->left = finish_leaving;
    if (idt_ntb_alias_leave(alias, m->stopping, end < alias->end)) {
        cut_off(m, alias, alias->start);
        forget_mapping(alias);
        return;
    }
    if (end == alias->end) {
        return;
    }
    done = from >= alias->end || cut_off(m, alias, from);
    if (done && from == alias->start) {
        forget_mapping(alias);
        return;
    }
    alias->closed |= !done || from != end;
    alias->end = end;
}

static void give_up_all(IdtNtbMapping *m)
{
    IdtNtbAlias *alias, *next;

    QLIST_FOREACH_SAFE(alias, &m->mappings, next, next) {
        give_up_mapping(m, alias, find_open_end(m, alias));
    }
    update_holds(m);
}

/* Makes room for a mapping of @range. */
static void give_up_overlaps(IdtNtbMapping *m, unsigned bar,
                             const MapRange *range)
{
    IdtNtbAlias *alias, *next;

    QLIST_FOREACH_SAFE(alias, &m->mappings, next, next) {
        if (alias->open && alias->bar == bar && alias->start < range->end &&
            range->start < alias->end) {
            give_up_mapping(m, alias, find_open_end(m, alias));
        }
    }
    update_holds(m);
}

void idt_ntb_mapping_drop_all(IdtNtbMapping *m)
{
    if (m->started) {
        give_up_all(m);
    }
}

void idt_ntb_mapping_sync(IdtNtbMapping *m)
{
    IdtNtbAlias *alias, *next;

    if (!m->started || QLIST_EMPTY(&m->mappings)) {
        return;
    }
    QLIST_FOREACH_SAFE(alias, &m->mappings, next, next) {
        uint64_t end = find_open_end(m, alias);

        if (end < alias->end || (alias->open && !is_allowed(m, alias))) {
            give_up_mapping(m, alias, end);
        }
    }
    update_holds(m);
}

/* True if a vCPU can reach a closed part until finish_leaving(). */
static bool is_late(const IdtNtbMapping *m)
{
    IdtNtbAlias *alias;

    QLIST_FOREACH(alias, &m->mappings, next) {
        if (alias->closed) {
            return true;
        }
    }
    return false;
}

void idt_ntb_mapping_look(IdtNtbMapping *m)
{
    IdtNtbShmPort *p;
    uint32_t request;

    if (!m->started) {
        return;
    }
    p = port_block(m, m->sw->slot);
    request = qatomic_load_acquire(&p->close_req);
    if (request == m->acknowledged) {
        return;
    }
    m->request->changes++;
    idt_ntb_mapping_sync(m);
    if (is_late(m)) {
        return;
    }
    m->acknowledged = request;
    qatomic_set_mb(&p->close_ack, request);
    idt_ntb_request_wake(m->request);
}

/* Mapping */

/* Pages of both the host and the guest */
static uint64_t map_page_size(void)
{
    return MAX(qemu_real_host_page_size(), qemu_target_page_size());
}

/* The whole pages around @offset that both @t and @ram cover. */
static bool find_range(const IdtNtbMapping *m, unsigned bar, uint64_t offset,
                       const IdtNtbTranslation *t, uint64_t ram_addr,
                       uint64_t ram_size, uint64_t ram_offset, MapRange *range)
{
    uint64_t page = map_page_size();
    uint64_t bar_addr = idt_ntb_translate_bar_addr(m->sw, m->pci, bar);
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

/* Sets what @alias maps, and where. */
static void place_mapping(IdtNtbMapping *m, IdtNtbAlias *alias, unsigned bar,
                          const IdtNtbTranslation *t, const MapRange *range)
{
    alias->owner = m;
    alias->bar = bar;
    alias->slot = t->slot;
    alias->addr = t->addr + (range->start - t->start);
    alias->start = range->start;
    alias->end = range->end;
}

/* Shows @alias to the guest. */
static void insert_mapping(IdtNtbMapping *m, IdtNtbAlias *alias)
{
    const IdtNtbSwitch *sw = m->sw;

    idt_ntb_alias_enter(alias, m->bar[alias->bar]);
    QLIST_INSERT_HEAD(&m->mappings, alias, next);
    update_holds(m);
    trace_idt_ntb_map(sw->port, alias->bar, alias->start,
                      alias->end - alias->start,
                      idt_ntb_switch_port(sw, alias->slot), alias->addr);
}

/* Remembers, until its table changes, that this RAM can't be mapped. */
static void refuse_ram(IdtNtbMapping *m, unsigned slot, const char *why)
{
    const IdtNtbSwitch *sw = m->sw;
    IdtNtbTakenRam *taken = &m->taken[slot];

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

static bool is_refused(const IdtNtbMapping *m, unsigned slot,
                       const IdtNtbPeerRam *ram)
{
    const IdtNtbTakenRam *taken = &m->taken[slot];

    return taken->refused &&
           is_taken(taken, ram,
                    qatomic_read(&port_block(m, slot)->generation));
}

/*
 * Opens @ram.  Spends at most half of the access's time, so that the access can
 * go by request; the next access looks again.
 *
 * Returns: a descriptor, which stays ours, or -1.
 */
static int take_ram(IdtNtbMapping *m, unsigned slot, const IdtNtbPeerRam *ram)
{
    IdtNtbTakenRam *taken = &m->taken[slot];
    uint32_t generation = qatomic_read(&port_block(m, slot)->generation);
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
        taken->job = idt_ntb_ram_open(m->sw, slot, ram, m->trust_peers);
        timeout_ms = idt_ntb_request_access_ms(m->request) / 2;
    }
    if (!idt_ntb_ram_open_wait(taken->job, timeout_ms)) {
        return -1;
    }
    taken->fd = idt_ntb_ram_open_result(taken->job, &why);
    g_clear_pointer(&taken->job, idt_ntb_ram_open_end);
    if (taken->fd < 0) {
        refuse_ram(m, slot, why);
    }
    return is_taken(taken, ram, generation) ? taken->fd : -1;
}

/*
 * Shows that we hold memory of the port at @slot.  The caller looks again after
 * that.  A port that closes its memory does it the other way round: at least
 * one side sees the other's update.
 */
static void show_hold(IdtNtbMapping *m, unsigned slot)
{
    qatomic_fetch_or(&port_block(m, m->sw->slot)->holds, BIT(slot));
    smp_mb__after_rmw();        /* pairs with idt_ntb_window_update() */
}

/*
 * True if KVM and vhost have room for a mapping, which takes a memory slot:
 * without a free one KVM ends QEMU, and vhost keeps its old memory table.
 */
static bool has_free_memslot(const IdtNtbMapping *m)
{
    unsigned available = vhost_get_free_memslots();

    if (idt_ntb_mapping_count(m) >= MAX_MAPPINGS) {
        warn_report_once("idt-ntb: port %u: windows are slow: what they show "
                         "is in more than %u pieces", m->sw->port,
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
                     "few free memory slots", m->sw->port);
    return false;
}

static IdtNtbAlias *map_remote(IdtNtbMapping *m, unsigned bar,
                               uint64_t offset, const IdtNtbTranslation *t)
{
    IdtNtbAlias *alias;
    MapRange range;
    IdtNtbPeerRam ram;
    const char *why;
    int fd;

    if (!idt_ntb_ram_find(m->sw, t->slot, t->addr + (offset - t->start),
                          &ram) ||
        !find_range(m, bar, offset, t, ram.addr, ram.size, ram.offset,
                    &range) ||
        idt_ntb_request_is_stalled(m->request, t->slot) ||
        is_refused(m, t->slot, &ram) || !has_free_memslot(m)) {
        return NULL;
    }
    give_up_overlaps(m, bar, &range);
    /* Complete earlier requests before what is stored from now on */
    if (take_ram(m, t->slot, &ram) < 0 ||
        !idt_ntb_request_flush(m->request, t->slot)) {
        goto fail;
    }
    /* Waiting for them can release RAM of which nothing is mapped */
    fd = take_ram(m, t->slot, &ram);
    if (fd < 0) {
        goto fail;
    }
    alias = idt_ntb_alias_new(fd, range.offset, range.end - range.start, &why);
    if (!alias) {
        refuse_ram(m, t->slot, why);
        goto fail;
    }
    alias->seq = ram.seq;
    alias->generation = m->taken[t->slot].generation;
    alias->file = ram.fd;
    alias->id = ram.id;
    alias->file_offset = range.offset;
    place_mapping(m, alias, bar, t, &range);
    show_hold(m, t->slot);
    /* Look whether it was closed meanwhile; a later closer waits for us */
    if (find_open_end(m, alias) < alias->end || !is_allowed(m, alias)) {
        object_unref(OBJECT(alias));
        goto fail;
    }
    insert_mapping(m, alias);
    return alias;

fail:
    update_holds(m);
    return NULL;
}

/* Finds the RAM of @local around @offset: in all of @t, or from the page on. */
static MemoryRegionSection find_local_around(const IdtNtbMapping *m,
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
static void map_local(IdtNtbMapping *m, IdtNtbRequest *local, unsigned bar,
                      uint64_t offset, const IdtNtbTranslation *t)
{
    MemoryRegionSection section = find_local_around(m, local, offset, t);
    MapRange range;
    IdtNtbAlias *alias;

    if (section.mr &&
        find_range(m, bar, offset, t, section.offset_within_address_space,
                   int128_get64(section.size), section.offset_within_region,
                   &range) &&
        has_free_memslot(m)) {
        give_up_overlaps(m, bar, &range);
        alias = idt_ntb_alias_new_local(section.mr, range.offset);
        place_mapping(m, alias, bar, t, &range);
        insert_mapping(m, alias);
    }
    memory_region_unref(section.mr);
}

void *idt_ntb_mapping_map(IdtNtbMapping *m, unsigned bar, uint64_t offset,
                          const IdtNtbTranslation *t, uint64_t *len)
{
    uint64_t page = map_page_size();
    uint64_t guest = idt_ntb_translate_bar_addr(m->sw, m->pci, bar) + offset;
    IdtNtbRequest *local;
    IdtNtbAlias *alias;

    QLIST_FOREACH(alias, &m->mappings, next) {
        if (alias->open && alias->bar == bar && alias->start <= offset &&
            offset < alias->end) {
            break;
        }
    }
    if (!alias && m->enabled &&
        idt_ntb_gate_has_completions(m->sw, m->sw->slot)) {
        local = idt_ntb_request_local(m->request, t->slot);
        if (local) {
            map_local(m, local, bar, offset, t);
        } else {
            alias = map_remote(m, bar, offset, t);
        }
    }
    if (!alias || alias->local) {
        /* QEMU tracks changes of local RAM: write it by request */
        *len = MIN(*len, page - guest % page);
        return NULL;
    }
    *len = MIN(*len, alias->end - offset);
    return alias->ptr + (offset - alias->start);
}

bool idt_ntb_mapping_holds(const IdtNtbMapping *m, unsigned slot)
{
    IdtNtbAlias *alias;

    QLIST_FOREACH(alias, &m->mappings, next) {
        if (alias->slot == slot) {
            return true;
        }
    }
    return false;
}

/* Start, stop and properties */

void idt_ntb_mapping_start(IdtNtbMapping *m)
{
    QLIST_INIT(&m->mappings);
    for (unsigned slot = 0; slot < ARRAY_SIZE(m->taken); slot++) {
        m->taken[slot] = (IdtNtbTakenRam) { .fd = -1, .seq = 1 };
    }
    m->ones = -1;
    m->started = true;
    /* Ignore requests to a former owner of the port */
    m->acknowledged = qatomic_read(&port_block(m, m->sw->slot)
                                   ->close_req) - 1;
    idt_ntb_mapping_look(m);
}

void idt_ntb_mapping_stop(IdtNtbMapping *m)
{
    if (!m->started) {
        return;
    }
    m->stopping = true;
    give_up_all(m);
    m->stopping = false;
    for (unsigned slot = 0; slot < ARRAY_SIZE(m->taken); slot++) {
        g_clear_pointer(&m->taken[slot].job, idt_ntb_ram_open_end);
    }
    if (m->ones >= 0) {
        close(m->ones);
    }
    m->started = false;
}

unsigned idt_ntb_mapping_count(const IdtNtbMapping *m)
{
    IdtNtbAlias *alias;
    unsigned n = 0;

    QLIST_FOREACH(alias, &m->mappings, next) {
        n++;
    }
    return n;
}

char *idt_ntb_mapping_list(const IdtNtbMapping *m)
{
    const IdtNtbSwitch *sw = m->sw;
    GString *text = g_string_new(NULL);
    IdtNtbAlias *alias;

    QLIST_FOREACH(alias, &m->mappings, next) {
        g_string_append_printf(text, "BAR%u+0x%" PRIx64 "-0x%" PRIx64
                               ": partition %u, 0x%" PRIx64 "\n", alias->bar,
                               alias->start, alias->end - 1,
                               idt_ntb_switch_partition(sw, alias->slot),
                               alias->addr);
    }
    return g_string_free(text, FALSE);
}
