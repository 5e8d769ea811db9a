/*
 * QTest testcase for idt-ntb: what closes a memory window closes it at once
 *
 * When the register write (or whatever it is) is over, nothing comes through
 * the window any more, and no alias is left.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include <sys/wait.h>
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "vcpu.h"

static WinPair w;
static uint64_t direct, lut;    /* addresses in @w.a's guest */

#define ENTRY 21
#define LUT_X (WIN_X + 2 * WIN_SIZE)

static void open_windows(void)
{
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
    win_open_lut(w.a, WIN_LUT24, ENTRY, w.b->partition, LUT_X);
    direct = win_bar(w.a, WIN_DIRECT64);
    lut = win_bar(w.a, WIN_LUT24) + ENTRY * WIN_SIZE;
}

static void setup_with(WinPath path, const char *props)
{
    win_start(&w, path, props);
    open_windows();
}

static void setup(WinPath path)
{
    setup_with(path, NULL);
}

static void assert_open(void)
{
    win_assert_hits(w.a, direct, w.b, WIN_X, 8);
    win_assert_hits(w.a, lut + WIN_SIZE - 8, w.b, LUT_X + WIN_SIZE - 8, 8);
    win_assert_path(w.a, w.path);
}

static void assert_shut(void)
{
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
    win_assert_misses(w.a, direct, w.b, WIN_X, 8);
    win_assert_misses(w.a, lut + WIN_SIZE - 8, w.b, LUT_X + WIN_SIZE - 8, 8);
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
}

/*
 * Events at the target
 */

typedef struct Event {
    const char *name;
    void (*shut)(void);
    void (*open)(void);
} Event;

static void clear_protdis(void)
{
    ntb_gas_write(w.b, ntb_gas_nt(w.a->port, A_NTCTL), R_NTCTL_CPEN_MASK);
}

static void set_protdis(void)
{
    /* From here on it is this bit that admits */
    ntb_gas_write(w.b, ntb_gas_nt(w.a->port, A_NTCTL),
                  R_NTCTL_IDPROTDIS_MASK | R_NTCTL_CPEN_MASK);
    ntb_write(w.b, A_NTMTBLADDR, w.a->partition);
    ntb_write(w.b, A_NTMTBLDATA, 0);
}

static void clear_entry(void)
{
    ntb_write(w.b, A_NTMTBLADDR, w.a->partition);
    ntb_write(w.b, A_NTMTBLDATA, 0);
}

static void set_entry(void)
{
    ntb_write(w.b, A_NTMTBLADDR, w.a->partition);
    ntb_write(w.b, A_NTMTBLDATA, R_NTMTBLDATA_VALID_MASK |
                                 w.a->partition << R_NTMTBLDATA_PART_SHIFT);
}

static void invalidate_entry(void)
{
    ntb_write(w.b, A_NTMTBLADDR, w.a->partition);
    qtest_writeb(w.b->qts, w.b->bar0 + A_NTMTBLDATA, 0);
}

static void clear_master(void)
{
    ntb_cfg_writew(w.b, PCI_COMMAND, PCI_COMMAND_MEMORY);
}

static void clear_command(void)
{
    ntb_cfg_writew(w.b, PCI_COMMAND, 0);
}

