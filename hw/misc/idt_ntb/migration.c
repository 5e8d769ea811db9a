/*
 * IDT 89HPESxNTx PCIe switch: migration and snapshots of one port
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "hw/pci/pcie_aer.h"
#include "hw/qdev-core.h"
#include "migration/misc.h"
#include "migration/vmstate.h"
#include "system/runstate.h"
#include "caps.h"
#include "migration.h"
#include "port.h"
#include "state.h"
#include "trace.h"

/* From shared memory to the state, and back */

static bool is_ours(uint32_t entry, unsigned part)
{
    return entry && FIELD_EX32(entry, NTMTBLDATA, PART) == part;
}

/* Copies the function as it is now. */
static void freeze(IdtNtbState *s)
{
    IdtNtbMigration *m = &s->migration;
    const IdtNtbShmPort *block = idt_ntb_switch_block(&s->sw, s->sw.slot);
    const IdtNtbShmHeader *header = &s->sw.shm->header;

    m->device_id = s->sw.chip->device_id;
    m->port = s->sw.port;
    m->from_file = qatomic_read(&header->from_file);
    m->partitions = qatomic_read(&header->partitions);
    memcpy(m->barsetup, header->barsetup, sizeof(m->barsetup));
    memcpy(m->digest, header->image_digest, sizeof(m->digest));

    memcpy(m->layout, s->sw.barsetup, sizeof(m->layout));
    idt_ntb_regs_copy_port(&m->regs, block);
    m->regs.irq_low = qatomic_read(&block->irq_low);
    memcpy(m->lut, m->regs.lut, sizeof(m->lut));
    m->ecfgaddr = s->regs.ecfgaddr;
    m->gasaaddr = s->regs.gasaaddr;
    m->partition = idt_ntb_switch_partition(&s->sw, s->sw.slot);
    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        uint32_t entry = qatomic_read(&s->sw.shm->sw.mtbl[i]);

        m->mtbl[i] = is_ours(entry, m->partition) ? entry : 0;
    }
    m->frozen = true;
}

/*
 * Gives the mapping table our entries, for the partition that the port is in
 * now.  An entry that another partition uses stays: the switch wins.
 */
static void thaw_mtbl(IdtNtbState *s)
{
    unsigned part = idt_ntb_switch_partition(&s->sw, s->sw.slot);

    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        uint32_t *entry = &s->sw.shm->sw.mtbl[i];
        uint32_t old = qatomic_read(entry), new = s->migration.mtbl[i];

        if (new) {
            new = FIELD_DP32(new, NTMTBLDATA, PART, part);
        } else if (!is_ours(old, part)) {
            continue;
        }
        if ((old && !is_ours(old, part)) ||
            qatomic_cmpxchg(entry, old, new) != old) {
            warn_report("idt-ntb: port %u: entry %u of the mapping table is "
                        "in use by partition %u: the guest loses it",
                        s->sw.port, i, FIELD_EX32(old, NTMTBLDATA, PART));
        }
    }
}

/* The function is again as it was frozen; its link is down. */
static void thaw(IdtNtbState *s)
{
    IdtNtbMigration *m = &s->migration;
    IdtNtbShmPort *block = idt_ntb_switch_block(&s->sw, s->sw.slot);

    idt_ntb_regs_copy_port(block, &m->regs);
    qatomic_set(&block->irq_low, m->regs.irq_low);
    s->regs.ecfgaddr = m->ecfgaddr;
    s->regs.gasaaddr = m->gasaaddr;
    thaw_mtbl(s);
    /* Configuration space may be that of another time or place */
    idt_ntb_caps_set_link(PCI_DEVICE(s), s->link_width, s->link_speed);
    idt_ntb_port_publish(&s->sw, PCI_DEVICE(s)->config);
    m->away = false;
    m->frozen = false;
}

/* Leaving and coming back */

static void take_link_down(IdtNtbState *s)
{
    idt_ntb_faults_lose_late(&s->faults);
    idt_ntb_port_put_down(&s->sw, s->sw.slot);
    idt_ntb_window_close_inbound(&s->window);
    s->migration.away = true;
    s->migration.held = true;
}

/*
 * Waits up to @wait_ms for the port, and for a lock.  Does nothing if the
 * function is there.
 */
static bool come_back(IdtNtbState *s, unsigned wait_ms, Error **errp)
{
    if (!s->sw.shm && !idt_ntb_claim(s, wait_ms, wait_ms, errp)) {
        return false;
    }
    if (s->migration.away) {
        thaw(s);
    }
    return true;
}

