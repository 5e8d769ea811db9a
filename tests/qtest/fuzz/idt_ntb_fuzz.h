/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzing target idt-ntb: two ports of one switch, and the ivshmem-server they
 * need
 */

#ifndef IDT_NTB_FUZZ_H
#define IDT_NTB_FUZZ_H

#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/event_notifier.h"
#include "qemu/memfd.h"
#include "qemu/sockets.h"
#include "qemu/units.h"
#include "io/channel-socket.h"

#define IDT_NTB_FUZZ_PORTS 2

static inline void idt_ntb_fuzz_send(QIOChannel *ioc, int64_t value, int fd)
{
    struct iovec iov = { .iov_base = &value, .iov_len = sizeof(value) };

    value = cpu_to_le64(value);
    qio_channel_writev_full(ioc, &iov, 1, &fd, fd >= 0, 0, &error_abort);
}

/* Greets each port; after that the server has nothing more to say */
static inline void *idt_ntb_fuzz_server(void *opaque)
{
    int listener = GPOINTER_TO_INT(opaque);
    int shm = qemu_memfd_create("idt-ntb-fuzz", 4 * MiB, false, 0, 0,
                                &error_abort);
    EventNotifier e[IDT_NTB_FUZZ_PORTS];

    for (int i = 0; i < IDT_NTB_FUZZ_PORTS; i++) {
        g_assert(event_notifier_init(&e[i], false) == 0);
    }
    for (int id = 0; id < IDT_NTB_FUZZ_PORTS; id++) {
        int fd = qemu_accept(listener, NULL, NULL);
        /* Stays connected for ever */
        QIOChannelSocket *sioc = qio_channel_socket_new_fd(fd, &error_abort);
        QIOChannel *ioc = QIO_CHANNEL(sioc);

        idt_ntb_fuzz_send(ioc, 0, -1);
        idt_ntb_fuzz_send(ioc, id, -1);
        idt_ntb_fuzz_send(ioc, -1, shm);
        for (int i = 0; i < IDT_NTB_FUZZ_PORTS; i++) {
            idt_ntb_fuzz_send(ioc, i, event_notifier_get_wfd(&e[i]));
        }
    }
    close(listener);
    return NULL;
}

static inline gchar *generic_fuzzer_idt_ntb_args(void)
{
    g_autofree char *tmpdir = g_dir_make_tmp("qemu-fuzz.XXXXXX", NULL);
    g_autofree char *path = g_strdup_printf("%s/ivshmem", tmpdir);
    GString *args = g_string_new("-machine q35 -nodefaults");

    g_assert_nonnull(tmpdir);
    g_thread_unref(g_thread_new("ivshmem-server", idt_ntb_fuzz_server,
                                GINT_TO_POINTER(unix_listen(path,
                                                            &error_abort))));
    /* Windows of all modes, by both paths */
    for (int i = 0; i < IDT_NTB_FUZZ_PORTS; i++) {
        g_string_append_printf(args, " -chardev socket,id=ntb%d,path=%s"
                               " -device idt-ntb,chardev=ntb%d,direct=%s,"
                               "bar4-mode=lut12", i, path, i,
                               i ? "off" : "on");
    }
    return g_string_free(args, false);
}

#endif /* IDT_NTB_FUZZ_H */