static void set_master(void)
{
    ntb_cfg_writew(w.b, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void reset_function(void)
{
    ntb_cfg_writew(w.b, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                   PCI_EXP_DEVCTL_BCR_FLR);
}

static void setup_function(void)
{
    win_setup_function(w.b);
}

static void reset_system(void)
{
    qtest_system_reset(w.b->qts);
}

static void setup_system(void)
{
    win_reopen(&w.b);
}

static void stop(void)
{
    qtest_qmp_assert_success(w.b->qts, "{'execute': 'stop'}");
}

static void cont(void)
{
    qtest_qmp_assert_success(w.b->qts, "{'execute': 'cont'}");
}

/* The registers of the other, as any guest may */
static void shut_by_gas(void)
{
    ntb_gas_write(w.b, ntb_gas_nt(w.a->port, win_reg(4, A_BARLIMIT0)), 0);
    ntb_gas_write(w.b, ntb_gas_nt(w.a->port, win_reg(5, A_BARLIMIT0)), 0);
    ntb_gas_write(w.b, ntb_gas_nt(w.a->port, A_LUTUDATA), 0);
}

static void open_by_gas(void)
{
    uint64_t limit = direct + WIN_SIZE;

    ntb_gas_write(w.b, ntb_gas_nt(w.a->port, win_reg(4, A_BARLIMIT0)), limit);
    ntb_gas_write(w.b, ntb_gas_nt(w.a->port, win_reg(5, A_BARLIMIT0)),
                  limit >> 32);
    ntb_gas_write(w.b, ntb_gas_nt(w.a->port, A_LUTUDATA),
                  R_LUTUDATA_VALID_MASK | w.b->partition);
}

static const Event events[] = {
    { "protection", clear_protdis, set_protdis },
    { "entry", clear_entry, set_entry },
    { "entry-invalid", invalidate_entry, set_entry },
    { "master", clear_master, set_master },
    { "command", clear_command, set_master },
    { "flr", reset_function, setup_function },
    { "reset", reset_system, setup_system },
    { "stop", stop, cont },
    { "gas", shut_by_gas, open_by_gas },
};

/* A stopped guest is no good as a witness of reads that must come to an end */
static void assert_shut_by(const Event *event)
{
    if (event->shut == stop) {
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
    } else {
        assert_shut();
    }
}

static void test_event(const Event *event, WinPath path)
{
    setup(path);
    for (unsigned i = 0; i < 5; i++) {
        event->open();
        ntb_settle(w.a->qts);
        assert_open();
        event->shut();
        assert_shut_by(event);
    }
    event->open();
    ntb_settle(w.a->qts);
    assert_open();
    win_stop(&w);
}

/*
 * Write through the window without end; only this child talks to that QEMU from
 * now on, and it ends with it.
 */
static pid_t start_writer(NtbPort *p, uint64_t addr)
{
    pid_t pid = ntb_fork();

    if (pid) {
        return pid;
    }
    for (uint64_t i = 1;; i++) {
        qtest_writeq(p->qts, addr, i);
    }
}

static uint64_t arrived(void)
{
    return qtest_readq(w.b->qts, WIN_X);
}

static bool writes_come(void)
{
    uint64_t before = arrived();

    win_sync(w.b);
    return arrived() != before;
}

/* The reset has many steps, and is open for a moment in the middle of them */
static unsigned rounds_of(const Event *event)
{
    return (g_test_slow() ? 10 : 1) * (event->shut == reset_function ? 60 : 10);
}

/* Open and closed, over and over: nothing comes when it is closed */
static void close_under_fire(const Event *event)
{
    unsigned rounds = rounds_of(event);

    for (unsigned i = 0; i < rounds; i++) {
        uint64_t last;

        ntb_wait(writes_come());
        g_usleep(i * 371 % 1000);
        event->shut();
        last = arrived();
        for (unsigned k = 0; k < 20; k++) {
            g_assert_cmphex(arrived(), ==, last);
            g_usleep(200);
        }
        event->open();
    }
    ntb_wait(writes_come());
}

/* ... while the peer writes all the time */
static void test_event_under_fire(const Event *event, WinPath path)
{
    pid_t writer;

    setup(path);
    event->open();
    ntb_settle(w.a->qts);
    assert_open();
    writer = start_writer(w.a, direct);
    close_under_fire(event);
    ntb_kill(w.a);
    waitpid(writer, NULL, 0);
    ntb_quit(w.b);
    ntb_server_stop(w.server);
}

/* ... while a vCPU does, which knows where it wrote to last */
static void test_event_under_vcpu(const Event *event, WinPath path)
{
    g_autofree char *args = NULL;

    if (!vcpu_possible()) {
        return;
    }
    args = g_strdup(vcpu_args());
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, args, VCPU_PROPS);
    w.b = win_boot(w.server, path, NULL, VCPU_PROPS);
    open_windows();
    event->open();
    ntb_settle(w.a->qts);
    vcpu_start(w.a, direct);
    close_under_fire(event);
    /* The guest has gone on all the time */
    vcpu_stop(w.a);
    win_sync(w.b);
    g_assert_cmphex(arrived(), ==, vcpu_count(w.a));
    win_stop(&w);
}

typedef struct EventCase {
    const Event *event;
    WinPath path;
    void (*func)(const Event *event, WinPath path);
} EventCase;

static void run_event(const void *opaque)
{
    const EventCase *c = opaque;

    c->func(c->event, c->path);
}

static void add_event(const char *group, const Event *event, WinPath path,
                      void (*func)(const Event *event, WinPath path))
{
    g_autofree char *name = g_strdup_printf("/idt-ntb/%s/%s-%s", group,
                                            event->name, win_path_names[path]);
    EventCase *c = g_new(EventCase, 1);

    *c = (EventCase) { .event = event, .path = path, .func = func };
    qtest_add_data_func_full(name, c, run_event, g_free);
}

/*
 * Events at the holder
 */

static void test_own_registers(WinPath path)
{
    setup(path);
    for (unsigned i = 0; i < 5; i++) {
        assert_open();
        win_close(w.a, WIN_DIRECT64);
        win_close_lut(w.a, WIN_LUT24, ENTRY);
        assert_shut();
        open_windows();
        assert_open();
        /* VALID alone */
        qtest_writeb(w.a->qts, w.a->bar0 + A_LUTUDATA + 3, 0);
        win_assert_misses(w.a, lut, w.b, LUT_X, 8);
        win_assert_hits(w.a, direct, w.b, WIN_X, 8);
        /* The partition alone */
        win_open_lut(w.a, WIN_LUT24, ENTRY, 7, LUT_X);
        win_aim(w.a, WIN_DIRECT64, 7, WIN_X);
        assert_shut();
        open_windows();
        assert_open();
        win_admit(w.a, false);
        assert_shut();
        ntb_write(w.a, A_NTCTL, R_NTCTL_IDPROTDIS_MASK | R_NTCTL_CPEN_MASK);
        assert_open();
        ntb_write(w.a, A_NTCTL, R_NTCTL_CPEN_MASK);
        assert_shut();
        win_admit(w.a, true);
    }
    win_stop(&w);
}

/* The registers of the holder, while its vCPU writes */
static void test_own_under_vcpu(WinPath path)
{
    uint64_t last;

    if (!vcpu_possible()) {
        return;
    }
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, vcpu_args(), VCPU_PROPS);
    w.b = win_boot(w.server, path, NULL, VCPU_PROPS);
    open_windows();
    vcpu_start(w.a, direct);
    for (unsigned i = 0; i < 40; i++) {
        ntb_wait(writes_come());
        if (i % 2) {
            win_close(w.a, WIN_DIRECT64);
        } else {
            win_aim(w.a, WIN_DIRECT64, w.b->partition, LUT_X);
        }
        win_sync(w.b);
        last = arrived();
        for (unsigned k = 0; k < 5; k++) {
            g_assert_cmphex(arrived(), ==, last);
            g_usleep(200);
        }
        open_windows();
    }
    vcpu_stop(w.a);
    win_stop(&w);
}

