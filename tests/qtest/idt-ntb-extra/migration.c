/*
 * QTest testcase for idt-ntb: snapshots and migration
 *
 * ports[1] moves, ports[0] is its peer and stays.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qemu/bswap.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "libqos/libqos.h"
#include "qobject/qdict.h"
#include "idt-ntb/fixture.h"
#include "extra.h"
#include "image.h"

/* Fills the RAM, for a migration that must not end before the test wants it */
#define FILL_SIZE       (4 * MiB)

static const char *const stay = ",port=0";
static const char *const move = ",port=2,completion-timeout=60000";

/*
 * Moving
 */

/*
 * A QEMU that waits for the state of ports[1], and what it says goes to @log;
 * @socket is NULL: for "migrate-incoming".
 */
static QTestState *await(NtbFixture *f, NtbServer *server, const char *socket,
                         const char *log, const char *props, const char *args)
{
    g_autofree char *machine = win_next_machine(f->path);

    return qtest_initf("%s %s -incoming %s%s -chardev socket,path=%s,id=ntb "
                       "-device idt-ntb,id=ntb0,chardev=ntb,addr=4.0%s 2>%s",
                       machine, args ?: "", socket ? "unix:" : "defer",
                       socket ?: "", server->socket, props, log);
}

static void start_migration(QTestState *qts, const char *socket)
{
    g_autofree char *uri = g_strdup_printf("unix:%s", socket);

    qtest_qmp_assert_success(qts, "{'execute': 'migrate', 'arguments': "
                             "{'uri': %s}}", uri);
}

static QDict *query(QTestState *qts)
{
    return qtest_qmp_assert_success_ref(qts, "{'execute': 'query-migrate'}");
}

static bool is_status(QTestState *qts, const char *status)
{
    QDict *reply = query(qts);
    const char *is = qdict_get_try_str(reply, "status");
    bool same = !g_strcmp0(is, status);

    if (!same && !g_strcmp0(is, "failed")) {
        ntb_fail("migration failed: %s",
                 qdict_get_try_str(reply, "error-desc") ?: "");
    }
    qobject_unref(reply);
    return same;
}

/* The source learns of a failure only if it happens before all is sent */
static bool is_over(QTestState *qts)
{
    QDict *reply = query(qts);
    const char *is = qdict_get_try_str(reply, "status");
    bool over = !g_strcmp0(is, "completed") || !g_strcmp0(is, "failed");

    qobject_unref(reply);
    return over;
}

static int64_t transferred(QTestState *qts)
{
    QDict *reply = query(qts);
    QDict *ram = qdict_get_qdict(reply, "ram");
    int64_t bytes = ram ? qdict_get_int(ram, "transferred") : 0;

    qobject_unref(reply);
    return bytes;
}

static void set_capability(QTestState *qts, const char *name)
{
    qtest_qmp_assert_success(qts, "{'execute': 'migrate-set-capabilities', "
                             "'arguments': {'capabilities': [{'capability': "
                             "%s, 'state': true}]}}", name);
}

/* The guest of @p runs in @qts from now on */
static void adopt(NtbPort *p, QTestState *qts)
{
    qtest_quit(p->qts);
    p->qts = qts;
    p->dev->bus->qts = qts;
}

static void move_guest(NtbFixture *f, NtbServer *server)
{
    g_autofree char *socket = ntb_tmp_path("migrate");
    NtbPort *b = f->ports[1];
    QTestState *to = await(f, server, socket, "/dev/null", move, NULL);

    start_migration(b->qts, socket);
    ntb_wait(is_status(b->qts, "completed"));
    qtest_qmp_eventwait(to, "RESUME");
    adopt(b, to);
}

static void save_and_load(NtbFixture *f, const char *command)
{
    g_autofree char *said = qtest_hmp(f->ports[1]->qts, "%s now", command);

    g_assert_cmpstr(said, ==, "");
}

/*
 * State
 */

/* Also the upper half of what a status register shows moves */
static void read_function(NtbPort *p, uint32_t *to)
{
    for (unsigned i = 0; i < IDT_NT_CFG_SIZE / 4; i++) {
        to[i] = ntb_cfg_read(p, 4 * i);
    }
}

