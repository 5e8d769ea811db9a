/*
 * QTest testcase for idt-ntb: nothing in shared memory is trusted
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/socket.h>
#include "hw/pci/pci_regs.h"
#include "extra.h"
#include "fake_port.h"

/*
 * A process passes for another one: the test has port 2 and says that a third
 * QEMU has it.  No other QEMU may map the RAM of the third one instead of ours.
 */

#define RAM_NAME    "/memfd:memory-backend-memfd"

typedef enum NextClient {
    IS_SERVED,
    IS_IGNORED,                 /* its handshake never ends */
} NextClient;

static FakePort us;
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
    us.server = fake_server_start(serve, NULL);
    first_shm_fd = us.server->shm_fd;
    us.a = win_boot(&us.server->base, WIN_SHARED, NULL,
                   ",partitions=3,server-timeout=20000");
    us.server->clients++;       /* that is us */
    third = win_boot(&us.server->base, WIN_SHARED, NULL,
                     ",partitions=3,port=4");
    fake_port_join(&us);
    fake_port_receive(&us);
    win_open(us.a, 1, 1, WIN_X);
}

static void stop(void)
{
    if (us.server->shm_fd != first_shm_fd) {
        close(us.server->shm_fd);
        us.server->shm_fd = first_shm_fd;
    }
    ntb_quit(third);
    fake_port_stop(&us);
}

/* Make a new server of the old one: the same memory, opened anew */
static void restart_server(void)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", first_shm_fd);

    us.server->shm_fd = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(us.server->shm_fd, >=, 0);
}

/* Let client @id lose the server, and connect again as client @new_id */
static void reconnect(unsigned id, unsigned new_id, NtbPort *p)
{
    shutdown(us.server->sockets[id], SHUT_RDWR);
    ntb_wait(qatomic_read(&us.server->sockets[new_id]) >= 0);
    fake_settle(us.server, new_id, p);
}

/* True if @fd of the third QEMU is what link @target names, or our @file */
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

    close(us.lock);
    us.lock = -1;
    g_assert_cmpint(fake_port_lock_by(&us, fd, 1, F_WRLCK), ==, 0);
    for (int lock = 0; lock < 256; lock++) {
        if (!third_has(lock, NULL, first_shm_fd)) {
            continue;
        }
        shared++;
        fake_port_revive(&us);
        fake_port_publish(&us, qtest_pid(third->qts), lock, &ram);
        win_close(us.a, 1);
        win_limit(us.a, 1, us.base + WIN_SIZE);
        g_assert_cmphex(qtest_readq(us.a->qts, us.base), ==, UINT64_MAX);
        g_assert_cmpuint(win_mappings(us.a), ==, 0);
    }
    /* Its own, and that of the server */
    g_assert_cmpuint(shared, >=, 2);
    g_assert_cmphex(ntb_read(us.a, A_BARSETUP0), ==, 0x800004c0);
    g_assert_cmpint(fake_port_lock_by(&us, fd, 1, F_UNLCK), ==, 0);
    us.lock = fake_port_lock(&us, 1, F_WRLCK);
    g_assert_cmpint(us.lock, >=, 0);
}

typedef struct Liar {
    void (*prepare)(void);      /* or NULL */
    bool locks_new;             /* through the memory of the new server */
} Liar;

static void test_liar(NtbFixture *f)
{
    const Liar *liar = f->test->data;

    start();
    if (liar->prepare) {
        liar->prepare();
    }
    assert_liar_fails(liar->locks_new ? us.server->shm_fd : first_shm_fd);
    stop();
}

/* All have the descriptor that the server gave them */
static const Liar same_server = { };

static void break_handshake(void)
{
    qatomic_set(&next_client, IS_IGNORED);
    shutdown(us.server->sockets[0], SHUT_RDWR);
    ntb_wait(qatomic_read(&ignored) == 1);
    ntb_wait(fake_is_connected(us.a->qts));
}

/* The QEMU that is lied to has no descriptor of a server */
static const Liar in_handshake = { break_handshake };

static void move_victim(void)
{
    restart_server();
    reconnect(0, 3, us.a);
}

/* It has that of a new server, the third QEMU that of the old one */
static const Liar earlier_server = { move_victim };

static void move_third(void)
{
    restart_server();
    reconnect(2, 3, third);
}

/* The other way round */
static const Liar later_server = { move_third, .locks_new = true };

static void attach_victim(void)
{
    restart_server();
    ntb_quit(us.a);
    us.a = win_boot(&us.server->base, WIN_SHARED, NULL, ",partitions=3");
    win_open(us.a, 1, 1, WIN_X);
    fake_port_revive(&us);
}

/* It attaches when the lie is there */
static const Liar before_attach = { attach_victim };