/* Down to a page, to less than a page, and up again */
static void test_shrinking_limit(WinPath path)
{
    setup(path);
    for (uint64_t size = WIN_SIZE; size; size /= 2) {
        uint64_t end = MAX(size, 0x400);

        win_limit(w.a, WIN_DIRECT64, direct + size - 1);
        win_assert_hits(w.a, direct, w.b, WIN_X, 8);
        win_assert_hits(w.a, direct + end - 8, w.b, WIN_X + end - 8, 8);
        if (end < WIN_SIZE) {
            win_assert_misses(w.a, direct + end, w.b, WIN_X + end, 8);
        }
    }
    for (uint64_t size = 0x400; size < WIN_SIZE; size += 0x6400) {
        win_limit(w.a, WIN_DIRECT64, direct + size - 1);
        win_assert_hits(w.a, direct + size - 8, w.b, WIN_X + size - 8, 8);
        win_assert_misses(w.a, direct + size, w.b, WIN_X + size, 8);
    }
    win_stop(&w);
}

/* Reset of the holder */
static void test_holder_reset(WinPath path)
{
    setup(path);
    for (unsigned i = 0; i < 5; i++) {
        assert_open();
        if (i % 2) {
            qtest_system_reset(w.a->qts);
            g_assert_cmpuint(win_mappings(w.a), ==, 0);
            win_reopen(&w.a);
        } else {
            ntb_cfg_writew(w.a, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                           PCI_EXP_DEVCTL_BCR_FLR);
            g_assert_cmpuint(win_mappings(w.a), ==, 0);
            win_setup_function(w.a);
        }
        assert_shut();
        open_windows();
    }
    assert_open();
    win_stop(&w);
}

/* A holder that is stopped, or runs on, at the target's stop and the like */
static void test_holder_stops(WinPath path)
{
    setup(path);
    for (unsigned i = 0; i < 3; i++) {
        assert_open();
        qtest_qmp_assert_success(w.a->qts, "{'execute': 'stop'}");
        clear_master();
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        set_master();
        qtest_qmp_assert_success(w.a->qts, "{'execute': 'cont'}");
        assert_open();
        stop();
        qtest_qmp_assert_success(w.a->qts, "{'execute': 'stop'}");
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        cont();
        qtest_qmp_assert_success(w.a->qts, "{'execute': 'cont'}");
    }
    assert_open();
    win_stop(&w);
}

/*
 * Death
 */