/* Something in all that has to move; a doorbell and a message wait */
static void use_function(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    win_open(a, WIN_DIRECT64, b->partition, WIN_X);
    win_open(b, WIN_DIRECT64, a->partition, WIN_X);
    win_open_lut(b, WIN_LUT24, 3, a->partition, WIN_X + WIN_SIZE);
    ntb_write(b, A_NTSDATA, 0x600d600d);
    ntb_write(b, A_INDBELLMSK, ~0x20);
    ntb_cfg_writew(b, IDT_CAP_AER + PCI_ERR_COR_MASK, 0);
    ntb_write(b, A_NTINTMSK, UINT32_MAX);
    ntb_route_message(a, 1, b->partition, 2);
    ntb_write(a, A_OUTMSG0 + 4, 0x12345678);
    ntb_write(a, A_OUTDBELLSET, 0x21);
    ntb_settle(b->qts);
    ntb_listen_to_links(a);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0x21);
}

static void assert_function(NtbFixture *f, const uint32_t *before)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    g_autofree uint32_t *after = g_new(uint32_t, IDT_NT_CFG_SIZE / 4);

    ntb_assert_link_events(a, 1 << b->port, 1 << b->port);
    g_assert_true(ntb_link_up(a, b->port));
    /* LINKUP is an event for the guest itself too */
    ntb_write(b, A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
    read_function(b, after);
    for (unsigned i = 0; i < IDT_NT_CFG_SIZE / 4; i++) {
        if (before[i] != after[i]) {
            ntb_fail("offset 0x%03x: 0x%08x became 0x%08x", 4 * i, before[i],
                     after[i]);
        }
    }
    g_assert_cmphex(ntb_read(b, A_INMSG0 + 8), ==, 0x12345678);
    /* The doorbell interrupts only when it is unmasked */
    ntb_assert_no_msi(b);
    ntb_write(b, A_NTINTMSK, ~R_NTINTSTS_DBELL_MASK);
    ntb_assert_msi(b);
    win_assert_shows(a, win_bar(a, WIN_DIRECT64), b, WIN_X);
    win_assert_shows(b, win_bar(b, WIN_DIRECT64), a, WIN_X);
    win_assert_shows(b, win_bar(b, WIN_LUT24) + 3 * WIN_SIZE, a,
                     WIN_X + WIN_SIZE);
    win_assert_path(a, win_path_to(b, f->path));
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

static void start_pair(NtbFixture *f)
{
    ntb_start(f, 0, stay);
    ntb_start(f, 1, move);
}

static void test_migrate(NtbFixture *f)
{
    g_autofree uint32_t *before = g_new(uint32_t, IDT_NT_CFG_SIZE / 4);

    for (unsigned i = 0; i < 2; i++) {
        use_function(f);
        read_function(f->ports[1], before);
        move_guest(f, f->server);
        assert_function(f, before);
    }
}

static void start_with_disk(NtbFixture *f)
{
    g_autofree char *disk = ntb_tmp_path("disk");
    g_autofree char *args = g_strdup_printf(
        "-drive if=none,format=qcow2,file=%s", disk);

    g_assert_true(mkimg(disk, "qcow2", 1));
    ntb_start(f, 0, stay);
    ntb_start_args(f, 1, args, move);
}

static bool has_qemu_img(void)
{
    if (!have_qemu_img()) {
        g_test_skip("no qemu-img");
        return false;
    }
    return true;
}

static void test_snapshot(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    g_autofree uint32_t *before = g_new(uint32_t, IDT_NT_CFG_SIZE / 4);

    use_function(f);
    read_function(b, before);
    qtest_writeq(b->qts, WIN_X + 64, 0x1122334455667788);
    save_and_load(f, "savevm");
    /* That disturbs nobody */
    g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
    win_assert_shows(a, win_bar(a, WIN_DIRECT64), b, WIN_X);
    ntb_assert_talk(a, b);

    ntb_dirty(b);
    ntb_cfg_write(b, IDT_CAP_MSI + PCI_MSI_ADDRESS_LO, 0);
    ntb_gas_write(a, A_SELINKDNSTS, UINT32_MAX);
    ntb_write(a, A_NTINTSTS, UINT32_MAX);
    ntb_write(a, A_MSGSTS, UINT32_MAX);
    ntb_listen_to_links(a);
    save_and_load(f, "loadvm");
    assert_function(f, before);
}

/* The faults are those of now; a signal on its way is of another time */
static void test_snapshot_faults(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    const uint32_t lnkctl = IDT_CAP_PCIE + PCI_EXP_LNKCTL;
    const uint32_t width = PCI_EXP_LNKSTA_NLW << 16;

    save_and_load(f, "savevm");
    ntb_set_property(b, "link-width", "'1'");
    ntb_set_property(b, "fault-late", "1000");
    ntb_set_property(b, "fault-doorbells", "1");
    ntb_write(b, A_OUTDBELLSET, 1 << 9);
    ntb_set_property(b, "fault-doorbells", "0");
    save_and_load(f, "loadvm");
    ntb_wait(ntb_link_up(a, b->port));
    qtest_clock_step(b->qts, 1000 * 1000 * 1000);
    ntb_settle(a->qts);
    g_assert_cmphex(ntb_read(a, A_INDBELLSTS), ==, 0);
    g_assert_cmphex(ntb_cfg_read(b, lnkctl) & width, ==,
                    PCI_EXP_LNKSTA_NLW_X1 << 16);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(b->port, lnkctl)) & width, ==,
                    PCI_EXP_LNKSTA_NLW_X1 << 16);
    ntb_assert_talk(b, a);
}

