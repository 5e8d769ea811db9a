/*
 * QTest testcase for idt-ntb: events that close a memory window
 *
 * After the register write (or another event) nothing comes through the window
 * any more, and no mapping is left.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include <sys/wait.h>
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "vcpu.h"
#include "extra.h"

static uint64_t direct, lut;    /* addresses in the guest of ports[0] */

#define ENTRY 21
#define LUT_X (WIN_X + 2 * WIN_SIZE)

static void open_windows(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    win_open(a, WIN_DIRECT64, b->partition, WIN_X);
    win_open_lut(a, WIN_LUT24, ENTRY, b->partition, LUT_X);
    direct = win_bar(a, WIN_DIRECT64);
    lut = win_bar(a, WIN_LUT24) + ENTRY * WIN_SIZE;
}

/* The guest of ports[0] has a vCPU */
static void start_with_vcpu(NtbFixture *f)
{
    ntb_start_args(f, 0, vcpu_args(), NULL);
    ntb_start(f, 1, NULL);
    open_windows(f);
}

static void assert_open(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    win_assert_hits(a, direct, b, WIN_X, 8);
    win_assert_hits(a, lut + WIN_SIZE - 8, b, LUT_X + WIN_SIZE - 8, 8);
    win_assert_path(a, f->path);
}

static void assert_shut(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    g_assert_cmpuint(win_mappings(a), ==, 0);
    win_assert_misses(a, direct, b, WIN_X, 8);
    win_assert_misses(a, lut + WIN_SIZE - 8, b, LUT_X + WIN_SIZE - 8, 8);
    g_assert_cmpuint(win_mappings(a), ==, 0);
}

/*
 * Events at the target
 */

typedef struct Event {
    const char *name;
    void (*shut)(NtbFixture *f);
    void (*open)(NtbFixture *f);
} Event;

static void clear_protdis(NtbFixture *f)
{
    ntb_gas_write(f->ports[1], ntb_gas_nt(f->ports[0]->port, A_NTCTL),
                  R_NTCTL_CPEN_MASK);
}

static void set_protdis(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    /* From here on only this bit admits */
    ntb_gas_write(b, ntb_gas_nt(a->port, A_NTCTL),
                  R_NTCTL_IDPROTDIS_MASK | R_NTCTL_CPEN_MASK);
    ntb_write(b, A_NTMTBLADDR, a->partition);
    ntb_write(b, A_NTMTBLDATA, 0);
}

static void clear_entry(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    ntb_write(b, A_NTMTBLADDR, f->ports[0]->partition);
    ntb_write(b, A_NTMTBLDATA, 0);
}

static void set_entry(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_write(b, A_NTMTBLADDR, a->partition);
    ntb_write(b, A_NTMTBLDATA, R_NTMTBLDATA_VALID_MASK |
                                 a->partition << R_NTMTBLDATA_PART_SHIFT);
}

static void invalidate_entry(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    ntb_write(b, A_NTMTBLADDR, f->ports[0]->partition);
    qtest_writeb(b->qts, b->bar0 + A_NTMTBLDATA, 0);
}

static void clear_master(NtbFixture *f)
{
    ntb_set_master(f->ports[1], false);
}

static void clear_command(NtbFixture *f)
{
    ntb_cfg_writew(f->ports[1], PCI_COMMAND, 0);
}

static void set_master(NtbFixture *f)
{
    ntb_set_master(f->ports[1], true);
}

static void reset_function(NtbFixture *f)
{
    ntb_function_reset(f->ports[1]);
}

static void setup_function(NtbFixture *f)
{
    win_setup_function(f->ports[1]);
}

static void reset_system(NtbFixture *f)
{
    qtest_system_reset(f->ports[1]->qts);
}

static void stop(NtbFixture *f)
{
    qtest_qmp_assert_success(f->ports[1]->qts, "{'execute': 'stop'}");
}

static void cont(NtbFixture *f)
{
    qtest_qmp_assert_success(f->ports[1]->qts, "{'execute': 'cont'}");
}

/* Any guest may write the registers of another */
static void shut_by_gas(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_gas_write(b, ntb_gas_nt(a->port, win_reg(4, A_BARLIMIT0)), 0);
    ntb_gas_write(b, ntb_gas_nt(a->port, win_reg(5, A_BARLIMIT0)), 0);
    ntb_gas_write(b, ntb_gas_nt(a->port, A_LUTUDATA), 0);
}

