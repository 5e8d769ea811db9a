/*
 * QTest testcase for idt-ntb: nothing in shared memory is trusted
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/socket.h>
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "fake_port.h"

/*
 * Processes that pass for another one: the test has port 2 and says that a
 * third QEMU has it.  No other QEMU may map the RAM of that one in the place of
 * ours.
 */

#define RAM_NAME    "/memfd:memory-backend-memfd"

typedef enum NextClient {
    IS_SERVED,
    IS_IGNORED,                 /* its handshake never ends */
} NextClient;

static FakePort f;
static NtbPort *third;          /* port 4 */
static int first_shm_fd;        /* of the server as it was at the start */
static NextClient next_client;
static unsigned ignored;

static void serve(FakeServer *fake, int client)
{
    if (qatomic_read(&next_client) == IS_SERVED) {
        fake_serve(fake, client);
    } else {
        qatomic_inc(&ignored);
        fake_wait_close(client);
    }
}

static void start(void)
{
    next_client = IS_SERVED;
    ignored = 0;
    f.server = fake_server_start(serve, NULL);
    first_shm_fd = f.server->shm_fd;
    f.a = win_boot(&f.server->base, WIN_SHARED, NULL,
                   ",partitions=3,server-timeout=20000");
    f.server->clients++;        /* that is us */
    third = win_boot(&f.server->base, WIN_SHARED, NULL, ",partitions=3,port=4");
    fake_port_join(&f);
    fake_port_receive(&f);
    win_open(f.a, 1, 1, WIN_X);
}

static void stop(void)
{
    if (f.server->shm_fd != first_shm_fd) {
        close(f.server->shm_fd);
        f.server->shm_fd = first_shm_fd;
    }
    ntb_quit(third);
    fake_port_stop(&f);
}

/* A server in the place of the old one: the same memory, opened anew */
static void restart_server(void)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", first_shm_fd);

    f.server->shm_fd = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(f.server->shm_fd, >=, 0);
}

/* Client @id loses the server, and meets it again as client @new_id */
static void reconnect(unsigned id, unsigned new_id, NtbPort *p)
{
    shutdown(f.server->sockets[id], SHUT_RDWR);
    ntb_wait(qatomic_read(&f.server->sockets[new_id]) >= 0);
    fake_settle(f.server, new_id, p);
}

/* Descriptor @fd of the third QEMU is what link @target names, or our @file */
static bool third_has(int fd, const char *target, int file)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd/%d",
                                            qtest_pid(third->qts), fd);
    g_autofree char *name = g_file_read_link(path, NULL);
    struct stat a, b;

    if (!name || !target) {
        return name && stat(path, &a) == 0 && fstat(file, &b) == 0 &&
               a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    }
    return g_str_has_prefix(name, target);
}

static int find_ram_of_third(void)
{
    for (int fd = 0; fd < 256; fd++) {
        if (third_has(fd, RAM_NAME, -1)) {
            return fd;
        }
    }
    ntb_fail("the RAM of the third QEMU is not among its descriptors");
    return -1;
}

/* Lock our port through @fd, which the third QEMU has too, and lie */
static void assert_liar_fails(int fd)
{
    IdtNtbShmRam ram = {
        .addr = 0, .size = WIN_RAM_SIZE, .fd = find_ram_of_third(),
    };
    unsigned shared = 0;

    close(f.lock);
    f.lock = -1;
    g_assert_cmpint(fake_port_lock_by(&f, fd, 1, F_WRLCK), ==, 0);
    for (int lock = 0; lock < 256; lock++) {
        if (!third_has(lock, NULL, first_shm_fd)) {
            continue;
        }
        shared++;
        fake_port_revive(&f);
        fake_port_publish(&f, qtest_pid(third->qts), lock, &ram);
        win_close(f.a, 1);
        win_limit(f.a, 1, f.base + WIN_SIZE);
        g_assert_cmphex(qtest_readq(f.a->qts, f.base), ==, UINT64_MAX);
        g_assert_cmpuint(win_mappings(f.a), ==, 0);
    }
    /* Its own, and that of the server */
    g_assert_cmpuint(shared, >=, 2);
    g_assert_cmphex(ntb_read(f.a, A_BARSETUP0), ==, 0x800004c0);
    g_assert_cmpint(fake_port_lock_by(&f, fd, 1, F_UNLCK), ==, 0);
    f.lock = fake_port_lock(&f, 1, F_WRLCK);
    g_assert_cmpint(f.lock, >=, 0);
}

/* All have the descriptor that the server gave them */
static void test_same_server(void)
{
    start();
    assert_liar_fails(first_shm_fd);
    stop();
}

/* The QEMU that is lied to has no descriptor of a server */
static void test_in_handshake(void)
{
    start();
    qatomic_set(&next_client, IS_IGNORED);
    shutdown(f.server->sockets[0], SHUT_RDWR);
    ntb_wait(qatomic_read(&ignored) == 1);
    ntb_wait(fake_is_connected(f.a->qts));
    assert_liar_fails(first_shm_fd);
    stop();
}

/* It has that of a new server, the third QEMU that of the old one */
static void test_earlier_server(void)
{
    start();
    restart_server();
    reconnect(0, 3, f.a);
    assert_liar_fails(first_shm_fd);
    stop();
}

