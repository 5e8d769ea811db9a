/*
 * QTest testcase for idt-ntb: the test as the owner of a port
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "hw/pci/pci_regs.h"
#include "fake_port.h"

#define SLOT        1
#define PARTITION   1
#define CLIENT      1

IdtNtbShmPort *fake_port_block(FakePort *f)
{
    return &f->shm->slot[SLOT].p;
}

IdtNtbShmMemory *fake_port_table(FakePort *f)
{
    return &f->shm->memory[PARTITION].m;
}

IdtNtbShmMailbox *fake_port_inbox(FakePort *f)
{
    return &f->shm->mailbox[0][PARTITION].m;
}

IdtNtbShmMailbox *fake_port_outbox(FakePort *f)
{
    return &f->shm->mailbox[PARTITION][0].m;
}

static void *receive(void *opaque)
{
    FakePort *f = opaque;
    IdtNtbShmMailbox *box = fake_port_inbox(f);

    while (!qatomic_read(&f->quit)) {
        uint32_t head = qatomic_load_acquire(&box->head);

        if (head != box->tail) {
            /* If it is a read, it is the last one: the sender waits for it */
            qatomic_set(&box->reply_ok, 0);
            qatomic_store_release(&box->reply, head);
            qatomic_set_mb(&box->tail, head);
            fake_port_signal(f);
        }
        g_usleep(20);
    }
    return NULL;
}

void fake_port_receive(FakePort *f)
{
    f->quit = false;
    f->receiver = g_thread_new("receiver", receive, f);
}

void fake_port_receive_stop(FakePort *f)
{
    qatomic_set(&f->quit, true);
    g_clear_pointer(&f->receiver, g_thread_join);
}

int fake_port_lock_by(FakePort *f, int fd, unsigned slot, short type)
{
    struct flock lock = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = idt_ntb_shm_lock_offset(slot),
        .l_len = 1,
    };

    return fcntl(fd, F_OFD_SETLK, &lock);
}

int fake_port_lock(FakePort *f, unsigned slot, short type)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d",
                                            f->server->shm_fd);
    int fd = open(path, O_RDWR | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    if (fake_port_lock_by(f, fd, slot, type) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void fake_port_claim(FakePort *f)
{
    f->claim = mmap(NULL, qemu_real_host_page_size(), PROT_NONE, MAP_SHARED,
                    f->server->shm_fd, idt_ntb_shm_claim_offset(SLOT));
    g_assert_true(f->claim != MAP_FAILED);
}

void fake_port_disclaim(FakePort *f)
{
    munmap(f->claim, qemu_real_host_page_size());
}

void fake_port_join(FakePort *f)
{
    f->shm = (IdtNtbShm *)f->server->base.mem;
    f->base = win_bar(f->a, 1);
    /* Tell QEMU which client to signal */
    fake_send(f->server->sockets[0], CLIENT, f->server->eventfds[CLIENT]);
    fake_settle(f->server, 0, f->a);
    f->lock = fake_port_lock(f, SLOT, F_WRLCK);
    g_assert_cmpint(f->lock, >=, 0);
    fake_port_claim(f);
    fake_port_revive(f);
}

void fake_port_revive(FakePort *f)
{
    IdtNtbShmPort *p = fake_port_block(f);

    p->client = CLIENT;
    p->cfg[PCI_COMMAND / 4] |= PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY;
    qatomic_set_mb(&p->state, IDT_NTB_PORT_UP);
}

void fake_port_start(FakePort *f, const char *props)
{
    f->server = fake_server_start(fake_serve, NULL);
    f->a = win_boot(&f->server->base, WIN_SHARED, NULL, props);
    fake_port_join(f);
}

void fake_port_stop(FakePort *f)
{
    if (f->receiver) {
        fake_port_receive_stop(f);
    }
    qatomic_set_mb(&fake_port_block(f)->state, IDT_NTB_PORT_FREE);
    fake_port_disclaim(f);
    if (f->lock >= 0) {
        close(f->lock);
    }
    ntb_quit(f->a);
    fake_server_stop(f->server);
}

void fake_port_publish(FakePort *f, pid_t pid, int lock_fd,
                       const IdtNtbShmRam *ram)
{
    IdtNtbShmMemory *table = fake_port_table(f);
    uint32_t seq = table->seq | 1;

    qatomic_set_mb(&table->seq, seq);
    table->pid = pid ?: getpid();
    table->lock_fd = lock_fd < 0 ? f->lock : lock_fd;
    table->count = ram ? 1 : 0;
    if (ram) {
        table->ram[0] = *ram;
    }
    qatomic_set_mb(&table->seq, seq + 1);
}

void fake_port_signal(FakePort *f)
{
    uint64_t one = 1;

    g_assert_cmpint(write(f->server->eventfds[0], &one, 8), ==, 8);
}
