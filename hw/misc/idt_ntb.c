/*
 * IDT 89HPESxNTx PCIe switch: one NT port as a PCI device
 *
 * Devices that connect to the same ivshmem-server are ports of one switch; see
 * docs/specs/idt-ntb.rst.  A file calls its own row and those below it:
 *
 *   idt_ntb.c, props.c, fault_props.c,     the device and its properties
 *     migration
 *   window, mapping, closing, request,     BAR1 to BAR5: memory of other guests
 *     ram, errors, alias
 *   config, port                           a new switch; the life of a port
 *   regs, bridge                           BAR0 and configuration space
 *   failover, flash, temp                  what some switch registers do
 *   signals, topology, gate, translate     effects of one port on another
 *   faults                                 what a user wants to go wrong
 *   switch                                 lookups; the signal to a port
 *   shm.h, chips, bars, caps, eeprom,      layout of shared memory; the chip;
 *     server, untrusted_fd                   eventfds
 *
 * A doorbell goes this way, in the process of the port that rings it:
 *
 *   write_bar0()                 the guest stores to OUTDBELLSET
 *   idt_ntb_regs_write()         decodes the address: write_outdbellset()
 *   idt_ntb_signals_ring()       sets INDBELLSTS of the other port; goes on
 *                                unless the doorbell is masked there
 *   idt_ntb_switch_signal()      looks up the client id of that port
 *   idt_ntb_server_signal()      signals the eventfd of that client, unless our
 *                                last signal is unread
 *
 * and in the process of the other port, from its main loop:
 *
 *   look_at_others()             server.c calls it after it read the eventfd
 *   serve_requests()             completes earlier window writes
 *   evaluate_level()             derives NTINTSTS from INDBELLSTS and the masks
 *   update_msi()                 sends the MSI, since bit DBELL rose
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "hw/misc/idt_ntb.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "hw/resettable.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "idt_ntb/caps.h"
#include "idt_ntb/failover.h"
#include "idt_ntb/flash.h"
#include "idt_ntb/gate.h"
#include "idt_ntb/port.h"
#include "idt_ntb/signals.h"
#include "idt_ntb/state.h"
#include "idt_ntb/topology.h"
#include "idt_ntb/trace.h"

/*
 * How often to look for ports whose process died.  The server's notice comes
 * before the kernel has freed the guest's RAM, and only then the lock: look
 * more often for a while.
 */
#define REAP_PERIOD_MS          1000
#define REAP_FAST_PERIOD_MS     10
#define REAP_FAST_MS            5000

/* How long the main loop may wait while another process attaches */
#define REATTACH_TIMEOUT_MS     100

/* Interrupt */

/* Returns: the unmasked NTINTSTS.  Bits that fell meanwhile can rise anew. */
static uint32_t read_level(IdtNtbState *s)
{
    uint32_t low = idt_ntb_signals_take_low(&s->sw);
    IdtNtbIrqState state;

    s->int_level &= ~low;
    s->int_ready &= ~low;
    idt_ntb_signals_read_irq(&s->sw, s->sw.slot, &state);
    return idt_ntb_signals_ntintsts(&state) & ~state.ntintmsk;
}

/*
 * Executes requests, for a turn.  Reads the level before a round begins: writes
 * that were sent before one of its bits rose are in that round.
 */
static void serve_requests(IdtNtbState *s)
{
    uint32_t level = read_level(s);

    if (!s->window.request.in_round) {
        s->int_ready = level;
    }
    idt_ntb_request_serve(&s->window.request);
}

/*
 * Returns: the level that the guest may see.  A bit that rose waits until the
 * writes in front of it are complete: look_bh comes back to it.
 */
static uint32_t evaluate_level(IdtNtbState *s)
{
    uint32_t level = read_level(s);

    if (s->window.request.in_round) {
        return level & (msi_enabled(PCI_DEVICE(s)) ? s->int_level :
                        s->intx ? UINT32_MAX : 0);
    }
    if (level & ~s->int_ready) {
        qemu_bh_schedule(s->look_bh);
    }
    return level & s->int_ready;
}

