/*
 * QTest testcase for idt-ntb: a hostile client of the server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "qemu/bswap.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "extra.h"
#include "hostile.h"
#include "idt-ntb/window.h"

#define MAX_EVENTFDS    16
#define NUM_PORTS       NTB_NUM_PORTS

typedef struct Hostile {
    GRand *rng;
    IdtNtbShm *shm;
    int shm_fd;                 /* the server's description: all have it */
    int lock_fd;                /* our own */
    int eventfds[MAX_EVENTFDS]; /* with the own one */
    unsigned num_eventfds;
    pid_t victims[2];
} Hostile;

static uint32_t below(Hostile *h, uint32_t end)
{
    return g_rand_int_range(h->rng, 0, end);
}

static bool one_in(Hostile *h, uint32_t n)
{
    return below(h, n) == 0;
}

/* A value that is easily forgotten, or differs little from the old one */
static uint32_t nasty(Hostile *h, uint32_t old)
{
    switch (below(h, 8)) {
    case 0:
        return 0;
    case 1:
        return UINT32_MAX;
    case 2:
        return 1u << below(h, 32);
    case 3:
        return old + 1;
    case 4:
        return old - 1;
    case 5:
        return old ^ 1u << below(h, 32);
    case 6:
        return below(h, 40);
    default:
        return g_rand_int(h->rng);
    }
}

static uint64_t nasty_address(Hostile *h)
{
    static const uint64_t bases[] = {
        0, WIN_RAM_SIZE - 32, 0xa0000, 0xc0000, 0x40000000, 0xb0000000,
        0xe0000000, 0xfec00000, 0xfee00000, 1ULL << 32, 1ULL << 63,
        UINT64_MAX - 7,
    };

    return bases[below(h, G_N_ELEMENTS(bases))] +
           (one_in(h, 2) ? below(h, 64) : g_rand_int(h->rng) % 0x100000);
}

/* Make a few words of the @size bytes at @at nasty or, seldom, all */
static void spoil(Hostile *h, void *at, size_t size)
{
    uint32_t *words = at;
    unsigned count = size / 4;
    unsigned n = one_in(h, 50) ? count : 1 + below(h, 8);

    for (unsigned i = 0; i < n; i++) {
        uint32_t *word = &words[n == count ? i : below(h, count)];

        qatomic_set(word, nasty(h, qatomic_read(word)));
    }
}

static unsigned any_slot(Hostile *h)
{
    return below(h, NUM_PORTS);
}

static IdtNtbShmPort *any_port(Hostile *h)
{
    return &h->shm->slot[any_slot(h)].p;
}

static IdtNtbShmMailbox *any_mailbox(Hostile *h)
{
    return &h->shm->mailbox[any_slot(h)][any_slot(h)].m;
}

/*
 * Deeds
 */

static void spoil_header(Hostile *h)
{
    spoil(h, &h->shm->header, sizeof(h->shm->header));
}

static void spoil_switch(Hostile *h)
{
    spoil(h, &h->shm->sw, sizeof(h->shm->sw));
}

static void spoil_port(Hostile *h)
{
    spoil(h, any_port(h), sizeof(IdtNtbShmPort));
}

/* The first words, and those of the windows, matter most */
static void spoil_protocol(Hostile *h)
{
    IdtNtbShmPort *p = any_port(h);

    spoil(h, p, offsetof(IdtNtbShmPort, cfg));
    spoil(h, &p->holds, offsetof(IdtNtbShmPort, ntierrormsk) -
                        offsetof(IdtNtbShmPort, holds));
}

static void spoil_reset_image(Hostile *h)
{
    spoil(h, &h->shm->reset_image[any_slot(h)].p, sizeof(IdtNtbShmPort));
}

static void spoil_table(Hostile *h)
{
    spoil(h, &h->shm->memory[any_slot(h)].m, sizeof(IdtNtbShmMemory));
}

static void spoil_mailbox(Hostile *h)
{
    IdtNtbShmMailbox *box = any_mailbox(h);

    spoil(h, box, one_in(h, 2) ? sizeof(*box) :
                                 offsetof(IdtNtbShmMailbox, request));
}

static void spoil_rest(Hostile *h)
{
    uint8_t *end = (uint8_t *)(h->shm + 1);
    uint8_t *begin = (uint8_t *)&h->shm->mailbox[IDT_MAX_NT_PORTS - 1];

    spoil(h, begin, end - begin);
}