/* No other port keeps the switch while the guest is on its way */
static void test_alone(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    ntb_end(f, 0);
    ntb_gas_write(b, A_GODBELLMSK0 + 4, 0x41);
    ntb_gas_write(b, A_SEPMSK, 0);
    move_guest(f, f->server);
    g_assert_cmphex(ntb_gas_read(b, A_GODBELLMSK0 + 4), ==, 0x41);
    g_assert_cmphex(ntb_gas_read(b, A_SEPMSK), ==, 0);
    /* Nor until it comes back */
    qtest_qmp_assert_success(b->qts, "{'execute': 'migrate', 'arguments': "
                             "{'uri': 'exec:cat >/dev/null'}}");
    ntb_wait(is_status(b->qts, "completed"));
    qtest_qmp_assert_success(b->qts, "{'execute': 'cont'}");
    g_assert_cmphex(ntb_gas_read(b, A_GODBELLMSK0 + 4), ==, 0x41);
    /* It ends with the guest */
    ntb_end(f, 1);
    b = ntb_start(f, 1, move);
    g_assert_cmphex(ntb_gas_read(b, A_GODBELLMSK0 + 4), ==, 0);
}

/*
 * CPR: migration to a new QEMU that keeps the RAM, or reads it from a file
 */

static void set_mode(QTestState *qts, const char *mode)
{
    qtest_qmp_assert_success(qts, "{'execute': 'migrate-set-parameters', "
                             "'arguments': {'mode': %s}}", mode);
}

static bool is_running(QTestState *qts)
{
    QDict *reply = qtest_qmp_assert_success_ref(qts,
                                                "{'execute': 'query-status'}");
    bool running = qdict_get_bool(reply, "running");

    qobject_unref(reply);
    return running;
}

typedef struct Transfer {
    QTestState *from;
    const char *socket;         /* of the state */
    const char *cpr;            /* of the descriptors */
} Transfer;

/* A process listens at this path: it has one before, from bind() on */
static bool is_listening(const char *path)
{
    g_autofree char *sockets = NULL;
    g_autofree char *line = g_strdup_printf("00010000 0001 01 [^\n]*%s\n", path);

    g_assert_true(g_file_get_contents("/proc/net/unix", &sockets, NULL, NULL));
    return g_regex_match_simple(line, sockets, 0, 0);
}

/* In a thread: QEMU lets qtest_init() in only when it has the descriptors */
static void *transfer(void *opaque)
{
    Transfer *t = opaque;

    ntb_wait(is_listening(t->cpr));
    qtest_qmp_assert_success(
        t->from, "{'execute': 'migrate', 'arguments': {'channels': ["
        "{'channel-type': 'main', 'addr': {'transport': 'socket',"
        " 'type': 'unix', 'path': %s}},"
        "{'channel-type': 'cpr', 'addr': {'transport': 'socket',"
        " 'type': 'unix', 'path': %s}}]}}", t->socket, t->cpr);
    return NULL;
}

