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
#include "system/runstate.h"
#include "bars.h"
#include "faults.h"
#include "gate.h"
#include "trace.h"
#include "translate.h"
#include "window.h"

/* How often to report that accesses are refused */
#define REFUSAL_PERIOD_MS 1000

/* Access from our guest */

/*
 * Counts a refusal.  A guest can cause a million of them in a second: limit the
 * messages.
 *
 * Returns: how many refusals to report now; 0 for none.
 */
static unsigned count_refusal(IdtNtbRefusals *r)
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

static void refuse_access(IdtNtbWindow *w, unsigned bar, uint64_t offset,
                          unsigned len, bool is_write, const char *why)
{
    uint64_t bar_addr = idt_ntb_translate_bar_addr(w->sw, w->pci, bar);
    unsigned count;

    trace_idt_ntb_window_refused(w->sw->port, bar, offset, is_write);
    idt_ntb_errors_unsupported(w->errors, bar_addr + offset, len, is_write);
    count = count_refusal(&w->own_refusals);
    if (count) {
        qemu_log("idt-ntb: port %u: %s BAR%u+0x%" PRIx64 " is refused: %s "
                 "(%u times since the last message)\n", w->sw->port,
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
static unsigned transfer_bytes(IdtNtbWindow *w, unsigned bar,
                               uint64_t offset, const IdtNtbTranslation *t,
                               uint8_t *buf, unsigned len, bool is_write)
{
    uint64_t addr = t->addr + (offset - t->start);
    uint64_t done = len;
    uint8_t *ptr = idt_ntb_mapping_map(&w->mapping, bar, offset, t, &done);
    IdtNtbRequestResult result = IDT_NTB_REQUEST_DONE;

    if (!is_write && (!idt_ntb_gate_has_completions(w->sw, w->sw->slot) ||
                      (unlikely(w->sw->faults) &&
                       idt_ntb_faults_take_completion(w->sw, t->slot)))) {
        result = IDT_NTB_REQUEST_TIMED_OUT;
    } else if (ptr && is_write) {
        copy_bytes(ptr, buf, done);
    } else if (ptr) {
        copy_bytes(buf, ptr, done);
    } else if (is_write) {
        /* Wait for it: a later store to a mapping must not overtake it */
        result = idt_ntb_request_write(&w->request, t->slot, addr, buf, done,
                                       idt_ntb_mapping_holds(&w->mapping,
                                                             t->slot));
    } else {
        result = idt_ntb_request_read(&w->request, t->slot, addr, buf, done);
    }
    if (result == IDT_NTB_REQUEST_OUTDATED &&
        idt_ntb_request_access_ms(&w->request)) {
        return 0;
    }
    if (result == IDT_NTB_REQUEST_REFUSED) {
        refuse_access(w, bar, offset, done, is_write, "nothing answers there");
    } else if (result != IDT_NTB_REQUEST_DONE) {
        idt_ntb_errors_timeout(w->errors);
    }
    return done;
}

static void access_window(IdtNtbWindowBar *b, uint64_t offset, uint8_t *buf,
                          unsigned size, bool is_write)
{
    IdtNtbWindow *w = b->window;

    if (!w->sw->shm) {
        return;                 /* a vCPU that waited for the BQL at unplug */
    }
    idt_ntb_request_begin_access(&w->request);
    /*
     * QEMU lets an access cross the end of a region: nothing is there.  A vCPU
     * that waited for the BQL can come when the BAR is gone.
     */
    while (size && offset < idt_ntb_bar_size(w->sw->barsetup[b->bar])) {
        IdtNtbTranslation t;
        unsigned len;

        idt_ntb_translate_offset(w->sw, w->pci, b->bar, offset, &t);
        len = MIN(size, t.end - offset);
        if (t.ok && idt_ntb_gate_is_open(w->sw, w->sw->slot, t.slot)) {
            len = transfer_bytes(w, b->bar, offset, &t, buf, len, is_write);
        } else {
            refuse_access(w, b->bar, offset, len, is_write, "no open window");
        }
        offset += len;
        buf += len;
        size -= len;
    }
    idt_ntb_errors_report(w->errors);
}

static uint64_t read_window(void *opaque, hwaddr offset, unsigned size)
{
    uint8_t buf[8];

    memset(buf, 0xff, sizeof(buf));
    access_window(opaque, offset, buf, size, false);
    return ldn_le_p(buf, size);
}

static void write_window(void *opaque, hwaddr offset, uint64_t value,
                         unsigned size)
{
    uint8_t buf[8];

    stn_le_p(buf, size, value);
    access_window(opaque, offset, buf, size, true);
}

static const MemoryRegionOps window_ops = {
    .read = read_window,
    .write = write_window,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

/* Access from other ports */

static void warn_slow(IdtNtbWindow *w, MemoryRegion *mr)
{
    if (w->warned_slow || !mr->ram_block ||
        (qemu_ram_is_shared(mr->ram_block) &&
         qemu_ram_get_fd(mr->ram_block) >= 0)) {
        return;
    }
    w->warned_slow = true;
    warn_report("idt-ntb: port %u: this guest's RAM is not shared, so windows "
                "onto it are slow", w->sw->port);
    info_report("Use -object memory-backend-memfd,id=mem,size=%" PRIu64
                "M,share=on -machine memory-backend=mem",
                (uint64_t)current_machine->ram_size / MiB);
}

/* Returns: how many of @len bytes it did; 0 if no RAM or ROM is at @addr. */
static uint64_t access_bus(IdtNtbWindow *w, unsigned from, uint64_t addr,
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
    /* Refuse memory of a device: it can be a mapping in our own window */
    if (!memory_region_is_ram(mr) || memory_region_is_ram_device(mr)) {
        return 0;
    }
    if (!idt_ntb_request_local(&w->request, from)) {
        warn_slow(w, mr);
    }
    chunk = MIN(chunk, len);
    return pci_dma_rw(w->pci, addr, buf, chunk, is_write ?
                      DMA_DIRECTION_FROM_DEVICE : DMA_DIRECTION_TO_DEVICE,
                      attrs) == MEMTX_OK ? chunk : 0;
}

/* Report it here: the sender of a write does not learn that it is refused */
static void report_refusal(IdtNtbWindow *w, unsigned from, uint64_t addr,
                           bool is_write)
{
    unsigned count = count_refusal(&w->served_refusals);

    if (count) {
        qemu_log("idt-ntb: port %u: %s 0x%" PRIx64 " by port %u is refused: "
                 "neither RAM nor ROM (%u times since the last message)\n",
                 w->sw->port, is_write ? "write to" : "read of", addr,
                 idt_ntb_switch_port(w->sw, from), count);
    }
}

static bool serve_access(void *opaque, unsigned from, uint64_t addr,
                         void *buf, unsigned len, bool is_write)
{
    IdtNtbWindow *w = opaque;
    bool wraps = len - 1 > UINT64_MAX - addr;

    while (len) {
        uint64_t done = wraps ? 0 : access_bus(w, from, addr, buf, len,
                                               is_write);

        if (!done) {
            report_refusal(w, from, addr, is_write);
            return false;
        }
        addr += done;
        buf += done;
        len -= done;
    }
    return true;
}

static void look_at_mappings(void *opaque)
{
    IdtNtbWindow *w = opaque;

    idt_ntb_mapping_look(&w->mapping);
}

static const IdtNtbRequestOps request_ops = {
    .access = serve_access,
    .look = look_at_mappings,
};

/* Opening and closing */

void idt_ntb_window_look(IdtNtbWindow *w)
{
    idt_ntb_window_update(w, 0, 0);
    idt_ntb_mapping_look(&w->mapping);
    /* Drop mappings of peers that left silently */
    idt_ntb_mapping_sync(&w->mapping);
}

void idt_ntb_window_update(IdtNtbWindow *w, uint32_t changed, uint32_t closed)
{
    uint32_t slot = BIT(w->sw->slot);
    bool memory_changed = idt_ntb_ram_take_changed(&w->ram);

    if (!changed && !closed && !memory_changed) {
        return;
    }
    if ((changed | closed) & slot || memory_changed) {
        w->request.changes++;
        idt_ntb_mapping_sync(&w->mapping);
    }
    /* Show that windows have ended before reading @holds: see closing.h */
    smp_mb();
    if (memory_changed) {
        idt_ntb_closing_ask(&w->closing);
    }
    /* Ask ports without mappings too: they must request by the new registers */
    idt_ntb_closing_wait(&w->closing, (changed & ~slot) |
                         idt_ntb_gate_holders(w->sw, closed));
}

void idt_ntb_window_close_inbound(IdtNtbWindow *w)
{
    idt_ntb_window_update(w, 0, BIT(w->sw->slot));
}

void idt_ntb_window_set_direct(IdtNtbWindow *w, bool direct)
{
    if (w->mapping.enabled && !direct) {
        idt_ntb_mapping_drop_all(&w->mapping);
    }
    w->mapping.enabled = direct;
}

void idt_ntb_window_close_outbound(IdtNtbWindow *w)
{
    idt_ntb_mapping_drop_all(&w->mapping);
}

bool idt_ntb_window_hide(IdtNtbWindow *w)
{
    idt_ntb_ram_hide(&w->ram, true);
    idt_ntb_window_update(w, 0, 0);
    return idt_ntb_closing_expel(&w->closing);
}

void idt_ntb_window_show(IdtNtbWindow *w, bool map)
{
    idt_ntb_ram_hide(&w->ram, !map);
    idt_ntb_window_update(w, 0, 0);
    /* Before the vCPUs run; interrupt them when all devices do */
    idt_ntb_request_drain(&w->request);
    qemu_bh_schedule(w->request.look_bh);
}

void idt_ntb_window_complete(IdtNtbWindow *w)
{
    idt_ntb_request_serve_stopped(true);
    idt_ntb_request_drain(&w->request);
    idt_ntb_request_begin_access(&w->request);
    for (unsigned slot = 0; slot < w->sw->num_slots; slot++) {
        if (slot != w->sw->slot) {
            idt_ntb_request_flush(&w->request, slot);
        }
    }
    idt_ntb_request_serve_stopped(false);
}

void idt_ntb_window_init(IdtNtbWindow *w)
{
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        g_autofree char *name = g_strdup_printf("idt-ntb-bar%u", bar);

        w->bar[bar].window = w;
        w->bar[bar].bar = bar;
        memory_region_init_io(&w->bar[bar].mr, OBJECT(w->pci), &window_ops,
                              &w->bar[bar], name, 0);
    }
}

static void init_mapping(IdtNtbWindow *w)
{
    w->mapping.sw = w->sw;
    w->mapping.pci = w->pci;
    w->mapping.request = &w->request;
    w->mapping.enabled = w->direct;
    w->mapping.trust_peers = w->trust_peers;
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        w->mapping.bar[bar] = &w->bar[bar].mr;
    }
}

void idt_ntb_window_start(IdtNtbWindow *w, QEMUBH *look_bh)
{
    w->request.sw = w->sw;
    w->request.server = w->server;
    w->request.pci = w->pci;
    w->request.ops = &request_ops;
    w->request.opaque = w;
    w->request.timeout_ms = w->timeout_ms;
    idt_ntb_request_start(&w->request, look_bh);
    init_mapping(w);
    idt_ntb_mapping_start(&w->mapping);
    idt_ntb_closing_start(&w->closing, &w->request);
    w->ram.hidden = !runstate_is_running();
    idt_ntb_ram_start(&w->ram, w->sw, w->pci, look_bh);
}

void idt_ntb_window_stop(IdtNtbWindow *w)
{
    idt_ntb_ram_stop(&w->ram);
    idt_ntb_mapping_stop(&w->mapping);
    idt_ntb_request_stop(&w->request);
}

void idt_ntb_window_restart(IdtNtbWindow *w)
{
    idt_ntb_request_reset(&w->request);
    idt_ntb_mapping_stop(&w->mapping);
    idt_ntb_mapping_start(&w->mapping);
    idt_ntb_closing_start(&w->closing, &w->request);
    idt_ntb_ram_reset(&w->ram);
}