static void open_by_gas(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t limit = direct + WIN_SIZE;

    ntb_gas_write(b, ntb_gas_nt(a->port, win_reg(4, A_BARLIMIT0)), limit);
    ntb_gas_write(b, ntb_gas_nt(a->port, win_reg(5, A_BARLIMIT0)),
                  limit >> 32);
    ntb_gas_write(b, ntb_gas_nt(a->port, A_LUTUDATA),
                  R_LUTUDATA_VALID_MASK | b->partition);
}

static const Event events[] = {
    { "protection", clear_protdis, set_protdis },
    { "entry", clear_entry, set_entry },
    { "entry-invalid", invalidate_entry, set_entry },
    { "master", clear_master, set_master },
    { "command", clear_command, set_master },
    { "flr", reset_function, setup_function },
    { "reset", reset_system, setup_function },
    { "stop", stop, cont },
    { "gas", shut_by_gas, open_by_gas },
};

/* If the target is stopped, an access would wait for it */
static void assert_shut_by(NtbFixture *f, const Event *event)
{
    if (event->shut == stop) {
        g_assert_cmpuint(win_mappings(f->ports[0]), ==, 0);
    } else {
        assert_shut(f);
    }
}

static void test_event(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    const Event *event = f->test->data;

    for (unsigned i = 0; i < 5; i++) {
        event->open(f);
        ntb_settle(a->qts);
        assert_open(f);
        event->shut(f);
        assert_shut_by(f, event);
    }
    event->open(f);
    ntb_settle(a->qts);
    assert_open(f);
}

/*
 * Write through the window without end.  From now on only this child talks to
 * that QEMU; it ends with it.
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

static uint64_t arrived(NtbFixture *f)
{
    return qtest_readq(f->ports[1]->qts, WIN_X);
}

static bool writes_come(NtbFixture *f)
{
    uint64_t before = arrived(f);

    win_sync(f->ports[1]);
    return arrived(f) != before;
}

/* A reset has many steps, between which a window might open */
static unsigned rounds_of(const Event *event)
{
    return (g_test_slow() ? 10 : 1) * (event->shut == reset_function ? 60 : 10);
}

/* Open and close over and over: nothing comes while the window is closed */
static void close_under_writes(NtbFixture *f, const Event *event)
{
    unsigned rounds = rounds_of(event);

    for (unsigned i = 0; i < rounds; i++) {
        uint64_t last;

        ntb_wait(writes_come(f));
        g_usleep(i * 371 % 1000);
        event->shut(f);
        last = arrived(f);
        for (unsigned k = 0; k < 20; k++) {
            g_assert_cmphex(arrived(f), ==, last);
            g_usleep(200);
        }
        event->open(f);
    }
    ntb_wait(writes_come(f));
}

/* Close while the peer writes all the time */
static void test_event_under_writes(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    const Event *event = f->test->data;
    pid_t writer;

    event->open(f);
    ntb_settle(a->qts);
    assert_open(f);
    writer = start_writer(a, direct);
    close_under_writes(f, event);
    ntb_end_by_kill(f, 0);
    waitpid(writer, NULL, 0);
}

/* Close while a vCPU writes, which remembers the address of its last store */
static void test_event_under_vcpu(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    const Event *event = f->test->data;

    event->open(f);
    ntb_settle(a->qts);
    vcpu_start(a, direct);
    close_under_writes(f, event);
    /* The guest did not stop */
    vcpu_stop(a);
    win_sync(f->ports[1]);
    g_assert_cmphex(arrived(f), ==, vcpu_count(a));
}

/*
 * Events at the holder, the port whose window it is
 */

static void test_own_registers(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 5; i++) {
        assert_open(f);
        win_close(a, WIN_DIRECT64);
        win_close_lut(a, WIN_LUT24, ENTRY);
        assert_shut(f);
        open_windows(f);
        assert_open(f);
        /* VALID alone */
        qtest_writeb(a->qts, a->bar0 + A_LUTUDATA + 3, 0);
        win_assert_misses(a, lut, b, LUT_X, 8);
        win_assert_hits(a, direct, b, WIN_X, 8);
        /* The partition alone */
        win_open_lut(a, WIN_LUT24, ENTRY, 7, LUT_X);
        win_aim(a, WIN_DIRECT64, 7, WIN_X);
        assert_shut(f);
        open_windows(f);
        assert_open(f);
        win_admit(a, false);
        assert_shut(f);
        ntb_write(a, A_NTCTL, R_NTCTL_IDPROTDIS_MASK | R_NTCTL_CPEN_MASK);
        assert_open(f);
        ntb_write(a, A_NTCTL, R_NTCTL_CPEN_MASK);
        assert_shut(f);
        win_admit(a, true);
    }
}

