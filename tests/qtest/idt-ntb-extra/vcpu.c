/*
 * QTest testcase for idt-ntb: a guest that runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/ptrace.h>
#include <sys/wait.h>
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "extra.h"
#include "vcpu.h"

/* Where the guest is told what to do, in its RAM */
#define BLOCK           0x8000
#define BLOCK_TODO      0x00    /* number of the command */
#define BLOCK_DONE      0x04    /* of the last one that was done */
#define BLOCK_WHAT      0x08
#define BLOCK_WHERE     0x0c
#define BLOCK_VALUE     0x10    /* 8 bytes */
#define BLOCK_RESULT    0x18    /* 8 bytes */

#define STORE(size)     (size)
#define LOAD(size)      (0x10 + (size))
#define HAMMER          0x20
#define COPY            0x21
#define AWAIT           0x22
#define FILL            0x23

#define FIRMWARE_SIZE   (64 * KiB)
#define CODE_AT         (FIRMWARE_SIZE - 0x200)

/*
 * At 0xfffffe00; the jump at the reset vector leads here.
 *
 *     .code16
 *     .org 0
 * start:
 *     cli
 *     lgdtl %cs:(gdtr - start + 0xfe00)
 *     movl %cr0, %eax
 *     orb $1, %al
 *     movl %eax, %cr0
 *     ljmpl $8, $(0xfffffe00 + (flat - start))
 *     .code32
 * flat:
 *     movw $16, %ax
 *     movw %ax, %ds
 *     movw %ax, %es
 *     movw %ax, %ss
 *     movl $0x8000, %ebx
 * idle:
 *     pause
 *     movl (%ebx), %eax
 *     cmpl 4(%ebx), %eax
 *     je idle
 *     movl 8(%ebx), %edx
 *     movl 12(%ebx), %edi
 *     movl 16(%ebx), %ecx
 *     cmpl $1, %edx
 *     je st1
 *     cmpl $2, %edx
 *     je st2
 *     cmpl $4, %edx
 *     je st4
 *     cmpl $8, %edx
 *     je st8
 *     cmpl $0x11, %edx
 *     je ld1
 *     cmpl $0x12, %edx
 *     je ld2
 *     cmpl $0x14, %edx
 *     je ld4
 *     cmpl $0x18, %edx
 *     je ld8
 *     cmpl $0x20, %edx
 *     je hammer
 *     cmpl $0x21, %edx
 *     je copy
 *     cmpl $0x22, %edx
 *     je await
 *     cmpl $0x23, %edx
 *     je fill
 *     jmp done
 * st1:
 *     movb %cl, (%edi)
 *     jmp done
 * st2:
 *     movw %cx, (%edi)
 *     jmp done
 * st4:
 *     movl %ecx, (%edi)
 *     jmp done
 * st8:
 *     fildll 16(%ebx)
 *     fistpll (%edi)
 *     jmp done
 * ld1:
 *     movzbl (%edi), %ecx
 *     jmp result
 * ld2:
 *     movzwl (%edi), %ecx
 *     jmp result
 * ld4:
 *     movl (%edi), %ecx
 * result:
 *     movl %ecx, 24(%ebx)
 *     jmp done
 * ld8:
 *     fildll (%edi)
 *     fistpll 24(%ebx)
 *     jmp done
 * hammer:
 *     incl %ecx
 *     movl %ecx, (%edi)
 *     movl %ecx, 24(%ebx)
 *     cmpl (%ebx), %eax
 *     je hammer
 *     jmp done
 * await:
 *     testl %ecx, (%edi)
 *     jz await
 *     movl 24(%ebx), %esi
 *     movl (%esi), %ecx
 *     jmp result
 * fill:
 *     movl 24(%ebx), %esi
 * next:
 *     movl %esi, (%edi)
 *     incl %esi
 *     addl $4, %edi
 *     movl 20(%ebx), %edx
 * delay:
 *     decl %edx
 *     jnz delay
 *     decl %ecx
 *     jnz next
 *     jmp done
 * copy:
 *     movl %edi, %esi
 *     movl 24(%ebx), %edi
 *     rep movsb
 * done:
 *     movl %eax, 4(%ebx)
 *     jmp idle
 *     .balign 8
 * gdt:
 *     .quad 0
 *     .quad 0x00cf9b000000ffff
 *     .quad 0x00cf93000000ffff
 * gdtr:
 *     .word 23
 *     .long 0xfffffe00 + (gdt - start)
 *     .org 0x1f0
 *     .code16
 *     jmp start
 *     .org 0x200
 */
