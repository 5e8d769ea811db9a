/*
 * IDT 89HPESxNTx PCIe switch: memory windows
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "exec/ramblock.h"
#include "hw/boards.h"
#include "hw/qdev-core.h"
#include "system/runstate.h"
#include "bars.h"
#include "window.h"
#include "trace.h"

/* BARLIMIT has no bits below this: they count as ones */
#define BARLIMIT_ONES   0x3ffULL

/* How often to tell that accesses are refused */
#define REFUSAL_PERIOD_MS 1000

/* Translation */

uint64_t idt_ntb_window_bar_addr(const IdtNtbWindow *w, unsigned bar)
{
    const uint8_t *reg = w->pci->config + PCI_BASE_ADDRESS_0 + bar * 4;
    uint64_t addr = pci_get_long(reg) & PCI_BASE_ADDRESS_MEM_MASK;

    if (idt_ntb_bar_is_64bit(w->sw->barsetup[bar])) {
        addr |= (uint64_t)pci_get_long(reg + 4) << 32;
    }
    return addr;
}

/* BARLIMIT and the bases are compared and added as bus addresses. */
static void translate_direct(const IdtNtbWindow *w, unsigned bar,
                             uint64_t offset, IdtNtbTranslation *t)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(w->sw, w->sw->port);
    uint64_t bar_addr = idt_ntb_window_bar_addr(w, bar);
    uint64_t limit = qatomic_read(&p->barlimit[bar]) | BARLIMIT_ONES;
    uint64_t size = idt_ntb_bar_size(w->sw->barsetup[bar]);

    if (idt_ntb_bar_is_64bit(w->sw->barsetup[bar])) {
        limit |= (uint64_t)qatomic_read(&p->barlimit[bar + 1]) << 32;
    }
    t->peer = idt_ntb_switch_find_nt(w->sw,
                                     FIELD_EX32(qatomic_read(&p->barsetup[bar]),
                                                BARSETUP0, TPART));
    t->addr = deposit64(qatomic_read(&p->barltbase[bar]), 32, 32,
                        qatomic_read(&p->barutbase[bar]));
    t->start = 0;
    t->end = size;
    t->ok = limit >= bar_addr;
    if (t->ok && limit - bar_addr < size - 1) {
        uint64_t valid = limit - bar_addr + 1;

        t->ok = offset < valid;
        *(t->ok ? &t->end : &t->start) = valid;
    }
}

static void translate_lut(const IdtNtbWindow *w, unsigned bar,
                          uint64_t offset, IdtNtbTranslation *t)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(w->sw, w->sw->port);
    uint32_t barsetup = w->sw->barsetup[bar];
    uint64_t size = idt_ntb_bar_size(barsetup) / idt_ntb_bar_segments(barsetup);
    unsigned index = offset / size;
    uint32_t udata;

    t->start = index * size;
    t->end = t->start + size;
    t->ok = index < idt_ntb_bar_windows(barsetup);
    if (t->ok) {
        uint32_t *entry = p->lut[idt_ntb_lut(bar)][index];

        t->addr = deposit64(qatomic_read(&entry[0]), 32, 32,
                            qatomic_read(&entry[1]));
        udata = qatomic_read(&entry[2]);
        t->ok = FIELD_EX32(udata, LUTUDATA, VALID);
        t->peer = idt_ntb_switch_find_nt(w->sw,
                                         FIELD_EX32(udata, LUTUDATA, PART));
    }
}

void idt_ntb_window_translate(const IdtNtbWindow *w, unsigned bar,
                               uint64_t offset, IdtNtbTranslation *t)
{
    if (idt_ntb_bar_segments(w->sw->barsetup[bar]) == 1) {
        translate_direct(w, bar, offset, t);
    } else {
        translate_lut(w, bar, offset, t);
    }
    t->ok &= t->peer >= 0;
    /* The address space ends at 2^64 */
    if (t->ok && t->end - t->start - 1 > UINT64_MAX - t->addr) {
        uint64_t valid = t->start + (UINT64_MAX - t->addr) + 1;

        t->ok = offset < valid;
        *(t->ok ? &t->end : &t->start) = valid;
    }
}