static void update_intx(IdtNtbState *s, uint32_t level)
{
    if (s->intx != (level != 0)) {
        s->intx = level != 0;
        trace_idt_ntb_intx(s->sw.port, level);
        idt_ntb_switch_count(&s->sw, IDT_NTB_COUNT_INTERRUPTS, s->intx);
    }
    s->int_level = 0;
    pci_set_irq(PCI_DEVICE(s), level != 0);
}

/* Sends an MSI when a bit of @level rises. */
static void update_msi(IdtNtbState *s, uint32_t level)
{
    PCIDevice *pci = PCI_DEVICE(s);
    uint32_t rose = level & ~s->int_level;

    s->intx = false;
    pci_set_irq(pci, 0);
    if (!(pci_get_word(pci->config + PCI_COMMAND) & PCI_COMMAND_MASTER)) {
        s->int_level = 0;       /* send it when that is allowed again */
        return;
    }
    s->int_level = level;
    if (rose) {
        trace_idt_ntb_msi(s->sw.port, level, rose);
        idt_ntb_switch_count(&s->sw, IDT_NTB_COUNT_INTERRUPTS, 1);
        msi_notify(pci, 0);
    }
}

/* Shows the guest @level.  An MSI can hit a register that unplugs us. */
static void update_irq(IdtNtbState *s, uint32_t level)
{
    if (msi_enabled(PCI_DEVICE(s))) {
        update_msi(s, level);
    } else {
        update_intx(s, level);
    }
}

/*
 * Notifies the guest, by error messages and the interrupt.  A stopped VM gets
 * neither: the requests in front of them wait too.
 */
static void notify_guest(IdtNtbState *s)
{
    if (!runstate_is_running()) {
        return;
    }
    /* A message may unplug us */
    object_ref(OBJECT(s));
    idt_ntb_errors_report(&s->errors);
    if (s->sw.shm) {
        serve_requests(s);
        update_irq(s, evaluate_level(s));
    }
    object_unref(OBJECT(s));
}

/*
 * False in reset, without cable, without power in the PCIe slot or in the
 * guest, and while the guest is on its way.
 */
static bool can_train(IdtNtbState *s)
{
    return PCI_DEVICE(s)->enabled && !s->powered_off && !s->held_in_reset &&
           !s->faults.cable_pulled && !s->migration.held;
}

void idt_ntb_train_link(IdtNtbState *s)
{
    if (can_train(s)) {
        idt_ntb_port_link_up(&s->sw);
    }
}

static void register_bars(IdtNtbState *s,
                          const uint32_t old[IDT_NUM_BARS],
                          const uint32_t new[IDT_NUM_BARS])
{
    MemoryRegion *mr[IDT_NUM_BARS] = { &s->bar0 };

    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        mr[bar] = &s->window.bar[bar].mr;
    }
    idt_ntb_bars_register(PCI_DEVICE(s), mr, old, new);
}

void idt_ntb_set_layout(IdtNtbState *s, const uint32_t layout[IDT_NUM_BARS])
{
    idt_ntb_window_close_outbound(&s->window);
    register_bars(s, s->sw.barsetup, layout);
    memcpy(s->sw.barsetup, layout, sizeof(s->sw.barsetup));
    memcpy(s->layout_seen, layout, sizeof(s->layout_seen));
    trace_idt_ntb_bars(s->sw.port, layout[0], layout[1], layout[2], layout[3],
                       layout[4], layout[5]);
}

/*
 * Gives the BARs the layout that the BARSETUP registers ask for.  Waits with
 * that while the function decodes memory.
 */
static void follow_barsetup(IdtNtbState *s)
{
    PCIDevice *pci = PCI_DEVICE(s);
    uint32_t layout[IDT_NUM_BARS];
    Error *err = NULL;

    if (pci_get_word(pci->config + PCI_COMMAND) & PCI_COMMAND_MEMORY) {
        return;
    }
    idt_ntb_switch_layout(idt_ntb_switch_block(&s->sw, s->sw.slot), layout);
    if (!memcmp(layout, s->layout_seen, sizeof(layout))) {
        return;
    }
    memcpy(s->layout_seen, layout, sizeof(layout));
    if (!idt_ntb_bars_check(layout, &err)) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: the BARs keep "
                      "their layout: %s\n", s->sw.port, error_get_pretty(err));
        error_free(err);
        return;
    }
    idt_ntb_set_layout(s, layout);
    idt_ntb_port_publish(&s->sw, pci->config);
}

