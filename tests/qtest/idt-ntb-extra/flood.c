/*
 * QTest testcase for idt-ntb: a peer that asks too much
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include "extra.h"
#include "fake_port.h"
#include "vcpu.h"

static FakePort us;

/* The I/O APIC: it has nothing to do with idt-ntb, but needs QEMU's lock */
#define OTHER_DEVICE    0xfec00000
#define STORES          1000    /* of the vCPU there, while a peer floods */

/* Keep the mailbox full */
static void flood_requests(void)
{
    IdtNtbShmMailbox *box = fake_port_outbox(&us);
    uint32_t epoch = fake_port_block(&us)->send_epoch +
                     us.shm->slot[0].p.receive_epoch;

    for (unsigned i = 0; i < IDT_NTB_MAX_REQUESTS; i++) {
        box->request[i] = (IdtNtbShmRequest) {
            .addr = WIN_X + i * 8, .data = i, .op = 8, .epoch = epoch,
        };
    }
    while (true) {
        qatomic_set_mb(&box->head, qatomic_read(&box->tail) +
                                   IDT_NTB_MAX_REQUESTS);
        fake_port_signal(&us);
    }
}

static void flood_signals(void)
{
    while (true) {
        fake_port_signal(&us);
    }
}

static void flood_closings(void)
{
    while (true) {
        qatomic_inc(&us.shm->slot[0].p.close_req);
        fake_port_signal(&us);
    }
}

typedef struct Flood {
    void (*run)(void);
} Flood;

static const Flood requests = { flood_requests };
static const Flood signals = { flood_signals };
static const Flood closings = { flood_closings };

static void assert_vcpu_gets_on(void)
{
    uint32_t begin = vcpu_count(us.a);

    ntb_wait(vcpu_count(us.a) - begin > STORES);
}

static void test_flood(NtbFixture *f)
{
    const Flood *flood = f->test->data;
    pid_t pid;

    us = (FakePort) { .server = fake_server_start(fake_serve, NULL) };
    us.a = win_boot(&us.server->base, WIN_SHARED, vcpu_args(), VCPU_PROPS);
    fake_port_join(&us);
    qatomic_set_mb(&fake_port_block(&us)->ntctl, R_NTCTL_IDPROTDIS_MASK);
    vcpu_start(us.a, OTHER_DEVICE);
    assert_vcpu_gets_on();
    pid = ntb_fork();
    if (!pid) {
        flood->run();
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_vcpu_gets_on();
        ntb_settle(us.a->qts);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    vcpu_stop(us.a);
    fake_port_stop(&us);
}

/*
 * The table shows one page, another one each time, and never changes: each page
 * of the windows becomes a mapping.  QEMU's sections of memory are limited.
 */
static void test_mappings(NtbFixture *f)
{
    const unsigned page = qemu_real_host_page_size();
    IdtNtbShmRam crumb = { .size = page };
    IdtNtbShmMemory *table;
    uint64_t lut;

    fake_port_start(&us, NULL);
    fake_port_receive(&us);
    table = fake_port_table(&us);
    crumb.fd = memfd_create("crumb", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    g_assert_cmpint(ftruncate(crumb.fd, page), ==, 0);
    g_assert_cmpint(fcntl(crumb.fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
    fake_port_publish(&us, 0, -1, &crumb);
    lut = win_bar(us.a, WIN_LUT24);
    for (unsigned i = 0; i < 24; i++) {
        win_open_lut(us.a, WIN_LUT24, i, 1, WIN_X + i * WIN_SIZE);
    }
    for (uint64_t at = 0; at < 24 * WIN_SIZE; at += 2 * page) {
        table->ram[0].addr = WIN_X + at;
        qtest_readl(us.a->qts, lut + at);
    }
    g_assert_cmpuint(win_mappings(us.a), >, 50);
    /* The first pages are mapped; the last goes by request: nothing there */
    g_assert_cmphex(qtest_readl(us.a->qts, lut), ==, 0);
    g_assert_cmphex(qtest_readl(us.a->qts, lut + 24 * WIN_SIZE - 2 * page), ==,
                    UINT32_MAX);
    win_close_lut(us.a, WIN_LUT24, 0);
    close(crumb.fd);
    fake_port_stop(&us);
}

#define VCPU(flood)                                                     \
    test_flood, .data = &flood, .needs = vcpu_possible, OWN_SERVER
#define OWN_SERVER  .server = ntb_no_server, .q35 = true

static const NtbTest tests[] = {
    { "flood/of-requests-stops-no-vcpu", VCPU(requests) },
    { "flood/of-signals-stops-no-vcpu", VCPU(signals) },
    { "flood/of-closings-stops-no-vcpu", VCPU(closings) },
    { "flood/of-mappings-is-bounded", test_mappings, OWN_SERVER },
};

ntb_tests(tests);