/* The registers of the holder, while its vCPU writes */
static void test_own_under_vcpu(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t last;

    vcpu_start(a, direct);
    for (unsigned i = 0; i < 40; i++) {
        ntb_wait(writes_come(f));
        if (i % 2) {
            win_close(a, WIN_DIRECT64);
        } else {
            win_aim(a, WIN_DIRECT64, b->partition, LUT_X);
        }
        win_sync(b);
        last = arrived(f);
        for (unsigned k = 0; k < 5; k++) {
            g_assert_cmphex(arrived(f), ==, last);
            g_usleep(200);
        }
        open_windows(f);
    }
    vcpu_stop(a);
}

/* Shrink to a page and to less than a page, and grow again */
static void test_shrinking_limit(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (uint64_t size = WIN_SIZE; size; size /= 2) {
        uint64_t end = MAX(size, 0x400);

        win_limit(a, WIN_DIRECT64, direct + size - 1);
        win_assert_hits(a, direct, b, WIN_X, 8);
        win_assert_hits(a, direct + end - 8, b, WIN_X + end - 8, 8);
        if (end < WIN_SIZE) {
            win_assert_misses(a, direct + end, b, WIN_X + end, 8);
        }
    }
    for (uint64_t size = 0x400; size < WIN_SIZE; size += 0x6400) {
        win_limit(a, WIN_DIRECT64, direct + size - 1);
        win_assert_hits(a, direct + size - 8, b, WIN_X + size - 8, 8);
        win_assert_misses(a, direct + size, b, WIN_X + size, 8);
    }
}

static void test_holder_reset(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    for (unsigned i = 0; i < 5; i++) {
        assert_open(f);
        if (i % 2) {
            qtest_system_reset(a->qts);
        } else {
            ntb_function_reset(a);
        }
        g_assert_cmpuint(win_mappings(a), ==, 0);
        win_setup_function(a);
        assert_shut(f);
        open_windows(f);
    }
    assert_open(f);
}

/* Stop the holder while the target closes or stops */
static void test_holder_stops(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    for (unsigned i = 0; i < 3; i++) {
        assert_open(f);
        qtest_qmp_assert_success(a->qts, "{'execute': 'stop'}");
        clear_master(f);
        g_assert_cmpuint(win_mappings(a), ==, 0);
        set_master(f);
        qtest_qmp_assert_success(a->qts, "{'execute': 'cont'}");
        assert_open(f);
        stop(f);
        qtest_qmp_assert_success(a->qts, "{'execute': 'stop'}");
        g_assert_cmpuint(win_mappings(a), ==, 0);
        cont(f);
        qtest_qmp_assert_success(a->qts, "{'execute': 'cont'}");
    }
    assert_open(f);
}

/*
 * Death of a QEMU
 */

static void test_target_dies(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    unsigned fds = 0, maps = 0;

    for (unsigned i = 0; i < 4; i++) {
        assert_open(f);
        ntb_end_by_kill(f, 1);
        ntb_wait(win_mappings(a) == 0);
        win_assert_ones(a, direct);
        win_assert_ones(a, lut);
        qtest_writeq(a->qts, direct, 1);
        if (i) {
            /* Keep no RAM of a dead peer */
            ntb_wait(win_count_maps(a->qts, "memfd:") <= maps);
            ntb_wait(ntb_count_fds(a->qts) <= fds);
        } else {
            ntb_wait(!ntb_link_up(a, 2));
            ntb_settle(a->qts);
            fds = ntb_count_fds(a->qts);
            maps = win_count_maps(a->qts, "memfd:");
        }
        ntb_start(f, 1, NULL);
    }
    assert_open(f);
}