/* Access from our guest */

/*
 * Limits the messages about what may come a million times a second.
 *
 * Returns: of how many refusals to tell now; 0 for none.
 */
static unsigned refusals_to_tell(IdtNtbRefusals *r)
{
    int64_t now;
    unsigned count;

    r->count++;
    if (!qemu_loglevel_mask(LOG_GUEST_ERROR)) {
        return 0;
    }
    now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    if (now - r->told < REFUSAL_PERIOD_MS) {
        return 0;
    }
    count = r->count;
    *r = (IdtNtbRefusals) { .told = now };
    return count;
}

static void window_refuse(IdtNtbWindow *w, unsigned bar, uint64_t offset,
                          unsigned len, bool is_write, const char *why)
{
    unsigned count;

    trace_idt_ntb_window_refused(w->sw->port, bar, offset, is_write);
    idt_ntb_errors_unsupported(w->errors,
                               idt_ntb_window_bar_addr(w, bar) + offset, len,
                               is_write);
    count = refusals_to_tell(&w->own_refusals);
    if (count) {
        qemu_log("idt-ntb: port %u: %s BAR%u+0x%" PRIx64 " is refused: %s "
                 "(%u times since last told)\n", w->sw->port,
                 is_write ? "write to" : "read of", bar, offset, why, count);
    }
}

static void copy_bytes(void *to, const void *from, unsigned len)
{
    if (is_power_of_2(len)) {
        stn_he_p(to, len, ldn_he_p(from, len));
    } else {
        memcpy(to, from, len);
    }
}

/* Returns: how many bytes of @len are done; 0 to translate @offset again. */
static unsigned window_transfer(IdtNtbWindow *w, unsigned bar,
                                uint64_t offset, const IdtNtbTranslation *t,
                                uint8_t *buf, unsigned len, bool is_write)
{
    uint64_t addr = t->addr + (offset - t->start);
    uint64_t done = len;
    uint8_t *ptr = idt_ntb_mapping_map(&w->direct, bar, offset, t, &done);
    IdtNtbRequestResult result = IDT_NTB_REQUEST_DONE;

    if (!is_write && !idt_ntb_switch_has_completions(w->sw, w->sw->slot)) {
        result = IDT_NTB_REQUEST_TIMED_OUT;
    } else if (ptr && is_write) {
        copy_bytes(ptr, buf, done);
    } else if (ptr) {
        copy_bytes(buf, ptr, done);
    } else if (is_write) {
        /* What is stored directly after it must not overtake it */
        result = idt_ntb_request_write(&w->requests, t->peer, addr, buf, done,
                                       idt_ntb_mapping_holds(&w->direct,
                                                            t->peer));
    } else {
        result = idt_ntb_request_read(&w->requests, t->peer, addr, buf, done);
    }
    if (result == IDT_NTB_REQUEST_OUTDATED &&
        idt_ntb_request_access_ms(&w->requests)) {
        return 0;
    }
    if (result == IDT_NTB_REQUEST_REFUSED) {
        window_refuse(w, bar, offset, done, is_write, "nothing answers there");
    } else if (result != IDT_NTB_REQUEST_DONE) {
        idt_ntb_errors_timeout(w->errors);
    }
    return done;
}

static void window_access(IdtNtbWindowBar *b, uint64_t offset, uint8_t *buf,
                          unsigned size, bool is_write)
{
    IdtNtbWindow *w = b->windows;

    if (!w->sw->shm) {
        return;                 /* a vCPU that waited for the BQL at unplug */
    }
    idt_ntb_request_begin_access(&w->requests);
    /* QEMU lets an access go over the end of a region; nothing is there */
    while (size && offset < memory_region_size(&b->mr)) {
        IdtNtbTranslation t;
        unsigned len;

        idt_ntb_window_translate(w, b->bar, offset, &t);
        len = MIN(size, t.end - offset);
        if (t.ok && idt_ntb_switch_open(w->sw, w->sw->slot, t.peer)) {
            len = window_transfer(w, b->bar, offset, &t, buf, len, is_write);
        } else {
            window_refuse(w, b->bar, offset, len, is_write, "no open window");
        }
        offset += len;
        buf += len;
        size -= len;
    }
    idt_ntb_errors_report(w->errors);
}

