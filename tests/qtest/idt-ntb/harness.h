/*
 * QTest testcase for idt-ntb: harness
 *
 * A switch is an ivshmem-server in a thread or in a child process; a port is an
 * idt-ntb device in a QEMU.  All functions belong to the main thread of the
 * test: a QEMU dies with the thread that started it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_HARNESS_H
#define TESTS_QTEST_IDT_NTB_HARNESS_H

#include "qemu/units.h"
#include "libqtest.h"
#include "contrib/ivshmem-server/ivshmem-server.h"
#include "machine.h"
#include "hw/misc/idt_ntb_regs.h"

/* No test depends on how long something takes, only on that it happens */
#define NTB_DEADLINE_US (120 * G_TIME_SPAN_SECOND)

#define NTB_SHM_SIZE    (4 * MiB)       /* the default of ivshmem-server */

#define NTB_VENDOR      0x111d
#define NTB_DEVICE      0x8091
#define NTB_ID          ((uint32_t)NTB_DEVICE << 16 | NTB_VENDOR)

/* The ports of the 89HPES24NT6AG2 that can have an NT function */
#define NTB_NUM_PORTS   6
extern const unsigned ntb_ports[NTB_NUM_PORTS];

/* Place of port number @port in ntb_ports */
unsigned ntb_slot(unsigned port);

/* The test fails, and cleans up (as it would not after g_error()) */
#define ntb_fail(...)                                                   \
    g_assertion_message(G_LOG_DOMAIN, __FILE__, __LINE__, G_STRFUNC,    \
                        g_strdup_printf(__VA_ARGS__))

