/*
 * QTest testcase for idt-ntb: the other end of the mailboxes
 *
 * The test is the peer that sends requests to a QEMU, or receives its requests:
 * rightly, wrongly, or not at all.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "hw/pci/pci_regs.h"
#include "fake_port.h"
#include "extra.h"
#include "pause.h"

#define READ R_SHM_REQUEST_READ_MASK

static FakePort us;
static IdtNtbShmMailbox *out, *in;

static void admit(bool admitted)
{
    qatomic_set_mb(&us.shm->sw.mtbl[1], admitted ? R_NTMTBLDATA_VALID_MASK |
                   1 << R_NTMTBLDATA_PART_SHIFT : 0);
}

static void start(NtbFixture *f)
{
    fake_port_start(&us, f->test->props);
    win_open(us.a, 1, 1, WIN_X);
    out = fake_port_outbox(&us);
    in = fake_port_inbox(&us);
    admit(true);
}

static void stop(NtbFixture *f)
{
    fake_port_stop(&us);
}

static uint32_t epoch(void)
{
    return fake_port_block(&us)->send_epoch + us.shm->slot[0].p.receive_epoch;
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

/* Wait until QEMU has taken all that was put there */
static void flush(void)
{
    fake_port_signal(&us);
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

/* The QEMU executes correct requests */
static void assert_serves(void)
{
    for (unsigned size = 1; size <= 8; size++) {
        uint64_t before = win_value(), value = win_value();
        uint64_t mask = MAKE_64BIT_MASK(0, 8 * size);

        qtest_writeq(us.a->qts, WIN_X + 3, before);
        send_write(WIN_X + 3, value, size);
        g_assert_cmphex(qtest_readq(us.a->qts, WIN_X + 3), ==,
                        (value & mask) | (before & ~mask));
        g_assert_cmphex(send_read(WIN_X + 3, size), ==, value & mask);
    }
    g_assert_cmphex(ntb_read(us.a, A_BARSETUP0), ==, 0x800004c0);
}

/*
 * As the sender
 */

static void test_good(NtbFixture *f)
{
    assert_serves();
    /* Its registers are refused */
    send_write(us.a->bar0 + A_NTSDATA, 0x1234, 4);
    g_assert_cmphex(ntb_read(us.a, A_NTSDATA), ==, 0);
    g_assert_cmphex(send_read(us.a->bar0, 4), ==, UINT64_MAX);
    g_assert_cmphex(send_read(WIN_RAM_SIZE, 8), ==, UINT64_MAX);
    /* Over the end of its RAM */
    qtest_writel(us.a->qts, WIN_RAM_SIZE - 4, 0x600d600d);
    g_assert_cmphex(send_read(WIN_RAM_SIZE - 4, 4), ==, 0x600d600d);
    g_assert_cmphex(send_read(WIN_RAM_SIZE - 4, 8), ==, UINT64_MAX);
    /* A window of its own */
    g_assert_cmphex(send_read(us.base, 8), ==, UINT64_MAX);
    g_assert_cmphex(send_read(us.base - 4, 8), ==, UINT64_MAX);
    assert_serves();
}

/* Requests are not executed */
static void assert_refused(void)
{
    uint64_t before = win_value();

    qtest_writeq(us.a->qts, WIN_X, before);
    send_write(WIN_X, win_value(), 8);
    g_assert_cmphex(qtest_readq(us.a->qts, WIN_X), ==, before);
    g_assert_cmphex(send_read(WIN_X, 8), ==, UINT64_MAX);
}

static void test_gates(NtbFixture *f)
{
    admit(false);
    assert_refused();
    admit(true);
    assert_serves();
    ntb_set_master(us.a, false);
    assert_refused();
    ntb_set_master(us.a, true);
    assert_serves();
    /* The sender's own link */
    qatomic_set_mb(&fake_port_block(&us)->state, IDT_NTB_PORT_DOWN);
    assert_refused();
    qatomic_set_mb(&fake_port_block(&us)->state, IDT_NTB_PORT_UP);
    assert_serves();
}

static void close_by_master(void)
{
    ntb_set_master(us.a, false);
    ntb_set_master(us.a, true);
}

static void close_by_reset(void)
{
    ntb_function_reset(us.a);
    win_setup_function(us.a);
}

static void close_by_entry(void)
{
    ntb_write(us.a, A_NTMTBLADDR, 1);
    ntb_write(us.a, A_NTMTBLDATA, 0);
    admit(true);
}

static void close_by_protection(void)
{
    admit(false);
    ntb_gas_write(us.a, ntb_gas_nt(2, A_NTCTL), R_NTCTL_IDPROTDIS_MASK);
    ntb_gas_write(us.a, ntb_gas_nt(2, A_NTCTL), 0);
    admit(true);
}

/* Add as many closings as half of a word can count */
static void close_often_there(void)
{
    qatomic_add(&us.shm->slot[0].p.receive_epoch, 0x10000);
}

static void close_often_here(void)
{
    qatomic_add(&fake_port_block(&us)->send_epoch, 0x10000);
}

/* Send a request of before a closing after it */
static void test_late(NtbFixture *f)
{
    static void (*const closings[])(void) = {
        close_by_master, close_by_reset, close_by_entry, close_by_protection,
        close_often_there, close_often_here,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(closings); i++) {
        uint32_t was = epoch();

        g_test_message("closing %u", i);
        qtest_writeq(us.a->qts, WIN_X, 77);
        closings[i]();
        put_at(was, WIN_X, 1, 8);
        flush();
        g_assert_cmphex(qtest_readq(us.a->qts, WIN_X), ==, 77);
        put_at(was, WIN_X, 1, 8 | READ);
        flush();
        g_assert_cmpuint(out->reply_ok, ==, 0);
        assert_serves();
    }
}

/* Send wrong sizes and operations, and any address */
static void test_garbage(NtbFixture *f)
{
    GRand *rng = g_rand_new_with_seed(g_test_rand_int());
    static const uint32_t ops[] = {
        0, 9, 16, 255, READ, READ | 9, READ | 255, UINT32_MAX, 0x80000000,
    };
    unsigned rounds = g_test_slow() ? 200000 : 20000;
    uint64_t before = win_value();

    qtest_writeq(us.a->qts, WIN_X, before);
    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        request(WIN_X, UINT64_MAX, ops[i]);
        g_assert_cmphex(qtest_readq(us.a->qts, WIN_X), ==, before);
    }
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t addr = (uint64_t)g_rand_int(rng) << 32 | g_rand_int(rng);

        /* Stay above 4 GiB: there is nothing that the QEMU needs */
        put(addr | 1ULL << 33, g_rand_int(rng), g_rand_int(rng) & 0x10f);
        if (i % 700 == 0) {
            flush();
        }
    }
    flush();
    send_read(UINT64_MAX, 1);
    send_read(UINT64_MAX, 8);
    send_write(UINT64_MAX - 3, 0, 8);
    g_assert_cmphex(qtest_readq(us.a->qts, WIN_X), ==, before);
    assert_serves();
    g_rand_free(rng);
}