static uint64_t window_read(void *opaque, hwaddr offset, unsigned size)
{
    uint8_t buf[8];

    memset(buf, 0xff, sizeof(buf));
    window_access(opaque, offset, buf, size, false);
    return ldn_le_p(buf, size);
}

static void window_write(void *opaque, hwaddr offset, uint64_t value,
                         unsigned size)
{
    uint8_t buf[8];

    stn_le_p(buf, size, value);
    window_access(opaque, offset, buf, size, true);
}

static const MemoryRegionOps window_ops = {
    .read = window_read,
    .write = window_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

/* Access from other ports */

static void tell_slow(IdtNtbWindow *w, MemoryRegion *mr)
{
    if (w->told_slow || !mr->ram_block ||
        (qemu_ram_is_shared(mr->ram_block) &&
         qemu_ram_get_fd(mr->ram_block) >= 0)) {
        return;
    }
    w->told_slow = true;
    warn_report("idt-ntb: port %u: this guest's RAM is not shared, so windows "
                "onto it are slow; to make them fast use -object "
                "memory-backend-memfd,id=mem,size=%" PRIu64 "M,share=on "
                "-machine memory-backend=mem", w->sw->port,
                (uint64_t)current_machine->ram_size / MiB);
}

/* Returns: how much of @len it did; 0 where there is neither RAM nor ROM. */
static uint64_t bus_access(IdtNtbWindow *w, unsigned from, uint64_t addr,
                           void *buf, unsigned len, bool is_write)
{
    MemTxAttrs attrs = {
        .memory = true,
        .requester_id = pci_requester_id(w->pci),
    };
    hwaddr xlat, chunk = len;
    MemoryRegion *mr;

    RCU_READ_LOCK_GUARD();
    mr = address_space_translate(pci_get_address_space(w->pci), addr, &xlat,
                                 &chunk, is_write, attrs);
    /* A device's memory can be what a window of ours shows */
    if (!memory_region_is_ram(mr) || memory_region_is_ram_device(mr)) {
        return 0;
    }
    if (!idt_ntb_request_local(&w->requests, from)) {
        tell_slow(w, mr);
    }
    chunk = MIN(chunk, len);
    return pci_dma_rw(w->pci, addr, buf, chunk, is_write ?
                      DMA_DIRECTION_FROM_DEVICE : DMA_DIRECTION_TO_DEVICE,
                      attrs) == MEMTX_OK ? chunk : 0;
}

/* The sender of a write does not learn that it is refused: tell here */
static void tell_refused(IdtNtbWindow *w, unsigned from, uint64_t addr,
                         bool is_write)
{
    unsigned count = refusals_to_tell(&w->served_refusals);

    if (count) {
        qemu_log("idt-ntb: port %u: %s 0x%" PRIx64 " by port %u is refused: "
                 "neither RAM nor ROM (%u times since last told)\n",
                 w->sw->port, is_write ? "write to" : "read of", addr,
                 idt_ntb_switch_port(w->sw, from), count);
    }
}

static bool window_served_access(void *opaque, unsigned from, uint64_t addr,
                                 void *buf, unsigned len, bool is_write)
{
    IdtNtbWindow *w = opaque;
    bool wraps = len - 1 > UINT64_MAX - addr;

    while (len) {
        uint64_t done = wraps ? 0 : bus_access(w, from, addr, buf, len,
                                               is_write);

        if (!done) {
            tell_refused(w, from, addr, is_write);
            return false;
        }
        addr += done;
        buf += done;
        len -= done;
    }
    return true;
}

static void window_look(void *opaque)
{
    IdtNtbWindow *w = opaque;

    idt_ntb_mapping_look(&w->direct);
}

static const IdtNtbRequestOps window_requests_ops = {
    .access = window_served_access,
    .look = window_look,
};

/* Opening and closing */

void idt_ntb_window_look(IdtNtbWindow *w)
{
    idt_ntb_window_changed(w, 0, 0);
    idt_ntb_mapping_look(&w->direct);
    /* Drop mappings of peers that left silently */
    idt_ntb_mapping_sync(&w->direct);
}

void idt_ntb_window_changed(IdtNtbWindow *w, uint32_t changed,
                             uint32_t closed)
{
    uint32_t slot = BIT(w->sw->slot);
    bool memory_changed = idt_ntb_ram_take_changed(&w->memory);

    if (!changed && !closed && !memory_changed) {
        return;
    }
    if ((changed | closed) & slot || memory_changed) {
        w->requests.changes++;
        idt_ntb_mapping_sync(&w->direct);
    }
    /* What ended windows comes before the look at @holds: see hold() */
    smp_mb();
    if (memory_changed) {
        idt_ntb_mapping_ask(&w->direct);
    }
    /* Those without mappings too: what they send now is by the new registers */
    idt_ntb_mapping_close(&w->direct, (changed & ~slot) |
                                     idt_ntb_switch_holders(w->sw, closed));
}

void idt_ntb_window_close_inbound(IdtNtbWindow *w)
{
    idt_ntb_window_changed(w, 0, BIT(w->sw->slot));
}

void idt_ntb_window_close_outbound(IdtNtbWindow *w)
{
    idt_ntb_mapping_drop_all(&w->direct);
}

static void window_vm_state(void *opaque, bool running, RunState state)
{
    IdtNtbWindow *w = opaque;

    idt_ntb_ram_hide(&w->memory, !running);
    idt_ntb_window_changed(w, 0, 0);
    if (running) {
        /* Before the vCPUs run; the interrupt when all devices do */
        idt_ntb_request_drain(&w->requests);
        qemu_bh_schedule(w->requests.signalled);
    } else {
        idt_ntb_mapping_expel(&w->direct);
    }
}

void idt_ntb_window_init(IdtNtbWindow *w)
{
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        g_autofree char *name = g_strdup_printf("idt-ntb-bar%u", bar);

        w->bar[bar].windows = w;
        w->bar[bar].bar = bar;
        memory_region_init_io(&w->bar[bar].mr, OBJECT(w->pci), &window_ops,
                              &w->bar[bar], name, 0);
    }
}