static const uint8_t code[] = {
    0xfa, 0x2e, 0x66, 0x0f, 0x01, 0x16, 0xf8, 0xfe, 0x0f, 0x20, 0xc0, 0x0c,
    0x01, 0x0f, 0x22, 0xc0, 0x66, 0xea, 0x18, 0xfe, 0xff, 0xff, 0x08, 0x00,
    0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbb, 0x00,
    0x80, 0x00, 0x00, 0xf3, 0x90, 0x8b, 0x03, 0x3b, 0x43, 0x04, 0x74, 0xf7,
    0x8b, 0x53, 0x08, 0x8b, 0x7b, 0x0c, 0x8b, 0x4b, 0x10, 0x83, 0xfa, 0x01,
    0x74, 0x39, 0x83, 0xfa, 0x02, 0x74, 0x38, 0x83, 0xfa, 0x04, 0x74, 0x38,
    0x83, 0xfa, 0x08, 0x74, 0x37, 0x83, 0xfa, 0x11, 0x74, 0x39, 0x83, 0xfa,
    0x12, 0x74, 0x39, 0x83, 0xfa, 0x14, 0x74, 0x39, 0x83, 0xfa, 0x18, 0x74,
    0x3b, 0x83, 0xfa, 0x20, 0x74, 0x3d, 0x83, 0xfa, 0x21, 0x74, 0x63, 0x83,
    0xfa, 0x22, 0x74, 0x3f, 0x83, 0xfa, 0x23, 0x74, 0x45, 0xeb, 0x5e, 0x88,
    0x0f, 0xeb, 0x5a, 0x66, 0x89, 0x0f, 0xeb, 0x55, 0x89, 0x0f, 0xeb, 0x51,
    0xdf, 0x6b, 0x10, 0xdf, 0x3f, 0xeb, 0x4a, 0x0f, 0xb6, 0x0f, 0xeb, 0x07,
    0x0f, 0xb7, 0x0f, 0xeb, 0x02, 0x8b, 0x0f, 0x89, 0x4b, 0x18, 0xeb, 0x39,
    0xdf, 0x2f, 0xdf, 0x7b, 0x18, 0xeb, 0x32, 0x41, 0x89, 0x0f, 0x89, 0x4b,
    0x18, 0x3b, 0x03, 0x74, 0xf6, 0xeb, 0x26, 0x85, 0x0f, 0x74, 0xfc, 0x8b,
    0x73, 0x18, 0x8b, 0x0e, 0xeb, 0xdd, 0x8b, 0x73, 0x18, 0x89, 0x37, 0x46,
    0x83, 0xc7, 0x04, 0x8b, 0x53, 0x14, 0x4a, 0x75, 0xfd, 0x49, 0x75, 0xf1,
    0xeb, 0x07, 0x89, 0xfe, 0x8b, 0x7b, 0x18, 0xf3, 0xa4, 0x89, 0x43, 0x04,
    0xe9, 0x4a, 0xff, 0xff, 0xff, 0x8d, 0x74, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xcf, 0x00,
    0xff, 0xff, 0x00, 0x00, 0x00, 0x93, 0xcf, 0x00, 0x17, 0x00, 0xe0, 0xfe,
    0xff, 0xff,
};

static const uint8_t reset_vector[] = { 0xe9, 0x0d, 0xfe };

bool vcpu_possible(void)
{
    if (!qtest_has_accel("tcg")) {
        g_test_skip("needs TCG");
        return false;
    }
    return true;
}

const char *vcpu_args(void)
{
    static char *args;
    g_autofree char *firmware = g_malloc0(FIRMWARE_SIZE);
    g_autofree char *path = ntb_tmp_path("bios");

    memcpy(firmware + CODE_AT, code, sizeof(code));
    memcpy(firmware + FIRMWARE_SIZE - 16, reset_vector, sizeof(reset_vector));
    g_assert_true(g_file_set_contents(path, firmware, FIRMWARE_SIZE, NULL));
    g_free(args);
    args = g_strdup_printf("-accel tcg -bios %s", path);
    return args;
}