/* Do not wait for a dead holder: close, and serve the next holder */
static void test_holder_dies(NtbFixture *f)
{
    for (unsigned i = 0; i < 4; i++) {
        assert_open(f);
        qtest_writeq(f->ports[0]->qts, direct, 0x1234567812345678);
        ntb_end_by_kill(f, 0);
        for (unsigned k = 0; k < 5; k++) {
            clear_master(f);
            set_master(f);
        }
        win_sync(f->ports[1]);
        g_assert_cmphex(arrived(f), ==, 0x1234567812345678);
        ntb_start(f, 0, NULL);
        open_windows(f);
    }
    assert_open(f);
}

/* Kill the holder while it writes; the target closes at the same time */
static void test_holder_dies_under_writes(NtbFixture *f)
{
    for (unsigned i = 0; i < 4; i++) {
        pid_t writer;

        assert_open(f);
        writer = start_writer(f->ports[0], direct);
        ntb_wait(writes_come(f));
        kill(qtest_pid(f->ports[0]->qts), SIGKILL);
        clear_master(f);
        set_master(f);
        ntb_end_by_kill(f, 0);
        waitpid(writer, NULL, 0);
        ntb_start(f, 0, NULL);
        open_windows(f);
    }
    assert_open(f);
}

static bool can_limit_memory(void)
{
    if (g_getenv("ASAN_OPTIONS")) {
        g_test_skip("AddressSanitizer needs memory itself");
        return false;
    }
    return true;
}

static bool can_freeze_vcpu(void)
{
    return vcpu_possible() && vcpu_freeze_possible() && can_limit_memory();
}

/*
 * Leave the holder no memory that could take the place of the mapping.  The
 * target is told later, and its guest's write ends only then.
 */
static void limit_memory(NtbFixture *f, struct rlimit *before)
{
    pid_t qemu = qtest_pid(f->ports[0]->qts);
    struct rlimit none;

    g_assert_cmpint(prlimit(qemu, RLIMIT_DATA, NULL, before), ==, 0);
    /* Linux treats 0 as no limit, for Valgrind */
    none = (struct rlimit) { .rlim_cur = 1, .rlim_max = before->rlim_max };
    g_assert_cmpint(prlimit(qemu, RLIMIT_DATA, &none, NULL), ==, 0);
}

static void restore_memory(NtbFixture *f, const struct rlimit *before)
{
    pid_t qemu = qtest_pid(f->ports[0]->qts);

    g_assert_cmpint(prlimit(qemu, RLIMIT_DATA, before, NULL), ==, 0);
}

static void test_no_memory(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    IdtNtbShm *shm = f->server->mem;
    const IdtNtbShmPort *holder = &shm->slot[ntb_slot(a->port)].p;

    assert_open(f);
    clear_master(f);
    set_master(f);
    for (unsigned i = 0; i < 3; i++) {
        struct rlimit before;

        assert_open(f);
        limit_memory(f, &before);
        clear_master(f);
        restore_memory(f, &before);
        g_assert_cmpuint(holder->close_ack, ==, holder->close_req);
        g_assert_cmpuint(win_mappings(a), ==, 0);
        win_assert_misses(a, direct, f->ports[1], WIN_X, 8);
        set_master(f);
    }
    assert_open(f);
}

/*
 * Clear Bus Master Enable of the target while the holder's vCPU stands still in
 * the middle of a block of code.  Returns: true if the holder acknowledges
 * before it goes on.
 */
static bool acknowledges_under_vcpu(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    IdtNtbShm *shm = f->server->mem;
    const IdtNtbShmPort *p = &shm->slot[ntb_slot(a->port)].p;
    uint32_t request = qatomic_read(&p->close_req);
    pid_t thread = vcpu_thread(a), closer;
    bool acknowledged;

    vcpu_freeze(thread);
    closer = ntb_fork();
    if (!closer) {
        clear_master(f);
        _exit(0);
    }
    ntb_wait(qatomic_read(&p->close_req) != request);
    ntb_settle(a->qts);
    acknowledged = qatomic_read(&p->close_ack) == qatomic_read(&p->close_req);
    vcpu_thaw(thread);
    ntb_end_child(closer);
    return acknowledged;
}

static void test_vcpu_in_code(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    vcpu_start(a, direct);
    for (unsigned i = 0; i < 6; i++) {
        struct rlimit before;
        uint64_t last;

        ntb_wait(win_mappings(a) == 1);
        ntb_wait(writes_come(f));
        /* Without memory, wait until the vCPU has left the mapping */
        if (i % 2) {
            limit_memory(f, &before);
            g_assert_false(acknowledges_under_vcpu(f));
            restore_memory(f, &before);
        } else {
            g_assert_true(acknowledges_under_vcpu(f));
        }
        last = arrived(f);
        for (unsigned k = 0; k < 20; k++) {
            g_assert_cmphex(arrived(f), ==, last);
        }
        set_master(f);
    }
    vcpu_stop(a);
}