void idt_ntb_window_start(IdtNtbWindow *w, QEMUBH *signalled)
{
    w->requests.sw = w->sw;
    w->requests.peers = w->peers;
    w->requests.pci = w->pci;
    w->requests.ops = &window_requests_ops;
    w->requests.opaque = w;
    w->requests.timeout_ms = w->timeout_ms;
    idt_ntb_request_start(&w->requests, signalled);
    idt_ntb_mapping_start(&w->direct, w);
    w->memory.hidden = !runstate_is_running();
    idt_ntb_ram_start(&w->memory, w->sw, w->pci, signalled);
    w->vm_state = qdev_add_vm_change_state_handler(DEVICE(w->pci),
                                                   window_vm_state, w);
}

void idt_ntb_window_stop(IdtNtbWindow *w)
{
    g_clear_pointer(&w->vm_state, qemu_del_vm_change_state_handler);
    idt_ntb_ram_stop(&w->memory);
    idt_ntb_mapping_stop(&w->direct);
    idt_ntb_request_stop(&w->requests);
}

void idt_ntb_window_reattached(IdtNtbWindow *w)
{
    idt_ntb_request_reset(&w->requests);
    idt_ntb_mapping_stop(&w->direct);
    idt_ntb_mapping_start(&w->direct, w);
    idt_ntb_ram_reset(&w->memory);
}