static void test_cpr_transfer(NtbFixture *f)
{
    g_autofree uint32_t *before = g_new(uint32_t, IDT_NT_CFG_SIZE / 4);
    NtbPort *b = f->ports[1];

    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *socket = ntb_tmp_path("migrate");
        g_autofree char *cpr = ntb_tmp_path("cpr");
        g_autofree char *args = g_strdup_printf(
            "%s -incoming cpr,addr.transport=socket,addr.type=unix,"
            "addr.path=%s", f->test->args, cpr);
        Transfer t = { b->qts, socket, cpr };
        GThread *thread;
        QTestState *to;

        use_function(f);
        read_function(b, before);
        qtest_writeq(b->qts, WIN_X + 64, 0x1122334455667788 + i);
        set_mode(b->qts, "cpr-transfer");
        thread = g_thread_new("transfer", transfer, &t);
        to = await(f, f->server, socket, "/dev/null", move, args);
        g_thread_join(thread);
        ntb_wait(is_status(b->qts, "completed"));
        /* The event RESUME can come before qtest_init() listens */
        ntb_wait(is_running(to));
        adopt(b, to);
        g_assert_cmphex(qtest_readq(b->qts, WIN_X + 64), ==,
                        0x1122334455667788 + i);
        assert_function(f, before);
    }
}

static void test_cpr_reboot(NtbFixture *f)
{
    g_autofree uint32_t *before = g_new(uint32_t, IDT_NT_CFG_SIZE / 4);
    g_autofree char *file = ntb_tmp_path("state");
    g_autofree char *uri = g_strdup_printf("file:%s", file);
    NtbPort *b = f->ports[1];
    QTestState *to;

    use_function(f);
    read_function(b, before);
    set_mode(b->qts, "cpr-reboot");
    qtest_qmp_assert_success(b->qts, "{'execute': 'migrate', 'arguments': "
                             "{'uri': %s}}", uri);
    ntb_wait(is_status(b->qts, "completed"));
    qtest_quit(b->qts);
    b->qts = to = await(f, f->server, NULL, "/dev/null", move, NULL);
    b->dev->bus->qts = to;
    set_mode(to, "cpr-reboot");
    qtest_qmp_assert_success(to, "{'execute': 'migrate-incoming', "
                             "'arguments': {'uri': %s}}", uri);
    qtest_qmp_eventwait(to, "RESUME");
    assert_function(f, before);
}

/* The switch of the new server has the registers of its own */
static void test_other_server(NtbFixture *f)
{
    NtbServer *other = ntb_server_start();
    NtbPort *a = f->ports[0], *b = f->ports[1];

    use_function(f);
    move_guest(f, other);
    ntb_assert_link_events(a, 1 << b->port, 0);
    g_assert_true(ntb_is_up_in(other, b->port));
    g_assert_false(ntb_is_up_in(f->server, b->port));
    g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0x600d600d);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0x21);
    ntb_end(f, 0);
    f->ports[0] = a = win_boot(other, f->path, NULL, ",port=0");
    win_assert_shows(b, win_bar(b, WIN_DIRECT64), a, WIN_X);
    ntb_assert_talk(a, b);
    ntb_end(f, 1);
    ntb_end(f, 0);
    ntb_server_stop(other);
}

/*
 * Under way
 */

/* Start a migration that cannot end: its destination does not read */
static QTestState *start_slowly(NtbFixture *f, const char *socket)
{
    NtbPort *b = f->ports[1];
    QTestState *to = await(f, f->server, socket, "/dev/null", move, NULL);

    qtest_memset(b->qts, WIN_X, 0x5a, FILL_SIZE);
    for (uint64_t at = 0; at < FILL_SIZE; at += 4 * KiB) {
        qtest_writeq(b->qts, WIN_X + at, at + 1);
    }
    kill(qtest_pid(to), SIGSTOP);
    start_migration(b->qts, socket);
    ntb_wait(is_status(b->qts, "active") && transferred(b->qts) > 100 * KiB);
    return to;
}

/* A peer's write to a page that has been sent already is in the destination */
static void test_dirty(NtbFixture *f)
{
    g_autofree char *socket = ntb_tmp_path("migrate");
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t value = win_value();
    QTestState *to;

    win_open(a, WIN_DIRECT64, b->partition, WIN_X);
    win_assert_shows(a, win_bar(a, WIN_DIRECT64), b, WIN_X);
    to = start_slowly(f, socket);
    /* The link is up, but nothing is mapped */
    win_assert_hits(a, win_bar(a, WIN_DIRECT64) + 8, b, WIN_X + 8, 8);
    g_assert_cmpuint(win_mappings(a), ==, 0);
    ntb_assert_talk(a, b);
    for (unsigned at = 0; at < 16 * KiB; at += 8) {
        ntb_write_sized(a, win_bar(a, WIN_DIRECT64) + at, 8, value + at);
    }
    /* No read of the source's registers: the stop completes the writes */
    ntb_listen_to_links(a);
    kill(qtest_pid(to), SIGCONT);
    ntb_wait(is_status(b->qts, "completed"));
    qtest_qmp_eventwait(to, "RESUME");
    adopt(b, to);
    for (unsigned at = 0; at < 16 * KiB; at += 8) {
        g_assert_cmphex(qtest_readq(b->qts, WIN_X + at), ==, value + at);
    }
    ntb_assert_link_events(a, 1 << b->port, 1 << b->port);
    win_assert_shows(a, win_bar(a, WIN_DIRECT64), b, WIN_X);
    win_assert_path(a, win_path_to(b, f->path));
}