/*
 * Unplug
 */

static void test_target_unplugged(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    QTestState *qts = f->root;

    for (unsigned i = 0; i < 8; i++) {
        uint64_t before = win_value();

        ntb_plug(f, 1, NULL);
        open_windows(f);
        assert_open(f);
        qtest_writeq(qts, WIN_X, before);
        ntb_unplug(f, 1);
        g_assert_cmpuint(win_mappings(a), ==, 0);
        qtest_writeq(a->qts, direct, 0);
        win_assert_ones(a, direct);
        g_assert_cmphex(qtest_readq(qts, WIN_X), ==, before);
    }
}

static void test_holder_unplugged(NtbFixture *f)
{
    unsigned fds = 0, maps = 0;
    QTestState *qts = f->root;

    ntb_start(f, 1, NULL);
    for (unsigned i = 0; i < 12; i++) {
        ntb_plug(f, 0, NULL);
        open_windows(f);
        assert_open(f);
        ntb_unplug(f, 0);
        /* Do not wait for a holder that has gone */
        clear_master(f);
        set_master(f);
        if (i == 3) {
            fds = ntb_count_fds(qts);
            maps = win_count_maps(qts, "memfd:");
        }
    }
    /* The chardev may be connected or not */
    ntb_wait(ntb_count_fds(qts) <= fds + 2);
    ntb_wait(win_count_maps(qts, "memfd:") <= maps + 1);
}

#define EACH \
    .ports = 2, .prepare = open_windows, .windows = WIN_EACH, .q35 = true
#define SHARED .ports = 2, .prepare = open_windows, \
    .windows = WIN_MOSTLY_SHARED, .q35 = true
#define VCPU .props = VCPU_PROPS, .prepare = start_with_vcpu, .q35 = true

/* Each has a test for each of the events */
static const NtbTest groups[] = {
    { "window-close", test_event, EACH },
    { "window-close-under-writes", test_event_under_writes, SHARED },
    { "window-close-under-vcpu", test_event_under_vcpu, VCPU,
      .windows = WIN_MOSTLY_SHARED, .needs = vcpu_possible },
};

static void add_events(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(events); k++) {
            g_autofree char *path = g_strdup_printf("%s/by-%s", groups[i].path,
                                                    events[k].name);
            NtbTest test = groups[i];

            test.path = path;
            test.data = &events[k];
            ntb_add_test(&test);
        }
    }
}

libqos_init(add_events);

static const NtbTest tests[] = {
    { "window-close/by-own-registers", test_own_registers, EACH },
    { "window-close/beyond-a-smaller-limit", test_shrinking_limit, SHARED },
    { "window-close/by-reset-of-the-holder", test_holder_reset, SHARED },
    { "window-close/while-the-holder-is-stopped", test_holder_stops, SHARED },
    { "window-close/by-death-of-the-target", test_target_dies, SHARED },
    { "window-close/without-memory", test_no_memory, .ports = 2,
      .prepare = open_windows, .windows = WIN_ONLY(WIN_SHARED),
      .needs = can_limit_memory, .q35 = true },
    { "window-close/after-death-of-the-holder", test_holder_dies, EACH,
      .props = ",completion-timeout=5000" },
    { "window-close/at-death-of-the-holder", test_holder_dies_under_writes,
      SHARED, .props = ",completion-timeout=5000" },
    { "window-close/by-unplug-of-the-target", test_target_unplugged,
      .ports = 1, .windows = WIN_EACH, .root_port = true, .q35 = true },
    { "window-close/after-unplug-of-the-holder", test_holder_unplugged,
      .windows = WIN_MOSTLY_SHARED, .root_port = true, .q35 = true },
    { "window-close-under-vcpu/by-own-registers", test_own_under_vcpu, VCPU,
      .windows = WIN_ONLY(WIN_SHARED), .needs = vcpu_possible },
    { "window-close-under-vcpu/in-the-middle-of-code", test_vcpu_in_code,
      VCPU, .windows = WIN_ONLY(WIN_SHARED), .needs = can_freeze_vcpu },
};

ntb_tests(tests);