/*
 * Applies a change of our port or partition: takes the link down, which resets
 * the function, and up again if the topology allows a link.  Reads the
 * registers each time: a port that wrote SWPARTxCTL can die before it signals.
 */
static void apply_topology(IdtNtbState *s)
{
    bool is_up = idt_ntb_switch_is_trained(&s->sw, s->sw.slot);

    if (!idt_ntb_switch_is_changing(&s->sw, s->sw.slot) &&
        (!can_train(s) ||
         idt_ntb_switch_allows_link(&s->sw, s->sw.slot) == is_up)) {
        if (is_up) {
            /* Another process may have hidden it */
            idt_ntb_train_link(s);
        }
        return;
    }
    if (is_up && idt_ntb_topology_keeps_function(&s->sw, s->sw.slot)) {
        idt_ntb_gate_close(&s->sw, s->sw.slot);
        idt_ntb_window_update(&s->window, BIT(s->sw.slot), BIT(s->sw.slot));
    } else if (is_up || s->faults.cable_pulled) {
        s->following_topology = true;
        pci_device_reset(PCI_DEVICE(s));
        s->following_topology = false;
        follow_barsetup(s);
        idt_ntb_port_publish(&s->sw, PCI_DEVICE(s)->config);
    }
    idt_ntb_topology_apply(&s->sw, s->sw.slot);
    /* Partitions may lead to other ports now: close before the link is up */
    idt_ntb_window_update(&s->window, idt_ntb_switch_all(&s->sw),
                          idt_ntb_switch_all(&s->sw));
    idt_ntb_train_link(s);
}

static void follow_topology(IdtNtbState *s)
{
    apply_topology(s);
    idt_ntb_failover_finish(&s->sw);
}

/* Configuration space and BAR0 */

static uint64_t read_function(IdtNtbState *s, uint32_t addr, unsigned size)
{
    uint64_t value;

    if (!s->sw.shm) {
        return UINT64_MAX;      /* see write_function() */
    }
    if (addr < IDT_NT_REGS) {
        idt_ntb_errors_repair(&s->errors);
    }
    value = idt_ntb_regs_read(&s->regs, addr, size);
    /* Complete the writes in front of the status that was read */
    idt_ntb_request_drain(&s->window.request);
    return value;
}

static void write_function(IdtNtbState *s, uint32_t addr, uint64_t value,
                           unsigned size)
{
    PCIDevice *pci = PCI_DEVICE(s);
    IdtNtbEffects effects;

    if (!s->sw.shm) {
        return;         /* a vCPU that waited for the BQL at unplug */
    }
    idt_ntb_migration_forget(s);
    /* Another port may have written our BARSETUP registers */
    follow_barsetup(s);
    effects = idt_ntb_regs_write(&s->regs, addr, value, size);
    if (effects.header) {
        pcie_cap_flr_write_config(pci, addr, value, size);
        pcie_aer_write_config(pci, addr, value, size);
        idt_ntb_errors_repair(&s->errors);
        if (idt_ntb_port_publish(&s->sw, pci->config)) {
            effects.memory_closed |= BIT(s->sw.slot);
        }
        /* The PCIe slot may have got power since the reset */
        idt_ntb_train_link(s);
    }
    follow_barsetup(s);
    idt_ntb_window_update(&s->window, effects.windows_changed,
                          effects.memory_closed);
    if (effects.topology) {
        follow_topology(s);
    }
    if (effects.irq) {
        notify_guest(s);
    }
}

static uint32_t read_config(PCIDevice *pci, uint32_t addr, int len)
{
    return read_function(IDT_NTB(pci), addr, len);
}

static void write_config(PCIDevice *pci, uint32_t addr, uint32_t value,
                         int len)
{
    write_function(IDT_NTB(pci), addr, value, len);
}

static uint64_t read_bar0(void *opaque, hwaddr addr, unsigned size)
{
    return read_function(opaque, addr, size);
}

static void write_bar0(void *opaque, hwaddr addr, uint64_t value,
                       unsigned size)
{
    write_function(opaque, addr, value, size);
}

