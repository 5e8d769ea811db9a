/*
 * IDT 89HPESxNTx PCIe switch: attaching to the switch in shared memory
 *
 * A port belongs to who holds the write lock of the first byte of its block;
 * creation, claims and clean-up after a process that died happen under the lock
 * of the first byte of the header.  They are open file description locks: the
 * kernel drops them with their owner, so nothing is left behind by a killed
 * process.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/mmap-alloc.h"
#include "qemu/timer.h"
#include "bars.h"
#include "config.h"
#include "flash.h"
#include "server.h"
#include "regs.h"
#include "switch.h"
#include "topology.h"
#include "trace.h"

/* How long to sleep while another process attaches */
#define LOCK_RETRY_MS   2

#define LOCK_HEADER     offsetof(IdtNtbShm, header)
#define LOCK_PORTS      offsetof(IdtNtbShm, port)
#define LOCK_PORTS_LEN  (IDT_MAX_PORTS * IDT_NTB_SHM_BLOCK)

/*
 * Opens the memory anew, for a lock that is ours alone: all clients share the
 * descriptor from the server.
 */
static int attach_open(int shm_fd, Error **errp)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", shm_fd);
    int flags = fcntl(shm_fd, F_GETFL);
    struct stat st;
    int fd;

    if (!qemu_has_ofd_lock()) {
        error_setg(errp, "this host has no open file description locks "
                   "(F_OFD_SETLK, Linux 3.15)");
        return -1;
    }
    if (fstat(shm_fd, &st) < 0) {
        error_setg_errno(errp, errno, "can't look at the server's shared "
                         "memory");
        return -1;
    }
    if (st.st_size < sizeof(IdtNtbShm)) {
        error_setg(errp, "the server's shared memory has %" PRId64 " bytes, "
                   "a switch needs %zu; start ivshmem-server with -l 2M or "
                   "more", (int64_t)st.st_size, sizeof(IdtNtbShm));
        return -1;
    }
    /* O_NONBLOCK: somebody may hold a lease on the file */
    fd = RETRY_ON_EINTR(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (fd < 0) {
        error_setg_errno(errp, errno, "can't open the server's shared memory "
                         "again through %s; run ivshmem-server and QEMU as "
                         "the same user, with /proc mounted, and let AppArmor "
                         "or SELinux allow it", path);
    }
    /* Not to be used for more than what the server allows */
    if (fd >= 0 && ((flags & O_ACCMODE) != O_RDWR || flags & O_PATH)) {
        error_setg(errp, "the server's shared memory is not open for reading "
                   "and writing; run ivshmem-server as a user who may write "
                   "it");
        close(fd);
        return -1;
    }
    return fd;
}

/*
 * No QEMU locks through the descriptor of the server, which all processes
 * share: another process did, and its lock outlives it.
 */
static void attach_drop_shared_locks(int shm_fd)
{
    if (shm_fd >= 0) {
        qemu_unlock_fd(shm_fd, 0, 0);
    }
}

