/*
 * QTest testcase for idt-ntb: two QEMUs play while a third process does the
 * worst it can
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "hw/pci/pci_regs.h"
#include "hostile.h"
#include "extra.h"

#define SECONDS         "NTB_HOSTILE_SECONDS"
#define DEFAULT_SECONDS 20

/* The first dwords of the configuration space, BARs among them */
#define NUM_SAVED       (PCI_BASE_ADDRESS_5 / 4 + 1)

typedef struct Player {
    QTestState *qts;
    NtbPort *p;
    uint64_t direct, lut;       /* windows */
    uint32_t saved[NUM_SAVED];
} Player;

static GRand *rng;

static uint32_t below(uint32_t end)
{
    return g_rand_int_range(rng, 0, end);
}

static void plug(Player *a, const char *props)
{
    ntb_device_add_with(a->qts, props);
    a->p = win_open_plugged(a->qts);
}

/* Waits are short: many of them end by their timeout */
static void player_plug(Player *a)
{
    plug(a, ", 'completion-timeout': 5");
    a->direct = win_bar(a->p, WIN_DIRECT32);
    a->lut = win_bar(a->p, WIN_LUT24);
    for (unsigned i = 0; i < NUM_SAVED; i++) {
        a->saved[i] = ntb_cfg_read(a->p, i * 4);
    }
}

/* Restore what the hostile process takes away by a reset of the function */
static void set_up_again(Player *a)
{
    for (unsigned i = PCI_BASE_ADDRESS_0 / 4; i < NUM_SAVED; i++) {
        ntb_cfg_write(a->p, i * 4, a->saved[i]);
    }
    ntb_cfg_writew(a->p, PCI_COMMAND, PCI_COMMAND_MEMORY |
                                      PCI_COMMAND_MASTER);
    ntb_msi_enable(a->p, below(2));
    win_admit(a->p, true);
}

static void access_registers(Player *a)
{
    uint32_t nt = (A_NTCTL + below(A_GASADATA - A_NTCTL)) & ~3;
    uint32_t gas = IDT_GAS_SWITCH + (below(IDT_GAS_SIZE - IDT_GAS_SWITCH) & ~3);

    ntb_write(a->p, nt, g_rand_int(rng));
    ntb_read(a->p, nt);
    ntb_gas_write(a->p, gas, g_rand_int(rng));
    ntb_gas_read(a->p, gas);
    ntb_gas_read(a->p, ntb_gas_nt(ntb_ports[below(NTB_NUM_PORTS)], nt));
}

static void open_windows(Player *a)
{
    uint32_t open = 0x80000000 | below(2);

    ntb_write(a->p, win_reg(WIN_DIRECT32, A_BARLTBASE0), below(4) * WIN_X);
    ntb_write(a->p, win_reg(WIN_DIRECT32, A_BARUTBASE0), 0);
    ntb_write(a->p, win_reg(WIN_DIRECT32, A_BARSETUP0), below(8) << 13);
    ntb_write(a->p, win_reg(WIN_DIRECT32, A_BARLIMIT0), UINT32_MAX);
    ntb_write(a->p, A_LUTOFFSET, WIN_LUT24 << 8 | below(24));
    ntb_write(a->p, A_LUTLDATA, below(0x100000) * 4);
    ntb_write(a->p, A_LUTMDATA, 0);
    ntb_write(a->p, A_LUTUDATA, open);
}

static void access_windows(Player *a)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t at = below(2) ? a->direct + below(WIN_SIZE - 8) :
                                 a->lut + below(24 * WIN_SIZE);

        if (below(2)) {
            qtest_writeq(a->qts, at & ~7, win_value());
        } else {
            qtest_readq(a->qts, at & ~7);
        }
    }
}

static void signal_others(Player *a)
{
    ntb_write(a->p, A_OUTDBELLSET, g_rand_int(rng));
    ntb_write(a->p, A_OUTMSG0 + 4 * below(4), g_rand_int(rng));
    ntb_write(a->p, A_NTGSIGNAL, 1);
    ntb_write(a->p, A_INDBELLSTS, UINT32_MAX);
    ntb_write(a->p, A_MSGSTS, UINT32_MAX);
    ntb_write(a->p, A_NTINTMSK, 0);
}

static void reset(Player *a)
{
    if (below(2)) {
        ntb_secondary_bus_reset(a->qts);
    } else {
        ntb_cfg_writew(a->p, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
    }
}

static void stop_and_go_on(Player *a)
{
    qtest_qmp_assert_success(a->qts, "{'execute': 'stop'}");
    qtest_qmp_assert_success(a->qts, "{'execute': 'cont'}");
}

static void ask(Player *a)
{
    g_autofree char *windows = win_describe(a->p);

    g_assert_nonnull(windows);
    ntb_qom_bool(a->p, "link");
    qtest_qmp_assert_success(a->qts, "{'execute': 'query-status'}");
}

static void (*const games[])(Player *a) = {
    set_up_again, access_registers, open_windows, access_windows,
    access_windows, signal_others, signal_others, reset, stop_and_go_on, ask,
};

static void test_play(NtbFixture *f)
{
    const char *setting = g_getenv(SECONDS);
    int64_t end = g_get_monotonic_time() + G_TIME_SPAN_SECOND *
                  (setting ? atoi(setting) : DEFAULT_SECONDS);
    uint32_t seed = g_test_rand_int();
    Player players[2];
    pid_t victims[2];
    unsigned count = 0;
    pid_t hostile;

    g_test_message("seed 0x%x", seed);
    rng = g_rand_new_with_seed(seed);
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *machine = win_next_machine(WIN_SHARED);

        players[i].qts = ntb_boot_root_port(f->server, machine);
        victims[i] = qtest_pid(players[i].qts);
        player_plug(&players[i]);
    }
    hostile = hostile_start(f->server, seed, victims);
    while (g_get_monotonic_time() < end) {
        games[below(G_N_ELEMENTS(games))](&players[below(2)]);
        count++;
    }
    g_assert_cmpint(waitpid(hostile, NULL, WNOHANG), ==, 0);
    kill(hostile, SIGKILL);
    g_assert_cmpint(waitpid(hostile, NULL, 0), ==, hostile);
    g_test_message("%u games", count);
    /* Both answer; and in a new switch, all is well */
    for (unsigned i = 0; i < 2; i++) {
        ask(&players[i]);
        ntb_quit(players[i].p);
        ntb_device_del(players[i].qts);
    }
    for (unsigned i = 0; i < 2; i++) {
        plug(&players[i], win_plug_props(WIN_SHARED));
        ntb_unmask_all(players[i].p);
    }
    for (unsigned i = 0; i < 2; i++) {
        NtbPort *a = players[i].p, *b = players[!i].p;

        g_assert_cmpuint(a->port, ==, ntb_ports[i]);
        ntb_assert_talk(a, b);
        win_open(a, WIN_DIRECT32, !i, WIN_X);
        win_assert_shows(a, win_bar(a, WIN_DIRECT32), b, WIN_X);
    }
    for (unsigned i = 0; i < 2; i++) {
        ntb_quit(players[i].p);
        qtest_quit(players[i].qts);
    }
    g_rand_free(rng);
}

static const NtbTest tests[] = {
    { "hostile/client-ends-no-qemu", test_play, .q35 = true },
};

ntb_tests(tests);