static const MemoryRegionOps bar0_ops = {
    .read = read_bar0,
    .write = write_bar0,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

/* Other ports */

/* Looks at what other ports did and asked for. */
static void look_at_others(void *opaque)
{
    IdtNtbState *s = opaque;

    if (!s->sw.shm) {
        return;
    }
    idt_ntb_switch_begin_look(&s->sw);
    idt_ntb_window_look(&s->window);
    follow_barsetup(s);
    follow_topology(s);
    notify_guest(s);
}

static void warn_server_lost(IdtNtbState *s)
{
    if (!s->server_loss_told && !idt_ntb_server_is_connected(&s->server)) {
        s->server_loss_told = true;
        warn_report("idt-ntb: port %u has lost its ivshmem-server; attached "
                    "ports go on, no port can attach", s->sw.port);
    }
}

/* Ports on another server only poll us, once a second. */
static void warn_strangers(IdtNtbState *s)
{
    for (unsigned slot = 0; slot < s->sw.num_slots; slot++) {
        unsigned port = idt_ntb_switch_port(&s->sw, slot);
        unsigned id = qatomic_read(&idt_ntb_switch_block(&s->sw,
                                                         slot)->client);

        if (slot != s->sw.slot && idt_ntb_switch_link(&s->sw, slot) &&
            !idt_ntb_server_knows(&s->server, id)) {
            warn_report("idt-ntb: port %u is not connected to the "
                        "ivshmem-server of port %u: its interrupts are late",
                        port, s->sw.port);
            info_report("Give the chardev of port %u reconnect-ms= or restart "
                        "its QEMU; give each server a -M of its own", port);
        }
    }
}

/*
 * Frees ports whose process died: the server's notice comes too early, or not
 * at all.  Then looks at everything, since a signal may have been lost.
 */
static void reap_ports(void *opaque)
{
    IdtNtbState *s = opaque;
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    if (!s->sw.shm) {
        idt_ntb_migration_retry(s);
        timer_mod(s->reap_timer, now + REAP_PERIOD_MS);
        return;
    }
    warn_server_lost(s);
    /* By then all has been read that the server sent when we joined */
    if (s->strangers_at && now >= s->strangers_at) {
        s->strangers_at = 0;
        warn_strangers(s);
    }
    if (idt_ntb_port_reap(&s->sw)) {
        s->reap_fast_until = now;
    }
    timer_mod(s->reap_timer, now + (now < s->reap_fast_until ?
                                    REAP_FAST_PERIOD_MS : REAP_PERIOD_MS));
    look_at_others(s);
}

/* From the main loop, see IdtNtbServerOps. */
static void reap_soon(IdtNtbState *s)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    s->reap_fast_until = now + REAP_FAST_MS;
    timer_mod(s->reap_timer, now);
}

static void handle_joined(void *opaque, unsigned id)
{
    IdtNtbState *s = opaque;

    for (unsigned slot = 0; s->sw.shm && slot < s->sw.num_slots; slot++) {
        if (idt_ntb_switch_is_client(&s->sw, slot, id)) {
            idt_ntb_switch_signal(&s->sw, slot);
        }
    }
}

static void handle_left(void *opaque, unsigned id)
{
    reap_soon(opaque);
}

static void handle_server_lost(void *opaque)
{
    IdtNtbState *s = opaque;

    /* Report it later: the connection also ends when this QEMU exits */
    s->server_loss_told = false;
    reap_soon(s);
}

static bool handle_server_ready(void *opaque, Error **errp)
{
    IdtNtbState *s = opaque;
    bool same = idt_ntb_port_is_attached_to(&s->sw, s->server.shm_fd);

    if (!s->sw.shm) {
        return true;            /* idt_ntb_claim() uses it */
    }
    if (!same) {
        idt_ntb_window_close_outbound(&s->window);
    }
    if (!idt_ntb_port_reattach(&s->sw, s->server.shm_fd, s->server.id,
                               REATTACH_TIMEOUT_MS, errp)) {
        error_prepend(errp, "port %u can't attach: ", s->sw.port);
        return false;
    }
    if (!same) {
        idt_ntb_faults_lose_late(&s->faults);
        idt_ntb_window_restart(&s->window);
        idt_ntb_port_publish(&s->sw, PCI_DEVICE(s)->config);
        idt_ntb_train_link(s);
    }
    /* Make up for signals of the time without server */
    idt_ntb_server_signal_all(&s->server);
    reap_soon(s);
    info_report("idt-ntb: port %u is attached to the new server", s->sw.port);
    return true;
}