static void report_absence(IdtNtbState *s, Error *err)
{
    error_reportf_err(err, "idt-ntb: port %d: the guest has no port: ",
                      s->port);
}

/* The function is there, and the VM runs or is about to. */
static void resume(IdtNtbState *s)
{
    s->migration.frozen = false;
    s->migration.held = false;
    idt_ntb_window_show(&s->window, !s->migration.active);
    idt_ntb_train_link(s);
}

/* Before the vCPUs run */
static void run_function(IdtNtbState *s)
{
    Error *err = NULL;

    if (!come_back(s, s->server_timeout, &err)) {
        report_absence(s, err);
        return;
    }
    resume(s);
}

/* False if the state is only written, and the guest stays */
static bool is_leaving(const IdtNtbState *s)
{
    return s->migration.active && !migrate_background_snapshot();
}

static void stop_function(IdtNtbState *s)
{
    if (!s->sw.shm) {
        return;
    }
    freeze(s);
    idt_ntb_window_hide(&s->window);
    idt_ntb_window_complete(&s->window);
    if (is_leaving(s)) {
        take_link_down(s);
    }
}

static void handle_vm_state(void *opaque, bool running, RunState state)
{
    if (running) {
        run_function(opaque);
    } else {
        stop_function(opaque);
    }
}

static int begin_migration(IdtNtbState *s, Error **errp)
{
    if (migrate_postcopy_ram()) {
        error_setg(errp, "idt-ntb: port %d: postcopy-ram is not supported: "
                   "other ports can't wait for pages", s->port);
        return -ENOTSUP;
    }
    if (s->sw.shm && !idt_ntb_window_hide(&s->window)) {
        error_setg(errp, "idt-ntb: port %d: another port does not give up its "
                   "windows onto this guest: their writes would be lost",
                   s->port);
        return -EBUSY;
    }
    s->migration.active = true;
    return 0;
}

static void end_migration(IdtNtbState *s, bool failed)
{
    Error *err = NULL;

    s->migration.active = false;
    if (failed && s->migration.away) {
        if (!come_back(s, s->server_timeout, &err)) {
            report_absence(s, err);
            return;
        }
        s->migration.held = false;
        idt_ntb_train_link(s);
    }
    if (s->sw.shm && runstate_is_running()) {
        idt_ntb_window_show(&s->window, true);
    }
}

static int handle_migration(NotifierWithReturn *notifier, MigrationEvent *e,
                            Error **errp)
{
    IdtNtbState *s = container_of(notifier, IdtNtbMigrationNotifier,
                                  notifier)->s;

    if (e->type == MIG_EVENT_PRECOPY_SETUP) {
        return begin_migration(s, errp);
    }
    end_migration(s, e->type == MIG_EVENT_PRECOPY_FAILED);
    return 0;
}

/* Loading */

static bool check_image(IdtNtbState *s, Error **errp)
{
    const IdtNtbMigration *m = &s->migration;
    const IdtNtbShmHeader *header = &s->sw.shm->header;
    uint32_t from_file = qatomic_read(&header->from_file);
    uint32_t partitions = qatomic_read(&header->partitions);

    if (m->from_file != from_file ||
        (from_file && memcmp(m->digest, header->image_digest,
                             sizeof(m->digest)))) {
        error_setg(errp, "the guest is from a switch that was configured by "
                   "%s with SHA-256 %02x%02x%02x%02x..., but this one by %s "
                   "with SHA-256 %02x%02x%02x%02x...",
                   m->from_file ? "an EEPROM image" : "properties",
                   m->digest[0], m->digest[1], m->digest[2], m->digest[3],
                   from_file ? "an EEPROM image" : "properties",
                   header->image_digest[0], header->image_digest[1],
                   header->image_digest[2], header->image_digest[3]);
        return false;
    }
    if (from_file) {
        return true;
    }
    if (m->partitions != partitions) {
        error_setg(errp, "the guest is from a switch with partitions=%u, but "
                   "this one has partitions=%u", m->partitions, partitions);
        return false;
    }
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        uint32_t ours = qatomic_read(&header->barsetup[bar]);

        if (m->barsetup[bar] != ours) {
            g_autofree char *was = idt_ntb_bar_name(bar, m->barsetup[bar]);
            g_autofree char *is = idt_ntb_bar_name(bar, ours);

            error_setg(errp, "the guest is from a switch where BAR%u is %s, "
                       "but in this one it is %s", bar, was, is);
            return false;
        }
    }
    return true;
}

/*
 * Checks the words that this process relies on.  All others go to the memory
 * that any process can write.
 */
