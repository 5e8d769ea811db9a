/*
 * QTest testcase for idt-ntb: the other end of the mailboxes
 *
 * The test is the peer that sends requests to a QEMU, or gets its requests, and
 * does it right, wrong, or not at all.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "fake_port.h"
#include "pause.h"

#define READ R_SHM_REQUEST_READ_MASK

static FakePort f;
static IdtNtbShmMailbox *out, *in;

static void admit(bool admitted)
{
    qatomic_set_mb(&f.shm->sw.mtbl[1], admitted ? R_NTMTBLDATA_VALID_MASK |
                   1 << R_NTMTBLDATA_PART_SHIFT : 0);
}

static void setup(const char *props)
{
    fake_port_start(&f, props);
    win_open(f.a, 1, 1, WIN_X);
    out = fake_port_outbox(&f);
    in = fake_port_inbox(&f);
    admit(true);
}

static void teardown(void)
{
    fake_port_stop(&f);
}

static uint32_t epoch(void)
{
    return fake_port_block(&f)->send_epoch + f.shm->slot[0].p.receive_epoch;
}

static void put_at(uint32_t epoch, uint64_t addr, uint64_t data, uint32_t op)
{
    IdtNtbShmRequest *r = &out->request[out->head % IDT_NTB_MAX_REQUESTS];

    *r = (IdtNtbShmRequest) {
        .addr = addr, .data = data, .op = op, .epoch = epoch
    };
    qatomic_store_release(&out->head, out->head + 1);
}

static void put(uint64_t addr, uint64_t data, uint32_t op)
{
    put_at(epoch(), addr, data, op);
}

/* QEMU has taken all that was put there */
static void flush(void)
{
    fake_port_signal(&f);
    ntb_wait(qatomic_read(&out->tail) == out->head);
}

static void request(uint64_t addr, uint64_t data, uint32_t op)
{
    put(addr, data, op);
    flush();
}

static void send_write(uint64_t addr, uint64_t data, unsigned size)
{
    request(addr, data, size);
}

static uint64_t send_read(uint64_t addr, unsigned size)
{
    request(addr, 0, size | READ);
    g_assert_cmpuint(out->reply, ==, out->head);
    return qatomic_read(&out->reply_ok) ?
           out->reply_data & MAKE_64BIT_MASK(0, 8 * size) : UINT64_MAX;
}

/* It does what a good peer asks for */
static void assert_serves(void)
{
    for (unsigned size = 1; size <= 8; size++) {
        uint64_t before = win_value(), value = win_value();
        uint64_t mask = MAKE_64BIT_MASK(0, 8 * size);

        qtest_writeq(f.a->qts, WIN_X + 3, before);
        send_write(WIN_X + 3, value, size);
        g_assert_cmphex(qtest_readq(f.a->qts, WIN_X + 3), ==,
                        (value & mask) | (before & ~mask));
        g_assert_cmphex(send_read(WIN_X + 3, size), ==, value & mask);
    }
    g_assert_cmphex(ntb_read(f.a, A_BARSETUP0), ==, 0x800004c0);
}

/*
 * As the sender
 */

static void test_good(void)
{
    setup(NULL);
    assert_serves();
    /* Its registers */
    send_write(f.a->bar0 + A_NTSDATA, 0x1234, 4);
    g_assert_cmphex(ntb_read(f.a, A_NTSDATA), ==, 0);
    g_assert_cmphex(send_read(f.a->bar0, 4), ==, UINT64_MAX);
    g_assert_cmphex(send_read(WIN_RAM_SIZE, 8), ==, UINT64_MAX);
    /* Over the end of its RAM */
    qtest_writel(f.a->qts, WIN_RAM_SIZE - 4, 0x600d600d);
    g_assert_cmphex(send_read(WIN_RAM_SIZE - 4, 4), ==, 0x600d600d);
    g_assert_cmphex(send_read(WIN_RAM_SIZE - 4, 8), ==, UINT64_MAX);
    /* A window of its own */
    g_assert_cmphex(send_read(f.base, 8), ==, UINT64_MAX);
    g_assert_cmphex(send_read(f.base - 4, 8), ==, UINT64_MAX);
    assert_serves();
    teardown();
}