static void test_target_dies(WinPath path)
{
    unsigned fds = 0, maps = 0;

    setup(path);
    for (unsigned i = 0; i < 4; i++) {
        assert_open();
        ntb_kill(w.b);
        ntb_wait(win_mappings(w.a) == 0);
        win_assert_ones(w.a, direct);
        win_assert_ones(w.a, lut);
        qtest_writeq(w.a->qts, direct, 1);
        if (i) {
            /* The dead one's RAM is not kept */
            ntb_wait(win_count_maps(w.a->qts, "memfd:") <= maps);
            ntb_wait(ntb_count_fds(w.a->qts) <= fds);
        } else {
            ntb_wait(!ntb_link_up(w.a, 2));
            ntb_settle(w.a->qts);
            fds = ntb_count_fds(w.a->qts);
            maps = win_count_maps(w.a->qts, "memfd:");
        }
        w.b = win_boot(w.server, path, NULL, NULL);
    }
    assert_open();
    win_stop(&w);
}

/*
 * Nobody waits for the dead longer than for the living: the target closes as
 * usual, and the next holder is served.
 */
static void test_holder_dies(WinPath path)
{
    setup_with(path, ",completion-timeout=5000");
    for (unsigned i = 0; i < 4; i++) {
        assert_open();
        qtest_writeq(w.a->qts, direct, 0x1234567812345678);
        ntb_kill(w.a);
        for (unsigned k = 0; k < 5; k++) {
            clear_master();
            set_master();
        }
        win_sync(w.b);
        g_assert_cmphex(arrived(), ==, 0x1234567812345678);
        w.a = win_boot(w.server, path, NULL, NULL);
        open_windows();
    }
    assert_open();
    win_stop(&w);
}

/* ... killed while it writes; the target closes at the same time */
static void test_holder_dies_under_fire(WinPath path)
{
    setup_with(path, ",completion-timeout=5000");
    for (unsigned i = 0; i < 4; i++) {
        pid_t writer;

        assert_open();
        writer = start_writer(w.a, direct);
        ntb_wait(writes_come());
        kill(qtest_pid(w.a->qts), SIGKILL);
        clear_master();
        set_master();
        ntb_kill(w.a);
        waitpid(writer, NULL, 0);
        w.a = win_boot(w.server, path, NULL, NULL);
        open_windows();
    }
    assert_open();
    win_stop(&w);
}

/* Returns: false, and the test is skipped, if QEMU needs memory for itself */
static bool can_limit_memory(void)
{
    if (g_getenv("ASAN_OPTIONS")) {
        g_test_skip("AddressSanitizer needs memory itself");
        return false;
    }
    return true;
}

/*
 * The holder has no memory to put in the place of what it gives up.  The target
 * is told later, and only then is its guest's write over.
 */
static void limit_memory(struct rlimit *before)
{
    pid_t qemu = qtest_pid(w.a->qts);
    struct rlimit none;

    g_assert_cmpint(prlimit(qemu, RLIMIT_DATA, NULL, before), ==, 0);
    /* Linux takes 0 for no limit, in favour of Valgrind */
    none = (struct rlimit) { .rlim_cur = 1, .rlim_max = before->rlim_max };
    g_assert_cmpint(prlimit(qemu, RLIMIT_DATA, &none, NULL), ==, 0);
}

static void restore_memory(const struct rlimit *before)
{
    g_assert_cmpint(prlimit(qtest_pid(w.a->qts), RLIMIT_DATA, before, NULL),
                    ==, 0);
}

static void test_no_memory(WinPath path)
{
    const IdtNtbShmPort *holder;

    if (!can_limit_memory()) {
        return;
    }
    setup(path);
    holder = &((IdtNtbShm *)w.server->mem)->slot[ntb_slot(w.a->port)].p;
    assert_open();
    clear_master();
    set_master();
    for (unsigned i = 0; i < 3; i++) {
        struct rlimit before;

        assert_open();
        limit_memory(&before);
        clear_master();
        restore_memory(&before);
        g_assert_cmpuint(holder->close_ack, ==, holder->close_req);
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        win_assert_misses(w.a, direct, w.b, WIN_X, 8);
        set_master();
    }
    assert_open();
    win_stop(&w);
}

/*
 * Clear Bus Master Enable of the target while the holder's vCPU stands still in
 * the middle of a block of code.  Returns: true if the holder acknowledges
 * before it goes on.
 */
