/*
 * QTest testcase for idt-ntb: tables of RAM that lie
 *
 * A QEMU opens and maps only RAM of the process that has the port, and only if
 * that can do no harm.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "fake_port.h"
#include "extra.h"

#define SIZE        (2 * MiB)

static FakePort us;
static int ram_fd;              /* as that of an honest port */
static uint64_t *ram;

static int make_memfd(unsigned seals)
{
    int fd = memfd_create("lie", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, SIZE), ==, 0);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
    return fd;
}

static void start(NtbFixture *f)
{
    fake_port_start(&us, f->test->props);
    ram_fd = make_memfd(F_SEAL_SHRINK);
    ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
    g_assert_true(ram != MAP_FAILED);
    win_open(us.a, 1, 1, WIN_X);
}

static void receive(NtbFixture *f)
{
    start(f);
    fake_port_receive(&us);
}

static void stop(NtbFixture *f)
{
    munmap(ram, SIZE);
    close(ram_fd);
    fake_port_stop(&us);
}

static IdtNtbShmRam honest(void)
{
    return (IdtNtbShmRam) { .addr = WIN_X, .size = SIZE, .fd = ram_fd };
}

/* Have the QEMU look at a new table */
static void publish(pid_t pid, int lock_fd, const IdtNtbShmRam *what)
{
    fake_port_publish(&us, pid, lock_fd, what);
    win_close(us.a, 1);
    win_limit(us.a, 1, us.base + WIN_SIZE);
}

/* After all that, an honest table is believed */
static void believe_and_stop(NtbFixture *f)
{
    IdtNtbShmRam good = honest();

    publish(0, -1, &good);
    for (unsigned i = 0; i < 10; i++) {
        ram[i] = win_value();
        g_assert_cmphex(qtest_readq(us.a->qts, us.base + 8 * i), ==, ram[i]);
        qtest_writeq(us.a->qts, us.base + 8 * i, i);
        g_assert_cmphex(ram[i], ==, i);
    }
    g_assert_cmpuint(win_mappings(us.a), ==, 1);
    publish(0, -1, NULL);
    g_assert_cmphex(qtest_readq(us.a->qts, us.base), ==, UINT64_MAX);
    stop(f);
}

/* True if the QEMU has the file of @fd open or mapped */
static bool qemu_has(int fd)
{
    g_autofree char *dir = g_strdup_printf("/proc/%d/fd",
                                           qtest_pid(us.a->qts));
    g_autofree char *maps = g_strdup_printf("/proc/%d/maps",
                                            qtest_pid(us.a->qts));
    g_autofree char *inode = NULL, *text = NULL;
    g_autoptr(GDir) fds = g_dir_open(dir, 0, NULL);
    struct stat st, other;
    const char *name;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) &&
        !S_ISSOCK(st.st_mode)) {
        return false;           /* shared by all that open it */
    }
    while ((name = g_dir_read_name(fds))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        if (stat(path, &other) == 0 && other.st_dev == st.st_dev &&
            other.st_ino == st.st_ino) {
            return true;
        }
    }
    g_assert_true(g_file_get_contents(maps, &text, NULL, NULL));
    inode = g_strdup_printf(" %" PRIu64 " ", (uint64_t)st.st_ino);
    return S_ISREG(st.st_mode) && strstr(text, inode);
}

/* Nothing is mapped; accesses go by request, and find nothing */
static void assert_not_believed(void)
{
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmphex(qtest_readq(us.a->qts, us.base + 8 * i), ==,
                        UINT64_MAX);
        qtest_writeq(us.a->qts, us.base + 8 * i, 0);
    }
    g_assert_cmpuint(win_mappings(us.a), ==, 0);
    g_assert_cmphex(ntb_read(us.a, A_BARSETUP0), ==, 0x800004c0);
}

static void assert_refuses(pid_t pid, int lock_fd, const IdtNtbShmRam *what)
{
    publish(pid, lock_fd, what);
    assert_not_believed();
}

