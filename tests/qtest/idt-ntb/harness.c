/*
 * QTest testcase for idt-ntb: harness
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/wait.h>
#include "qemu/module.h"
#include "qobject/qdict.h"
#include "qobject/qnum.h"
#include "hw/pci/pci_regs.h"
#include "contrib/ivshmem-server/ivshmem-server.h"
#include "libqos/qgraph.h"
#include "harness.h"

#define BAR0_BASE       0xe0000000u
#define BAR0_STRIDE     (1 * MiB)       /* what a bridge window is made of */

/* RAM that a port's MSI, and its RTAS calls, use */
#define ALLOC_BASE      (1 * MiB)
#define ALLOC_SIZE      (64 * KiB)

#define DEVFN(slot)     ((slot) << 3)
#define NTB0_DEVFN      DEVFN(4)
#define RP0_DEVFN       DEVFN(5)

/* ACPI PCI hot-plug of q35 */
#define PCIHP_BASE      0x0cc0
#define PCIHP_EJECT     0x08
#define PCIHP_SELECT    0x10

const unsigned ntb_ports[NTB_NUM_PORTS] = { 0, 2, 4, 6, 8, 12 };

unsigned ntb_slot(unsigned port)
{
    for (unsigned slot = 0; slot < NTB_NUM_PORTS; slot++) {
        if (ntb_ports[slot] == port) {
            return slot;
        }
    }
    g_assert_not_reached();
}

static char *tmp_dir;
static GList *shm_names;        /* to be unlinked at the end */

static void harness_cleanup(void *unused)
{
    const char *name;
    GDir *dir;

    for (GList *l = shm_names; l; l = l->next) {
        shm_unlink(l->data);
    }
    dir = tmp_dir ? g_dir_open(tmp_dir, 0, NULL) : NULL;
    if (!dir) {
        return;
    }
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(tmp_dir, name, NULL);

        g_unlink(path);
    }
    g_dir_close(dir);
    g_rmdir(tmp_dir);
}

static bool harness_init(void)
{
    tmp_dir = g_dir_make_tmp("idt-ntb-test.XXXXXX", NULL);
    g_assert_nonnull(tmp_dir);
    qtest_add_abrt_handler(harness_cleanup, NULL);
    /* Clients of the server in our thread may go at any time */
    signal(SIGPIPE, SIG_IGN);
    return ntb_machine_init();
}

int ntb_main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    if (harness_init()) {
        qos_graph_init();
        module_call_init(MODULE_INIT_LIBQOS);
    } else {
        g_test_message("needs machine q35 or pseries");
    }
    ret = g_test_run();
    harness_cleanup(NULL);
    return ret;
}

char *ntb_tmp_path(const char *what)
{
    static unsigned count;

    return g_strdup_printf("%s/%s%u", tmp_dir, what, count++);
}

/*
 * ivshmem-server
 */

typedef struct NtbServerThread {
    GThread *thread;
    IvshmemServer server;
    int quit[2];
} NtbServerThread;

void ntb_server_serve(IvshmemServer *server, int quit)
{
    for (;;) {
        fd_set fds;
        int maxfd = quit + 1;

        FD_ZERO(&fds);
        if (quit >= 0) {
            FD_SET(quit, &fds);
        }
        ivshmem_server_get_fds(server, &fds, &maxfd);
        if (RETRY_ON_EINTR(select(maxfd, &fds, NULL, NULL, NULL)) < 0) {
            g_critical("select: %s", g_strerror(errno));
            return;
        }
        if (quit >= 0 && FD_ISSET(quit, &fds)) {
            return;
        }
        /* A client that is gone before it was greeted is no reason to end */
        ivshmem_server_handle_fds(server, &fds, maxfd);
    }
}

static void *server_thread(void *opaque)
{
    NtbServerThread *t = opaque;

    ntb_server_serve(&t->server, t->quit[0]);
    return NULL;
}