/* A process has locked all through the shared description, and has gone */
static void test_locks_left(NtbFixture *f)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    FakeServer *fake = fake_server_prepare(f, fake_serve, NULL);
    NtbPort *a, *b;

    g_assert_cmpint(fcntl(fake->shm_fd, F_OFD_SETLK, &lock), ==, 0);
    a = ntb_start(f, 0, NULL);
    lock.l_len = 1;
    g_assert_cmpint(fcntl(fake->shm_fd, F_OFD_SETLK, &lock), ==, 0);
    b = ntb_start(f, 1, NULL);
    ntb_unmask_all(a);
    ntb_unmask_all(b);
    ntb_assert_talk(a, b);
}

/*
 * A QEMU knows by itself what it has said of its own port, whatever another
 * process writes there.  The test has port 2, the QEMU port 0.
 */

static void test_own_master(NtbFixture *f)
{
    IdtNtbShmPort *p;
    uint32_t epoch;

    fake_port_start(&us, NULL);
    p = &us.shm->slot[0].p;
    epoch = qatomic_read(&p->receive_epoch);
    p->cfg[PCI_COMMAND / 4] &= ~PCI_COMMAND_MASTER;
    /* Its memory is closed now: what was sent before comes too late */
    ntb_cfg_writew(us.a, PCI_COMMAND, PCI_COMMAND_MEMORY);
    g_assert_cmpuint(qatomic_read(&p->receive_epoch), ==, epoch + 1);
    p->cfg[PCI_COMMAND / 4] |= PCI_COMMAND_MASTER;
    ntb_cfg_writew(us.a, PCI_COMMAND, PCI_COMMAND_MEMORY);
    g_assert_cmphex(p->cfg[PCI_COMMAND / 4] & 7, ==, PCI_COMMAND_MEMORY);
    fake_port_stop(&us);
}

static void test_own_link(NtbFixture *f)
{
    static const uint32_t lies[] = {
        IDT_NTB_PORT_FREE, IDT_NTB_PORT_DOWN, IDT_NTB_PORT_GOING_DOWN, 77
    };
    IdtNtbShmPort *p;

    fake_port_start(&us, NULL);
    p = &us.shm->slot[0].p;
    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
        uint32_t *down = &us.shm->sw.selinkdnsts;

        /* A reset is a link down and a link up */
        qatomic_set(down, 0);
        qatomic_set(&p->state, lies[i]);
        ntb_cfg_writew(us.a, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
        g_assert_cmphex(qatomic_read(down), ==, 1 << 0);
        g_assert_cmpuint(qatomic_read(&p->state), ==, IDT_NTB_PORT_UP);
        /* The QEMU shows it again, too, without an event */
        qatomic_set(down, 0);
        qatomic_set(&us.shm->sw.selinkupsts, 0);
        qatomic_set(&p->state, lies[i]);
        fake_port_signal(&us);
        ntb_wait(qatomic_read(&p->state) == IDT_NTB_PORT_UP);
        g_assert_cmphex(qatomic_read(down), ==, 0);
        g_assert_cmphex(qatomic_read(&us.shm->sw.selinkupsts), ==, 0);
    }
    fake_port_stop(&us);
}

/* A changed table needs a number that it never had, or mappings stay */
static void test_own_table(NtbFixture *f)
{
    IdtNtbShmMemory *table;
    uint32_t seq;

    fake_port_start(&us, NULL);
    table = &us.shm->memory[0].m;
    seq = qatomic_read(&table->seq);
    for (unsigned i = 0; i < 4; i++) {
        static const uint32_t lies[] = { -2, -1, 1, 1u << 31 };

        qatomic_set(&table->seq, seq + lies[i]);
        qtest_qmp_assert_success(us.a->qts, i % 2 ? "{'execute': 'cont'}" :
                                                   "{'execute': 'stop'}");
        seq += 2;
        g_assert_cmphex(qatomic_read(&table->seq), ==, seq);
    }
    fake_port_stop(&us);
}

#define LIAR(liar)                                                      \
    test_liar, .data = &liar, .server = ntb_no_server, .q35 = true
#define OWN         .server = ntb_no_server, .q35 = true

static const NtbTest tests[] = {
    { "trust/liar-at-the-same-server-fails", LIAR(same_server) },
    { "trust/liar-fails-in-a-handshake", LIAR(in_handshake),
      .needs = ntb_reconnects },
    { "trust/liar-at-an-earlier-server-fails", LIAR(earlier_server),
      .needs = ntb_reconnects },
    { "trust/liar-at-a-later-server-fails", LIAR(later_server),
      .needs = ntb_reconnects },
    { "trust/liar-before-an-attach-fails", LIAR(before_attach) },
    { "trust/needs-no-lock-that-all-share", test_locks_left, OWN },
    { "trust/bus-master-is-known-to-its-port", test_own_master, OWN },
    { "trust/link-is-known-to-its-port", test_own_link, OWN },
    { "trust/table-number-is-known-to-its-port", test_own_table, OWN },
};

ntb_tests(tests);