static void cancel(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{'execute': 'migrate_cancel'}");
    ntb_wait(is_status(qts, "cancelled"));
}

/* The source goes on with all that it had */
static void assert_stayed(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_wait(ntb_link_up(a, b->port));
    g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0x600d600d);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0x21);
    win_assert_shows(a, win_bar(a, WIN_DIRECT64), b, WIN_X);
    win_assert_shows(b, win_bar(b, WIN_DIRECT64), a, WIN_X);
    ntb_wait((win_assert_shows(a, win_bar(a, WIN_DIRECT64), b, WIN_X),
              win_mappings(a) == 1));
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

static void test_cancel(NtbFixture *f)
{
    g_autofree char *socket = ntb_tmp_path("migrate");
    NtbPort *a = f->ports[0], *b = f->ports[1];
    QTestState *to;

    use_function(f);
    to = start_slowly(f, socket);
    cancel(b->qts);
    ntb_kill_qemu(to);
    g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
    assert_stayed(f);
}

/* ... after the VM has stopped, when the link is down */
static void test_cancel_late(NtbFixture *f)
{
    g_autofree char *socket = ntb_tmp_path("migrate");
    NtbPort *a = f->ports[0], *b = f->ports[1];
    QTestState *to;

    use_function(f);
    set_capability(b->qts, "pause-before-switchover");
    to = await(f, f->server, socket, "/dev/null", move, NULL);
    start_migration(b->qts, socket);
    ntb_wait(is_status(b->qts, "pre-switchover"));
    g_assert_false(ntb_link_up(a, b->port));
    cancel(b->qts);
    ntb_kill_qemu(to);
    ntb_assert_link_events(a, 1 << b->port, 1 << b->port);
    assert_stayed(f);
}

/* The source has ended its migration, but the destination fails: go on here */
static void test_continue(NtbFixture *f)
{
    g_autofree char *socket = ntb_tmp_path("migrate");
    NtbPort *a = f->ports[0], *b = f->ports[1];
    QTestState *to;

    use_function(f);
    to = await(f, f->server, socket, "/dev/null", move, NULL);
    qtest_qmp_assert_success(b->qts, "{'execute': 'stop'}");
    start_migration(b->qts, socket);
    ntb_wait(is_status(b->qts, "completed"));
    g_assert_false(ntb_link_up(a, b->port));
    ntb_kill_qemu(to);
    qtest_qmp_assert_success(b->qts, "{'execute': 'cont'}");
    ntb_assert_link_events(a, 1 << b->port, 1 << b->port);
    assert_stayed(f);
}

/* The guest stays, and goes on while its state is written */
static void test_background(NtbFixture *f)
{
    g_autofree uint32_t *before = g_new(uint32_t, IDT_NT_CFG_SIZE / 4);
    NtbPort *a = f->ports[0], *b = f->ports[1];
    QDict *reply = qtest_qmp(b->qts, "{'execute': 'migrate-set-capabilities', "
                             "'arguments': {'capabilities': [{'capability': "
                             "'background-snapshot', 'state': true}]}}");
    bool possible = qdict_haskey(reply, "return");

    qobject_unref(reply);
    if (!possible) {
        g_test_skip("this host can't write-protect the guest's RAM");
        return;
    }
    use_function(f);
    read_function(b, before);
    qtest_qmp_assert_success(b->qts, "{'execute': 'migrate', 'arguments': "
                             "{'uri': 'exec:cat >/dev/null'}}");
    ntb_wait(is_status(b->qts, "completed"));
    g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
    assert_stayed(f);
}