static const IdtNtbServerOps server_ops = {
    .signalled = look_at_others,
    .joined = handle_joined,
    .left = handle_left,
    .server_lost = handle_server_lost,
    .server_ready = handle_server_ready,
};

/* Reset */

static void hold_reset(Object *obj, ResetType type)
{
    IdtNtbState *s = IDT_NTB(obj);
    IdtNtbResetKind kind = idt_ntb_caps_reset_kind(PCI_DEVICE(s));

    /* No event at power-up, which resets the switch too */
    if (s->sw.shm && kind != IDT_NTB_RESET_FUNCTION && !s->following_topology &&
        (idt_ntb_switch_is_trained(&s->sw, s->sw.slot) || s->powered_off)) {
        idt_ntb_signals_raise(&s->sw, kind == IDT_NTB_RESET_HOT ?
                              IDT_NTB_EVENT_HRST : IDT_NTB_EVENT_FRST,
                              idt_ntb_switch_partition(&s->sw, s->sw.slot));
    }
    s->powered_off = false;
    s->regs.ecfgaddr = 0;
    s->regs.gasaaddr = 0;
    s->int_level = 0;
    s->int_ready = 0;
    s->intx = false;
    idt_ntb_errors_reset(&s->errors);
    idt_ntb_caps_reset(PCI_DEVICE(s), s->sw.cfg);
    s->migration.away = false;
    idt_ntb_migration_forget(s);
    if (!s->sw.shm) {
        return;
    }
    idt_ntb_port_put_down(&s->sw, s->sw.slot);
    idt_ntb_window_close_inbound(&s->window);
}

static void exit_reset(Object *obj, ResetType type)
{
    IdtNtbState *s = IDT_NTB(obj);

    if (!s->sw.shm) {
        return;
    }
    /* Drop doorbells that were on their way when the link went down */
    idt_ntb_port_put_down(&s->sw, s->sw.slot);
    follow_barsetup(s);
    idt_ntb_port_publish(&s->sw, PCI_DEVICE(s)->config);
    idt_ntb_migration_hold(s);
    idt_ntb_train_link(s);
}

/* Power */

/*
 * Called when the guest goes to sleep or switches itself off: the root complex
 * turns its links off.  The function works again after a reset.
 */
static void power_off(IdtNtbState *s)
{
    s->powered_off = true;
    if (!s->sw.shm) {
        return;
    }
    idt_ntb_port_put_down(&s->sw, s->sw.slot);
    idt_ntb_window_close_inbound(&s->window);
}

static void handle_suspend(Notifier *notifier, void *data)
{
    power_off(container_of(notifier, IdtNtbState, suspend_notifier));
}

static void handle_shutdown(Notifier *notifier, void *data)
{
    /* If QEMU exits instead, the port is free at once */
    if (shutdown_action == SHUTDOWN_ACTION_PAUSE) {
        power_off(container_of(notifier, IdtNtbState, shutdown_notifier));
    }
}

static void init_power(IdtNtbState *s)
{
    s->powered_off = false;
    s->suspend_notifier.notify = handle_suspend;
    qemu_register_suspend_notifier(&s->suspend_notifier);
    s->shutdown_notifier.notify = handle_shutdown;
    qemu_register_shutdown_notifier(&s->shutdown_notifier);
}

/* Realize and unrealize */

/* The port number is in configuration space; the reset image may change it */
static void configure(IdtNtbState *s)
{
    static const uint32_t none[IDT_NUM_BARS];

    for (unsigned i = 0; i < ARRAY_SIZE(s->sw.cfg); i++) {
        stl_le_p(PCI_DEVICE(s)->config + i * 4,
                 idt_ntb_config_reset_cfg(&s->sw, s->sw.slot, i * 4));
    }
    if (s->image.fd >= 0) {
        s->flash = idt_ntb_flash_new(&s->sw, s->image.fd, s->eeprom);
        s->image.fd = -1;
    }
    s->regs.flash = s->flash;
    idt_ntb_bars_warn(s->sw.barsetup);
    register_bars(s, none, s->sw.barsetup);
    memcpy(s->layout_seen, s->sw.barsetup, sizeof(s->layout_seen));
    s->configured = true;
}