static void test_honest(NtbFixture *f)
{
    IdtNtbShmRam good = honest();

    publish(0, -1, &good);
    qtest_readq(us.a->qts, us.base);
    g_assert_true(qemu_has(ram_fd));
}

/*
 * Processes
 */

/* Name the QEMU's own descriptors: those belong to another port */
static void check_victims_own(void)
{
    pid_t qemu = qtest_pid(us.a->qts);
    IdtNtbShmRam lie = honest();

    for (int i = 0; i < 128; i++) {
        lie.fd = i % 64;
        publish(qemu, i < 64 ? lie.fd : us.lock, &lie);
        qtest_readq(us.a->qts, us.base);
        g_assert_cmpuint(win_mappings(us.a), ==, 0);
    }
}

static void test_other_process(NtbFixture *f)
{
    IdtNtbShmRam lie = honest();
    pid_t other;

    /* It has the same files open, but no lock of its own */
    other = ntb_fork();
    if (!other) {
        close(us.lock);
        pause();
        _exit(0);
    }
    assert_refuses(other, ram_fd, &lie);
    assert_refuses(1, -1, &lie);
    assert_refuses(INT_MAX, -1, &lie);
    assert_refuses(UINT32_MAX, -1, &lie);
    check_victims_own();
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
}

static void test_no_process(NtbFixture *f)
{
    IdtNtbShmRam lie = honest();
    siginfo_t info;
    pid_t pid;

    pid = ntb_fork();
    if (!pid) {
        _exit(0);
    }
    /* A zombie, then no process; while it lives, it has our lock */
    g_assert_cmpint(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), ==, 0);
    assert_refuses(pid, -1, &lie);
    waitpid(pid, NULL, 0);
    assert_refuses(pid, -1, &lie);
    qatomic_set(&fake_port_table(&us)->pid, 0);
    assert_refuses(0, -1, NULL);
}

/* Name a descriptor that is not the lock of our port */
static void test_lock(NtbFixture *f)
{
    IdtNtbShmRam lie = honest();
    int other;

    assert_refuses(0, ram_fd, &lie);
    assert_refuses(0, us.server->shm_fd, &lie);
    assert_refuses(0, INT_MAX, &lie);
    assert_refuses(0, 0, &lie);
    /* The lock of another port, a lock for reading */
    other = fake_port_lock(&us, 2, F_WRLCK);
    assert_refuses(0, other, &lie);
    close(other);
    close(us.lock);
    us.lock = fake_port_lock(&us, 1, F_RDLCK);
    g_assert_cmpint(us.lock, >=, 0);
    assert_refuses(0, -1, &lie);
    close(us.lock);
    us.lock = fake_port_lock(&us, 1, F_WRLCK);
    fake_port_revive(&us);
}

/* The owner has the lock, and claims the port by a mapping */
static void test_claim(NtbFixture *f)
{
    struct {
        int fd;
        int access;
        unsigned slot;
    } wrong[] = {
        { us.server->shm_fd, PROT_NONE, 2 },
        { us.server->shm_fd, PROT_READ | PROT_WRITE, 1 },
        { ram_fd, PROT_NONE, 1 },
    };
    IdtNtbShmRam lie = honest();

    fake_port_disclaim(&us);
    assert_refuses(0, -1, &lie);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        void *map = mmap(NULL, qemu_real_host_page_size(), wrong[i].access,
                         MAP_SHARED, wrong[i].fd,
                         idt_ntb_shm_claim_offset(wrong[i].slot));

        g_assert_true(map != MAP_FAILED);
        assert_refuses(0, -1, &lie);
        munmap(map, qemu_real_host_page_size());
    }
    fake_port_claim(&us);
}

/*
 * Descriptors
 */

static int watch;

