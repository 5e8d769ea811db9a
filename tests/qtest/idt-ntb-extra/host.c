/*
 * QTest testcase for idt-ntb: a host that can't do something
 *
 * The test and its QEMUs run in a process of their own, with a filter (seccomp)
 * that makes one system call fail.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "extra.h"
#include "fake_server.h"
#include "peers.h"

#define SUBPROCESS_DEADLINE_US (900 * G_TIME_SPAN_SECOND)

/*
 * The system calls @nr whose argument @arg is @value fail with @error in @test,
 * whose windows, if any, are to shared RAM.
 */
typedef struct Denial {
    const char *name;           /* of the test */
    unsigned nr;
    unsigned arg;
    uint32_t value;
    unsigned error;
    NtbTest test;
} Denial;

static void deny(const Denial *d)
{
    const unsigned arg = offsetof(struct seccomp_data, args) + 8 * d->arg +
                         (HOST_BIG_ENDIAN ? 4 : 0);
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, d->nr, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, arg),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, d->value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | d->error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {
        .len = G_N_ELEMENTS(filter), .filter = filter
    };

    g_assert_cmpint(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
    g_assert_cmpint(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), ==,
                    0);
}

static void test_denied(NtbFixture *f)
{
    const Denial *d = f->test->data;

    if (g_test_subprocess()) {
        deny(d);
        ntb_run_test(&d->test, WIN_SHARED);
        return;
    }
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) < 0 &&
        errno != EFAULT) {
        g_test_skip("this host has no system call filters");
        return;
    }
    g_test_trap_subprocess(NULL, SUBPROCESS_DEADLINE_US,
                           G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_test_trap_assert_passed();
}

static void assert_logged(const char *log, const char *words)
{
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    if (!strstr(text, words)) {
        ntb_fail("'%s' is not in: %s", words, text);
    }
    g_unlink(log);
}

/* Ports look by themselves, and say why they are late */
static void test_deaf(NtbFixture *f)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *props = g_strdup_printf(" 2>>%s", log);
    NtbPort *a = ntb_start(f, 0, props);
    NtbPort *b = ntb_start(f, 1, props);

    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    assert_logged(log, "can't read the eventfd");
}

static void test_refused(NtbFixture *f)
{
    ntb_assert_refused_at(f->server, f->test->data, "%s", "");
}

static void test_image_unreadable(NtbFixture *f)
{
    g_autofree char *image = ntb_tmp_path("image");

    g_assert_true(g_file_set_contents(image, "image", -1, NULL));
    ntb_assert_refused_at(f->server, "can't read", ",eeprom=%s", image);
    g_unlink(image);
}

/* The device connects, since the chardev has not yet */
static void test_no_socket(NtbFixture *f)
{
    g_autofree char *path = ntb_tmp_path("socket");

    ntb_assert_socket_refused(path, ",reconnect-ms=100",
                              "can't make a socket");
}

/* A window to RAM that may not be opened is slow, and works */
static void test_ram_denied(NtbFixture *f)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *props = g_strdup_printf(" 2>%s", log);
    NtbPort *a = ntb_start(f, 0, props);
    NtbPort *b = ntb_start(f, 1, NULL);

    win_open(a, 1, 1, WIN_X);
    win_assert_shows(a, win_bar(a, 1), b, WIN_X);
    g_assert_cmpuint(win_mappings(a), ==, 0);
    assert_logged(log, "can't be opened");
}

/* A window closes without memory of ones to show in its place */
static void test_no_ones(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = win_bar(a, 1);

    for (unsigned i = 0; i < 3; i++) {
        win_open(a, 1, 1, WIN_X);
        win_assert_shows(a, base, b, WIN_X);
        g_assert_cmpuint(win_mappings(a), ==, 1);
        win_close(a, 1);
        g_assert_cmpuint(win_mappings(a), ==, 0);
        win_assert_hides(a, base, b, WIN_X);
    }
}

#define PEERS_TEST(name)                                                \
    { .run = peers_test_##name, .server = ntb_no_server,              \
      .prepare = peers_prepare }
#define REFUSED(words)      { .run = test_refused, .data = words }

static const Denial denials[] = {
    { "without-aio-signals-in-time", SYS_io_setup, 0, 64, EAGAIN,
      PEERS_TEST(signals) },
    { "without-aio-blocks-no-sender", SYS_io_setup, 0, 64, EAGAIN,
      PEERS_TEST(full_eventfd) },
    { "without-nowait-reads-eventfds", SYS_preadv2, 5, RWF_NOWAIT, EOPNOTSUPP,
      PEERS_TEST(idle_signals) },
    { "without-eventfds-polls", SYS_preadv2, 5, RWF_NOWAIT, EIO,
      { .run = test_deaf } },
    { "without-lock-tests-is-refused", SYS_fcntl, 1, F_OFD_GETLK, EINVAL,
      REFUSED("F_OFD_SETLK") },
    { "without-locks-is-refused", SYS_fcntl, 1, F_OFD_SETLK, ENOLCK,
      REFUSED("can't lock") },
    { "without-space-is-refused", SYS_fallocate, 1, 0, ENOSPC,
      REFUSED("can't allocate") },
    { "that-denies-the-memory-is-refused",
      SYS_openat, 2, O_RDWR | O_CLOEXEC | O_NONBLOCK, EACCES,
      REFUSED("memory|user|AppArmor") },
    { "that-cannot-read-an-image-is-refused", SYS_pread64, 3, 0, EIO,
      { .run = test_image_unreadable } },
    { "without-sockets-is-refused",
      SYS_socket, 1, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, EMFILE,
      { .run = test_no_socket } },
    { "that-denies-ram-has-slow-windows",
      SYS_openat, 2, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, EACCES,
      { .run = test_ram_denied, .windows = WIN_ONLY(WIN_SHARED) } },
    { "without-memory-of-ones-closes-windows",
      SYS_pwrite64, 2, 1 * MiB, ENOSPC,
      { .run = test_no_ones, .ports = 2, .windows = WIN_ONLY(WIN_SHARED) } },
};

static void add_denials(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(denials); i++) {
        g_autofree char *path = g_strdup_printf("host/%s", denials[i].name);

        ntb_add_test(&(NtbTest) {
            .path = path, .run = test_denied, .server = ntb_no_server,
            .q35 = true, .needs = denials[i].test.run == test_no_socket ?
                                   ntb_reconnects : NULL,
            .data = &denials[i]
        });
    }
}

libqos_init(add_denials);
