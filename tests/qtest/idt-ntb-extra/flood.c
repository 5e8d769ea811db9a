/*
 * QTest testcase for idt-ntb: a peer that wants too much
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include "qemu/module.h"
#include "fake_port.h"
#include "vcpu.h"

static FakePort f;

/*
 * Whatever a peer does without end, the vCPUs of the guest get on, also with
 * what has nothing to do with idt-ntb, but needs QEMU's lock
 */

/* The I/O APIC; and how many stores of the vCPU there have to get through */
#define OTHER_DEVICE    0xfec00000
#define STORES          1000

/* As many requests as there can be, all the time */
static void flood_requests(void)
{
    IdtNtbShmMailbox *box = fake_port_outbox(&f);
    uint32_t epoch = fake_port_block(&f)->send_epoch +
                     f.shm->slot[0].p.receive_epoch;

    for (unsigned i = 0; i < IDT_NTB_MAX_REQUESTS; i++) {
        box->request[i] = (IdtNtbShmRequest) {
            .addr = WIN_X + i * 8, .data = i, .op = 8, .epoch = epoch,
        };
    }
    while (true) {
        qatomic_set_mb(&box->head, qatomic_read(&box->tail) +
                                   IDT_NTB_MAX_REQUESTS);
        fake_port_signal(&f);
    }
}

static void flood_signals(void)
{
    while (true) {
        fake_port_signal(&f);
    }
}

static void flood_closings(void)
{
    while (true) {
        qatomic_inc(&f.shm->slot[0].p.close_req);
        fake_port_signal(&f);
    }
}

typedef struct Flood {
    const char *name;
    void (*run)(void);
} Flood;

static void assert_vcpu_gets_on(void)
{
    uint32_t begin = vcpu_count(f.a);

    ntb_wait(vcpu_count(f.a) - begin > STORES);
}

static void test_flood(const void *data)
{
    const Flood *flood = data;
    pid_t pid;

    if (!vcpu_possible()) {
        return;
    }
    f = (FakePort) { .server = fake_server_start(fake_serve, NULL) };
    f.a = win_boot(&f.server->base, WIN_SHARED, vcpu_args(), VCPU_PROPS);
    fake_port_join(&f);
    qatomic_set_mb(&fake_port_block(&f)->ntctl, R_NTCTL_IDPROTDIS_MASK);
    vcpu_start(f.a, OTHER_DEVICE);
    assert_vcpu_gets_on();
    pid = ntb_fork();
    if (!pid) {
        flood->run();
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_vcpu_gets_on();
        ntb_settle(f.a->qts);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    vcpu_stop(f.a);
    fake_port_stop(&f);
}

/*
 * The table shows one page, another one each time, and never changes: each page
 * of the windows becomes a mapping, and QEMU can have so many sections of
 * memory and no more
 */
static void test_mappings(void)
{
    const unsigned page = qemu_real_host_page_size();
    IdtNtbShmRam crumb = { .size = page };
    IdtNtbShmMemory *table;
    uint64_t lut;

    fake_port_start(&f, NULL);
    fake_port_receive(&f);
    table = fake_port_table(&f);
    crumb.fd = memfd_create("crumb", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    g_assert_cmpint(ftruncate(crumb.fd, page), ==, 0);
    g_assert_cmpint(fcntl(crumb.fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
    fake_port_publish(&f, 0, -1, &crumb);
    lut = win_bar(f.a, WIN_LUT24);
    for (unsigned i = 0; i < 24; i++) {
        win_open_lut(f.a, WIN_LUT24, i, 1, WIN_X + i * WIN_SIZE);
    }
    for (uint64_t at = 0; at < 24 * WIN_SIZE; at += 2 * page) {
        table->ram[0].addr = WIN_X + at;
        qtest_readl(f.a->qts, lut + at);
    }
    g_assert_cmpuint(win_mappings(f.a), >, 50);
    /* What is mapped is mapped, the rest goes by request: nothing there */
    g_assert_cmphex(qtest_readl(f.a->qts, lut), ==, 0);
    g_assert_cmphex(qtest_readl(f.a->qts, lut + 24 * WIN_SIZE - 2 * page), ==,
                    UINT32_MAX);
    win_close_lut(f.a, WIN_LUT24, 0);
    close(crumb.fd);
    fake_port_stop(&f);
}

static void add_tests(void)
{
    static const Flood floods[] = {
        { "requests", flood_requests },
        { "signals", flood_signals },
        { "closings", flood_closings },
    };

    if (!ntb_machine_is_q35()) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(floods); i++) {
        g_autofree char *path = g_strdup_printf("/idt-ntb/flood/%s",
                                                floods[i].name);

        qtest_add_data_func(path, &floods[i], test_flood);
    }
    qtest_add_func("/idt-ntb/flood/mappings", test_mappings);
}

libqos_init(add_tests);
