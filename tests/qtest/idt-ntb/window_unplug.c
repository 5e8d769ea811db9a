/*
 * QTest testcase for idt-ntb: a device that is unplugged while it waits
 *
 * A port serves the others while it waits for one of them, and what they ask
 * for can be to switch off the slot that it is in.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include "hw/pci/pci_regs.h"
#include "fake_port.h"
#include "tests.h"

#define SLOT_OFF    (PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF)

static FakePort f;
static QTestState *qts;
static uint64_t slot_control;   /* of the root port, in the guest's memory */

static void setup(void)
{
    uint64_t port;
    uint8_t cap;

    f.server = fake_server_start(fake_serve, NULL);
    qts = qtest_initf("%s -global ICH9-LPC."
                      "acpi-pci-hotplug-with-bridge-support=off "
                      "-device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,"
                      "chassis=1 -chardev socket,path=%s,id=ntb "
                      "-device idt-ntb,id=ntb1,bus=rp0,chardev=ntb,"
                      "completion-timeout=60000", ntb_next_machine(),
                      f.server->base.socket);
    f.a = win_open_plugged(qts);
    fake_port_join(&f);
    qatomic_set_mb(&f.shm->sw.mtbl[1], R_NTMTBLDATA_VALID_MASK |
                   1 << R_NTMTBLDATA_PART_SHIFT);
    win_open(f.a, 1, 1, WIN_X);

    port = win_root_port(f.a);
    cap = qtest_readb(qts, port + PCI_CAPABILITY_LIST);
    while (qtest_readb(qts, port + cap) != PCI_CAP_ID_EXP) {
        cap = qtest_readb(qts, port + cap + PCI_CAP_LIST_NEXT);
        g_assert_cmpuint(cap, !=, 0);
    }
    slot_control = port + cap + PCI_EXP_SLTCTL;
    g_assert_false(qtest_readw(qts, slot_control) & PCI_EXP_SLTCTL_PCC);
}

/* Its guest reads the window; we ask for the end of the device */
static void unplug_in_read(void)
{
    IdtNtbShmMailbox *out = fake_port_outbox(&f);
    int status;
    pid_t pid = ntb_fork();

    if (!pid) {
        _exit(qtest_readq(qts, f.base) == UINT64_MAX ? 0 : 3);
    }
    ntb_wait(qatomic_read(&f.shm->port[0].p.waiting));
    out->request[out->head % IDT_NTB_MAX_REQUESTS] = (IdtNtbShmRequest) {
        .addr = slot_control, .data = SLOT_OFF, .op = 2,
        .epoch = deposit32(fake_port_block(&f)->send_epoch, 16, 16,
                           f.shm->port[0].p.receive_epoch),
    };
    qatomic_store_release(&out->head, out->head + 1);
    fake_port_signal(&f);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static void teardown(void)
{
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
    g_assert_cmphex(f.shm->port[0].p.state, ==, IDT_NTB_PORT_FREE);
    g_assert_cmphex(f.shm->port[0].p.holds, ==, 0);
    qtest_quit(qts);
    fake_port_stop(&f);
}

/* It waits for the answer to what it reads */
static void test_read(void)
{
    setup();
    unplug_in_read();
    teardown();
}

/* It waits for the end of what it has sent, to map what is behind the window */
static void test_map(void)
{
    int fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(ftruncate(fd, WIN_SIZE), ==, 0);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
    setup();
    qtest_writeq(qts, f.base, 1);
    g_assert_cmpuint(fake_port_inbox(&f)->head, ==, 1);
    fake_port_publish(&f, 0, -1, &(IdtNtbShmRam) {
        .addr = WIN_X, .size = WIN_SIZE, .fd = fd });
    unplug_in_read();
    g_assert_cmpuint(fake_port_inbox(&f)->head, ==, 1);
    teardown();
    close(fd);
}

void ntb_add_window_unplug_tests(void)
{
    qtest_add_func("/idt-ntb/window-unplug/read", test_read);
    qtest_add_func("/idt-ntb/window-unplug/map", test_map);
}
