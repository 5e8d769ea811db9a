/*
 * IDT 89HPESxNTx PCIe switch: the life of a port
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/mmap-alloc.h"
#include "qemu/timer.h"
#include "bars.h"
#include "config.h"
#include "flash.h"
#include "gate.h"
#include "port.h"
#include "regs.h"
#include "server.h"
#include "signals.h"
#include "topology.h"
#include "trace.h"

/* How long to sleep while another process holds the lock of the header */
#define LOCK_RETRY_MS   2

#define LOCK_HEADER     offsetof(IdtNtbShm, header)
#define LOCK_SLOTS      offsetof(IdtNtbShm, slot)
#define LOCK_SLOTS_LEN  (IDT_MAX_NT_PORTS * IDT_NTB_SHM_BLOCK)

/*
 * Opens the memory again: all clients share the descriptor from the server, so
 * a lock taken through that would not be ours alone.
 */
static int open_memory(int shm_fd, Error **errp)
{
    ERRP_GUARD();
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", shm_fd);
    int flags = fcntl(shm_fd, F_GETFL);
    struct stat st;
    int fd;

    if (!qemu_has_ofd_lock()) {
        error_setg(errp, "this host has no open file description locks "
                   "(F_OFD_SETLK)");
        error_append_hint(errp, "Use Linux 3.15 or newer.\n");
        return -1;
    }
    if (fstat(shm_fd, &st) < 0) {
        error_setg_errno(errp, errno, "can't read the size of the server's "
                         "shared memory");
        return -1;
    }
    if (st.st_size < sizeof(IdtNtbShm)) {
        error_setg(errp, "the server's shared memory has %" PRId64 " bytes, "
                   "a switch needs %zu", (int64_t)st.st_size,
                   sizeof(IdtNtbShm));
        error_append_hint(errp, "Start ivshmem-server with -l 2M or more.\n");
        return -1;
    }
    /* O_NONBLOCK: another process may hold a lease on the file */
    fd = RETRY_ON_EINTR(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (fd < 0) {
        error_setg_errno(errp, errno, "can't open the server's shared memory "
                         "through %s", path);
        error_append_hint(errp, "Run ivshmem-server and QEMU as the same user, "
                          "with /proc mounted, and let AppArmor or SELinux "
                          "allow it.\n");
    }
    /* Respect the access mode that the server chose */
    if (fd >= 0 && ((flags & O_ACCMODE) != O_RDWR || flags & O_PATH)) {
        error_setg(errp, "the server's shared memory is not open for reading "
                   "and writing");
        error_append_hint(errp, "Run ivshmem-server as a user that may write "
                          "the memory.\n");
        close(fd);
        return -1;
    }
    return fd;
}

/*
 * Drops locks taken through the descriptor that all processes share.  No QEMU
 * takes such a lock, but another process may have, and it would stay until all
 * of them end.
 */
static void drop_shared_locks(int shm_fd)
{
    if (shm_fd >= 0) {
        qemu_unlock_fd(shm_fd, 0, 0);
    }
}

static bool map_memory(IdtNtbSwitch *sw, Error **errp)
{
    struct stat st;
    void *shm;

    if (fstat(sw->fd, &st) < 0) {
        error_setg_errno(errp, errno, "can't identify the server's shared "
                         "memory");
        return false;
    }
    sw->dev = st.st_dev;
    sw->ino = st.st_ino;
    /* Without space in the file system, a store would raise SIGBUS */
    if (RETRY_ON_EINTR(fallocate(sw->fd, 0, 0, sizeof(IdtNtbShm))) < 0 &&
        errno != EOPNOTSUPP) {
        error_setg_errno(errp, errno, "can't allocate the server's shared "
                         "memory");
        return false;
    }
    sw->shm_size = ROUND_UP(sizeof(IdtNtbShm), qemu_fd_getpagesize(sw->fd));
    shm = mmap(NULL, sw->shm_size, PROT_READ | PROT_WRITE, MAP_SHARED, sw->fd,
               0);
    if (shm == MAP_FAILED) {
        error_setg_errno(errp, errno, "can't map the server's shared memory");
        return false;
    }
    sw->shm = shm;
    return true;
}

static bool lock_header(int fd, unsigned timeout_ms, Error **errp)
{
    ERRP_GUARD();
    int64_t deadline = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + timeout_ms;
    int ret;

    while (true) {
        ret = qemu_lock_fd(fd, LOCK_HEADER, 1, true);
        if (ret != -EAGAIN && ret != -EACCES) {
            break;
        }
        if (qemu_clock_get_ms(QEMU_CLOCK_REALTIME) >= deadline) {
            error_setg(errp, "another process holds the lock of the switch "
                       "for more than %u ms", timeout_ms);
            error_append_hint(errp, "End the QEMU that hangs.\n");
            return false;
        }
        g_usleep(LOCK_RETRY_MS * 1000);
    }
    if (ret < 0) {
        error_setg_errno(errp, -ret, "can't lock the server's shared memory");
        return false;
    }
    return true;
}

static void unlock_header(int fd)
{
    qemu_unlock_fd(fd, LOCK_HEADER, 1);
}

/* Writes the switch as it is after power-up */
static bool create_switch(IdtNtbSwitch *sw, Error **errp)
{
    IdtNtbShmHeader *header = &sw->shm->header;

    memset(sw->shm, 0, sizeof(*sw->shm));
    header->version = IDT_NTB_SHM_VERSION;
    header->size = sizeof(IdtNtbShm);
    header->device_id = sw->chip->device_id;
    idt_ntb_regs_reset_switch(&sw->shm->sw);
    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        idt_ntb_regs_reset_port(idt_ntb_switch_block(sw, slot));
    }
    if (!idt_ntb_config_run(sw, errp)) {
        return false;
    }
    /* A process that sees the magic number sees all of the above */
    qatomic_store_release(&header->magic, IDT_NTB_SHM_MAGIC);
    return true;
}