NtbServer *ntb_server_new(size_t size, void (*stop)(NtbServer *server))
{
    static unsigned count;
    NtbServer *server = g_new0(NtbServer, 1);

    server->socket = ntb_tmp_path("socket");
    server->shm_name = g_strdup_printf("/idt-ntb-test-%d-%u", getpid(),
                                       count++);
    server->size = size;
    server->stop = stop;
    shm_names = g_list_prepend(shm_names, g_strdup(server->shm_name));
    return server;
}

void ntb_server_open(NtbServer *server, IvshmemServer *ivshmem)
{
    g_assert_cmpint(ivshmem_server_init(ivshmem, server->socket,
                                        server->shm_name, true, server->size,
                                        1, false), ==, 0);
    g_assert_cmpint(ivshmem_server_start(ivshmem), ==, 0);
}

void ntb_server_map(NtbServer *server)
{
    int fd = shm_open(server->shm_name, O_RDWR, 0);

    g_assert_cmpint(fd, >=, 0);
    server->mem = mmap(NULL, server->size, PROT_READ | PROT_WRITE, MAP_SHARED,
                       fd, 0);
    g_assert_true(server->mem != MAP_FAILED);
    close(fd);
}

void ntb_server_free(NtbServer *server)
{
    munmap(server->mem, server->size);
    shm_unlink(server->shm_name);
    unlink(server->socket);
    g_free(server->shm_name);
    g_free(server->socket);
    g_free(server);
}

static void stop_thread(NtbServer *server)
{
    NtbServerThread *t = server->thread;

    g_assert_cmpint(write(t->quit[1], "q", 1), ==, 1);
    g_thread_join(t->thread);
    ivshmem_server_close(&t->server);
    close(t->quit[0]);
    close(t->quit[1]);
    g_free(t);
    ntb_server_free(server);
}

NtbServer *ntb_server_start_size(size_t size)
{
    NtbServer *server = ntb_server_new(size, stop_thread);
    NtbServerThread *t = g_new0(NtbServerThread, 1);

    ntb_server_open(server, &t->server);
    g_assert_true(g_unix_open_pipe(t->quit, FD_CLOEXEC, NULL));
    t->thread = g_thread_new("ivshmem-server", server_thread, t);
    server->thread = t;
    ntb_server_map(server);
    return server;
}

NtbServer *ntb_server_start(void)
{
    return ntb_server_start_size(NTB_SHM_SIZE);
}

/*
 * Ports
 */