static bool check_words(const IdtNtbMigration *m, Error **errp)
{
    uint32_t layout[IDT_NUM_BARS];

    if (!idt_ntb_bars_check(m->layout, errp)) {
        return false;
    }
    idt_ntb_bars_layout(m->layout, layout);
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        if (m->layout[bar] != layout[bar]) {
            error_setg(errp, "BAR%u has the impossible layout 0x%08x", bar,
                       m->layout[bar]);
            return false;
        }
    }
    if (m->ecfgaddr & ~R_ECFGADDR_REG_MASK) {
        error_setg(errp, "ECFGADDR = 0x%08x is out of range", m->ecfgaddr);
        return false;
    }
    if (m->gasaaddr & ~R_GASAADDR_REG_MASK) {
        error_setg(errp, "GASAADDR = 0x%08x is out of range", m->gasaaddr);
        return false;
    }
    return true;
}

static bool take_in(IdtNtbState *s, Error **errp)
{
    IdtNtbMigration *m = &s->migration;

    if (m->device_id != s->sw.chip->device_id) {
        error_setg(errp, "the guest has a chip with device ID 0x%04x, but "
                   "chip=%s has 0x%04x", m->device_id, s->sw.chip->name,
                   s->sw.chip->device_id);
        return false;
    }
    if (m->port != s->port) {
        error_setg(errp, "the guest has port %u, but this device has port=%d",
                   m->port, s->port);
        return false;
    }
    if (!check_words(m, errp)) {
        return false;
    }
    /* The guest may have flashed the image since this QEMU started */
    if (s->sw.shm) {
        take_link_down(s);
    } else if ((!s->configured && !idt_ntb_load_image(s, errp)) ||
               !idt_ntb_claim(s, s->server_timeout, s->server_timeout, errp)) {
        return false;
    }
    if (!check_image(s, errp)) {
        return false;
    }
    idt_ntb_set_layout(s, m->layout);
    return true;
}

/* Before configuration space is loaded, which depends on the BARs and port */
static int load_function(void *opaque, int version_id)
{
    IdtNtbMigration *m = opaque;
    IdtNtbState *s = container_of(m, IdtNtbState, migration);
    Error *err = NULL;

    memcpy(m->regs.lut, m->lut, sizeof(m->lut));
    if (!take_in(s, &err)) {
        error_reportf_err(err, "idt-ntb: port %d can't be loaded: ", s->port);
        return -EINVAL;
    }
    m->away = true;
    m->held = true;
    return 0;
}

static int load_device(void *opaque, int version_id)
{
    thaw(opaque);
    return 0;
}

/* Saving */

static int save_device(void *opaque)
{
    IdtNtbState *s = opaque;
    IdtNtbMigration *m = &s->migration;

    if (!s->sw.shm && !m->away) {
        error_report("idt-ntb: port %d can't be saved: the guest has no port "
                     "yet", s->port);
        return -EINVAL;
    }
    if (!m->away && !m->frozen) {
        freeze(s);
    }
    if (is_leaving(s) && s->sw.shm) {
        if (!m->away) {
            take_link_down(s);
        }
        idt_ntb_release(s, true);
    }
    return 0;
}

