/*
 * QTest testcase for idt-ntb: wrong use ends QEMU with a reason
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/misc/idt_ntb/shm.h"
#include "fixture.h"

/*
 * Chardev
 */

static void test_no_chardev(NtbFixture *f)
{
    ntb_assert_refused("-device idt-ntb", "chardev|ivshmem-server");
}

static void test_chardev_not_socket(NtbFixture *f)
{
    g_autofree char *pipe = ntb_tmp_path("pipe");
    g_autofree char *args = NULL;

    ntb_assert_refused("-chardev null,id=n -device idt-ntb,chardev=n",
                       "socket|ivshmem-server");
    args = g_strdup_printf("-chardev file,id=n,path=%s "
                           "-device idt-ntb,chardev=n", pipe);
    ntb_assert_refused(args, "socket|ivshmem-server");
    ntb_assert_refused("-chardev udp,id=n,port=9 -device idt-ntb,chardev=n",
                       "socket|ivshmem-server");
    ntb_assert_refused("-chardev socket,id=n,host=127.0.0.1,port=9,"
                       "reconnect-ms=100 -device idt-ntb,chardev=n",
                       "no UNIX socket|ivshmem-server");
}

static void test_memory_too_small(NtbFixture *f)
{
    g_autofree char *need = g_strdup_printf("%zu", sizeof(IdtNtbShm));
    NtbServer *server = ntb_server_start_size(16 * KiB);

    ntb_assert_refused_at(server, need, "%s", "");
    ntb_server_stop(server);
}

/*
 * Topology
 */

/* QEMU refuses a device with @props, and says all of @words */
typedef struct Refusal {
    const char *words, *props;
} Refusal;

static const Refusal bad_port[] = {
    { "port=1|89HPES24NT6AG2|0 2", ",port=1" },
    { "port=24|0 2", ",port=24" },
    { "port=-2", ",port=-2" },
    { "port=8|partitions=5", ",port=8,partitions=2" },
    { "port=4|partitions=3", ",port=4" },
    { }
};

static const Refusal port_taken[] = { { "port 2|taken", ",port=2" }, { } };

static const Refusal all_taken[] = { { "2 ports|taken|partitions", "" }, { } };

static const Refusal bad_partitions[] = {
    { "partitions=1|2 to 6", ",partitions=1" },
    { "partitions=7|2 to 6", ",partitions=7" },
    { "partitions=0|2 to 6", ",partitions=0" },
    { }
};

static const Refusal more_partitions[] = {
    { "partitions=3|partitions=2", ",partitions=3" },
    { }
};

static const Refusal fewer_partitions[] = {
    { "partitions=3|partitions=2", "" },
    { }
};

static const Refusal bad_timeout[] = {
    { "completion-timeout=0|1 to 64000", ",completion-timeout=0" },
    { "completion-timeout=64001|1 to 64000", ",completion-timeout=64001" },
    { }
};

/* It is the switch's, which is not known when properties are set */
static const Refusal temperature[] = {
    { "no switch yet|qom-set", ",temperature=50000" },
    { }
};

static void test_refuses(NtbFixture *f)
{
    for (const Refusal *r = f->test->data; r->words; r++) {
        ntb_assert_refused_at(f->server, r->words, "%s", r->props);
    }
    /* The ports that are there do not notice */
    for (unsigned i = 0; i < f->test->ports; i++) {
        NtbPort *p = f->ports[i];
        uint32_t sts = R_SWPORT0STS_LINKUP_MASK | IDT_PORT_MODE_NT << 6 |
                       p->partition << 10;

        ntb_assert_no_msi(p);
        g_assert_cmphex(ntb_gas_read(p, ntb_gas_portsts(p->port)), ==, sts);
    }
    if (f->test->ports == 2) {
        ntb_assert_talk(f->ports[0], f->ports[1]);
    }
}

static void test_longest_timeout(NtbFixture *f)
{
    ntb_start(f, 0, ",completion-timeout=64000");
}