/* Make all ports look as if they could be accessed */
static void open_all(Hostile *h)
{
    for (unsigned i = 0; i < 2; i++) {
        IdtNtbShmPort *p = &h->shm->slot[i].p;

        qatomic_set(&p->ntctl, qatomic_read(&p->ntctl) |
                               R_NTCTL_IDPROTDIS_MASK);
        qatomic_set(&p->cfg[PCI_COMMAND / 4],
                    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        qatomic_set(&p->state, IDT_NTB_PORT_UP);
        qatomic_set(&p->topology_ack, qatomic_read(&p->topology_req));
        qatomic_set(&h->shm->sw.swpartctl[i], IDT_PART_STATE_ACTIVE);
        for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
            qatomic_set(&p->barlimit[bar], UINT32_MAX);
        }
    }
}

/* Let a table say that a descriptor of any QEMU is the RAM of a port */
static void lie_about_memory(Hostile *h)
{
    IdtNtbShmMemory *table = &h->shm->memory[any_slot(h)].m;
    uint32_t seq = qatomic_read(&table->seq) | 1;

    qatomic_set(&table->seq, seq);
    qatomic_set(&table->pid, one_in(h, 3) ? getpid() :
                                            h->victims[below(h, 2)]);
    qatomic_set(&table->lock_fd, below(h, 40));
    qatomic_set(&table->count, 1 + below(h, 3));
    for (unsigned i = 0; i < 3; i++) {
        qatomic_set(&table->ram[i].addr, one_in(h, 2) ? 0 : nasty_address(h));
        qatomic_set(&table->ram[i].size, one_in(h, 2) ? 64 * MiB :
                                                        nasty_address(h));
        qatomic_set(&table->ram[i].offset, one_in(h, 2) ? 0 :
                                                          nasty_address(h));
        qatomic_set(&table->ram[i].fd, below(h, 40));
        qatomic_set(&table->ram[i].id, nasty(h, 0));
    }
    qatomic_set_mb(&table->seq, seq + 1);
}

/* Send requests for a port, of all sizes and to anywhere */
static void send_requests(Hostile *h)
{
    unsigned from = any_slot(h), to = below(h, 2);
    IdtNtbShmMailbox *box = &h->shm->mailbox[from][to].m;
    uint32_t head = qatomic_read(&box->head);
    unsigned n = one_in(h, 10) ? IDT_NTB_MAX_REQUESTS : 1 + below(h, 8);
    uint32_t epoch =
        qatomic_read(&h->shm->slot[from].p.send_epoch) +
        qatomic_read(&h->shm->slot[to].p.receive_epoch);

    for (unsigned i = 0; i < n; i++) {
        IdtNtbShmRequest *r = &box->request[head++ % IDT_NTB_MAX_REQUESTS];

        qatomic_set(&r->addr, nasty_address(h));
        qatomic_set(&r->op, one_in(h, 8) ? nasty(h, 0) :
                    1 + below(h, 8) + R_SHM_REQUEST_READ_MASK * below(h, 2));
        qatomic_set(&r->epoch, epoch);
    }
    qatomic_set_mb(&box->head, head);
}

/* Answer with wrong data, too early, or for a later request */
static void answer_requests(Hostile *h)
{
    IdtNtbShmMailbox *box = any_mailbox(h);
    uint32_t number = qatomic_read(&box->head);

    if (one_in(h, 4)) {
        number = nasty(h, number);
    }
    qatomic_set(&box->reply_data, (uint64_t)nasty(h, 0) << 32 | nasty(h, 0));
    qatomic_set(&box->reply_ok, nasty(h, 1));
    qatomic_set_mb(&box->reply, number);
    qatomic_set_mb(&box->tail, number);
    qatomic_set(&box->awake, below(h, 2));
}

static void count_closings(Hostile *h)
{
    IdtNtbShmPort *p = any_port(h);

    qatomic_set(&p->holds, nasty(h, 0xff));
    qatomic_inc(&p->close_req);
    qatomic_set(&p->close_ack, nasty(h, qatomic_read(&p->close_req)));
    qatomic_inc(&p->topology_req);
}