/* Poll until @cond holds; the test fails if it never does */
#define ntb_wait(cond)                                                  \
    do {                                                                \
        int64_t ntb_end_ = g_get_monotonic_time() + NTB_DEADLINE_US;    \
        while (!(cond)) {                                               \
            if (g_get_monotonic_time() > ntb_end_) {                    \
                ntb_fail("gave up waiting for: %s", #cond);             \
            }                                                           \
            g_usleep(500);                                              \
        }                                                               \
    } while (0)

/*
 * Run the tests that the files of this program add with libqos_init(); none if
 * there is no machine for them.
 */
int ntb_main(int argc, char **argv);

/* A path in the test's directory that no other call returned */
char *ntb_tmp_path(const char *what);

/*
 * ivshmem-server
 */

typedef struct NtbServer NtbServer;

struct NtbServer {
    char *socket;               /* path */
    char *shm_name;             /* POSIX shared memory */
    size_t size;
    struct IdtNtbShm *mem;      /* the shared memory, mapped here too */
    struct NtbServerThread *thread;
    pid_t pid;                  /* for a server in a process */
    void (*stop)(NtbServer *server);
};

NtbServer *ntb_server_start(void);
NtbServer *ntb_server_start_size(size_t size);

static inline void ntb_server_stop(NtbServer *server)
{
    server->stop(server);
}

/*
 * The parts of a server: allocate it; create its socket and memory; map the
 * memory; serve until something comes in on @quit (-1: for ever); remove what
 * it left
 */
NtbServer *ntb_server_new(size_t size, void (*stop)(NtbServer *server));
void ntb_server_open(NtbServer *server, IvshmemServer *ivshmem);
void ntb_server_map(NtbServer *server);
void ntb_server_serve(IvshmemServer *server, int quit);
void ntb_server_free(NtbServer *server);

/*
 * Ports
 */

typedef struct NtbPort {
    QTestState *qts;
    bool owns_qemu;
    const char *id;             /* of the device */
    unsigned index;             /* tells devices of one QEMU apart */
    unsigned port;              /* port number */
    unsigned partition;
    NtbBus bus;
    QPCIDevice *dev;
    QPCIBar bar;                /* BAR0 */
    QGuestAllocator alloc;
    uint64_t bar0;              /* address of BAR0 for the CPU */
    uint64_t ecam;              /* address of configuration space; 0: none */
    uint64_t msi;               /* a word of RAM: MSIs are written there */
} NtbPort;

/*
 * Start a QEMU, @machine and what follows on the command line, with one
 * idt-ntb, id ntb0, at 00:04.0, and let it have its BAR, bus master and MSI.
 * @chardev, @props: options, each after a comma.
 */
NtbPort *ntb_boot(NtbServer *server, const char *machine, const char *chardev,
                  const char *props);

/* Start a QEMU with a pcie-root-port rp0 at 00:05.0 and nothing behind it */
QTestState *ntb_boot_root_port(NtbServer *server, const char *machine);

/*
 * Use the device @id at @bus and @devfn of @qts; @index tells devices of one
 * QEMU apart.
 */
NtbPort *ntb_open(QTestState *qts, const char *id, unsigned bus,
                  unsigned devfn, unsigned index);

/* Program BAR0, command and MSI of the function after a reset */
void ntb_setup_function(NtbPort *p);

/* Start a QEMU without QMP; what it says goes to @log */
GPid ntb_spawn(const char *args, const char *log);

/*
 * Start a QEMU that must end by itself, with status 1 and @words, separated by
 * '|', in what it says.  @fmt: properties, each after a comma.
 */
void ntb_assert_refused(const char *args, const char *words);
void G_GNUC_PRINTF(3, 4)
ntb_assert_refused_at(NtbServer *server, const char *words, const char *fmt,
                      ...);

/* End the QEMU if ntb_boot() started it; free @p */
void ntb_quit(NtbPort *p);

/* kill -9 of any QEMU of libqtest, and free its state */
void ntb_kill_qemu(QTestState *qts);

/* Free @p, but leave its QEMU alone */
void ntb_close(NtbPort *p);

/* Plug and unplug an idt-ntb named ntb1 behind rp0 */
void ntb_device_add(QTestState *qts);

/* ... with further properties, as JSON: each after a comma */
void ntb_device_add_with(QTestState *qts, const char *props);

/* ... without waiting for the answer; and the wait */
void ntb_device_add_send(QTestState *qts, const char *props);
void ntb_device_add_wait(QTestState *qts);

NtbPort *ntb_open_plugged(QTestState *qts);
void ntb_device_del(QTestState *qts);

/* ... without waiting for the end of the device, only until it is unplugged */
void ntb_device_del_send(QTestState *qts);

void ntb_secondary_bus_reset(QTestState *qts);

/* Open descriptors of the QEMU */
unsigned ntb_count_fds(QTestState *qts);

/* Values of the device's QOM properties */
int64_t ntb_qom_int(NtbPort *p, const char *name);
bool ntb_qom_bool(NtbPort *p, const char *name);

/* Until the QEMU has served all that was signalled to it before */
void ntb_settle(QTestState *qts);

/*
 * Registers.  BAR0 is the usual way.
 */

uint32_t ntb_read(NtbPort *p, uint32_t offset);
void ntb_write(NtbPort *p, uint32_t offset, uint32_t value);

/* The same by a configuration cycle */
uint32_t ntb_cfg_read(NtbPort *p, uint32_t offset);
void ntb_cfg_write(NtbPort *p, uint32_t offset, uint32_t value);
uint16_t ntb_cfg_readw(NtbPort *p, uint32_t offset);
void ntb_cfg_writew(NtbPort *p, uint32_t offset, uint16_t value);

/* Global address space */
uint32_t ntb_gas_read(NtbPort *p, uint32_t address);
void ntb_gas_write(NtbPort *p, uint32_t address, uint32_t value);

static inline uint32_t ntb_gas_nt(unsigned port, uint32_t offset)
{
    return port * IDT_GAS_PORT_STRIDE + IDT_GAS_NT_FUNCTION + offset;
}

static inline uint32_t ntb_gas_msgctl(unsigned partition, unsigned msg)
{
    return A_SWP0MSGCTL0 + 4 * partition + IDT_MSGCTL_MSG_STRIDE * msg;
}

static inline uint32_t ntb_gas_portsts(unsigned port)
{
    return A_SWPORT0STS + IDT_SWPORT_STRIDE * port;
}

static inline uint32_t ntb_gas_partsts(unsigned partition)
{
    return A_SWPART0STS + IDT_PART_STRIDE * partition;
}

/*
 * 1 to 8 bytes at any alignment, byte lanes in little-endian order.  One access
 * where QEMU has one of this size.
 */
uint64_t ntb_read_sized(NtbPort *p, uint64_t address, unsigned size);
void ntb_write_sized(NtbPort *p, uint64_t address, unsigned size,
                     uint64_t value);

/*
 * Interrupts
 */

#define NTB_MSI_DATA 0x4e54

void ntb_msi_enable(NtbPort *p, bool enable);
void ntb_msi_clear(NtbPort *p);
bool ntb_msi_seen(NtbPort *p);

/* All interrupt sources of the switch and of the function unmasked or masked */
void ntb_unmask_all(NtbPort *p);

/* An MSI must come, respectively none is on its way; forgets it */
#define ntb_assert_msi(p)               \
    do {                                \
        ntb_wait(ntb_msi_seen(p));      \
        ntb_msi_clear(p);               \
    } while (0)

#define ntb_assert_no_msi(p)            \
    do {                                \
        ntb_settle((p)->qts);           \
        g_assert_false(ntb_msi_seen(p)); \
    } while (0)

/* INTx as the function's status register shows it */
bool ntb_intx(NtbPort *p);

/* Outbound message @msg of @p goes to register @reg of partition @partition */
void ntb_route_message(NtbPort *p, unsigned msg, unsigned partition,
                       unsigned reg);

/*
 * Links, and the state of a port
 */

/* Unmask all events and forget those that were */
void ntb_listen_to_links(NtbPort *p);

/*
 * @p is told, by interrupt, that the links of the ports in @down went down and
 * those in @up came up; listens anew.
 */
void ntb_assert_link_events(NtbPort *p, uint32_t down, uint32_t up);

bool ntb_link_up(NtbPort *p, unsigned port);

/* Leave something in all that a reset has to clear */
void ntb_dirty(NtbPort *p);

/* The NT function of @port is as after a reset, as @viewer sees it */
void ntb_assert_clean(NtbPort *viewer, unsigned port);

uint32_t ntb_mapping_entry(NtbPort *p, unsigned entry);

/* Doorbell and message from @from to @to arrive, with their interrupts */
void ntb_assert_talk(NtbPort *from, NtbPort *to);

#endif
