/*
 * IDT 89HPESxNTx PCIe switch: descriptors that a server sends
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/memfd.h"
#include "qemu/thread.h"
#include "foreign.h"

/* How many threads there may be that close one */
#define MAX_CLOSING 16

static unsigned closing;

static bool is_named(int fd, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *target = g_file_read_link(path, NULL);

    return target && g_str_has_prefix(target, name);
}

bool idt_ntb_foreign_is_eventfd(int fd)
{
    return is_named(fd, "anon_inode:[eventfd]");
}

/* Only such files have seals, and the kernel does not ask the file system */
bool idt_ntb_foreign_is_memory(int fd)
{
    return fcntl(fd, F_GET_SEALS) >= 0;
}

static void *close_thread(void *opaque)
{
    close(GPOINTER_TO_INT(opaque));
    qatomic_dec(&closing);
    return NULL;
}

void idt_ntb_foreign_close(int fd)
{
    QemuThread thread;

    if (fd < 0) {
        return;
    }
    if (idt_ntb_foreign_is_eventfd(fd) || idt_ntb_foreign_is_memory(fd) ||
        is_named(fd, "pipe:[")) {
        close(fd);
        return;
    }
    qatomic_inc(&closing);
    qemu_thread_create(&thread, "idt-ntb-close", close_thread,
                       GINT_TO_POINTER(fd), QEMU_THREAD_DETACHED);
}

bool idt_ntb_foreign_is_full(void)
{
    return qatomic_read(&closing) >= MAX_CLOSING;
}