static void test_only_migratable(NtbFixture *f)
{
    ntb_start_args(f, 0, "-only-migratable", NULL);
}

static void test_not_express(NtbFixture *f)
{
    g_autofree char *args = NULL;

    args = g_strdup_printf("-chardev socket,path=%s,id=ntb "
                           "-device pcie-pci-bridge,id=br0 "
                           "-device idt-ntb,chardev=ntb,bus=br0,addr=1",
                           f->server->socket);
    ntb_assert_refused(args, "PCI Express|q35");
}

/*
 * What others left in the memory, while one of them is attached.  Without, it
 * does not matter.
 */
static void test_other_switch(NtbFixture *f)
{
    IdtNtbShm *shm = f->server->mem;
    NtbPort *a = f->ports[0];
    IdtNtbShmHeader good = shm->header;
    uint32_t barsetup;

    shm->header.magic ^= 1;
    ntb_assert_refused_at(f->server, "no idt-ntb switch", "%s", "");
    shm->header = good;
    shm->header.version++;
    ntb_assert_refused_at(f->server, "version 8|version 7", "%s", "");
    shm->header = good;
    shm->header.size += 4096;
    ntb_assert_refused_at(f->server, "version", "%s", "");
    shm->header = good;
    shm->header.device_id = 0x808f;
    ntb_assert_refused_at(f->server, "0x808f|0x8091", "%s", "");
    shm->header = good;
    shm->header.partitions = 200;
    ntb_assert_refused_at(f->server, "partitions=200|partitions=2", "%s", "");
    shm->header = good;
    /* The layout of its BARs: BAR1 of 1 byte */
    barsetup = shm->reset_image[1].p.barsetup[1];
    shm->reset_image[1].p.barsetup[1] = R_BARSETUP0_EN_MASK;
    ntb_assert_refused_at(f->server, "port 2: |BARSETUP1", "%s", "");
    shm->reset_image[1].p.barsetup[1] = barsetup;
    ntb_start(f, 1, NULL);
    ntb_end(f, 1);
    ntb_end(f, 0);

    memset(f->server->mem, 0xff, sizeof(*shm));
    a = ntb_start(f, 0, NULL);
    g_assert_cmphex(ntb_gas_read(a, A_GIDBELLMSK0), ==, 0);
}

static const NtbTest tests[] = {
    { "options/refuse-bad-ports", test_refuses, .q35 = true,
      .data = bad_port },
    { "options/refuse-a-taken-port", test_refuses, .ports = 1,
      .props = ",port=2", .q35 = true, .data = port_taken },
    { "options/refuse-more-ports-than-partitions", test_refuses, .ports = 2,
      .q35 = true, .data = all_taken },
    { "options/refuse-bad-partitions", test_refuses, .q35 = true,
      .data = bad_partitions },
    { "options/refuse-more-partitions", test_refuses, .ports = 1,
      .q35 = true, .data = more_partitions },
    { "options/refuse-fewer-partitions", test_refuses, .ports = 1,
      .partitions = 3, .q35 = true, .data = fewer_partitions },
    { "options/refuse-bad-timeouts", test_refuses, .q35 = true,
      .data = bad_timeout },
    { "options/refuse-a-temperature", test_refuses, .q35 = true,
      .data = temperature },
    { "options/need-a-chardev", test_no_chardev, .q35 = true },
    { "options/need-a-unix-socket", test_chardev_not_socket, .q35 = true },
    { "options/take-the-longest-timeout", test_longest_timeout, .q35 = true },
    { "options/only-migratable", test_only_migratable, .q35 = true },
    { "options/need-pci-express", test_not_express, .q35 = true },
    { "options/refuse-memory-of-another-kind", test_other_switch, .ports = 1,
      .q35 = true },
    { "options/refuse-memory-that-is-too-small", test_memory_too_small,
      .q35 = true },
};

ntb_tests(tests);