static const VMStateDescription vmstate_function = {
    .name = "idt-ntb/function",
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = load_function,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(device_id, IdtNtbMigration),
        VMSTATE_UINT32(port, IdtNtbMigration),
        VMSTATE_UINT32(from_file, IdtNtbMigration),
        VMSTATE_UINT32(partitions, IdtNtbMigration),
        VMSTATE_UINT32_ARRAY(barsetup, IdtNtbMigration, IDT_NUM_BARS),
        VMSTATE_UINT8_ARRAY(digest, IdtNtbMigration, IDT_NTB_DIGEST_SIZE),
        VMSTATE_UINT32_ARRAY(layout, IdtNtbMigration, IDT_NUM_BARS),
        VMSTATE_UINT32(regs.irq_low, IdtNtbMigration),
        VMSTATE_UINT32(regs.ntctl, IdtNtbMigration),
        VMSTATE_UINT32(regs.ntintsts, IdtNtbMigration),
        VMSTATE_UINT32(regs.ntintmsk, IdtNtbMigration),
        VMSTATE_UINT32(regs.ntsdata, IdtNtbMigration),
        VMSTATE_UINT32(regs.indbellsts, IdtNtbMigration),
        VMSTATE_UINT32(regs.indbellmsk, IdtNtbMigration),
        VMSTATE_UINT32_ARRAY(regs.outmsg, IdtNtbMigration, IDT_NUM_MESSAGES),
        VMSTATE_UINT32(regs.outmsgsts, IdtNtbMigration),
        VMSTATE_UINT32(regs.msgstsmsk, IdtNtbMigration),
        VMSTATE_UINT32(regs.ntmtbladdr, IdtNtbMigration),
        VMSTATE_UINT32(regs.ntmtblsts, IdtNtbMigration),
        VMSTATE_UINT64_ARRAY(regs.inmsg, IdtNtbMigration, IDT_NUM_MESSAGES),
        VMSTATE_UINT32_ARRAY(regs.barsetup, IdtNtbMigration, IDT_NUM_BARS),
        VMSTATE_UINT32_ARRAY(regs.barlimit, IdtNtbMigration, IDT_NUM_BARS),
        VMSTATE_UINT32_ARRAY(regs.barltbase, IdtNtbMigration, IDT_NUM_BARS),
        VMSTATE_UINT32_ARRAY(regs.barutbase, IdtNtbMigration, IDT_NUM_BARS),
        VMSTATE_UINT32(regs.lutoffset, IdtNtbMigration),
        VMSTATE_UINT32_ARRAY(lut, IdtNtbMigration, IDT_NTB_LUT_LEN),
        VMSTATE_UINT32_ARRAY(regs.ntierrormsk, IdtNtbMigration, 2),
        VMSTATE_UINT32_ARRAY(regs.ptcctl, IdtNtbMigration, 2),
        VMSTATE_UINT32(regs.ptcdata, IdtNtbMigration),
        VMSTATE_UINT32_ARRAY(regs.ntmcgpa, IdtNtbMigration,
                             IDT_NUM_MCAST_GROUPS),
        VMSTATE_UINT32(regs.ntueem, IdtNtbMigration),
        VMSTATE_UINT32(regs.ntceem, IdtNtbMigration),
        VMSTATE_UINT32(ecfgaddr, IdtNtbMigration),
        VMSTATE_UINT32(gasaaddr, IdtNtbMigration),
        VMSTATE_UINT32(partition, IdtNtbMigration),
        VMSTATE_UINT32_ARRAY(mtbl, IdtNtbMigration, IDT_NUM_MTBL),
        VMSTATE_END_OF_LIST()
    },
};

const VMStateDescription idt_ntb_vmstate = {
    .name = TYPE_IDT_NTB,
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = save_device,
    .post_load = load_device,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT(migration, IdtNtbState, 1, vmstate_function,
                       IdtNtbMigration),
        VMSTATE_PCI_DEVICE(parent_obj, IdtNtbState),
        VMSTATE_STRUCT(parent_obj.exp.aer_log, IdtNtbState, 0,
                       vmstate_pcie_aer_log, PCIEAERLog),
        VMSTATE_UINT32(int_level, IdtNtbState),
        VMSTATE_BOOL(intx, IdtNtbState),
        VMSTATE_BOOL(powered_off, IdtNtbState),
        VMSTATE_UINT32(errors.noted, IdtNtbState),
        VMSTATE_BOOL(errors.noted_write, IdtNtbState),
        VMSTATE_UINT32_ARRAY(errors.noted_tlp, IdtNtbState,
                             IDT_NTB_TLP_DWORDS),
        VMSTATE_END_OF_LIST()
    },
};

bool idt_ntb_migration_is_awaited(void)
{
    return runstate_check(RUN_STATE_INMIGRATE);
}

void idt_ntb_migration_hold(IdtNtbState *s)
{
    s->migration.held |= runstate_check(RUN_STATE_RESTORE_VM);
}

void idt_ntb_migration_forget(IdtNtbState *s)
{
    s->migration.frozen = false;
}

void idt_ntb_migration_retry(IdtNtbState *s)
{
    if (runstate_is_running() && come_back(s, 0, NULL)) {
        resume(s);
    }
}

void idt_ntb_migration_start(IdtNtbState *s)
{
    s->migration.vm_state =
        qdev_add_vm_change_state_handler(DEVICE(s), handle_vm_state, s);
    for (unsigned mode = 0; mode < MIG_MODE__MAX; mode++) {
        s->migration.notifier[mode].s = s;
        migration_add_notifier_mode(&s->migration.notifier[mode].notifier,
                                    handle_migration, mode);
    }
}

void idt_ntb_migration_stop(IdtNtbState *s)
{
    for (unsigned mode = 0; mode < MIG_MODE__MAX; mode++) {
        migration_remove_notifier(&s->migration.notifier[mode].notifier);
    }
    g_clear_pointer(&s->migration.vm_state, qemu_del_vm_change_state_handler);
    s->migration.away = false;
    s->migration.held = false;
    s->migration.active = false;
}