/* Checks that the running switch is the one that the user asks for */
static bool check_switch(const IdtNtbSwitch *sw, Error **errp)
{
    ERRP_GUARD();
    IdtNtbShmHeader *header = &sw->shm->header;
    uint64_t magic = qatomic_load_acquire(&header->magic);
    uint32_t version = qatomic_read(&header->version);
    uint32_t size = qatomic_read(&header->size);
    uint32_t device_id = qatomic_read(&header->device_id);

    if (magic != IDT_NTB_SHM_MAGIC) {
        error_setg(errp, "the server's shared memory is in use, but holds no "
                   "idt-ntb switch");
        error_append_hint(errp, "Start one ivshmem-server for each switch.\n");
        return false;
    }
    if (version != IDT_NTB_SHM_VERSION || size != sizeof(IdtNtbShm)) {
        error_setg(errp, "the running switch has layout version %u (%u "
                   "bytes), this QEMU has version %u (%zu bytes)", version,
                   size, IDT_NTB_SHM_VERSION, sizeof(IdtNtbShm));
        error_append_hint(errp, "Use the same QEMU for all ports.\n");
        return false;
    }
    if (device_id != sw->chip->device_id) {
        error_setg(errp, "chip %s has device ID 0x%04x, but the running "
                   "switch is a chip with device ID 0x%04x", sw->chip->name,
                   sw->chip->device_id, device_id);
        error_append_hint(errp, "Use the same chip for all ports.\n");
        return false;
    }
    return idt_ntb_config_check(sw, errp);
}

/*
 * Creates the switch if no port is attached, else checks it.  A new switch in
 * the place of @old takes over its registers.
 */
static bool create_or_check(IdtNtbSwitch *sw, const IdtNtbSwitch *old,
                            Error **errp)
{
    int ret = qemu_lock_fd_test(sw->fd, LOCK_SLOTS, LOCK_SLOTS_LEN, true);

    if (ret < 0 && ret != -EAGAIN) {
        error_setg_errno(errp, -ret, "can't test the locks of the ports");
        return false;
    }
    if (ret < 0) {
        return check_switch(sw, errp);
    }
    trace_idt_ntb_create(sw->chip->name, sw->config->partitions);
    if (!create_switch(sw, errp)) {
        return false;
    }
    if (old) {
        idt_ntb_regs_copy_switch(&sw->shm->sw, &old->shm->sw);
        idt_ntb_flash_copy(sw, old);
    }
    return true;
}