/* The port is free again while a process holds the lock of the switch */
static void test_retry(NtbFixture *f)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    uint32_t *version = &f->server->mem->header.version;
    NtbPort *a = ntb_start(f, 0, stay);
    NtbPort *b = ntb_start(f, 1, ",port=2,server-timeout=1000000000");
    int fd = shm_open(f->server->shm_name, O_RDWR, 0);

    qtest_qmp_assert_success(b->qts, "{'execute': 'migrate', 'arguments': "
                             "{'uri': 'exec:cat >/dev/null'}}");
    ntb_wait(is_status(b->qts, "completed"));
    qatomic_set(version, 0);
    qtest_qmp_assert_success(b->qts, "{'execute': 'cont'}");
    g_assert_cmphex(ntb_cfg_read(b, 0), ==, UINT32_MAX);
    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    qatomic_set(version, IDT_NTB_SHM_VERSION);
    /* It tries once a second, but goes on meanwhile */
    for (unsigned i = 0; i < 250; i++) {
        g_assert_cmphex(ntb_cfg_read(b, 0), ==, UINT32_MAX);
        g_usleep(10000);
    }
    close(fd);
    ntb_wait(ntb_link_up(a, b->port));
    ntb_assert_talk(a, b);
}

/* A process that has gone left the word of a port that nobody has */
static void test_nobodys_hold(NtbFixture *f)
{
    uint32_t *holds = &f->server->mem->slot[2].p.holds;

    qatomic_set_mb(holds, UINT32_MAX);
    ntb_wait(!qatomic_read(holds));
    move_guest(f, f->server);
}

/* The source dies; the port is free, and the destination ends */
static void test_source_killed(NtbFixture *f)
{
    g_autofree char *socket = ntb_tmp_path("migrate");
    NtbPort *a = f->ports[0];
    unsigned port = f->ports[1]->port;
    QTestState *to;

    to = start_slowly(f, socket);
    ntb_listen_to_links(a);
    ntb_end_by_kill(f, 1);
    qtest_set_expected_status(to, 1);
    kill(qtest_pid(to), SIGCONT);
    qtest_wait_qemu(to);
    qtest_quit(to);
    ntb_assert_link_events(a, 1 << port, 0);
    ntb_assert_talk(a, ntb_start(f, 1, move));
}

/* The server dies while the destination waits; both know the memory */
static void test_server_killed(NtbFixture *f)
{
    g_autofree char *socket = ntb_tmp_path("migrate");
    g_autofree uint32_t *before = g_new(uint32_t, IDT_NT_CFG_SIZE / 4);
    NtbPort *b = f->ports[1];
    QTestState *to;

    use_function(f);
    read_function(b, before);
    to = start_slowly(f, socket);
    ntb_server_kill(f->server);
    kill(qtest_pid(to), SIGCONT);
    ntb_wait(is_status(b->qts, "completed"));
    qtest_qmp_eventwait(to, "RESUME");
    adopt(b, to);
    assert_function(f, before);
}

/*
 * Refused
 */

typedef struct Refusal {
    const char *props;          /* of the destination */
    const char *words;
} Refusal;

/* Each of @words, separated by '|' */
static void assert_logged(const char *log, const char *words)
{
    g_auto(GStrv) each = g_strsplit(words, "|", 0);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    for (unsigned i = 0; each[i]; i++) {
        if (!strstr(text, each[i])) {
            ntb_fail("'%s' is not in: %s", each[i], text);
        }
    }
}

static void refuse(NtbFixture *f, const Refusal *r)
{
    NtbServer *other = ntb_server_start();
    g_autofree char *socket = ntb_tmp_path("migrate");
    g_autofree char *log = ntb_tmp_path("log");
    NtbPort *b = f->ports[1];
    QTestState *to = await(f, other, socket, log, r->props, NULL);

    qtest_set_expected_status(to, 1);
    start_migration(b->qts, socket);
    qtest_wait_qemu(to);
    qtest_quit(to);
    assert_logged(log, r->words);
    ntb_server_stop(other);
    ntb_wait(is_over(b->qts));
    qtest_qmp_assert_success(b->qts, "{'execute': 'cont'}");
}

static void test_refused(NtbFixture *f)
{
    for (const Refusal *r = f->test->data; r->props; r++) {
        use_function(f);
        refuse(f, r);
        assert_stayed(f);
    }
}