bool idt_ntb_claim(IdtNtbState *s, unsigned wait_ms, unsigned lock_ms,
                   Error **errp)
{
    uint32_t layout[IDT_NUM_BARS];

    memcpy(layout, s->sw.barsetup, sizeof(layout));
    idt_ntb_port_wait(&s->sw, s->server.shm_fd, s->port, wait_ms);
    if (!idt_ntb_port_attach(&s->sw, s->server.shm_fd, s->port, s->server.id,
                             lock_ms, errp)) {
        return false;
    }
    if (s->configured) {
        memcpy(s->sw.barsetup, layout, sizeof(layout));
    } else if (idt_ntb_fault_props_check(s, s->faults.port, errp)) {
        configure(s);
    } else {
        idt_ntb_port_detach(&s->sw, false);
        return false;
    }
    s->port = s->sw.port;
    s->window.direct = idt_ntb_can_map(s);
    idt_ntb_window_start(&s->window, s->look_bh);
    idt_ntb_faults_start(&s->faults, &s->sw, idt_ntb_signals_deliver);
    idt_ntb_port_publish(&s->sw, PCI_DEVICE(s)->config);
    idt_ntb_switch_begin_look(&s->sw);
    reap_soon(s);
    return true;
}

void idt_ntb_release(IdtNtbState *s, bool away)
{
    idt_ntb_window_stop(&s->window);
    idt_ntb_faults_stop(&s->faults);
    idt_ntb_port_detach(&s->sw, away);
}

/* Connects to the server and, unless the guest is yet to come, to a port. */
static bool attach_port(IdtNtbState *s, Error **errp)
{
    ERRP_GUARD();

    if (!idt_ntb_server_connect(&s->server, &s->chr, &server_ops, s,
                                s->server_timeout, errp)) {
        return false;
    }
    s->sw.server = &s->server;
    s->window.server = &s->server;
    if (idt_ntb_migration_is_awaited() && s->port != IDT_NTB_PORT_AUTO) {
        return true;
    }
    if (idt_ntb_migration_is_awaited()) {
        error_setg(errp, "port= is missing, and the guest comes by -incoming");
        error_append_hint(errp, "Use the port= of the device there.\n");
    } else if (idt_ntb_claim(s, 0, s->server_timeout, errp)) {
        return true;
    }
    idt_ntb_server_disconnect(&s->server);
    return false;
}

static void init_window(IdtNtbState *s)
{
    s->window.sw = &s->sw;
    s->window.pci = PCI_DEVICE(s);
    s->window.errors = &s->errors;
    s->window.timeout_ms = s->completion_timeout;
    s->window.direct = idt_ntb_can_map(s);
    s->window.trust_peers = s->trust_peers;
    idt_ntb_window_init(&s->window);
}

bool idt_ntb_load_image(IdtNtbState *s, Error **errp)
{
    uint32_t barsetup[IDT_NUM_BARS];

    idt_ntb_config_cleanup(&s->image);
    return idt_ntb_bars_setup(s->bars, barsetup, errp) &&
           idt_ntb_config_init(&s->image, s->sw.chip, s->eeprom,
                               s->eeprom_writable, s->partitions, barsetup,
                               errp);
}

/* All that does not depend on the switch */
static void init_parts(IdtNtbState *s)
{
    PCIDevice *pci = PCI_DEVICE(s);

    s->sw.num_slots = s->sw.chip->num_nt_ports;
    s->sw.config = &s->image;
    for (unsigned i = 0; i < ARRAY_SIZE(s->sw.cfg); i++) {
        s->sw.cfg[i] = ldl_le_p(pci->config + i * 4);
    }
    s->configured = false;
    s->regs = (IdtNtbRegs) { .sw = &s->sw, .pci = pci };
    s->errors = (IdtNtbErrors) { .sw = &s->sw, .pci = pci };
    memory_region_init_io(&s->bar0, OBJECT(s), &bar0_ops, s,
                          "idt-ntb-cfg", IDT_NT_CFG_SIZE);
    init_window(s);
    s->reap_timer = timer_new_ms(QEMU_CLOCK_REALTIME, reap_ports, s);
    s->look_bh = qemu_bh_new(look_at_others, s);
}