static bool attach_map(IdtNtbSwitch *sw, Error **errp)
{
    struct stat st;
    void *shm;

    if (fstat(sw->fd, &st) < 0) {
        error_setg_errno(errp, errno, "can't look at the server's shared "
                         "memory");
        return false;
    }
    sw->dev = st.st_dev;
    sw->ino = st.st_ino;
    /* A file system without space would answer a store with SIGBUS */
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

static bool attach_lock_header(int fd, unsigned timeout_ms, Error **errp)
{
    int64_t deadline = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + timeout_ms;
    int ret;

    while (true) {
        ret = qemu_lock_fd(fd, LOCK_HEADER, 1, true);
        if (ret != -EAGAIN && ret != -EACCES) {
            break;
        }
        if (qemu_clock_get_ms(QEMU_CLOCK_REALTIME) >= deadline) {
            error_setg(errp, "another process holds the lock of the switch "
                       "for more than %u ms; end the QEMU that hangs",
                       timeout_ms);
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

static void attach_unlock_header(int fd)
{
    qemu_unlock_fd(fd, LOCK_HEADER, 1);
}

/* Writes a switch as it is after power-up. */
static bool attach_create(IdtNtbSwitch *sw, Error **errp)
{
    IdtNtbShmHeader *header = &sw->shm->header;

    memset(sw->shm, 0, sizeof(*sw->shm));
    header->version = IDT_NTB_SHM_VERSION;
    header->size = sizeof(IdtNtbShm);
    header->device_id = sw->chip->device_id;
    idt_ntb_regs_reset_switch(&sw->shm->sw);
    for (unsigned i = 0; i < sw->num_ports; i++) {
        idt_ntb_regs_reset_port(
            idt_ntb_switch_block(sw, idt_ntb_switch_port(sw, i)));
    }
    if (!idt_ntb_config_run(sw, errp)) {
        return false;
    }
    /* Who sees the magic sees the rest */
    qatomic_store_release(&header->magic, IDT_NTB_SHM_MAGIC);
    return true;
}

/* The switch that others are attached to must be the one that is asked for. */
static bool attach_check(const IdtNtbSwitch *sw, Error **errp)
{
    IdtNtbShmHeader *header = &sw->shm->header;
    uint64_t magic = qatomic_load_acquire(&header->magic);
    uint32_t version = qatomic_read(&header->version);
    uint32_t size = qatomic_read(&header->size);
    uint32_t device_id = qatomic_read(&header->device_id);

    if (magic != IDT_NTB_SHM_MAGIC) {
        error_setg(errp, "the server's shared memory is in use, but holds no "
                   "idt-ntb switch; start an ivshmem-server of its own for "
                   "each switch");
        return false;
    }
    if (version != IDT_NTB_SHM_VERSION || size != sizeof(IdtNtbShm)) {
        error_setg(errp, "the switch that is running has layout version %u "
                   "(%u bytes), this QEMU has version %u (%zu bytes); use "
                   "the same QEMU for all ports", version, size,
                   IDT_NTB_SHM_VERSION, sizeof(IdtNtbShm));
        return false;
    }
    if (device_id != sw->chip->device_id) {
        error_setg(errp, "chip %s has device ID 0x%04x, but the switch that "
                   "is running is a chip with device ID 0x%04x; use the same "
                   "chip for all ports", sw->chip->name, sw->chip->device_id,
                   device_id);
        return false;
    }
    return idt_ntb_config_check(sw, errp);
}

/* A switch that we create in the place of @old goes on with its registers */
static bool attach_create_or_check(IdtNtbSwitch *sw, const IdtNtbSwitch *old,
                                   Error **errp)
{
    int ret = qemu_lock_fd_test(sw->fd, LOCK_PORTS, LOCK_PORTS_LEN, true);

    if (ret < 0 && ret != -EAGAIN) {
        error_setg_errno(errp, -ret, "can't test the locks of the ports");
        return false;
    }
    if (ret < 0) {
        return attach_check(sw, errp);
    }
    trace_idt_ntb_create(sw->chip->name, sw->boot->partitions);
    if (!attach_create(sw, errp)) {
        return false;
    }
    if (old) {
        idt_ntb_regs_copy_switch(&sw->shm->sw, &old->shm->sw);
        idt_ntb_flash_copy(sw, old);
    }
    return true;
}

/* Says why @port can't be attached to, which others can be */
static void attach_no_nt(const IdtNtbSwitch *sw, int port, Error **errp)
{
    g_autoptr(GString) ports = g_string_new(NULL);
    int index = idt_ntb_switch_index(sw, port);

    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned other = idt_ntb_switch_port(sw, i);

        if (idt_ntb_config_has_nt(sw, other)) {
            g_string_append_printf(ports, " %u", other);
        }
    }
    if (qatomic_read(&sw->shm->header.from_file)) {
        error_setg(errp, "port=%d carries no NT function in the EEPROM image "
                   "of the switch; the ports that do are%s", port, ports->str);
    } else if (index >= 0) {
        error_setg(errp, "port=%d needs partitions=%u or more; with "
                   "partitions=%u the ports are%s", port, index + 1,
                   sw->boot->partitions, ports->str);
    } else {
        error_setg(errp, "port=%d of %s can't carry an NT function; with "
                   "partitions=%u the ports are%s", port, sw->chip->name,
                   sw->boot->partitions, ports->str);
    }
}

/* Locks @port, or the lowest free one if it is IDT_NTB_PORT_AUTO. */
static bool attach_lock_port(IdtNtbSwitch *sw, int port, Error **errp)
{
    if (port != IDT_NTB_PORT_AUTO && !idt_ntb_config_has_nt(sw, port)) {
        attach_no_nt(sw, port, errp);
        return false;
    }
    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned candidate = idt_ntb_switch_port(sw, i);
        int ret;

        if (port == IDT_NTB_PORT_AUTO ? !idt_ntb_switch_has_nt(sw, candidate) :
                                        port != candidate) {
            continue;
        }
        ret = qemu_lock_fd(sw->fd, idt_ntb_shm_lock_offset(candidate), 1,
                           true);
        if (!ret) {
            sw->port = candidate;
            sw->slot = i;
            return true;
        }
        if (ret != -EAGAIN && ret != -EACCES) {
            error_setg_errno(errp, -ret, "can't lock port %u", candidate);
            return false;
        }
    }
    if (port != IDT_NTB_PORT_AUTO) {
        error_setg(errp, "port %d is taken by another idt-ntb device; choose "
                   "another one, or none to take the lowest free one", port);
    } else if (qatomic_read(&sw->shm->header.from_file)) {
        error_setg(errp, "all ports with an NT function in the EEPROM image of "
                   "the switch are taken; use an image with more of them");
    } else {
        error_setg(errp, "all %u ports are taken; start all devices of the "
                   "switch with a larger partitions= (%s has up to %u)",
                   ctpop32(qatomic_read(&sw->shm->header.nt_slots)),
                   sw->chip->name, sw->chip->num_nt_ports);
    }
    return false;
}

/* Shows the other processes that it is us who holds the lock of the port */
static bool attach_claim(IdtNtbSwitch *sw, Error **errp)
{
    size_t size = qemu_fd_getpagesize(sw->fd);
    void *claim = mmap(NULL, size, PROT_NONE, MAP_SHARED | MAP_NORESERVE,
                       sw->fd, idt_ntb_shm_claim_offset(sw->port));

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
 * Remembers the layout of our BARs.  A function that comes from @old keeps its
 * own until its reset.  Another process may have broken the new one.
 */
static bool attach_take_bars(IdtNtbSwitch *sw, const IdtNtbSwitch *old,
                             Error **errp)
{
    ERRP_GUARD();
    uint32_t layout[IDT_NUM_BARS];

    idt_ntb_switch_layout(idt_ntb_switch_boot(sw, sw->port), layout);
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
 * A process may have died in the middle of a write of another port's interrupt
 * registers: treat every level as fallen.  Costs the owners an interrupt at
 * most.
 */
static void attach_settle_all(IdtNtbSwitch *sw)
{
    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned port = idt_ntb_switch_port(sw, i);

        if (idt_ntb_switch_link(sw, port)) {
            qatomic_set_mb(&idt_ntb_switch_block(sw, port)->irq_low,
                           UINT32_MAX);
            idt_ntb_switch_signal(sw, port);
        }
    }
}

/* Ends what a dead owner of the port left, and takes it. */
static void attach_take_port(IdtNtbSwitch *sw, unsigned client)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, sw->port);
    uint32_t state = qatomic_read(&p->state);
    bool abandoned = state != IDT_NTB_PORT_FREE;

    sw->is_up = state == IDT_NTB_PORT_UP;
    idt_ntb_switch_put_down(sw, sw->port);
    idt_ntb_topology_settle(sw, sw->port);
    if (abandoned) {
        attach_settle_all(sw);
        idt_ntb_flash_abandon(sw, sw->port);
    }
    qatomic_set(&p->generation, qatomic_read(&p->generation) + 1);
    qatomic_set(&p->client, client);
    qatomic_set(&p->holds, 0);
}

static void attach_unmap(IdtNtbSwitch *sw)
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
 * Takes the mapping table entries of our partition along, which may be another
 * one here.
 */
static void attach_copy_mtbl(IdtNtbSwitch *sw, const IdtNtbSwitch *old)
{
    unsigned was = idt_ntb_switch_partition(old, old->port);
    unsigned is = idt_ntb_switch_partition(sw, sw->port);

    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        uint32_t entry = qatomic_read(&old->shm->sw.mtbl[i]);

        if (entry && FIELD_EX32(entry, NTMTBLDATA, PART) == was) {
            qatomic_set(&sw->shm->sw.mtbl[i],
                        FIELD_DP32(entry, NTMTBLDATA, PART, is));
        }
    }
}