/* Images differ in @word; the message has this much of the @digest */
static ImagePath *new_image(uint32_t word, char **digest)
{
    GByteArray *image = image_new(2);
    g_autofree char *sum = NULL;

    image_write(image, ntb_gas_nt(0, A_NTSDATA), word);
    image_end(image);
    sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, image->data,
                                      image->len);
    *digest = g_strndup(sum, 8);
    return image_save(image);
}

/* The guest is from a switch with one image; the other switch has another */
static void test_image(NtbFixture *f)
{
    g_autofree char *sum1 = NULL, *sum2 = NULL;
    g_autoptr(ImagePath) one = new_image(1, &sum1);
    g_autoptr(ImagePath) two = new_image(2, &sum2);
    g_autofree char *other = g_strdup_printf("%s,eeprom=%s", move, two);
    g_autofree char *both = g_strdup_printf(
        "an EEPROM image with SHA-256 %s|an EEPROM image with SHA-256 %s",
        sum1, sum2);
    g_autofree char *none = g_strdup_printf(
        "an EEPROM image with SHA-256 %s|by properties", sum1);
    const Refusal refused[] = { { other, both }, { move, none } };
    NtbPort *b;

    image_start(f, 0, one, ",port=0");
    b = image_start(f, 1, one, move);
    for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
        refuse(f, &refused[i]);
        ntb_wait(ntb_link_up(f->ports[0], b->port));
        ntb_assert_talk(f->ports[0], b);
    }
}

/* Another device has taken the port in between */
static void test_taken(NtbFixture *f)
{
    g_autofree char *socket = ntb_tmp_path("migrate");
    g_autofree char *log = ntb_tmp_path("log");
    NtbServer *other = ntb_server_start();
    NtbPort *b = f->ports[1], *thief;
    QTestState *to;

    thief = win_boot(other, f->path, NULL, ",port=2");
    to = await(f, other, socket, log, ",port=2,server-timeout=100",
               NULL);
    qtest_set_expected_status(to, 1);
    start_migration(b->qts, socket);
    qtest_wait_qemu(to);
    qtest_quit(to);
    assert_logged(log, "port 2 is taken");
    ntb_quit(thief);
    ntb_server_stop(other);
}

/* A word of the state, found by itself and its neighbours */
typedef struct BadWord {
    uint32_t found[IDT_NUM_BARS];
    unsigned n;                 /* of them */
    unsigned nth;               /* which of several such places */
    unsigned index;             /* of the bad one */
    uint32_t bad;
    const char *words;
} BadWord;

/* The words are big-endian.  Returns: the state with the bad one. */
static char *make_bad(const char *state, gsize size, const BadWord *b)
{
    char *copy = g_memdup2(state, size);
    uint32_t found[IDT_NUM_BARS];
    char *at = copy;

    for (unsigned i = 0; i < b->n; i++) {
        found[i] = cpu_to_be32(b->found[i]);
    }
    for (unsigned i = 0; i < b->nth; i++) {
        at = memmem(at + 1, copy + size - at - 1, found,
                    b->n * sizeof(found[0]));
        g_assert_nonnull(at);
    }
    stl_be_p(at + b->index * sizeof(found[0]), b->bad);
    return copy;
}

static void test_bad_state(NtbFixture *f)
{
    g_autofree char *file = ntb_tmp_path("state");
    g_autofree char *log = ntb_tmp_path("log");
    g_autofree char *to_file = g_strdup_printf("exec:cat >%s", file);
    g_autofree char *from_file = g_strdup_printf("exec:cat %s", file);
    g_autofree char *state = NULL;
    NtbPort *b = f->ports[1];
    gsize size;

    ntb_cfg_write(b, A_ECFGADDR, 0xabc);
    ntb_cfg_write(b, A_GASAADDR, 0x2dcb8);
    qtest_qmp_assert_success(b->qts, "{'execute': 'migrate', 'arguments': "
                             "{'uri': %s}}", to_file);
    ntb_wait(is_status(b->qts, "completed"));
    ntb_end(f, 1);
    g_assert_true(g_file_get_contents(file, &state, &size, NULL));
    for (const BadWord *bad = f->test->data; bad->n; bad++) {
        g_autofree char *wrong = make_bad(state, size, bad);
        g_autofree char *machine = win_next_machine(f->path);
        QTestState *to;

        g_assert_true(g_file_set_contents(file, wrong, size, NULL));
        to = qtest_initf("%s -incoming defer -chardev socket,path=%s,id=ntb "
                         "-device idt-ntb,chardev=ntb,addr=4.0,port=2 2>%s",
                         machine, f->server->socket, log);
        qtest_set_expected_status(to, 1);
        qtest_qmp_assert_success(to, "{'execute': 'migrate-incoming', "
                                 "'arguments': {'uri': %s}}", from_file);
        qtest_wait_qemu(to);
        qtest_quit(to);
        assert_logged(log, bad->words);
    }
}