bool idt_ntb_port_check(const IdtNtbSwitch *sw, const char *option, int port,
                        Error **errp)
{
    ERRP_GUARD();
    g_autoptr(GString) ports = g_string_new(NULL);
    int slot = idt_ntb_switch_slot(sw, port);

    if (slot >= 0 && idt_ntb_config_has_nt(sw, slot)) {
        return true;
    }
    for (unsigned i = 0; i < sw->num_slots; i++) {
        if (idt_ntb_config_has_nt(sw, i)) {
            g_string_append_printf(ports, " %u", idt_ntb_switch_port(sw, i));
        }
    }
    if (qatomic_read(&sw->shm->header.from_file)) {
        error_setg(errp, "%s=%d has no NT function in the EEPROM image of the "
                   "switch", option, port);
    } else if (slot >= 0) {
        error_setg(errp, "%s=%d needs partitions=%u or more, not "
                   "partitions=%u", option, port, slot + 1,
                   sw->config->partitions);
    } else {
        error_setg(errp, "%s=%d of %s can't have an NT function", option, port,
                   sw->chip->name);
    }
    error_append_hint(errp, "Use one of the ports%s.\n", ports->str);
    return false;
}

/* Returns: 0 if the port in @slot is ours now, 1 if it is taken, -1: @errp */
static int lock_slot(IdtNtbSwitch *sw, unsigned slot, Error **errp)
{
    unsigned port = idt_ntb_switch_port(sw, slot);
    int ret = qemu_lock_fd(sw->fd, idt_ntb_shm_lock_offset(slot), 1, true);

    if (!ret) {
        sw->port = port;
        sw->slot = slot;
        return 0;
    }
    if (ret == -EAGAIN || ret == -EACCES) {
        return 1;
    }
    error_setg_errno(errp, -ret, "can't lock port %u", port);
    return -1;
}

/* Locks @port, or the lowest free one if it is IDT_NTB_PORT_AUTO */
static bool lock_port(IdtNtbSwitch *sw, int port, Error **errp)
{
    ERRP_GUARD();
    int asked = port == IDT_NTB_PORT_AUTO ? -1 : idt_ntb_switch_slot(sw, port);

    if (port != IDT_NTB_PORT_AUTO &&
        !idt_ntb_port_check(sw, "port", port, errp)) {
        return false;
    }
    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        int ret;

        if (asked < 0 ? !idt_ntb_switch_has_nt(sw, slot) : asked != slot) {
            continue;
        }
        ret = lock_slot(sw, slot, errp);
        if (ret <= 0) {
            return !ret;
        }
    }
    if (port != IDT_NTB_PORT_AUTO) {
        error_setg(errp, "port %d is taken by another idt-ntb device", port);
        error_append_hint(errp, "Use another port=, or leave it out to take "
                          "the lowest free port.\n");
    } else if (qatomic_read(&sw->shm->header.from_file)) {
        error_setg(errp, "all ports with an NT function in the EEPROM image of "
                   "the switch are taken");
        error_append_hint(errp, "Use an image with more of them.\n");
    } else {
        error_setg(errp, "all %u ports are taken",
                   ctpop32(qatomic_read(&sw->shm->header.nt_slots)));
        error_append_hint(errp, "Start all devices of the switch with a larger "
                          "partitions=; %s has up to %u.\n", sw->chip->name,
                          sw->chip->num_nt_ports);
    }
    return false;
}

/* Shows the other processes that this one holds the lock of the port */
static bool map_claim(IdtNtbSwitch *sw, Error **errp)
{
    size_t size = qemu_fd_getpagesize(sw->fd);
    void *claim = mmap(NULL, size, PROT_NONE, MAP_SHARED | MAP_NORESERVE,
                       sw->fd, idt_ntb_shm_claim_offset(sw->slot));

    if (claim == MAP_FAILED) {
        error_setg_errno(errp, errno, "can't map the claim of port %u",
                         sw->port);
        return false;
    }
    sw->claim = claim;
    sw->claim_size = size;
    return true;
}

/*
 * Takes the layout of our BARs from the reset image; a function that comes from
 * @old keeps the old layout until its reset.  Checks it: another process may
 * have written to the image.
 */
static bool take_bars(IdtNtbSwitch *sw, const IdtNtbSwitch *old,
                      Error **errp)
{
    ERRP_GUARD();
    uint32_t layout[IDT_NUM_BARS];

    idt_ntb_switch_layout(idt_ntb_switch_reset_image(sw, sw->slot), layout);
    if (!idt_ntb_bars_check(layout, errp)) {
        error_prepend(errp, "port %u: ", sw->port);
        return false;
    }
    if (!old) {
        memcpy(sw->barsetup, layout, sizeof(layout));
    }
    return true;
}