/*
 * No reset tells the guest of the new switch, so its function keeps its
 * registers.
 */
static void attach_copy_port(IdtNtbSwitch *sw, const IdtNtbSwitch *old)
{
    idt_ntb_regs_copy_port(idt_ntb_switch_block(sw, sw->port),
                           idt_ntb_switch_block(old, old->port));
    attach_copy_mtbl(sw, old);
    if (!idt_ntb_topology_is_settled(old, old->port)) {
        qatomic_inc(&idt_ntb_switch_block(sw, sw->port)->topology_req);
    }
}

/* Attaches; @old is what it was attached to until now, or NULL */
static bool attach_to(IdtNtbSwitch *sw, const IdtNtbSwitch *old, int shm_fd,
                      int port, unsigned client, unsigned timeout_ms,
                      Error **errp)
{
    IdtNtbSwitch new = *sw;

    new.shm = NULL;
    new.claim = NULL;
    new.fd = attach_open(shm_fd, errp);
    if (new.fd < 0) {
        return false;
    }
    attach_drop_shared_locks(shm_fd);
    if (!attach_map(&new, errp) ||
        !attach_lock_header(new.fd, timeout_ms, errp) ||
        !attach_create_or_check(&new, old, errp) ||
        !attach_lock_port(&new, port, errp) ||
        !attach_claim(&new, errp) ||
        !attach_take_bars(&new, old, errp)) {
        attach_unmap(&new);
        return false;
    }
    attach_take_port(&new, client);
    if (old) {
        attach_copy_port(&new, old);
    }
    attach_unlock_header(new.fd);
    *sw = new;
    trace_idt_ntb_attach(sw->port, idt_ntb_switch_partition(sw, sw->port),
                         client);
    return true;
}