/* From now on was_touched() tells if @path is opened */
static void watch_file(const char *path)
{
    watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    g_assert_cmpint(inotify_add_watch(watch, path, IN_OPEN | IN_ACCESS |
                                      IN_MODIFY), >=, 0);
}

static bool was_touched(void)
{
    char events[4096];
    bool any = read(watch, events, sizeof(events)) > 0;

    close(watch);
    return any;
}

/* Offer @fd as RAM; @path: its name, if it has one */
static void check_fd(int fd, const char *path)
{
    IdtNtbShmRam lie = honest();

    g_assert_cmpint(fd, >=, 0);
    lie.fd = fd;
    if (path) {
        watch_file(path);
    }
    assert_refuses(0, -1, &lie);
    g_assert_false(qemu_has(fd));
    if (path) {
        g_assert_false(was_touched());
    }
    close(fd);
}

static void test_user_file(NtbFixture *f)
{
    g_autofree char *path = ntb_tmp_path("file");
    g_autofree char *data = g_malloc(SIZE);

    memset(data, 0x55, SIZE);
    g_assert_true(g_file_set_contents(path, data, SIZE, NULL));
    check_fd(open(path, O_RDONLY | O_CLOEXEC), path);
    check_fd(open(path, O_WRONLY | O_CLOEXEC), path);
    check_fd(open(path, O_RDWR | O_CLOEXEC), path);
    check_fd(open(path, O_PATH | O_CLOEXEC), path);
    check_fd(open(path, O_RDWR | O_APPEND | O_CLOEXEC), path);
    g_unlink(path);
}

static void test_fifo(NtbFixture *f)
{
    g_autofree char *path = ntb_tmp_path("fifo");

    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    check_fd(open(path, O_RDWR | O_CLOEXEC), path);
    check_fd(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), path);
    g_unlink(path);
}

static void test_other_files(NtbFixture *f)
{
    int pair[2];

    check_fd(open("/dev/zero", O_RDWR | O_CLOEXEC), NULL);
    check_fd(open("/dev/null", O_RDWR | O_CLOEXEC), NULL);
    check_fd(open("/", O_RDONLY | O_CLOEXEC), NULL);
    check_fd(open("/proc/self/mem", O_RDWR | O_CLOEXEC), NULL);
    check_fd(eventfd(0, EFD_CLOEXEC), NULL);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    check_fd(pair[0], NULL);
    check_fd(pair[1], NULL);
}

/* Offer memory that can't be mapped, or can go away */
static void test_seals(NtbFixture *f)
{
    g_autofree char *path = NULL;
    int fd, other;

    check_fd(make_memfd(0), NULL);
    check_fd(make_memfd(F_SEAL_GROW), NULL);
    check_fd(make_memfd(F_SEAL_GROW | F_SEAL_SEAL), NULL);
    check_fd(make_memfd(F_SEAL_SHRINK | F_SEAL_WRITE), NULL);
    fd = memfd_create("lie", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(fd, SIZE), ==, 0);
    check_fd(fd, NULL);
    /* Sealed, but this descriptor is for reading only */
    fd = make_memfd(F_SEAL_SHRINK);
    path = g_strdup_printf("/proc/self/fd/%d", fd);
    other = open(path, O_RDONLY | O_CLOEXEC);
    check_fd(other, NULL);
    close(fd);
}

/* Offer memory that can't be mapped: it is tried once for each table */
static void test_unmappable(NtbFixture *f)
{
    int fd = make_memfd(F_SEAL_SHRINK | F_SEAL_WRITE);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    IdtNtbShmRam lie = honest();

    lie.fd = fd;
    for (unsigned i = 0; i < 3; i++) {
        fake_port_publish(&us, 0, -1, &lie);
        watch_file(path);
        qtest_readq(us.a->qts, us.base);
        g_assert_true(was_touched());
        watch_file(path);
        assert_not_believed();
        g_assert_false(was_touched());
    }
    close(fd);
}