/* The other way round */
static void test_later_server(void)
{
    start();
    restart_server();
    reconnect(2, 3, third);
    assert_liar_fails(f.server->shm_fd);
    stop();
}

/* It comes when the lie is there */
static void test_before_attach(void)
{
    start();
    restart_server();
    ntb_quit(f.a);
    f.a = win_boot(&f.server->base, WIN_SHARED, NULL, ",partitions=3");
    win_open(f.a, 1, 1, WIN_X);
    fake_port_revive(&f);
    assert_liar_fails(first_shm_fd);
    stop();
}

/* A process has locked all there is, through what all share, and has gone */
static void test_locks_left(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    FakeServer *fake = fake_server_start(fake_serve, NULL);
    NtbPort *a, *b;

    g_assert_cmpint(fcntl(fake->shm_fd, F_OFD_SETLK, &lock), ==, 0);
    a = ntb_boot(&fake->base, NULL);
    lock.l_len = 1;
    g_assert_cmpint(fcntl(fake->shm_fd, F_OFD_SETLK, &lock), ==, 0);
    b = ntb_boot(&fake->base, NULL);
    ntb_unmask_all(a);
    ntb_unmask_all(b);
    ntb_assert_talk(a, b);
    ntb_quit(a);
    ntb_quit(b);
    fake_server_stop(fake);
}

/*
 * What a QEMU has said of its own port it knows by itself, whatever another
 * process writes there.  The test has port 2, the QEMU port 0.
 */

static void test_own_master(void)
{
    IdtNtbShmPort *p;
    uint32_t epoch;

    fake_port_start(&f, NULL);
    p = &f.shm->slot[0].p;
    epoch = qatomic_read(&p->receive_epoch);
    p->cfg[PCI_COMMAND / 4] &= ~PCI_COMMAND_MASTER;
    /* Its memory is closed now: what was sent before comes too late */
    ntb_cfg_writew(f.a, PCI_COMMAND, PCI_COMMAND_MEMORY);
    g_assert_cmpuint(qatomic_read(&p->receive_epoch), ==, epoch + 1);
    p->cfg[PCI_COMMAND / 4] |= PCI_COMMAND_MASTER;
    ntb_cfg_writew(f.a, PCI_COMMAND, PCI_COMMAND_MEMORY);
    g_assert_cmphex(p->cfg[PCI_COMMAND / 4] & 7, ==, PCI_COMMAND_MEMORY);
    fake_port_stop(&f);
}

static void test_own_link(void)
{
    static const uint32_t lies[] = {
        IDT_NTB_PORT_FREE, IDT_NTB_PORT_DOWN, IDT_NTB_PORT_GOING_DOWN, 77
    };
    IdtNtbShmPort *p;

    fake_port_start(&f, NULL);
    p = &f.shm->slot[0].p;
    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
        uint32_t *down = &f.shm->sw.selinkdnsts;

        /* A reset is a link down and a link up */
        qatomic_set(down, 0);
        qatomic_set(&p->state, lies[i]);
        ntb_cfg_writew(f.a, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
        g_assert_cmphex(qatomic_read(down), ==, 1 << 0);
        g_assert_cmpuint(qatomic_read(&p->state), ==, IDT_NTB_PORT_UP);
        /* It is shown again, too, and nothing has happened */
        qatomic_set(down, 0);
        qatomic_set(&f.shm->sw.selinkupsts, 0);
        qatomic_set(&p->state, lies[i]);
        fake_port_signal(&f);
        ntb_wait(qatomic_read(&p->state) == IDT_NTB_PORT_UP);
        g_assert_cmphex(qatomic_read(down), ==, 0);
        g_assert_cmphex(qatomic_read(&f.shm->sw.selinkupsts), ==, 0);
    }
    fake_port_stop(&f);
}

/* A table that changes has a number that it never had, or mappings stay */
static void test_own_table(void)
{
    IdtNtbShmMemory *table;
    uint32_t seq;

    fake_port_start(&f, NULL);
    table = &f.shm->memory[0].m;
    seq = qatomic_read(&table->seq);
    for (unsigned i = 0; i < 4; i++) {
        static const uint32_t lies[] = { -2, -1, 1, 1u << 31 };

        qatomic_set(&table->seq, seq + lies[i]);
        qtest_qmp_assert_success(f.a->qts, i % 2 ? "{'execute': 'cont'}" :
                                                   "{'execute': 'stop'}");
        seq += 2;
        g_assert_cmphex(qatomic_read(&table->seq), ==, seq);
    }
    fake_port_stop(&f);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/trust/same-server", test_same_server);
    ntb_add_reconnect_test("/idt-ntb/trust/in-handshake", test_in_handshake);
    ntb_add_reconnect_test("/idt-ntb/trust/earlier-server",
                           test_earlier_server);
    ntb_add_reconnect_test("/idt-ntb/trust/later-server", test_later_server);
    qtest_add_func("/idt-ntb/trust/before-attach", test_before_attach);
    qtest_add_func("/idt-ntb/trust/locks-left", test_locks_left);
    qtest_add_func("/idt-ntb/trust/own-master", test_own_master);
    qtest_add_func("/idt-ntb/trust/own-link", test_own_link);
    qtest_add_func("/idt-ntb/trust/own-table", test_own_table);
}

libqos_init(add_tests);