/* After an impossible head, old requests are not executed again */
static void test_head(NtbFixture *f)
{
    static const uint32_t steps[] = {
        IDT_NTB_MAX_REQUESTS + 1, 5000, 0x7fffffff, 0x80000000, UINT32_MAX,
        -2, -IDT_NTB_MAX_REQUESTS,
    };

    for (unsigned i = 0; i < IDT_NTB_MAX_REQUESTS; i++) {
        put(WIN_X, i, 8);
    }
    flush();
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        qtest_writeq(us.a->qts, WIN_X, 0x77);
        qatomic_set_mb(&out->head, out->head + steps[i]);
        flush();
        g_assert_cmphex(qtest_readq(us.a->qts, WIN_X), ==, 0x77);
        assert_serves();
        for (unsigned k = 0; k < IDT_NTB_MAX_REQUESTS; k++) {
            put(WIN_X + 64, k, 8);
        }
        flush();
    }
    /* The QEMU has its own copy of what it writes */
    for (unsigned i = 0; i < 20; i++) {
        uint32_t head = out->head;

        qtest_writeq(us.a->qts, WIN_X, 0x77);
        qatomic_set(&out->tail, head - 5 * i);
        qatomic_set(&out->awake, i % 2);
        fake_port_signal(&us);
        ntb_settle(us.a->qts);
        ntb_read(us.a, A_INDBELLSTS);
        g_assert_cmphex(qtest_readq(us.a->qts, WIN_X), ==, 0x77);
        qatomic_set(&out->tail, head);
        qatomic_set(&out->awake, 0);
        assert_serves();
    }
}