/*
 * A process may have died in the middle of a write to another port's interrupt
 * registers: treat every level as fallen.  The cost is at most one interrupt
 * too many in each port.
 */
static void record_all_low(IdtNtbSwitch *sw)
{
    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        if (idt_ntb_switch_link(sw, slot)) {
            qatomic_set_mb(&idt_ntb_switch_block(sw, slot)->irq_low,
                           UINT32_MAX);
            idt_ntb_switch_signal(sw, slot);
        }
    }
}

/* Cleans up after a dead owner of the port, and makes the port ours */
static void take_port(IdtNtbSwitch *sw, unsigned client)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, sw->slot);
    uint32_t state = qatomic_read(&p->state);
    bool abandoned = state != IDT_NTB_PORT_FREE;

    sw->is_up = state == IDT_NTB_PORT_UP;
    idt_ntb_port_put_down(sw, sw->slot);
    idt_ntb_topology_apply(sw, sw->slot);
    if (abandoned) {
        record_all_low(sw);
        idt_ntb_flash_abandon(sw, sw->slot);
    }
    qatomic_set(&p->generation, qatomic_read(&p->generation) + 1);
    qatomic_set(&p->client, client);
    qatomic_set(&p->holds, 0);
    /* A value that the last owner had would mean that a signal is unread */
    sw->looks = qatomic_read(&p->looks);
    for (unsigned i = 0; i < IDT_NTB_NUM_COUNTERS; i++) {
        sw->counter[i] = 0;
        qatomic_set(&p->counter[i], 0);
    }
}

static void unmap_memory(IdtNtbSwitch *sw)
{
    if (sw->shm) {
        munmap(sw->shm, sw->shm_size);
        sw->shm = NULL;
    }
    if (sw->claim) {
        munmap(sw->claim, sw->claim_size);
        sw->claim = NULL;
    }
    if (sw->fd >= 0) {
        close(sw->fd);          /* drops the locks */
        sw->fd = -1;
    }
}

/*
 * Copies the mapping table entries of our partition, which may have another
 * number in the new switch.
 */
static void copy_mtbl(IdtNtbSwitch *sw, const IdtNtbSwitch *old)
{
    unsigned was = idt_ntb_switch_partition(old, old->slot);
    unsigned is = idt_ntb_switch_partition(sw, sw->slot);

    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        uint32_t entry = qatomic_read(&old->shm->sw.mtbl[i]);

        if (entry && FIELD_EX32(entry, NTMTBLDATA, PART) == was) {
            qatomic_set(&sw->shm->sw.mtbl[i],
                        FIELD_DP32(entry, NTMTBLDATA, PART, is));
        }
    }
}

/*
 * Copies the registers of our function: the guest learns nothing of the new
 * switch, so they must stay.
 */
static void copy_port(IdtNtbSwitch *sw, const IdtNtbSwitch *old)
{
    idt_ntb_regs_copy_port(idt_ntb_switch_block(sw, sw->slot),
                           idt_ntb_switch_block(old, old->slot));
    copy_mtbl(sw, old);
    if (idt_ntb_switch_is_changing(old, old->slot)) {
        qatomic_inc(&idt_ntb_switch_block(sw, sw->slot)->topology_req);
    }
}

/* Attaches; @old is the attachment until now, or NULL */
static bool attach_to(IdtNtbSwitch *sw, const IdtNtbSwitch *old, int shm_fd,
                      int port, unsigned client, unsigned timeout_ms,
                      Error **errp)
{
    IdtNtbSwitch new = *sw;

    new.shm = NULL;
    new.claim = NULL;
    new.fd = open_memory(shm_fd, errp);
    if (new.fd < 0) {
        return false;
    }
    drop_shared_locks(shm_fd);
    if (!map_memory(&new, errp) ||
        !lock_header(new.fd, timeout_ms, errp) ||
        !create_or_check(&new, old, errp) ||
        !lock_port(&new, port, errp) ||
        !map_claim(&new, errp) ||
        !take_bars(&new, old, errp)) {
        unmap_memory(&new);
        return false;
    }
    take_port(&new, client);
    if (old) {
        copy_port(&new, old);
    }
    unlock_header(new.fd);
    idt_ntb_port_end_away(&new);
    *sw = new;
    trace_idt_ntb_attach(sw->port, idt_ntb_switch_partition(sw, sw->slot),
                         client);
    return true;
}

