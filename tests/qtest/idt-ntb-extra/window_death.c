/*
 * QTest testcase for idt-ntb: a QEMU dies while it works on memory windows
 *
 * Kill a QEMU right after it has changed a word of the shared memory.  The
 * others go on, and windows work for the QEMU that takes its port.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "pause.h"
#include "extra.h"

/* Above BAR0: a write there is one to a "register" */
#define BAR1        0xe8000000ULL

static IdtNtbShm *shm;

static NtbPort *boot(NtbFixture *f, unsigned i)
{
    NtbPort *p = ntb_start(f, i, NULL);

    win_place(p, 1, BAR1);
    win_open(p, 1, 1 - p->partition, WIN_X);
    return p;
}

static void prepare(NtbFixture *f)
{
    shm = f->server->mem;
    boot(f, 0);
    boot(f, 1);
}

/* Windows work both ways, and close */
static void assert_works(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_wait(qtest_readq(a->qts, BAR1) == qtest_readq(b->qts, WIN_X));
    ntb_wait(qtest_readq(b->qts, BAR1) == qtest_readq(a->qts, WIN_X));
    for (unsigned i = 0; i < 2; i++) {
        NtbPort *from = i ? b : a, *to = i ? a : b;

        win_assert_shows(from, BAR1, to, WIN_X);
        win_assert_path(from, f->path);
        ntb_set_master(to, false);
        g_assert_cmpuint(win_mappings(from), ==, 0);
        win_assert_misses(from, BAR1, to, WIN_X, 8);
        ntb_set_master(to, true);
        win_assert_shows(from, BAR1, to, WIN_X);
    }
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

typedef struct Death {
    const char *what;
    bool of_target;             /* of ports[1], else of ports[0], the holder */
    uint32_t offset, value;     /* what its guest writes */
    size_t word;                /* the last one that it changes */
    unsigned size;
    void (*before)(NtbFixture *f);
} Death;

/* Kill a QEMU in a write of its guest; another one takes its port */
static void die(NtbFixture *f, const Death *death)
{
    unsigned i = death->of_target ? 1 : 0;
    NtbPort *other = f->ports[1 - i];
    Pause pause;

    g_test_message("death after %s", death->what);
    if (death->before) {
        death->before(f);
    }
    g_assert_true(pause_in_write(&pause, f->server, f->ports[i], death->offset,
                                 death->value, (uint8_t *)shm + death->word,
                                 death->size, PAUSE_ON_WRITE));
    pause_kill(&pause);
    /* The other one goes on */
    ntb_set_master(other, false);
    ntb_set_master(other, true);
    qtest_readq(other->qts, BAR1);
    ntb_end_by_kill(f, i);
    ntb_wait(!ntb_link_up(other, death->of_target ? 2 : 0));
    ntb_wait(win_mappings(other) == 0);
    win_assert_ones(other, BAR1);
    g_assert_cmpuint(boot(f, i)->port, ==, death->of_target ? 2 : 0);
    assert_works(f);
}

/* Nothing is mapped yet */
static void close_first(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    win_close(a, 1);
    win_limit(a, 1, BAR1 + WIN_SIZE);
    g_assert_cmpuint(win_mappings(a), ==, 0);
}

/* The target's RAM is mapped */
static void map_first(NtbFixture *f)
{
    qtest_readq(f->ports[0]->qts, BAR1);
}

#define AT(field) offsetof(IdtNtbShm, field)

static void test_shared(NtbFixture *f)
{
    static const Death deaths[] = {
        { "hold", false, BAR1 - 0xe0000000, 1, AT(slot[0].p.holds), 4,
          close_first },
        { "end of hold", false, A_BARLIMIT0 + 0x10, 0, AT(slot[0].p.holds), 4,
          map_first },
        { "limit", false, A_BARLIMIT0 + 0x10, 0, AT(slot[0].p.barlimit[1]), 4,
          map_first },
        { "start of table", true, PCI_COMMAND, PCI_COMMAND_MEMORY,
          AT(memory[1].m.seq), 4, map_first },
        { "count of table", true, PCI_COMMAND, PCI_COMMAND_MEMORY,
          AT(memory[1].m.count), 4, map_first },
        { "command", true, PCI_COMMAND, PCI_COMMAND_MEMORY,
          AT(slot[1].p.cfg[1]), 4, map_first },
        { "request to close", true, PCI_COMMAND, PCI_COMMAND_MEMORY,
          AT(slot[0].p.close_req), 4, map_first },
        { "reset", true, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR,
          AT(slot[1].p.state), 4, map_first },
    };

    assert_works(f);
    for (unsigned i = 0; i < G_N_ELEMENTS(deaths); i++) {
        die(f, &deaths[i]);
    }
}

static void test_requests(NtbFixture *f)
{
    static const Death deaths[] = {
        { "request", false, BAR1 - 0xe0000000, 0x5a5a,
          AT(mailbox[0][1].m.request[0].data), 8 },
        { "head", false, BAR1 - 0xe0000000, 1, AT(mailbox[0][1].m.head), 4 },
        { "awake", false, BAR1 - 0xe0000000, 1, AT(mailbox[0][1].m.awake), 4 },
    };

    assert_works(f);
    for (unsigned i = 0; i < G_N_ELEMENTS(deaths); i++) {
        if (i == 0) {
            /* Make the first place in the ring the next one */
            while (shm->mailbox[0][1].m.head % IDT_NTB_MAX_REQUESTS) {
                qtest_writeb(f->ports[0]->qts, BAR1, 1);
            }
            win_sync(f->ports[1]);
        }
        die(f, &deaths[i]);
    }
}

/*
 * Kill the QEMU that executes requests at any time, while requests come without
 * end; the sender goes on with the next QEMU.
 */
static void test_receiver(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    pid_t sender = ntb_fork();

    if (!sender) {
        for (uint64_t i = 1;; i++) {
            qtest_writeq(a->qts, BAR1 + i % 8 * 8, i);
            if (i % 8 == 0) {
                qtest_readl(a->qts, BAR1 + 1);
            }
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        uint64_t seen = qtest_readq(b->qts, WIN_X);

        ntb_wait(qtest_readq(b->qts, WIN_X) > seen);
        g_usleep(i * 731 % 2000);
        ntb_end_by_kill(f, 1);
        b = boot(f, 1);
        g_assert_cmpuint(b->port, ==, 2);
    }
    ntb_wait(qtest_readq(b->qts, WIN_X));
    ntb_end_by_kill(f, 0);
    waitpid(sender, NULL, 0);
    boot(f, 0);
    assert_works(f);
}

static const NtbTest tests[] = {
    { "window-death/of-a-mapping-port-is-survived", test_shared,
      .prepare = prepare, .windows = WIN_ONLY(WIN_SHARED),
      .needs = pause_possible, .q35 = true },
    { "window-death/of-a-requester-is-survived", test_requests,
      .prepare = prepare, .windows = WIN_ONLY(WIN_FORCED),
      .needs = pause_possible, .q35 = true },
    { "window-death/of-the-receiver-is-survived", test_receiver,
      .prepare = prepare, .windows = WIN_EACH, .q35 = true },
};

ntb_tests(tests);
