/*
 * QTest testcase for idt-ntb: a QEMU that must not start, or might end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/wait.h>
#include "harness.h"

GPid ntb_spawn(const char *args, const char *log)
{
    g_autofree char *command = g_strdup_printf(
        "exec %s -accel qtest -display none -qtest null -S %s "
        "</dev/null >%s 2>&1", g_getenv("QTEST_QEMU_BINARY"), args, log);
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    GPid pid;

    g_assert_true(g_spawn_async(NULL, (char **)argv, NULL,
                                G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
                                NULL));
    return pid;
}

void ntb_assert_refused(const char *args, const char *words)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *text = NULL;
    g_autofree char *all_args = g_strdup_printf("%s %s", ntb_next_machine(),
                                                args);
    g_auto(GStrv) word = g_strsplit(words, "|", 0);
    GPid pid = ntb_spawn(all_args, log);
    int status;

    ntb_wait(waitpid(pid, &status, WNOHANG) == pid);
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    g_unlink(log);
    g_test_message("%s", text);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    for (unsigned i = 0; word[i]; i++) {
        if (!strstr(text, word[i])) {
            ntb_fail("'%s' is not in: %s", word[i], text);
        }
    }
}

void ntb_assert_refused_at(NtbServer *server, const char *words,
                           const char *fmt, ...)
{
    g_autofree char *args = NULL;
    g_autofree char *props = NULL;
    va_list ap;

    va_start(ap, fmt);
    props = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    args = g_strdup_printf("-chardev socket,path=%s,id=ntb "
                           "-device idt-ntb,chardev=ntb%s", server->socket,
                           props);
    ntb_assert_refused(args, words);
}