/* Requests without end do not stop the guest */
static void test_flood(NtbFixture *f)
{
    pid_t pid = ntb_fork();

    if (!pid) {
        for (unsigned i = 0;; i++) {
            put(WIN_X + i % 64 * 8, i, 8);
            if (i % 16 == 0) {
                fake_port_signal(&us);
            }
        }
    }
    for (unsigned i = 0; i < 500; i++) {
        ntb_write(us.a, A_NTSDATA, i);
        g_assert_cmphex(ntb_read(us.a, A_NTSDATA), ==, i);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ntb_settle(us.a->qts);
    flush();
    assert_serves();
}

/* Execute requests before a register is read, and soon after a write */
static void test_in_register(NtbFixture *f)
{
    for (unsigned i = 1; i < 20; i++) {
        put(WIN_X, i, 8);
        put(WIN_X, 0, 4 | READ);
        /* Without a signal */
        if (i % 2) {
            ntb_read(us.a, A_INDBELLSTS);
        } else {
            ntb_write(us.a, A_INDBELLMSK, i);
            ntb_wait(qatomic_read(&out->tail) == out->head);
        }
        g_assert_cmpuint(qatomic_read(&out->tail), ==, out->head);
        g_assert_cmpuint(out->reply_ok, ==, 1);
        g_assert_cmphex((uint32_t)out->reply_data, ==, i);
        g_assert_cmphex(qtest_readq(us.a->qts, WIN_X), ==, i);
    }
}

/* Fill the mailbox, and ring a doorbell: the requests come before it */
static void test_doorbell(NtbFixture *f)
{
    IdtNtbShmPort *a = &us.shm->slot[0].p;

    ntb_write(us.a, A_INDBELLMSK, 0);
    ntb_write(us.a, A_NTINTMSK, 0);
    for (unsigned i = 1; i < 50; i++) {
        for (unsigned k = 0; k < IDT_NTB_MAX_REQUESTS; k++) {
            put(WIN_X + 8 * k, i, 8);
        }
        qatomic_fetch_or(&a->indbellsts, 1);
        fake_port_signal(&us);
        ntb_assert_msi(us.a);
        /* Check the last write first */
        for (unsigned k = IDT_NTB_MAX_REQUESTS; k--;) {
            g_assert_cmphex(qtest_readq(us.a->qts, WIN_X + 8 * k), ==, i);
        }
        ntb_write(us.a, A_INDBELLSTS, UINT32_MAX);
        ntb_assert_no_msi(us.a);
    }
}

/*
 * As the receiver
 */

/* Start a child that must read @value at the window */
static pid_t start_reader(uint64_t value)
{
    pid_t pid = ntb_fork();

    if (!pid) {
        _exit(qtest_readq(us.a->qts, us.base) == value ? 0 : 3);
    }
    return pid;
}

static void answer(uint32_t number, uint32_t ok, uint64_t data)
{
    qatomic_set(&in->reply_data, data);
    qatomic_set(&in->reply_ok, ok);
    qatomic_store_release(&in->reply, number);
    fake_port_signal(&us);
}

static IdtNtbShmRequest *wait_request(uint32_t number)
{
    ntb_wait(qatomic_load_acquire(&in->head) == number);
    return &in->request[(number - 1) % IDT_NTB_MAX_REQUESTS];
}

/* Give answers to other requests besides the right one */
static void test_answers(NtbFixture *f)
{
    for (unsigned i = 0; i < 20; i++) {
        uint32_t number = in->head + 1;
        bool ok = i % 3;
        pid_t pid = start_reader(ok ? 0x0123456789abcd00 + i : UINT64_MAX);
        IdtNtbShmRequest *r = wait_request(number);

        g_assert_cmphex(r->addr, ==, WIN_X);
        g_assert_cmphex(r->op, ==, READ | 8);
        answer(number - 1, 1, 1);
        answer(number + 1, 1, 2);
        answer(number + 0x80000000, 1, 3);
        answer(0, 1, 4);
        qatomic_set_mb(&in->tail, number);
        answer(number, ok ? i : 0, 0x0123456789abcd00 + i);
        ntb_end_child(pid);
    }
}

/* The QEMU executes requests while it waits for an answer */
static void test_serves_while_waiting(NtbFixture *f)
{
    for (unsigned i = 0; i < 10; i++) {
        uint32_t number = in->head + 1;
        pid_t pid = start_reader(i);

        wait_request(number);
        send_write(WIN_X, i, 8);
        g_assert_cmphex(send_read(WIN_X, 8), ==, i);
        /* Not those to its registers, or to its window onto us */
        g_assert_cmphex(send_read(us.a->bar0 + A_NTSDATA, 4), ==, UINT64_MAX);
        g_assert_cmphex(send_read(us.base, 8), ==, UINT64_MAX);
        send_write(us.base, 0, 8);
        g_assert_cmpuint(in->head, ==, number);
        qatomic_set_mb(&in->tail, number);
        answer(number, 1, i);
        ntb_end_child(pid);
    }
}

/* Write a register of the QEMU's windows, and make it look */
static void change_window(uint32_t *word, uint32_t value)
{
    IdtNtbShmPort *a = &us.shm->slot[0].p;
    uint32_t request;

    qatomic_set_mb(word, value);
    request = qatomic_fetch_inc(&a->close_req) + 1;
    fake_port_signal(&us);
    ntb_wait(qatomic_read(&a->close_ack) == request);
}

/* Close the window while the QEMU waits */
static void test_closed_while_waiting(NtbFixture *f)
{
    for (unsigned i = 0; i < 5; i++) {
        uint32_t number = in->head + 1;
        pid_t pid = start_reader(0x99);

        wait_request(number);
        change_window(&us.shm->slot[0].p.barlimit[1], 0);
        qatomic_set_mb(&in->tail, number);
        answer(number, 1, 0x99);
        ntb_end_child(pid);
        win_assert_ones(us.a, us.base);
        g_assert_cmpuint(in->head, ==, number);
        win_limit(us.a, 1, us.base + WIN_SIZE);
    }
}

/*
 * While the QEMU waits for room in the mailbox, aim the window elsewhere: the
 * store goes where the window points when it is sent.
 */
static void test_moved_while_waiting(NtbFixture *f)
{
    for (unsigned i = 1; i < 4; i++) {
        uint64_t x = WIN_X + i * WIN_SIZE;
        uint32_t head;
        pid_t pid;

        while (in->head - in->tail < IDT_NTB_MAX_REQUESTS) {
            qtest_writeq(us.a->qts, us.base, i);
        }
        head = in->head;
        pid = ntb_fork();
        if (!pid) {
            qtest_writeq(us.a->qts, us.base + 8, i);
            /* Answers when the store is over */
            ntb_read(us.a, A_BARSETUP0);
            _exit(0);
        }
        ntb_wait(qatomic_read(&us.shm->slot[0].p.waiting));
        change_window(&us.shm->slot[0].p.barltbase[1], x);
        g_assert_cmpuint(in->head, ==, head);
        qatomic_set_mb(&in->tail, head);
        fake_port_signal(&us);
        ntb_end_child(pid);
        g_assert_cmpuint(in->head, ==, head + 1);
        g_assert_cmphex(in->request[head % IDT_NTB_MAX_REQUESTS].addr, ==,
                        x + 8);
        qatomic_set_mb(&in->tail, in->head);
    }
}

/*
 * Make room for a store while the QEMU checks if it must wait, but not when it
 * sends, and make it look at its windows each time: the retries are bounded.
 */
static void test_pulses(NtbFixture *f)
{
    IdtNtbShmPort *a = &us.shm->slot[0].p;
    NtbPort window = *us.a;
    unsigned retries = 0;
    bool room = false, paused;
    Pause pause;
    uint32_t head;
    int64_t end;

    while (in->head - in->tail < IDT_NTB_MAX_REQUESTS) {
        qtest_writeq(us.a->qts, us.base, 1);
    }
    head = in->head;
    window.bar0 = us.base;
    qatomic_inc(&a->close_req);
    end = g_get_monotonic_time() + NTB_DEADLINE_US;
    paused = pause_in_write(&pause, &us.server->base, &window, 0, 2, &in->tail,
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
}

/* Do not answer, and write wild values into the words of the receiver */
static void test_wild_tail(NtbFixture *f)
{
    pid_t pid = ntb_fork();

    if (!pid) {
        for (uint32_t i = 1;; i = i * 1664525 + 1013904223) {
            qatomic_set(&in->tail, i);
            qatomic_set(&in->reply, i ^ 0x5a5a);
            qatomic_set(&in->awake, i >> 7);
            g_usleep(100);
        }
    }
    for (unsigned i = 0; i < 50; i++) {
        qtest_readq(us.a->qts, us.base);
        qtest_writeq(us.a->qts, us.base, i);
        g_assert_cmphex(ntb_read(us.a, A_BARSETUP0), ==, 0x800004c0);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_serves();
    /* Be a good receiver from now on */
    qatomic_set(&in->tail, in->head);
    fake_port_receive(&us);
    qtest_readq(us.a->qts, us.base);
    win_assert_ones(us.a, us.base);
}

#define FAKE .server = ntb_no_server, .prepare = start, .finish = stop, \
    .q35 = true

static const NtbTest tests[] = {
    { "window-mailbox/requests-are-executed", test_good, FAKE },
    { "window-mailbox/closed-port-refuses-requests", test_gates, FAKE },
    /* The test does not acknowledge that it has no mappings */
    { "window-mailbox/refuses-requests-of-before-a-closing", test_late, FAKE,
      .props = ",completion-timeout=30" },
    { "window-mailbox/refuses-garbage", test_garbage, FAKE },
    { "window-mailbox/survives-an-impossible-head", test_head, FAKE },
    { "window-mailbox/flood-does-not-stop-the-guest", test_flood, FAKE },
    { "window-mailbox/requests-before-a-register", test_in_register, FAKE },
    { "window-mailbox/requests-before-a-doorbell", test_doorbell, FAKE },
    { "window-mailbox/takes-the-right-answer", test_answers, FAKE },
    { "window-mailbox/is-served-while-waiting", test_serves_while_waiting,
      FAKE },
    { "window-mailbox/window-closes-while-waiting", test_closed_while_waiting,
      FAKE },
    { "window-mailbox/window-moves-while-waiting", test_moved_while_waiting,
      FAKE },
    { "window-mailbox/retries-are-bounded", test_pulses, FAKE,
      .props = ",completion-timeout=1000", .needs = pause_possible },
    { "window-mailbox/survives-a-wild-receiver", test_wild_tail, FAKE,
      .props = ",completion-timeout=10" },
};

ntb_tests(tests);
