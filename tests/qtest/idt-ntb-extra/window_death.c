/*
 * QTest testcase for idt-ntb: death in the middle of something that has to do
 * with memory windows
 *
 * A QEMU is killed right after it has changed a word of the shared memory.  The
 * others go on, and who takes its port finds nothing that does not work.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "pause.h"
#include "idt-ntb/window.h"

/* Above BAR0: a write there is one to a "register" */
#define BAR1        0xe8000000ULL

static WinPair w;
static IdtNtbShm *shm;

static NtbPort *boot(WinPath path)
{
    NtbPort *p = win_boot(w.server, path, NULL, NULL);

    win_place(p, 1, BAR1);
    win_open(p, 1, 1 - p->partition, WIN_X);
    return p;
}

static void setup(WinPath path)
{
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    shm = (IdtNtbShm *)w.server->mem;
    w.a = boot(path);
    w.b = boot(path);
}

/* Both ways, and closing works */
static void assert_works(void)
{
    ntb_wait(qtest_readq(w.a->qts, BAR1) == qtest_readq(w.b->qts, WIN_X));
    ntb_wait(qtest_readq(w.b->qts, BAR1) == qtest_readq(w.a->qts, WIN_X));
    for (unsigned i = 0; i < 2; i++) {
        NtbPort *from = i ? w.b : w.a, *to = i ? w.a : w.b;

        win_assert_shows(from, BAR1, to, WIN_X);
        win_assert_path(from, w.path);
        ntb_cfg_writew(to, PCI_COMMAND, PCI_COMMAND_MEMORY);
        g_assert_cmpuint(win_mappings(from), ==, 0);
        win_assert_misses(from, BAR1, to, WIN_X, 8);
        ntb_cfg_writew(to, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        win_assert_shows(from, BAR1, to, WIN_X);
    }
    ntb_assert_talk(w.a, w.b);
    ntb_assert_talk(w.b, w.a);
}

typedef struct Death {
    const char *what;
    bool of_target;             /* of @w.b, else of @w.a, which looks at it */
    uint32_t offset, value;     /* what its guest writes */
    size_t word;                /* that it has changed last */
    unsigned size;
    void (*before)(void);
} Death;

/* Dies in a write of its guest; its port is taken by another one */
static void die(const Death *death)
{
    NtbPort **victim = death->of_target ? &w.b : &w.a;
    NtbPort *other = death->of_target ? w.a : w.b;
    Pause pause;

    g_test_message("death after %s", death->what);
    if (death->before) {
        death->before();
    }
    g_assert_true(pause_in_write(&pause, w.server, *victim, death->offset,
                                 death->value, (uint8_t *)shm + death->word,
                                 death->size, PAUSE_ON_WRITE));
    pause_kill(&pause);
    /* The other one is not stopped by that */
    ntb_cfg_writew(other, PCI_COMMAND, PCI_COMMAND_MEMORY);
    ntb_cfg_writew(other, PCI_COMMAND,
                   PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    qtest_readq(other->qts, BAR1);
    ntb_kill(*victim);
    ntb_wait(!ntb_link_up(other, death->of_target ? 2 : 0));
    ntb_wait(win_mappings(other) == 0);
    win_assert_ones(other, BAR1);
    *victim = boot(w.path);
    g_assert_cmpuint((*victim)->port, ==, death->of_target ? 2 : 0);
    assert_works();
}

/* Nothing is mapped yet */
static void close_first(void)
{
    win_close(w.a, 1);
    win_limit(w.a, 1, BAR1 + WIN_SIZE);
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
}

/* The target's RAM is mapped */
static void map_first(void)
{
    qtest_readq(w.a->qts, BAR1);
}

#define AT(field) offsetof(IdtNtbShm, field)

static void test_shared(void)
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

    if (!pause_possible()) {
        return;
    }
    setup(WIN_SHARED);
    assert_works();
    for (unsigned i = 0; i < G_N_ELEMENTS(deaths); i++) {
        die(&deaths[i]);
    }
    win_stop(&w);
}

static void test_requests(void)
{
    static const Death deaths[] = {
        { "request", false, BAR1 - 0xe0000000, 0x5a5a,
          AT(mailbox[0][1].m.request[0].data), 8 },
        { "head", false, BAR1 - 0xe0000000, 1, AT(mailbox[0][1].m.head), 4 },
        { "awake", false, BAR1 - 0xe0000000, 1, AT(mailbox[0][1].m.awake), 4 },
    };

    if (!pause_possible()) {
        return;
    }
    setup(WIN_FORCED);
    assert_works();
    for (unsigned i = 0; i < G_N_ELEMENTS(deaths); i++) {
        if (i == 0) {
            /* The first place in the ring is the next one */
            while (shm->mailbox[0][1].m.head % IDT_NTB_MAX_REQUESTS) {
                qtest_writeb(w.a->qts, BAR1, 1);
            }
            win_sync(w.b);
        }
        die(&deaths[i]);
    }
    win_stop(&w);
}

/*
 * Who executes the requests dies at any time, while they come without end; the
 * sender goes on with the next one.
 */
static void test_receiver(WinPath path)
{
    pid_t sender;

    setup(path);
    sender = ntb_fork();
    if (!sender) {
        for (uint64_t i = 1;; i++) {
            qtest_writeq(w.a->qts, BAR1 + i % 8 * 8, i);
            if (i % 8 == 0) {
                qtest_readl(w.a->qts, BAR1 + 1);
            }
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        uint64_t seen = qtest_readq(w.b->qts, WIN_X);

        ntb_wait(qtest_readq(w.b->qts, WIN_X) > seen);
        g_usleep(i * 731 % 2000);
        ntb_kill(w.b);
        w.b = boot(path);
        g_assert_cmpuint(w.b->port, ==, 2);
    }
    ntb_wait(qtest_readq(w.b->qts, WIN_X));
    ntb_kill(w.a);
    waitpid(sender, NULL, 0);
    w.a = boot(path);
    assert_works();
    win_stop(&w);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/window-death/shared", test_shared);
    qtest_add_func("/idt-ntb/window-death/requests", test_requests);
    win_add_case("window-death/receiver", test_receiver);
}

libqos_init(add_tests);