bool idt_ntb_switch_attach(IdtNtbSwitch *sw, int shm_fd, int port,
                           unsigned client, unsigned timeout_ms, Error **errp)
{
    return attach_to(sw, NULL, shm_fd, port, client, timeout_ms, errp);
}

bool idt_ntb_switch_is_attached_to(const IdtNtbSwitch *sw, int shm_fd)
{
    struct stat st;

    return fstat(shm_fd, &st) == 0 && st.st_dev == sw->dev &&
           st.st_ino == sw->ino;
}

bool idt_ntb_switch_reattach(IdtNtbSwitch *sw, int shm_fd, unsigned client,
                             unsigned timeout_ms, Error **errp)
{
    IdtNtbSwitch old = *sw;

    if (idt_ntb_switch_is_attached_to(sw, shm_fd)) {
        qatomic_set_mb(&idt_ntb_switch_block(sw, sw->port)->client, client);
        trace_idt_ntb_attach(sw->port,
                             idt_ntb_switch_partition(sw, sw->port), client);
        return true;
    }
    if (!attach_to(sw, &old, shm_fd, sw->port, client, timeout_ms, errp)) {
        return false;
    }
    idt_ntb_switch_detach(&old);
    return true;
}

void idt_ntb_switch_detach(IdtNtbSwitch *sw)
{
    if (!sw->shm) {
        return;
    }
    idt_ntb_switch_put_down(sw, sw->port);
    idt_ntb_topology_settle(sw, sw->port);
    idt_ntb_flash_abandon(sw, sw->port);
    qatomic_set_mb(&idt_ntb_switch_block(sw, sw->port)->state,
                   IDT_NTB_PORT_FREE);
    trace_idt_ntb_detach(sw->port);
    attach_unmap(sw);
}

/* Processes that died */

/* True when @port was not given back, and nobody holds it. */
static bool attach_is_abandoned(const IdtNtbSwitch *sw, unsigned port)
{
    return port != sw->port &&
           qatomic_read(&idt_ntb_switch_block(sw, port)->state) !=
           IDT_NTB_PORT_FREE &&
           !qemu_lock_fd_test(sw->fd, idt_ntb_shm_lock_offset(port), 1,
                              true);
}

static bool attach_reap_port(IdtNtbSwitch *sw, unsigned port)
{
    bool dead;

    if (!attach_is_abandoned(sw, port) ||
        qemu_lock_fd(sw->fd, LOCK_HEADER, 1, true)) {
        return false;
    }
    /* Nobody can claim the port now; another may have done either before */
    dead = attach_is_abandoned(sw, port);
    if (dead) {
        trace_idt_ntb_reap(port);
        idt_ntb_switch_put_down(sw, port);
        idt_ntb_topology_settle(sw, port);
        qatomic_set(&idt_ntb_switch_block(sw, port)->holds, 0);
        attach_settle_all(sw);
        idt_ntb_flash_abandon(sw, port);
        qatomic_set_mb(&idt_ntb_switch_block(sw, port)->state,
                       IDT_NTB_PORT_FREE);
    }
    attach_unlock_header(sw->fd);
    return dead;
}

bool idt_ntb_switch_reap(IdtNtbSwitch *sw)
{
    bool any = false;

    attach_drop_shared_locks(sw->peers->shm_fd);
    for (unsigned i = 0; i < sw->num_ports; i++) {
        any |= attach_reap_port(sw, idt_ntb_switch_port(sw, i));
    }
    return any;
}