/* Offer descriptors of the switch, and numbers that are none */
static void test_switch_memory(NtbFixture *f)
{
    IdtNtbShmRam lie = honest();

    const uint32_t fds[] = { us.server->shm_fd, us.lock, 100000, UINT32_MAX };

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        lie.fd = fds[i];
        assert_refuses(0, -1, &lie);
    }
}

/*
 * Numbers
 */

static void test_numbers(NtbFixture *f)
{
    static const IdtNtbShmRam lies[] = {
        { .addr = WIN_X, .size = 2 * SIZE },
        { .addr = WIN_X, .size = UINT64_MAX },
        { .addr = WIN_X, .size = SIZE, .offset = 4096 },
        { .addr = WIN_X, .size = SIZE, .offset = UINT64_MAX },
        { .addr = WIN_X, .size = SIZE, .offset = -SIZE },
        { .addr = WIN_X, .size = 1ULL << 63, .offset = 1ULL << 63 },
        /* Their sum is the size of the file */
        { .addr = WIN_X, .size = SIZE - (4 * GiB), .offset = 4 * GiB },
        { .addr = WIN_X, .size = 0 },
        { .addr = WIN_X, .size = SIZE / 2, .offset = 1 },
        { .addr = WIN_X, .size = SIZE / 2, .offset = 2048 },
        { .addr = WIN_X + 1, .size = SIZE / 2 },
        { .addr = WIN_X - 4, .size = SIZE },
        { .addr = 0, .size = SIZE },
        { .addr = UINT64_MAX, .size = SIZE },
        { .addr = WIN_X + WIN_SIZE, .size = UINT64_MAX },
        { .addr = WIN_X, .size = 100 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
        IdtNtbShmRam lie = lies[i];

        lie.fd = ram_fd;
        g_test_message("lie %u", i);
        assert_refuses(0, -1, &lie);
        /* Access the end of the window, too */
        qtest_readq(us.a->qts, us.base + WIN_SIZE - 8);
        qtest_writeq(us.a->qts, us.base + WIN_SIZE - 8, 0);
    }
}

static void test_count(NtbFixture *f)
{
    IdtNtbShmMemory *table;

    table = fake_port_table(&us);
    memset(table->ram, 0xff, sizeof(table->ram));
    for (unsigned i = 0; i < 3; i++) {
        static const uint32_t counts[] = {
            UINT32_MAX, IDT_NTB_MAX_RAM + 1, 0x80000000
        };

        win_close(us.a, 1);
        table->count = counts[i];
        table->seq += 2;
        win_limit(us.a, 1, us.base + WIN_SIZE);
        assert_not_believed();
    }
    /* The last entry is honest */
    table->ram[IDT_NTB_MAX_RAM - 1] = honest();
    table->count = UINT32_MAX;
    table->seq += 2;
    qtest_readq(us.a->qts, us.base);
    g_assert_cmphex(ntb_read(us.a, A_BARSETUP0), ==, 0x800004c0);
}

/* A table is never finished, or changes all the time */
static void test_sequence(NtbFixture *f)
{
    IdtNtbShmMemory *table;
    pid_t pid;

    table = fake_port_table(&us);
    fake_port_publish(&us, 0, -1, &(IdtNtbShmRam) {
        .addr = WIN_X, .size = SIZE, .fd = ram_fd });
    table->seq |= 1;
    assert_not_believed();
    pid = ntb_fork();
    if (!pid) {
        for (;;) {
            qatomic_inc(&table->seq);
        }
    }
    for (unsigned i = 0; i < 200; i++) {
        qtest_readq(us.a->qts, us.base + 8 * i);
        win_close(us.a, 1);
        win_limit(us.a, 1, us.base + WIN_SIZE);
    }
    g_assert_cmphex(ntb_read(us.a, A_BARSETUP0), ==, 0x800004c0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/*
 * Changes while a window is open
 */

/* Publish a new table, and signal it */
static void change(const IdtNtbShmRam *what)
{
    fake_port_publish(&us, 0, -1, what);
    fake_port_signal(&us);
}

/* RAM that stays the same stays mapped; other RAM is unmapped at once */
static void test_changes(NtbFixture *f)
{
    int other = make_memfd(F_SEAL_SHRINK);
    IdtNtbShmRam good = honest();

    for (unsigned i = 0; i < 5; i++) {
        IdtNtbShmRam changed = good;

        change(&good);
        ram[0] = win_value();
        g_assert_cmphex(qtest_readq(us.a->qts, us.base), ==, ram[0]);
        g_assert_cmpuint(win_mappings(us.a), ==, 1);
        change(&good);
        ntb_settle(us.a->qts);
        g_assert_cmpuint(win_mappings(us.a), ==, 1);
        switch (i) {
        case 0:
            changed.offset = 4096;
            changed.size -= 4096;
            break;
        case 1:
            changed.size = WIN_SIZE - 4096;
            break;
        case 2:
            changed.addr += 4096;
            changed.size -= 4096;
            break;
        case 3:
            changed.fd = other;
            break;
        case 4:
            changed.size = 0;
            break;
        }
        change(&changed);
        ntb_wait(win_mappings(us.a) == 0);
    }
    close(other);
}

/* If a trusted file shrinks, its end is not there */
static void test_truncated(NtbFixture *f)
{
    uint64_t lut = win_bar(us.a, WIN_LUT24);
    int fd = memfd_create("shrinks", MFD_CLOEXEC);
    uint64_t value = win_value();

    g_assert_cmpint(ftruncate(fd, SIZE), ==, 0);
    g_assert_cmpint(pwrite(fd, &value, 8, 0), ==, 8);
    change(&(IdtNtbShmRam) { .addr = WIN_X, .size = SIZE, .fd = fd });
    win_open_lut(us.a, WIN_LUT24, 0, 1, WIN_X + SIZE / 2);
    g_assert_cmphex(qtest_readq(us.a->qts, us.base), ==, value);
    g_assert_cmpuint(win_mappings(us.a), ==, 1);
    g_assert_cmpint(ftruncate(fd, SIZE / 2), ==, 0);
    win_assert_ones(us.a, lut);
    qtest_writeq(us.a->qts, lut, 1);
    g_assert_cmpuint(win_mappings(us.a), ==, 1);
    g_assert_cmphex(qtest_readq(us.a->qts, us.base), ==, value);
    close(fd);
}

/* Store at @addr; true if it was not taken back before we took it */
static bool is_received(uint64_t addr)
{
    IdtNtbShmMailbox *in = fake_port_inbox(&us);
    uint32_t head = in->head;

    qtest_writeq(us.a->qts, addr, 1);
    g_assert_cmpuint(in->head, ==, head + 1);
    ntb_wait(qatomic_read(&in->tail) == head + 1);
    return in->request[head % IDT_NTB_MAX_REQUESTS].op == 8;
}

/*
 * While RAM is mapped, a store by request must end before the next store is
 * made.  If it does not, it is taken back: it must not come after that one.
 */
static void test_withdrawn(NtbFixture *f)
{
    IdtNtbShmMailbox *in = fake_port_inbox(&us);
    uint64_t lut = win_bar(us.a, WIN_LUT24);
    IdtNtbShmRam good = honest();

    fake_port_publish(&us, 0, -1, &good);
    win_open_lut(us.a, WIN_LUT24, 0, 1, 2 * WIN_X);
    /* On a busy host, mapping takes longer than the timeout */
    fake_port_receive(&us);
    ntb_wait(qtest_readq(us.a->qts, us.base) == 0 && win_mappings(us.a) == 1);
    fake_port_receive_stop(&us);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t head = in->head;
        IdtNtbShmRequest *r = &in->request[head % IDT_NTB_MAX_REQUESTS];

        qtest_writeq(us.a->qts, lut + 8, i + 1);
        g_assert_cmpuint(in->head, ==, head + 1);
        g_assert_cmphex(r->addr, ==, 2 * WIN_X + 8);
        g_assert_cmphex(r->data, ==, i + 1);
        g_assert_cmphex(r->op, ==, 0);
        /* Go on: the next ones are received, if we are in time */
        qatomic_set_mb(&in->tail, in->head);
        fake_port_receive(&us);
        ntb_wait(is_received(lut + 16));
        fake_port_receive_stop(&us);
        g_assert_cmpuint(win_mappings(us.a), ==, 1);
    }
}

/*
 * The process that has the port dies: before the QEMU looks at its RAM,
 * meanwhile, and after
 */

/* Start a process that takes the lock over from us; its link is up */
static pid_t start_owner(void)
{
    char ready;
    int sync[2];
    pid_t pid;

    g_assert_cmpint(pipe(sync), ==, 0);
    close(us.lock);
    us.lock = -1;
    pid = ntb_fork();
    if (!pid) {
        IdtNtbShmRam good = honest();

        us.lock = fake_port_lock(&us, 1, F_WRLCK);
        fake_port_block(&us)->client = 1;
        fake_port_block(&us)->cfg[1] |= 6;
        qatomic_inc(&fake_port_block(&us)->generation);
        fake_port_publish(&us, 0, -1, &good);
        qatomic_set_mb(&fake_port_block(&us)->state, IDT_NTB_PORT_UP);
        if (write(sync[1], "r", 1) == 1) {
            pause();
        }
        _exit(0);
    }
    close(sync[1]);
    g_assert_cmpint(read(sync[0], &ready, 1), ==, 1);
    close(sync[0]);
    return pid;
}

static void end_owner(pid_t pid)
{
    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    /* QEMU sees it by itself, or is told by the server */
    fake_send(us.server->sockets[0], 1, -1);
    fake_send(us.server->sockets[0], 1, us.server->eventfds[1]);
    ntb_wait(!ntb_link_up(us.a, 2));
    ntb_wait(win_mappings(us.a) == 0);
    win_assert_ones(us.a, us.base);
}

static void test_owner_dies(NtbFixture *f)
{
    unsigned fds = 0;

    for (unsigned i = 0; i < 20; i++) {
        pid_t pid = start_owner();

        win_aim(us.a, 1, 1, WIN_X);
        if (i % 2) {
            ram[1] = win_value();
            g_assert_cmphex(qtest_readq(us.a->qts, us.base + 8), ==, ram[1]);
            g_assert_cmpuint(win_mappings(us.a), ==, 1);
        }
        end_owner(pid);
        if (i == 3) {
            fds = ntb_count_fds(us.a->qts);
        }
    }
    ntb_wait(ntb_count_fds(us.a->qts) <= fds);
    /* Its RAM is not kept */
    ntb_wait(!qemu_has(ram_fd));
    us.lock = fake_port_lock(&us, 1, F_WRLCK);
    fake_port_block(&us)->cfg[1] |= 6;
    qatomic_set_mb(&fake_port_block(&us)->state, IDT_NTB_PORT_UP);
}

/* The owner dies at any time: QEMU looks at its RAM again and again */
static void test_owner_dies_meanwhile(NtbFixture *f)
{
    for (unsigned i = 0; i < 30; i++) {
        pid_t pid = start_owner();
        pid_t killer = ntb_fork();

        if (!killer) {
            g_usleep(i * 137 % 3000);
            kill(pid, SIGKILL);
            _exit(0);
        }
        for (unsigned k = 0; k < 30; k++) {
            win_close(us.a, 1);
            win_limit(us.a, 1, us.base + WIN_SIZE);
            qtest_readq(us.a->qts, us.base);
            qtest_writeq(us.a->qts, us.base, k);
        }
        waitpid(killer, NULL, 0);
        end_owner(pid);
    }
    g_assert_cmphex(ntb_read(us.a, A_BARSETUP0), ==, 0x800004c0);
}

/* While the QEMU waits for room, have it look at its mappings */
static void look_while_waiting(void)
{
    IdtNtbShmPort *a = &us.shm->slot[0].p;
    IdtNtbShmMailbox *in = fake_port_inbox(&us);
    uint32_t request;

    ntb_wait(qatomic_read(&a->waiting));
    request = qatomic_fetch_inc(&a->close_req) + 1;
    fake_port_signal(&us);
    ntb_wait(qatomic_read(&a->close_ack) == request);
    qatomic_set_mb(&in->tail, qatomic_read(&in->head));
    fake_port_signal(&us);
}

/*
 * Before it maps the RAM, the QEMU waits for a store that it sent by request.
 * Meanwhile it has to look at its other mapping.
 */
static void test_look_before_map(NtbFixture *f)
{
    IdtNtbShmRam good = honest();
    pid_t pid;

    win_open(us.a, WIN_DIRECT64, us.a->partition, WIN_X);
    qtest_readq(us.a->qts, win_bar(us.a, WIN_DIRECT64));
    g_assert_cmpuint(win_mappings(us.a), ==, 1);
    fake_port_receive_stop(&us);
    qtest_writeq(us.a->qts, us.base, 1);
    publish(0, -1, &good);
    pid = ntb_fork();
    if (!pid) {
        qtest_writeq(us.a->qts, us.base, 2);
        /* Answers when the store is over */
        ntb_read(us.a, A_BARSETUP0);
        _exit(0);
    }
    look_while_waiting();
    ntb_end_child(pid);
    g_assert_cmphex(ram[0], ==, 2);
    g_assert_cmpuint(win_mappings(us.a), ==, 2);
}

#define LIES    .server = ntb_no_server, .prepare = receive, \
    .finish = believe_and_stop, .q35 = true
#define OWN     .server = ntb_no_server, .finish = stop, .q35 = true

static const NtbTest tests[] = {
    { "window-memory/of-an-honest-port-is-mapped", test_honest, LIES },
    { "window-memory/of-another-process-is-refused", test_other_process, LIES },
    { "window-memory/of-a-dead-process-is-refused", test_no_process, LIES },
    { "window-memory/without-the-lock-is-refused", test_lock, LIES },
    { "window-memory/without-a-claim-is-refused", test_claim, LIES },
    { "window-memory/in-a-file-is-not-opened", test_user_file, LIES },
    { "window-memory/in-a-fifo-is-not-opened", test_fifo, LIES },
    { "window-memory/in-other-files-is-not-opened", test_other_files, LIES },
    { "window-memory/without-seals-is-refused", test_seals, LIES },
    { "window-memory/that-does-not-map-is-tried-once", test_unmappable, LIES },
    { "window-memory/of-the-switch-is-refused", test_switch_memory, LIES },
    { "window-memory/out-of-range-is-refused", test_numbers, LIES },
    { "window-memory/count-is-checked", test_count, LIES },
    { "window-memory/unfinished-table-is-refused", test_sequence, LIES },
    { "window-memory/that-changes-is-unmapped", test_changes, LIES },
    { "window-memory/that-shrinks-ends-no-qemu", test_truncated, OWN,
      .prepare = receive, .props = ",trust-peers=on" },
    { "window-memory/late-store-is-taken-back", test_withdrawn, OWN,
      .prepare = start, .props = ",completion-timeout=30" },
    { "window-memory/is-looked-at-while-waiting", test_look_before_map, OWN,
      .prepare = receive },
    { "window-memory/of-a-dead-owner-is-unmapped", test_owner_dies, LIES },
    { "window-memory/owner-may-die-at-any-time", test_owner_dies_meanwhile,
      OWN, .prepare = receive },
};

ntb_tests(tests);