/* Nothing of that may come to pass */
static void assert_refused(void)
{
    uint64_t before = win_value();

    qtest_writeq(f.a->qts, WIN_X, before);
    send_write(WIN_X, win_value(), 8);
    g_assert_cmphex(qtest_readq(f.a->qts, WIN_X), ==, before);
    g_assert_cmphex(send_read(WIN_X, 8), ==, UINT64_MAX);
}

static void test_gates(void)
{
    setup(NULL);
    admit(false);
    assert_refused();
    admit(true);
    assert_serves();
    ntb_cfg_writew(f.a, PCI_COMMAND, PCI_COMMAND_MEMORY);
    assert_refused();
    ntb_cfg_writew(f.a, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_serves();
    /* The sender's own link */
    qatomic_set_mb(&fake_port_block(&f)->state, IDT_NTB_PORT_DOWN);
    assert_refused();
    qatomic_set_mb(&fake_port_block(&f)->state, IDT_NTB_PORT_UP);
    assert_serves();
    teardown();
}

static void close_by_master(void)
{
    ntb_cfg_writew(f.a, PCI_COMMAND, PCI_COMMAND_MEMORY);
    ntb_cfg_writew(f.a, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void close_by_reset(void)
{
    ntb_cfg_writew(f.a, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    win_setup_function(f.a);
}

static void close_by_entry(void)
{
    ntb_write(f.a, A_NTMTBLADDR, 1);
    ntb_write(f.a, A_NTMTBLDATA, 0);
    admit(true);
}

static void close_by_protection(void)
{
    admit(false);
    ntb_gas_write(f.a, ntb_gas_nt(2, A_NTCTL), R_NTCTL_IDPROTDIS_MASK);
    ntb_gas_write(f.a, ntb_gas_nt(2, A_NTCTL), 0);
    admit(true);
}

/* As many ends as half of a word can count, as if it had waited so long */
static void close_often_there(void)
{
    qatomic_add(&f.shm->slot[0].p.receive_epoch, 0x10000);
}

static void close_often_here(void)
{
    qatomic_add(&fake_port_block(&f)->send_epoch, 0x10000);
}

/* Admitted before it was closed, sent after it was opened again */
static void test_late(void)
{
    static void (*const closings[])(void) = {
        close_by_master, close_by_reset, close_by_entry, close_by_protection,
        close_often_there, close_often_here,
    };

    /* We do not acknowledge that we have no mappings */
    setup(",completion-timeout=30");
    for (unsigned i = 0; i < G_N_ELEMENTS(closings); i++) {
        uint32_t was = epoch();

        g_test_message("closing %u", i);
        qtest_writeq(f.a->qts, WIN_X, 77);
        closings[i]();
        put_at(was, WIN_X, 1, 8);
        flush();
        g_assert_cmphex(qtest_readq(f.a->qts, WIN_X), ==, 77);
        put_at(was, WIN_X, 1, 8 | READ);
        flush();
        g_assert_cmpuint(out->reply_ok, ==, 0);
        assert_serves();
    }
    teardown();
}

/* Sizes that are none, operations that are none, any address */
static void test_garbage(void)
{
    GRand *rng = g_rand_new_with_seed(g_test_rand_int());
    static const uint32_t ops[] = {
        0, 9, 16, 255, READ, READ | 9, READ | 255, UINT32_MAX, 0x80000000,
    };
    unsigned rounds = g_test_slow() ? 200000 : 20000;
    uint64_t before = win_value();

    setup(NULL);
    qtest_writeq(f.a->qts, WIN_X, before);
    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        request(WIN_X, UINT64_MAX, ops[i]);
        g_assert_cmphex(qtest_readq(f.a->qts, WIN_X), ==, before);
    }
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t addr = (uint64_t)g_rand_int(rng) << 32 | g_rand_int(rng);

        /* Not what the QEMU lives on: all is above 4 GiB */
        put(addr | 1ULL << 33, g_rand_int(rng), g_rand_int(rng) & 0x10f);
        if (i % 700 == 0) {
            flush();
        }
    }
    flush();
    send_read(UINT64_MAX, 1);
    send_read(UINT64_MAX, 8);
    send_write(UINT64_MAX - 3, 0, 8);
    g_assert_cmphex(qtest_readq(f.a->qts, WIN_X), ==, before);
    assert_serves();
    g_rand_free(rng);
    teardown();
}

/* A head that can't be: what is left there from before is not done again */
static void test_head(void)
{
    static const uint32_t steps[] = {
        IDT_NTB_MAX_REQUESTS + 1, 5000, 0x7fffffff, 0x80000000, UINT32_MAX,
        -2, -IDT_NTB_MAX_REQUESTS,
    };

    setup(NULL);
    for (unsigned i = 0; i < IDT_NTB_MAX_REQUESTS; i++) {
        put(WIN_X, i, 8);
    }
    flush();
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        qtest_writeq(f.a->qts, WIN_X, 0x77);
        qatomic_set_mb(&out->head, out->head + steps[i]);
        flush();
        g_assert_cmphex(qtest_readq(f.a->qts, WIN_X), ==, 0x77);
        assert_serves();
        for (unsigned k = 0; k < IDT_NTB_MAX_REQUESTS; k++) {
            put(WIN_X + 64, k, 8);
        }
        flush();
    }
    /* What belongs to the QEMU, it keeps itself */
    for (unsigned i = 0; i < 20; i++) {
        uint32_t head = out->head;

        qtest_writeq(f.a->qts, WIN_X, 0x77);
        qatomic_set(&out->tail, head - 5 * i);
        qatomic_set(&out->awake, i % 2);
        fake_port_signal(&f);
        ntb_settle(f.a->qts);
        ntb_read(f.a, A_INDBELLSTS);
        g_assert_cmphex(qtest_readq(f.a->qts, WIN_X), ==, 0x77);
        qatomic_set(&out->tail, head);
        qatomic_set(&out->awake, 0);
        assert_serves();
    }
    teardown();
}

/* Somebody who sends all the time does not keep the guest from its work */
static void test_flood(void)
{
    pid_t pid;

    setup(NULL);
    pid = ntb_fork();
    if (!pid) {
        for (unsigned i = 0;; i++) {
            put(WIN_X + i % 64 * 8, i, 8);
            if (i % 16 == 0) {
                fake_port_signal(&f);
            }
        }
    }
    for (unsigned i = 0; i < 500; i++) {
        ntb_write(f.a, A_NTSDATA, i);
        g_assert_cmphex(ntb_read(f.a, A_NTSDATA), ==, i);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ntb_settle(f.a->qts);
    flush();
    assert_serves();
    teardown();
}

/* What is sent is done before a register answers, and soon after a write */
static void test_in_register(void)
{
    setup(NULL);
    for (unsigned i = 1; i < 20; i++) {
        put(WIN_X, i, 8);
        put(WIN_X, 0, 4 | READ);
        /* Nobody has signalled it */
        if (i % 2) {
            ntb_read(f.a, A_INDBELLSTS);
        } else {
            ntb_write(f.a, A_INDBELLMSK, i);
            ntb_wait(qatomic_read(&out->tail) == out->head);
        }
        g_assert_cmpuint(qatomic_read(&out->tail), ==, out->head);
        g_assert_cmpuint(out->reply_ok, ==, 1);
        g_assert_cmphex((uint32_t)out->reply_data, ==, i);
        g_assert_cmphex(qtest_readq(f.a->qts, WIN_X), ==, i);
    }
    teardown();
}

/* As many as there is room for, and a doorbell: they come before it */
static void test_doorbell(void)
{
    IdtNtbShmPort *a;

    setup(NULL);
    a = &f.shm->slot[0].p;
    ntb_write(f.a, A_INDBELLMSK, 0);
    ntb_write(f.a, A_NTINTMSK, 0);
    for (unsigned i = 1; i < 50; i++) {
        for (unsigned k = 0; k < IDT_NTB_MAX_REQUESTS; k++) {
            put(WIN_X + 8 * k, i, 8);
        }
        qatomic_fetch_or(&a->indbellsts, 1);
        fake_port_signal(&f);
        ntb_assert_msi(f.a);
        /* The last one first */
        for (unsigned k = IDT_NTB_MAX_REQUESTS; k--;) {
            g_assert_cmphex(qtest_readq(f.a->qts, WIN_X + 8 * k), ==, i);
        }
        ntb_write(f.a, A_INDBELLSTS, UINT32_MAX);
        ntb_assert_no_msi(f.a);
    }
    teardown();
}

/*
 * As the receiver
 */

/* A child that reads 8 bytes at the window, and must get @value */
static pid_t start_reader(uint64_t value)
{
    pid_t pid = ntb_fork();

    if (!pid) {
        _exit(qtest_readq(f.a->qts, f.base) == value ? 0 : 3);
    }
    return pid;
}

static void end_reader(pid_t pid)
{
    int status;

    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static void answer(uint32_t number, uint32_t ok, uint64_t data)
{
    qatomic_set(&in->reply_data, data);
    qatomic_set(&in->reply_ok, ok);
    qatomic_store_release(&in->reply, number);
    fake_port_signal(&f);
}

static IdtNtbShmRequest *wait_request(uint32_t number)
{
    ntb_wait(qatomic_load_acquire(&in->head) == number);
    return &in->request[(number - 1) % IDT_NTB_MAX_REQUESTS];
}

/* What it sends, and what it makes of the answers */
static void test_answers(void)
{
    setup(NULL);
    for (unsigned i = 0; i < 20; i++) {
        uint32_t number = in->head + 1;
        bool ok = i % 3;
        pid_t pid = start_reader(ok ? 0x0123456789abcd00 + i : UINT64_MAX);
        IdtNtbShmRequest *r = wait_request(number);

        g_assert_cmphex(r->addr, ==, WIN_X);
        g_assert_cmphex(r->op, ==, READ | 8);
        /* Answers to others, ahead of it and behind it */
        answer(number - 1, 1, 1);
        answer(number + 1, 1, 2);
        answer(number + 0x80000000, 1, 3);
        answer(0, 1, 4);
        qatomic_set_mb(&in->tail, number);
        answer(number, ok ? i : 0, 0x0123456789abcd00 + i);
        end_reader(pid);
    }
    teardown();
}

/* It waits for an answer, and does what is asked of it meanwhile */
static void test_serves_while_waiting(void)
{
    setup(NULL);
    for (unsigned i = 0; i < 10; i++) {
        uint32_t number = in->head + 1;
        pid_t pid = start_reader(i);

        wait_request(number);
        send_write(WIN_X, i, 8);
        g_assert_cmphex(send_read(WIN_X, 8), ==, i);
        /* Its registers, and its window onto us */
        g_assert_cmphex(send_read(f.a->bar0 + A_NTSDATA, 4), ==, UINT64_MAX);
        g_assert_cmphex(send_read(f.base, 8), ==, UINT64_MAX);
        send_write(f.base, 0, 8);
        g_assert_cmpuint(in->head, ==, number);
        qatomic_set_mb(&in->tail, number);
        answer(number, 1, i);
        end_reader(pid);
    }
    teardown();
}

/* Writes a register of its windows, as any port may, and has it look there */
static void change_window(uint32_t *word, uint32_t value)
{
    IdtNtbShmPort *a = &f.shm->slot[0].p;
    uint32_t request;

    qatomic_set_mb(word, value);
    request = qatomic_fetch_inc(&a->close_req) + 1;
    fake_port_signal(&f);
    ntb_wait(qatomic_read(&a->close_ack) == request);
}

/* The window closes while it waits */
static void test_closed_while_waiting(void)
{
    setup(NULL);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t number = in->head + 1;
        pid_t pid = start_reader(0x99);

        wait_request(number);
        change_window(&f.shm->slot[0].p.barlimit[1], 0);
        qatomic_set_mb(&in->tail, number);
        answer(number, 1, 0x99);
        end_reader(pid);
        win_assert_ones(f.a, f.base);
        g_assert_cmpuint(in->head, ==, number);
        win_limit(f.a, 1, f.base + WIN_SIZE);
    }
    teardown();
}

/*
 * It waits for room in the mailbox, and meanwhile another port aims the window
 * elsewhere: the store goes where the window shows when it is sent.
 */
static void test_moved_while_waiting(void)
{
    setup(NULL);
    for (unsigned i = 1; i < 4; i++) {
        uint64_t x = WIN_X + i * WIN_SIZE;
        uint32_t head;
        pid_t pid;

        while (in->head - in->tail < IDT_NTB_MAX_REQUESTS) {
            qtest_writeq(f.a->qts, f.base, i);
        }
        head = in->head;
        pid = ntb_fork();
        if (!pid) {
            qtest_writeq(f.a->qts, f.base + 8, i);
            /* Answers when the store is over */
            ntb_read(f.a, A_BARSETUP0);
            _exit(0);
        }
        ntb_wait(qatomic_read(&f.shm->slot[0].p.waiting));
        change_window(&f.shm->slot[0].p.barltbase[1], x);
        g_assert_cmpuint(in->head, ==, head);
        qatomic_set_mb(&in->tail, head);
        fake_port_signal(&f);
        end_reader(pid);
        g_assert_cmpuint(in->head, ==, head + 1);
        g_assert_cmphex(in->request[head % IDT_NTB_MAX_REQUESTS].addr, ==,
                        x + 8);
        qatomic_set_mb(&in->tail, in->head);
    }
    teardown();
}

/*
 * There is room for a store as long as the QEMU looks whether to wait on, not
 * when it sends, and each time it has to look at its windows: it tries again,
 * but not for ever.
 */
static void test_pulses(void)
{
    IdtNtbShmPort *a;
    NtbPort window;
    unsigned retries = 0;
    bool room = false, paused;
    Pause pause;
    uint32_t head;
    int64_t end;

    if (!pause_possible()) {
        return;
    }
    setup(",completion-timeout=1000");
    a = &f.shm->slot[0].p;
    while (in->head - in->tail < IDT_NTB_MAX_REQUESTS) {
        qtest_writeq(f.a->qts, f.base, 1);
    }
    head = in->head;
    window = *f.a;
    window.bar0 = f.base;
    qatomic_inc(&a->close_req);
    end = g_get_monotonic_time() + NTB_DEADLINE_US;
    paused = pause_in_write(&pause, &f.server->base, &window, 0, 2, &in->tail,
                            4, PAUSE_ON_ACCESS);
    while (paused) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        if (!room) {
            room = qatomic_read(&a->close_ack) == qatomic_read(&a->close_req);
        } else if (!qatomic_read(&a->waiting)) {
            room = false;
            retries++;
            qatomic_inc(&a->close_req);
        }
        qatomic_set_mb(&in->tail, room ? head : head - IDT_NTB_MAX_REQUESTS);
        paused = pause_next_access(&pause);
    }
    g_test_message("%u retries", retries);
    assert_serves();
    teardown();
}

/* Nobody answers, and the words that tell how far it is go wild */
static void test_wild_tail(void)
{
    pid_t pid;

    setup(",completion-timeout=10");
    pid = ntb_fork();
    if (!pid) {
        for (uint32_t i = 1;; i = i * 1664525 + 1013904223) {
            qatomic_set(&in->tail, i);
            qatomic_set(&in->reply, i ^ 0x5a5a);
            qatomic_set(&in->awake, i >> 7);
            g_usleep(100);
        }
    }
    for (unsigned i = 0; i < 50; i++) {
        qtest_readq(f.a->qts, f.base);
        qtest_writeq(f.a->qts, f.base, i);
        g_assert_cmphex(ntb_read(f.a, A_BARSETUP0), ==, 0x800004c0);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_serves();
    /* From now on it is as it should be */
    qatomic_set(&in->tail, in->head);
    fake_port_receive(&f);
    qtest_readq(f.a->qts, f.base);
    win_assert_ones(f.a, f.base);
    teardown();
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/window-mailbox/good", test_good);
    qtest_add_func("/idt-ntb/window-mailbox/gates", test_gates);
    qtest_add_func("/idt-ntb/window-mailbox/late", test_late);
    qtest_add_func("/idt-ntb/window-mailbox/garbage", test_garbage);
    qtest_add_func("/idt-ntb/window-mailbox/head", test_head);
    qtest_add_func("/idt-ntb/window-mailbox/flood", test_flood);
    qtest_add_func("/idt-ntb/window-mailbox/in-register", test_in_register);
    qtest_add_func("/idt-ntb/window-mailbox/doorbell", test_doorbell);
    qtest_add_func("/idt-ntb/window-mailbox/answers", test_answers);
    qtest_add_func("/idt-ntb/window-mailbox/serves-while-waiting",
                   test_serves_while_waiting);
    qtest_add_func("/idt-ntb/window-mailbox/closed-while-waiting",
                   test_closed_while_waiting);
    qtest_add_func("/idt-ntb/window-mailbox/moved-while-waiting",
                   test_moved_while_waiting);
    qtest_add_func("/idt-ntb/window-mailbox/pulses", test_pulses);
    qtest_add_func("/idt-ntb/window-mailbox/wild-tail", test_wild_tail);
}

libqos_init(add_tests);