void ntb_setup_function(NtbPort *p)
{
    ntb_machine_ready(p->qts);
    /* At the same address every time */
    p->dev->bus->mmio_alloc_ptr = BAR0_BASE + p->index * BAR0_STRIDE;
    p->bar = qpci_iomap(p->dev, 0, NULL);
    p->bar0 = ntb_from_pci(p->qts, p->bar.addr);
    ntb_cfg_writew(p, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    ntb_cfg_write(p, IDT_CAP_MSI + PCI_MSI_ADDRESS_LO, p->msi);
    ntb_cfg_write(p, IDT_CAP_MSI + PCI_MSI_ADDRESS_HI, 0);
    ntb_cfg_writew(p, IDT_CAP_MSI + PCI_MSI_DATA_64, NTB_MSI_DATA);
    ntb_msi_clear(p);
    ntb_msi_enable(p, true);
}

NtbPort *ntb_open(QTestState *qts, const char *id, unsigned bus,
                  unsigned devfn, unsigned index)
{
    NtbPort *p = g_new0(NtbPort, 1);

    p->qts = qts;
    p->id = id;
    p->index = index;
    alloc_init(&p->alloc, 0, ALLOC_BASE + index * ALLOC_SIZE,
               ALLOC_BASE + (index + 1) * ALLOC_SIZE, 4 * KiB);
    p->dev = qpci_device_find(ntb_machine_bus(&p->bus, qts, &p->alloc),
                              bus << 8 | devfn);
    g_assert_nonnull(p->dev);
    p->ecam = ntb_ecam(qts, bus, devfn);
    p->msi = guest_alloc(&p->alloc, 4);
    ntb_setup_function(p);
    p->port = ntb_cfg_read(p, IDT_CAP_PCIE + PCI_EXP_LNKCAP) >> 24;
    p->partition = ntb_qom_int(p, "partition");
    return p;
}

void ntb_close(NtbPort *p)
{
    g_free(p->dev);
    alloc_destroy(&p->alloc);
    g_free(p);
}

NtbPort *ntb_boot(NtbServer *server, const char *machine, const char *chardev,
                  const char *props)
{
    QTestState *qts;
    NtbPort *p;

    qts = qtest_initf("%s -chardev socket,path=%s,id=ntb%s "
                      "-device idt-ntb,id=ntb0,chardev=ntb,addr=4.0%s",
                      machine, server->socket, chardev, props);
    p = ntb_open(qts, "ntb0", 0, NTB0_DEVFN, 0);
    p->owns_qemu = true;
    return p;
}

QTestState *ntb_boot_root_port(NtbServer *server, const char *machine)
{
    return qtest_initf("%s -chardev socket,path=%s,id=ntb,reconnect-ms=50 "
                       "-device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,"
                       "chassis=1", machine, server->socket);
}

void ntb_quit(NtbPort *p)
{
    if (p->owns_qemu) {
        qtest_quit(p->qts);
    }
    ntb_close(p);
}

void ntb_kill_qemu(QTestState *qts)
{
    pid_t pid = qtest_pid(qts);

    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    /* Reaped above, so libqtest does not take the signal for a failure */
    g_assert_false(qtest_probe_child(qts));
    qtest_quit(qts);
}

/* Bus 1, and the memory of all BARs behind the root port */
static void setup_root_port(QTestState *qts)
{
    const NtbMachine *machine = ntb_machine_of(qts);
    uint32_t end = BAR0_BASE + BAR0_STRIDE;
    NtbBus bus;
    QPCIDevice *rp = qpci_device_find(ntb_machine_bus(&bus, qts, NULL),
                                      RP0_DEVFN);

    qpci_config_writel(rp, PCI_PRIMARY_BUS, 0x010100);
    qpci_config_writel(rp, PCI_MEMORY_BASE, end | machine->bar32 >> 16);
    qpci_config_writel(rp, PCI_PREF_MEMORY_BASE, 0xfff00000);
    qpci_config_writel(rp, PCI_PREF_BASE_UPPER32, machine->bar64 >> 32);
    qpci_config_writel(rp, PCI_PREF_LIMIT_UPPER32, 0xff);
    qpci_config_writew(rp, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_free(rp);
}

void ntb_device_add_send(QTestState *qts, const char *props)
{
    qtest_qmp_send_raw(qts, "{'execute': 'device_add', 'arguments':"
                       "{'driver': 'idt-ntb', 'id': 'ntb1', 'bus': 'rp0',"
                       " 'chardev': 'ntb'%s}}\n", props);
}

void ntb_device_add_wait(QTestState *qts)
{
    QDict *reply = qtest_qmp_receive(qts);

    if (!qdict_haskey(reply, "return")) {
        ntb_fail("device_add: %s",
                 qdict_get_str(qdict_get_qdict(reply, "error"), "desc"));
    }
    qobject_unref(reply);
}

void ntb_device_add_with(QTestState *qts, const char *props)
{
    ntb_device_add_send(qts, props);
    ntb_device_add_wait(qts);
}

void ntb_device_add(QTestState *qts)
{
    ntb_device_add_with(qts, "");
}

NtbPort *ntb_open_plugged(QTestState *qts)
{
    setup_root_port(qts);
    return ntb_open(qts, "ntb1", 1, 0, 1);
}

void ntb_device_del_send(QTestState *qts)
{
    qtest_qmp_device_del_send(qts, "ntb1");
    /* Do as a guest's ACPI code: rp0 is the only bus with hot-plug */
    qtest_outl(qts, PCIHP_BASE + PCIHP_SELECT, 0);
    qtest_outl(qts, PCIHP_BASE + PCIHP_EJECT, 1);
}

void ntb_device_del(QTestState *qts)
{
    ntb_device_del_send(qts);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
}

void ntb_secondary_bus_reset(QTestState *qts)
{
    NtbBus bus;
    QPCIDevice *rp = qpci_device_find(ntb_machine_bus(&bus, qts, NULL),
                                      RP0_DEVFN);

    qpci_config_writew(rp, PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_BUS_RESET);
    qpci_config_writew(rp, PCI_BRIDGE_CONTROL, 0);
    g_free(rp);
}

unsigned ntb_count_fds(QTestState *qts)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", qtest_pid(qts));
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned count = 0;

    while (g_dir_read_name(dir)) {
        count++;
    }
    return count;
}

static QObject *qom_get(NtbPort *p, const char *name)
{
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", p->id);
    QDict *reply = qtest_qmp(p->qts, "{'execute': 'qom-get', 'arguments':"
                             "{'path': %s, 'property': %s}}", path, name);
    QObject *value = qdict_get(reply, "return");

    g_assert_nonnull(value);
    qobject_ref(value);
    qobject_unref(reply);
    return value;
}

int64_t ntb_qom_int(NtbPort *p, const char *name)
{
    QObject *value = qom_get(p, name);
    int64_t number = qnum_get_int(qobject_to(QNum, value));

    qobject_unref(value);
    return number;
}

bool ntb_qom_bool(NtbPort *p, const char *name)
{
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", p->id);

    return qtest_qom_get_bool(p->qts, path, name);
}

/*
 * A command is answered by an iteration of the main loop that began after it
 * was sent; that iteration serves all descriptors that were ready then.
 */
void ntb_settle(QTestState *qts)
{
    for (unsigned i = 0; i < 3; i++) {
        qtest_readb(qts, 0);
    }
}

/*
 * Registers
 */

uint32_t ntb_read(NtbPort *p, uint32_t offset)
{
    return qpci_io_readl(p->dev, p->bar, offset);
}

void ntb_write(NtbPort *p, uint32_t offset, uint32_t value)
{
    qpci_io_writel(p->dev, p->bar, offset, value);
}

uint32_t ntb_cfg_read(NtbPort *p, uint32_t offset)
{
    return offset < PCI_CFG_SPACE_SIZE ? qpci_config_readl(p->dev, offset) :
           ntb_ext_config_read(p->dev, offset, 4);
}

void ntb_cfg_write(NtbPort *p, uint32_t offset, uint32_t value)
{
    if (offset < PCI_CFG_SPACE_SIZE) {
        qpci_config_writel(p->dev, offset, value);
    } else {
        ntb_ext_config_write(p->dev, offset, 4, value);
    }
}

uint16_t ntb_cfg_readw(NtbPort *p, uint32_t offset)
{
    return offset < PCI_CFG_SPACE_SIZE ? qpci_config_readw(p->dev, offset) :
           ntb_ext_config_read(p->dev, offset, 2);
}

void ntb_cfg_writew(NtbPort *p, uint32_t offset, uint16_t value)
{
    if (offset < PCI_CFG_SPACE_SIZE) {
        qpci_config_writew(p->dev, offset, value);
    } else {
        ntb_ext_config_write(p->dev, offset, 2, value);
    }
}

uint32_t ntb_gas_read(NtbPort *p, uint32_t address)
{
    ntb_write(p, A_GASAADDR, address);
    return ntb_read(p, A_GASADATA);
}

void ntb_gas_write(NtbPort *p, uint32_t address, uint32_t value)
{
    ntb_write(p, A_GASAADDR, address);
    ntb_write(p, A_GASADATA, value);
}

uint64_t ntb_read_sized(NtbPort *p, uint64_t address, unsigned size)
{
    return ntb_mem_read(p->qts, address, size);
}

void ntb_write_sized(NtbPort *p, uint64_t address, unsigned size,
                     uint64_t value)
{
    ntb_mem_write(p->qts, address, size, value);
}

/*
 * Interrupts
 */

void ntb_msi_enable(NtbPort *p, bool enable)
{
    ntb_cfg_writew(p, IDT_CAP_MSI + PCI_MSI_FLAGS,
                   enable ? PCI_MSI_FLAGS_ENABLE : 0);
}

void ntb_msi_clear(NtbPort *p)
{
    ntb_mem_write(p->qts, p->msi, 4, 0);
}

bool ntb_msi_seen(NtbPort *p)
{
    uint32_t word = ntb_mem_read(p->qts, p->msi, 4);

    g_assert_true(word == 0 || word == NTB_MSI_DATA);
    return word;
}

void ntb_unmask_all(NtbPort *p)
{
    ntb_gas_write(p, A_SELINKUPMSK, 0);
    ntb_gas_write(p, A_SELINKDNMSK, 0);
    ntb_gas_write(p, A_SEFRSTMSK, 0);
    ntb_gas_write(p, A_SEHRSTMSK, 0);
    ntb_gas_write(p, A_SEGSIGMSK, 0);
    ntb_gas_write(p, A_SEMSK, 0);
    ntb_gas_write(p, A_SEPMSK, 0);
    ntb_write(p, A_INDBELLMSK, 0);
    ntb_write(p, A_MSGSTSMSK, 0);
    ntb_write(p, A_NTINTMSK, 0);
}

bool ntb_intx(NtbPort *p)
{
    return ntb_cfg_readw(p, PCI_STATUS) & PCI_STATUS_INTERRUPT;
}

void ntb_route_message(NtbPort *p, unsigned msg, unsigned partition,
                       unsigned reg)
{
    ntb_gas_write(p, ntb_gas_msgctl(p->partition, msg),
                  FIELD_DP32(reg, SWP0MSGCTL0, PART, partition));
}

static void talk_by_doorbell(NtbPort *from, NtbPort *to)
{
    uint32_t doorbell = 1u << (16 + from->partition);

    ntb_write(to, A_INDBELLMSK, 0);
    ntb_write(from, A_OUTDBELLSET, doorbell);
    ntb_assert_msi(to);
    g_assert_cmphex(ntb_read(to, A_INDBELLSTS), ==, doorbell);
    ntb_write(to, A_INDBELLSTS, doorbell);
    g_assert_cmphex(ntb_read(to, A_INDBELLSTS), ==, 0);
    /* It came to its own sender and to everybody else, too */
    ntb_write(from, A_INDBELLSTS, doorbell);
    ntb_settle(from->qts);
    ntb_msi_clear(from);
}

static void talk_by_message(NtbPort *from, NtbPort *to)
{
    static uint32_t data = 0x7a1c0000;

    data++;
    ntb_route_message(from, 1, to->partition, 2);
    ntb_write(to, A_MSGSTSMSK, 0);
    ntb_write(from, A_OUTMSG0 + 4, data);
    g_assert_cmphex(ntb_read(from, A_MSGSTS) & 2, ==, 0);
    ntb_assert_msi(to);
    g_assert_cmphex(ntb_read(to, A_MSGSTS), ==, 1 << 18);
    g_assert_cmphex(ntb_read(to, A_INMSG0 + 8), ==, data);
    g_assert_cmphex(ntb_read(to, A_INMSGSRC0 + 8), ==, from->partition);
    ntb_write(to, A_MSGSTS, 1 << 18);
    g_assert_cmphex(ntb_read(to, A_MSGSTS), ==, 0);
}

void ntb_assert_talk(NtbPort *from, NtbPort *to)
{
    ntb_write(to, A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
    ntb_write(to, A_INDBELLSTS, UINT32_MAX);
    ntb_write(to, A_MSGSTS, UINT32_MAX);
    ntb_write(to, A_NTINTMSK, 0);
    ntb_settle(to->qts);
    ntb_msi_clear(to);
    talk_by_doorbell(from, to);
    talk_by_message(from, to);
}