static void flood(Hostile *h)
{
    static const uint64_t counts[] = { 1, 1000, UINT64_MAX - 1 };

    for (unsigned i = 0; i < 20; i++) {
        int fd = h->eventfds[below(h, h->num_eventfds)];
        uint64_t count = counts[below(h, G_N_ELEMENTS(counts))];

        g_unix_set_fd_nonblocking(fd, true, NULL);
        /* Do not wait for one that is full, or empty */
        if (one_in(h, 3) ? read(fd, &count, sizeof(count)) :
                           write(fd, &count, sizeof(count))) {
            continue;
        }
        g_unix_set_fd_nonblocking(fd, one_in(h, 2), NULL);
    }
}

/* Lock the switch or a port, for a moment or until the next deed here */
static void lock_and_unlock(Hostile *h)
{
    struct flock lock = {
        .l_type = one_in(h, 2) ? F_WRLCK : F_UNLCK,
        .l_whence = SEEK_SET,
        .l_start = one_in(h, 2) ? 0 :
                   idt_ntb_shm_lock_offset(any_slot(h)),
        .l_len = one_in(h, 8) ? 0 : 1,
    };

    fcntl(one_in(h, 2) ? h->lock_fd : h->shm_fd, F_OFD_SETLK, &lock);
}

static void wait_a_moment(Hostile *h)
{
    g_usleep(below(h, 1000));
}

static void (*const deeds[])(Hostile *h) = {
    spoil_header, spoil_switch, spoil_port, spoil_protocol, spoil_reset_image,
    spoil_table, spoil_mailbox, spoil_rest, open_all, lie_about_memory,
    send_requests, answer_requests, count_closings, flood, lock_and_unlock,
    wait_a_moment,
};

/*
 * Connecting
 */

static bool receive(int server, int64_t *value, int *fd)
{
    union {
        struct cmsghdr cmsg;
        char control[CMSG_SPACE(sizeof(int))];
    } control = { };
    int64_t le;
    struct iovec iov = { &le, sizeof(le) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof(control),
    };

    if (recvmsg(server, &msg, 0) != sizeof(le)) {
        return false;
    }
    *value = le64_to_cpu(le);
    *fd = -1;
    if (CMSG_FIRSTHDR(&msg)) {
        memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*fd));
    }
    return true;
}

/* Receive until our own eventfd, the last one, has come */
static bool handshake(Hostile *h, int server)
{
    int64_t value, id;
    int fd;

    if (!receive(server, &value, &fd) || !receive(server, &id, &fd) ||
        !receive(server, &value, &h->shm_fd)) {
        return false;
    }
    do {
        if (!receive(server, &value, &fd) || fd < 0) {
            return false;
        }
        if (h->num_eventfds < MAX_EVENTFDS) {
            h->eventfds[h->num_eventfds++] = fd;
        }
    } while (value != id);
    return true;
}

static bool join(Hostile *h, const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    g_autofree char *again = NULL;

    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    if (connect(server, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        !handshake(h, server)) {
        return false;
    }
    again = g_strdup_printf("/proc/self/fd/%d", h->shm_fd);
    h->lock_fd = open(again, O_RDWR);
    h->shm = mmap(NULL, sizeof(IdtNtbShm), PROT_READ | PROT_WRITE, MAP_SHARED,
                  h->shm_fd, 0);
    /* Claim all ports */
    for (unsigned i = 0; i < NUM_PORTS; i++) {
        mmap(NULL, qemu_real_host_page_size(), PROT_NONE, MAP_SHARED,
             h->lock_fd, idt_ntb_shm_claim_offset(i));
    }
    return h->shm != MAP_FAILED;
}

pid_t hostile_start(NtbServer *server, uint32_t seed, const pid_t victims[2])
{
    Hostile h = { .victims = { victims[0], victims[1] } };
    char ready;
    int sync[2];
    pid_t pid;

    g_assert_true(g_unix_open_pipe(sync, FD_CLOEXEC, NULL));
    pid = ntb_fork();
    if (!pid) {
        h.rng = g_rand_new_with_seed(seed);
        if (!join(&h, server->socket) || write(sync[1], "r", 1) != 1) {
            _exit(1);
        }
        for (;;) {
            deeds[below(&h, G_N_ELEMENTS(deeds))](&h);
        }
    }
    close(sync[1]);
    g_assert_cmpint(read(sync[0], &ready, 1), ==, 1);
    close(sync[0]);
    return pid;
}