void idt_ntb_port_wait(const IdtNtbSwitch *sw, int shm_fd, int port,
                       unsigned timeout_ms)
{
    int64_t deadline = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + timeout_ms;
    int slot = port == IDT_NTB_PORT_AUTO ? -1 : idt_ntb_switch_slot(sw, port);

    while (slot >= 0 &&
           qemu_lock_fd_test(shm_fd, idt_ntb_shm_lock_offset(slot), 1, true) ==
           -EAGAIN &&
           qemu_clock_get_ms(QEMU_CLOCK_REALTIME) < deadline) {
        g_usleep(LOCK_RETRY_MS * 1000);
    }
}

bool idt_ntb_port_attach(IdtNtbSwitch *sw, int shm_fd, int port,
                         unsigned client, unsigned timeout_ms, Error **errp)
{
    return attach_to(sw, NULL, shm_fd, port, client, timeout_ms, errp);
}

bool idt_ntb_port_is_attached_to(const IdtNtbSwitch *sw, int shm_fd)
{
    struct stat st;

    return fstat(shm_fd, &st) == 0 && st.st_dev == sw->dev &&
           st.st_ino == sw->ino;
}

bool idt_ntb_port_reattach(IdtNtbSwitch *sw, int shm_fd, unsigned client,
                           unsigned timeout_ms, Error **errp)
{
    IdtNtbSwitch old = *sw;

    if (idt_ntb_port_is_attached_to(sw, shm_fd)) {
        qatomic_set_mb(&idt_ntb_switch_block(sw, sw->slot)->client, client);
        trace_idt_ntb_attach(sw->port,
                             idt_ntb_switch_partition(sw, sw->slot), client);
        return true;
    }
    if (!attach_to(sw, &old, shm_fd, sw->port, client, timeout_ms, errp)) {
        return false;
    }
    idt_ntb_port_detach(&old, false);
    return true;
}

void idt_ntb_port_end_away(IdtNtbSwitch *sw)
{
    if (sw->away_fd >= 0) {
        close(sw->away_fd);
        sw->away_fd = -1;
    }
}

/* Goes on to hold the switch, but not the port */
static void begin_away(IdtNtbSwitch *sw)
{
    if (!qemu_lock_fd(sw->fd, idt_ntb_shm_away_offset(sw->slot), 1, true)) {
        qemu_unlock_fd(sw->fd, idt_ntb_shm_lock_offset(sw->slot), 1);
        sw->away_fd = sw->fd;
        sw->fd = -1;
    }
}

void idt_ntb_port_detach(IdtNtbSwitch *sw, bool away)
{
    if (!sw->shm) {
        return;
    }
    idt_ntb_port_put_down(sw, sw->slot);
    idt_ntb_topology_apply(sw, sw->slot);
    idt_ntb_flash_abandon(sw, sw->slot);
    qatomic_set_mb(&idt_ntb_switch_block(sw, sw->slot)->state,
                   IDT_NTB_PORT_FREE);
    trace_idt_ntb_detach(sw->port);
    if (away) {
        begin_away(sw);
    }
    unmap_memory(sw);
}

/* Processes that died */

/*
 * True if the port in @slot was not freed, but has no owner.  A process that
 * has gone may have written @holds of a port that was free.
 */
static bool is_abandoned(const IdtNtbSwitch *sw, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

    return slot != sw->slot &&
           (qatomic_read(&p->state) != IDT_NTB_PORT_FREE ||
            qatomic_read(&p->holds)) &&
           !qemu_lock_fd_test(sw->fd, idt_ntb_shm_lock_offset(slot), 1, true);
}

static bool reap_port(IdtNtbSwitch *sw, unsigned slot)
{
    bool dead;

    if (!is_abandoned(sw, slot) ||
        qemu_lock_fd(sw->fd, LOCK_HEADER, 1, true)) {
        return false;
    }
    /* Look again: another process may have claimed or freed the port before */
    dead = is_abandoned(sw, slot);
    if (dead) {
        IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

        trace_idt_ntb_reap(idt_ntb_switch_port(sw, slot));
        idt_ntb_port_put_down(sw, slot);
        idt_ntb_topology_apply(sw, slot);
        qatomic_set(&p->holds, 0);
        record_all_low(sw);
        idt_ntb_flash_abandon(sw, slot);
        qatomic_set_mb(&p->state, IDT_NTB_PORT_FREE);
    }
    unlock_header(sw->fd);
    return dead;
}