static uint32_t todo(NtbPort *p)
{
    return qtest_readl(p->qts, BLOCK + BLOCK_TODO);
}

static void begin(NtbPort *p, uint32_t what, uint64_t where, uint64_t value)
{
    g_assert_cmphex(where, <=, UINT32_MAX);
    qtest_writel(p->qts, BLOCK + BLOCK_WHAT, what);
    qtest_writel(p->qts, BLOCK + BLOCK_WHERE, where);
    qtest_writeq(p->qts, BLOCK + BLOCK_VALUE, value);
    qtest_writel(p->qts, BLOCK + BLOCK_TODO, todo(p) + 1);
}

static bool is_done(NtbPort *p)
{
    return qtest_readl(p->qts, BLOCK + BLOCK_DONE) == todo(p);
}

uint64_t vcpu_read(NtbPort *p, uint64_t addr, unsigned size)
{
    qtest_writeq(p->qts, BLOCK + BLOCK_RESULT, 0);
    begin(p, LOAD(size), addr, 0);
    ntb_wait(is_done(p));
    return qtest_readq(p->qts, BLOCK + BLOCK_RESULT);
}

void vcpu_write(NtbPort *p, uint64_t addr, unsigned size, uint64_t value)
{
    begin(p, STORE(size), addr, value);
    ntb_wait(is_done(p));
}

void vcpu_copy_begin(NtbPort *p, uint64_t to, uint64_t from, uint32_t bytes)
{
    qtest_writel(p->qts, BLOCK + BLOCK_RESULT, to);
    begin(p, COPY, from, bytes);
}

void vcpu_copy(NtbPort *p, uint64_t to, uint64_t from, uint32_t bytes)
{
    vcpu_copy_begin(p, to, from, bytes);
    ntb_wait(is_done(p));
}

void vcpu_await(NtbPort *p, uint64_t addr, uint32_t bits, uint64_t data)
{
    qtest_writel(p->qts, BLOCK + BLOCK_RESULT, data);
    begin(p, AWAIT, addr, bits);
}

uint32_t vcpu_awaited(NtbPort *p)
{
    ntb_wait(is_done(p));
    return qtest_readl(p->qts, BLOCK + BLOCK_RESULT);
}

void vcpu_fill(NtbPort *p, uint64_t addr, uint32_t first, uint32_t words,
               uint32_t delay)
{
    qtest_writel(p->qts, BLOCK + BLOCK_RESULT, first);
    begin(p, FILL, addr, (uint64_t)delay << 32 | words);
}

bool vcpu_is_done(NtbPort *p)
{
    return is_done(p);
}

void vcpu_start(NtbPort *p, uint64_t addr)
{
    begin(p, HAMMER, addr, vcpu_count(p));
}

void vcpu_stop(NtbPort *p)
{
    /* The vCPU has no next command */
    begin(p, 0, 0, 0);
    ntb_wait(is_done(p));
}

uint32_t vcpu_count(NtbPort *p)
{
    return qtest_readl(p->qts, BLOCK + BLOCK_RESULT);
}

static bool freeze_thread(pid_t thread)
{
    int status;

    return ptrace(PTRACE_SEIZE, thread, 0, 0) == 0 &&
           ptrace(PTRACE_INTERRUPT, thread, 0, 0) == 0 &&
           waitpid(thread, &status, __WALL) == thread;
}

bool vcpu_freeze_possible(void)
{
    pid_t pid = ntb_fork();
    bool possible;

    if (!pid) {
        pause();
        _exit(0);
    }
    possible = freeze_thread(pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, __WALL);
    if (!possible) {
        g_test_skip("this host has no ptrace");
    }
    return possible;
}

pid_t vcpu_thread(NtbPort *p)
{
    QDict *answer = qtest_qmp(p->qts, "{'execute': 'query-cpus-fast'}");
    QList *cpus = qdict_get_qlist(answer, "return");
    QDict *cpu = qobject_to(QDict, qlist_peek(cpus));
    pid_t thread = qdict_get_int(cpu, "thread-id");

    qobject_unref(answer);
    return thread;
}

void vcpu_freeze(pid_t thread)
{
    g_assert_true(freeze_thread(thread));
}

void vcpu_thaw(pid_t thread)
{
    g_assert_cmpint(ptrace(PTRACE_DETACH, thread, 0, 0), ==, 0);
}