static void test_no_port(NtbFixture *f)
{
    g_autofree char *args = g_strdup_printf(
        "-incoming defer -chardev socket,path=%s,id=ntb "
        "-device idt-ntb,chardev=ntb", f->server->socket);

    ntb_assert_refused(args, "port= is missing|Use the port=");
}

static void test_postcopy(NtbFixture *f)
{
    NtbPort *b = f->ports[1];
    QDict *reply;

    use_function(f);
    set_capability(b->qts, "postcopy-ram");
    qobject_unref(qtest_qmp(b->qts, "{'execute': 'migrate', 'arguments': "
                            "{'uri': 'exec:cat >/dev/null'}}"));
    ntb_wait(is_over(b->qts));
    reply = query(b->qts);
    g_assert_nonnull(strstr(qdict_get_str(reply, "error-desc"),
                            "postcopy-ram is not supported"));
    qobject_unref(reply);
    assert_stayed(f);
}

static const Refusal refusals[] = {
    { ",port=2,chip=89HPES32NT8AG2", "0x8091|chip=89HPES32NT8AG2" },
    { ",port=0", "the guest has port 2|port=0" },
    { ",port=2,partitions=3", "partitions=2|partitions=3" },
    { ",port=2,bar4-size=2M", "BAR4 is" },
    { }
};

#define ADDRS   { 0xabc, 0x2dcb8 }, 2, 1
/* The first place is the configuration of the switch, the next the layout */
#define LAYOUT  { 0x800004c0, 0x80000140, 0x8000119c, 0, 0x8000014c, 0 }, 6, 2

static const BadWord bad_words[] = {
    { ADDRS, 0, UINT32_MAX, "ECFGADDR" },
    { ADDRS, 0, 0xabe, "ECFGADDR" },
    { ADDRS, 1, 0x40000, "GASAADDR" },
    { ADDRS, 1, 0x7ffffffc, "GASAADDR" },
    { LAYOUT, 3, 1, "BAR3" },
    { LAYOUT, 4, 0x8000214c, "BAR4" },
    { LAYOUT, 1, 0x80000800, "BARSETUP1" },
    { }
};

static const NtbTest tests[] = {
    { "migration/guest-moves", test_migrate, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED) | WIN_ONLY(WIN_PLAIN), .q35 = true },
    { "migration/keeps-the-switch", test_alone, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/snapshot-is-loaded", test_snapshot,
      .prepare = start_with_disk, .needs = has_qemu_img,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/snapshot-keeps-faults", test_snapshot_faults,
      .prepare = start_with_disk, .needs = has_qemu_img,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/cpr-transfer", test_cpr_transfer, .prepare = start_pair,
      .args = "-machine aux-ram-share=on", .windows = WIN_ONLY(WIN_SHARED),
      .q35 = true },
    { "migration/cpr-reboot", test_cpr_reboot, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/to-another-server", test_other_server, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/peers-writes-are-not-lost", test_dirty, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED) | WIN_ONLY(WIN_PLAIN), .q35 = true },
    { "migration/cancel", test_cancel, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/cancel-after-the-stop", test_cancel_late,
      .prepare = start_pair, .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/continue-at-the-source", test_continue,
      .prepare = start_pair, .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/background-snapshot-disturbs-nobody", test_background,
      .prepare = start_pair, .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/retry-waits-for-no-lock", test_retry,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/ignores-the-hold-of-nobody", test_nobodys_hold,
      .prepare = start_pair, .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/source-is-killed", test_source_killed, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/server-is-killed", test_server_killed,
      .server = ntb_server_start_process, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/refuse-another-switch", test_refused, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true, .data = refusals },
    { "migration/refuse-another-image", test_image,
      .q35 = true },
    { "migration/refuse-a-taken-port", test_taken, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "migration/refuse-a-bad-state", test_bad_state, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true, .data = bad_words },
    { "migration/refuse-a-missing-port", test_no_port, .q35 = true },
    { "migration/refuse-postcopy", test_postcopy, .prepare = start_pair,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
};

ntb_tests(tests);