static void cleanup_parts(IdtNtbState *s)
{
    g_clear_pointer(&s->look_bh, qemu_bh_delete);
    g_clear_pointer(&s->reap_timer, timer_free);
    idt_ntb_caps_exit(PCI_DEVICE(s));
    idt_ntb_config_cleanup(&s->image);
}

static void realize(PCIDevice *pci, Error **errp)
{
    ERRP_GUARD();
    IdtNtbState *s = IDT_NTB(pci);

    s->sw.fd = -1;
    s->sw.away_fd = -1;
    s->image.fd = -1;
    s->sw.chip = idt_ntb_chips_find(s->chip, errp);
    if (!s->sw.chip) {
        return;
    }
    pci_config_set_device_id(pci->config, s->sw.chip->device_id);
    pci_set_word(pci->config + PCI_SUBSYSTEM_ID, s->sw.chip->device_id);
    if (!idt_ntb_props_check(s, errp) || !idt_ntb_load_image(s, errp)) {
        return;
    }
    pci_config_set_interrupt_pin(pci->config, 1);
    if (!idt_ntb_caps_init(pci, s->sw.chip->device_id, errp)) {
        idt_ntb_caps_exit(pci);
        idt_ntb_config_cleanup(&s->image);
        return;
    }
    init_parts(s);
    if (!attach_port(s, errp)) {
        cleanup_parts(s);
        return;
    }
    idt_ntb_server_start(&s->server);
    idt_ntb_caps_set_link(pci, s->link_width, s->link_speed);
    idt_ntb_migration_start(s);
    init_power(s);
    s->strangers_at = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                      REAP_PERIOD_MS;
    reap_soon(s);
}

static void unrealize(PCIDevice *pci)
{
    IdtNtbState *s = IDT_NTB(pci);

    idt_ntb_migration_stop(s);
    notifier_remove(&s->suspend_notifier);
    notifier_remove(&s->shutdown_notifier);
    if (s->sw.shm) {
        /* Without link, no port reaches our memory, and we reach no port */
        idt_ntb_port_put_down(&s->sw, s->sw.slot);
        idt_ntb_window_close_inbound(&s->window);
        idt_ntb_release(s, false);
    }
    idt_ntb_port_end_away(&s->sw);
    g_clear_pointer(&s->flash, idt_ntb_flash_free);
    idt_ntb_server_disconnect(&s->server);
    cleanup_parts(s);
    /* The object can outlive this: RCU may hold it */
    qemu_chr_fe_deinit(&s->chr, false);
}

/* QOM */

static void init_instance(Object *obj)
{
    idt_ntb_props_init(IDT_NTB(obj));
}

static void init_class(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    pc->realize = realize;
    pc->exit = unrealize;
    pc->config_read = read_config;
    pc->config_write = write_config;
    pc->vendor_id = PCI_VENDOR_ID_IDT;
    pc->device_id = PCI_DEVICE_ID_IDT_89HPES24NT6AG2;
    pc->subsystem_vendor_id = PCI_VENDOR_ID_IDT;
    pc->subsystem_id = PCI_DEVICE_ID_IDT_89HPES24NT6AG2;
    pc->class_id = PCI_CLASS_BRIDGE_OTHER;
    pc->revision = IDT_NTB_REVISION;

    rc->phases.hold = hold_reset;
    rc->phases.exit = exit_reset;

    dc->desc = "IDT PCIe switch, one non-transparent bridge port";
    dc->vmsd = &idt_ntb_vmstate;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    idt_ntb_props_init_class(klass);
    idt_ntb_regs_init();
}

static const TypeInfo type_info = {
    .name = TYPE_IDT_NTB,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(IdtNtbState),
    .instance_init = init_instance,
    .class_init = init_class,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { }
    },
};

static void register_types(void)
{
    type_register_static(&type_info);
}

type_init(register_types)