static bool acknowledges_under_vcpu(void)
{
    IdtNtbShm *shm = (IdtNtbShm *)w.server->mem;
    const IdtNtbShmPort *p = &shm->slot[ntb_slot(w.a->port)].p;
    uint32_t request = qatomic_read(&p->close_req);
    pid_t thread = vcpu_freeze(w.a);
    pid_t closer = ntb_fork();
    bool acknowledged;

    if (!closer) {
        clear_master();
        _exit(0);
    }
    ntb_wait(qatomic_read(&p->close_req) != request);
    ntb_settle(w.a->qts);
    acknowledged = qatomic_read(&p->close_ack) == qatomic_read(&p->close_req);
    vcpu_thaw(thread);
    g_assert_cmpint(waitpid(closer, NULL, 0), ==, closer);
    return acknowledged;
}

static void test_vcpu_in_code(WinPath path)
{
    if (!vcpu_possible() || !vcpu_freeze_possible() || !can_limit_memory()) {
        return;
    }
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, vcpu_args(), VCPU_PROPS);
    w.b = win_boot(w.server, path, NULL, VCPU_PROPS);
    open_windows();
    vcpu_start(w.a, direct);
    for (unsigned i = 0; i < 6; i++) {
        struct rlimit before;
        uint64_t last;

        ntb_wait(win_mappings(w.a) == 1);
        ntb_wait(writes_come());
        /* Without memory to cut it off, that is when the vCPU has left it */
        if (i % 2) {
            limit_memory(&before);
            g_assert_false(acknowledges_under_vcpu());
            restore_memory(&before);
        } else {
            g_assert_true(acknowledges_under_vcpu());
        }
        last = arrived();
        for (unsigned k = 0; k < 20; k++) {
            g_assert_cmphex(arrived(), ==, last);
        }
        set_master();
    }
    vcpu_stop(w.a);
    win_stop(&w);
}

/*
 * Unplug
 */

static void test_target_unplugged(WinPath path)
{
    QTestState *qts;

    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, NULL, NULL);
    qts = win_boot_root_port(w.server, path);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t before = win_value();

        w.b = win_plug(qts, path);
        open_windows();
        assert_open();
        qtest_writeq(qts, WIN_X, before);
        win_unplug(w.b);
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        qtest_writeq(w.a->qts, direct, 0);
        win_assert_ones(w.a, direct);
        g_assert_cmphex(qtest_readq(qts, WIN_X), ==, before);
    }
    ntb_quit(w.a);
    qtest_quit(qts);
    ntb_server_stop(w.server);
}

static void test_holder_unplugged(WinPath path)
{
    unsigned fds = 0, maps = 0;
    QTestState *qts;

    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.b = win_boot(w.server, path, NULL, NULL);
    qts = win_boot_root_port(w.server, path);
    for (unsigned i = 0; i < 12; i++) {
        w.a = win_plug(qts, path);
        open_windows();
        assert_open();
        win_unplug(w.a);
        /* Without waiting for one who has gone */
        clear_master();
        set_master();
        if (i == 3) {
            fds = ntb_count_fds(qts);
            maps = win_count_maps(qts, "memfd:");
        }
    }
    /* Give or take the chardev, which may be connected or not */
    ntb_wait(ntb_count_fds(qts) <= fds + 2);
    ntb_wait(win_count_maps(qts, "memfd:") <= maps + 1);
    ntb_quit(w.b);
    qtest_quit(qts);
    ntb_server_stop(w.server);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(events); i++) {
        for (WinPath path = 0; path < WIN_NUM_PATHS; path++) {
            if (win_runs(path)) {
                add_event("window-close", &events[i], path, test_event);
            }
            if (path == WIN_SHARED || g_test_slow()) {
                add_event("window-close-under-fire", &events[i], path,
                          test_event_under_fire);
                add_event("window-close-under-vcpu", &events[i], path,
                          test_event_under_vcpu);
            }
        }
    }
    win_add_case("window-close/own-registers", test_own_registers);
    win_add_case_at("window-close-under-vcpu/own-registers",
                    test_own_under_vcpu, WIN_SHARED);
    win_add_case_shared("window-close/shrinking-limit", test_shrinking_limit);
    win_add_case_shared("window-close/holder-reset", test_holder_reset);
    win_add_case_shared("window-close/holder-stops", test_holder_stops);
    win_add_case_shared("window-close/target-dies", test_target_dies);
    win_add_case_at("window-close/no-memory", test_no_memory, WIN_SHARED);
    win_add_case_at("window-close-under-vcpu/in-code", test_vcpu_in_code,
                    WIN_SHARED);
    win_add_case("window-close/holder-dies", test_holder_dies);
    win_add_case_shared("window-close/holder-dies-under-fire",
                        test_holder_dies_under_fire);
    win_add_case("window-close/target-unplugged", test_target_unplugged);
    win_add_case_shared("window-close/holder-unplugged", test_holder_unplugged);
}

libqos_init(add_tests);