bool idt_ntb_port_reap(IdtNtbSwitch *sw)
{
    bool any = false;

    drop_shared_locks(sw->server->shm_fd);
    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        any |= reap_port(sw, slot);
    }
    return any;
}

/* Link and reset */

/*
 * Resets the entries of the mapping table that belong to the partition of the
 * port in @slot.  The table is shared: entries of other partitions stay.
 */
static void reset_mtbl(IdtNtbSwitch *sw, unsigned slot)
{
    unsigned part = idt_ntb_switch_partition(sw, slot);

    if (idt_ntb_switch_find_nt(sw, part) != slot) {
        return;
    }
    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        uint32_t *entry = &sw->shm->sw.mtbl[i];
        uint32_t old = qatomic_read(entry);
        uint32_t new = qatomic_read(&sw->shm->sw.reset_mtbl[i]);

        if (FIELD_EX32(new, NTMTBLDATA, PART) != part) {
            new = 0;
        }
        if (!old || FIELD_EX32(old, NTMTBLDATA, PART) == part) {
            qatomic_cmpxchg(entry, old, new);
        }
    }
}

void idt_ntb_port_put_down(IdtNtbSwitch *sw, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);
    unsigned port = idt_ntb_switch_port(sw, slot);
    bool raise = idt_ntb_switch_is_trained(sw, slot) ||
                 qatomic_read(&p->state) == IDT_NTB_PORT_GOING_DOWN;

    if (slot == sw->slot) {
        sw->is_up = false;
    }
    if (raise) {
        trace_idt_ntb_link(port, false);
    }
    qatomic_set_mb(&p->state,
                   raise ? IDT_NTB_PORT_GOING_DOWN : IDT_NTB_PORT_DOWN);
    idt_ntb_gate_close(sw, slot);
    idt_ntb_regs_copy_port(p, idt_ntb_switch_reset_image(sw, slot));
    qatomic_set(&p->irq_low, 0);
    reset_mtbl(sw, slot);
    idt_ntb_config_publish_reset(sw, slot);
    if (raise) {
        idt_ntb_signals_raise(sw, IDT_NTB_EVENT_LINKDN, port);
        qatomic_set_mb(&p->state, IDT_NTB_PORT_DOWN);
    }
}

void idt_ntb_port_pull_cable(IdtNtbSwitch *sw)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, sw->slot);

    if (!sw->is_up) {
        return;
    }
    sw->is_up = false;
    trace_idt_ntb_link(sw->port, false);
    qatomic_set_mb(&p->state, IDT_NTB_PORT_GOING_DOWN);
    idt_ntb_gate_close(sw, sw->slot);
    idt_ntb_signals_raise(sw, IDT_NTB_EVENT_LINKDN, sw->port);
    qatomic_set_mb(&p->state, IDT_NTB_PORT_DOWN);
}

void idt_ntb_port_link_up(IdtNtbSwitch *sw)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, sw->slot);
    bool was_up = sw->is_up;

    if (!idt_ntb_switch_allows_link(sw, sw->slot)) {
        return;
    }
    sw->is_up = true;
    if (!was_up) {
        trace_idt_ntb_link(sw->port, true);
    }
    if (qatomic_read(&p->state) != IDT_NTB_PORT_UP) {
        qatomic_set_mb(&p->state, IDT_NTB_PORT_UP);
    }
    if (!was_up) {
        idt_ntb_signals_raise(sw, IDT_NTB_EVENT_LINKUP, sw->port);
    }
}

bool idt_ntb_port_publish(IdtNtbSwitch *sw, const uint8_t *config)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, sw->slot);
    bool was_master = sw->is_master;

    for (unsigned i = 0; i < ARRAY_SIZE(p->cfg); i++) {
        uint32_t value = ldl_le_p(config + i * 4);

        /* Most words stay the same: leave their cache lines to the readers */
        if (qatomic_read(&p->cfg[i]) != value) {
            qatomic_set(&p->cfg[i], value);
        }
    }
    sw->is_master = lduw_le_p(config + PCI_COMMAND) & PCI_COMMAND_MASTER;
    if (!was_master || sw->is_master) {
        return false;
    }
    qatomic_inc(&p->receive_epoch);
    return true;
}
