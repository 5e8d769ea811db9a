# SPDX-License-Identifier: GPL-2.0-or-later
"""The measurements, and the guests that they run in."""

import re
import subprocess
import sys

import pingpong
from function import Function, open_window, peek, poke
from guest import Guest, GuestError, wait_until
from samples import Samples, megabytes_per_second

MEBI = 1 << 20
WINDOW = 64 * MEBI
# Where the guest that receives keeps memory out of Linux's hands
BUFFER = 128 * MEBI
# The ports that a switch with three has, and their partitions
DIRECT, PEER, REQUESTS = 0, 2, 4
PEER_PARTITION = 1
# Slots of the root bus
SLOT_DIRECT, SLOT_REQUESTS, SLOT_IVSHMEM = 4, 5, 6

SIZES = (8, 64, 512, 4096, 32768, 256 << 10, 2 * MEBI, 16 * MEBI, 64 * MEBI)
OPERATIONS = ('write', 'read', 'copy')
# Milliseconds of one target at a stretch: shorter than what the host's
# scheduler deals out, so that few slices are torn.  And of one operation and
# size.
SLICE = 1
BUDGET = 1500
# Stores by request: many enough that waiting for the last one is no matter
REQUEST_BURST = 64 << 10
# How often the guests and the two processes on the host take turns, and for
# how many milliseconds
TURNS = 21
TURN = 200
# Milliseconds between the pings of a game that must not disturb
PAUSE = 50

# The window that ntb_perf goes round in, and how much it copies in all
PERF_WINDOW = MEBI
PERF_TOTAL_ORDER = 26


def boot(lab, guests):
    lab.guests += guests
    for guest in guests:
        guest.boot(wait=False)
    for guest in guests:
        guest.wait_ready()


class Bench:
    """The measurements; their results go to a Report."""

    def __init__(self, eventfd, report, say):
        self.eventfd = eventfd
        self.report = report
        self.say = say

    def round_trip(self):
        """Nanoseconds that two processes on two CPUs of the host need to
        wake each other up and back."""
        return float(subprocess.run(
            [self.eventfd, str(TURN)], check=True, text=True,
            stdout=subprocess.PIPE).stdout)

    def take_turns(self, measure):
        """The samples of MEASURE and of the round trips beside it."""
        pairs = [(measure(), self.round_trip()) for _ in range(TURNS)]
        return tuple(map(Samples, zip(*pairs)))

    # Windows, without a driver

    def windows(self, lab, parts):
        self.say('Starting two guests with windows of 64 MiB')
        sender, receiver = self.boot_windows(lab)
        ports = self.open_windows(sender, receiver)
        check_windows(ports, receiver)
        files = {name: port.bar_file(2) for name, port in ports.items()}
        if 'memory' in parts:
            self.say('Own RAM, ivshmem-plain and a window in turn: write, '
                     'read, copy')
            self.report.memory = membench(
                sender, OPERATIONS, SIZES, ram='-',
                ivshmem=Function(sender, SLOT_IVSHMEM).bar_file(2),
                window=files['direct'])
        if 'requests' in parts:
            self.say('A window by request and a direct one in turn')
            took = membench(
                sender, ['stores'], [REQUEST_BURST], slice_ms=TURN,
                budget_ms=2 * TURN * TURNS,
                **files)['stores', REQUEST_BURST]
            self.report.stores = [took[name].map(
                lambda ns: megabytes_per_second(REQUEST_BURST, ns))
                for name in ('direct', 'requests')]
            self.say('Reads by request, and eventfds of two processes')
            self.report.read = self.take_turns(
                lambda: read_latency(sender, files['requests']))
        check_windows(ports, receiver)

    @staticmethod
    def boot_windows(lab):
        layout = ('partitions=3,bar1-mode=off,bar2-mode=direct,bar2-size=64M,'
                  'bar4-mode=off')
        switch = lab.switch
        sender = Guest('sender', lab.folder, [
            '-m', '512', '-machine', 'memory-backend=ram',
            '-object', 'memory-backend-memfd,id=ram,size=512M,share=on',
            *switch.port(f'port={DIRECT},{layout}', name='direct',
                         slot=SLOT_DIRECT),
            *switch.port(f'port={REQUESTS},direct=off,{layout}',
                         name='requests', slot=SLOT_REQUESTS),
            '-object', 'memory-backend-memfd,id=shm,size=64M,share=on',
            '-device', f'ivshmem-plain,memdev=shm,addr={SLOT_IVSHMEM:#x}'],
            modules=())
        receiver = Guest(
            'receiver', lab.folder,
            switch.port(f'port={PEER},{layout}', slot=SLOT_DIRECT),
            shared=True, modules=(), append=f'memmap=64M${BUFFER // MEBI}M')
        boot(lab, [sender, receiver])
        return sender, receiver

    @staticmethod
    def open_windows(sender, receiver):
        """Both ports of the sender get a window onto the receiver's buffer."""
        Function(receiver, SLOT_DIRECT)
        ports = {'direct': Function(sender, SLOT_DIRECT),
                 'requests': Function(sender, SLOT_REQUESTS)}
        for port in ports.values():
            open_window(port, 2, WINDOW, PEER_PARTITION, BUFFER)
        return ports

    # With Linux's drivers

    def drivers(self, lab, parts):
        self.say('Starting two guests with the default windows')
        pair = [Guest(name, lab.folder, lab.switch.port(), shared=True,
                      modules=('ntb', 'ntb_hw_idt')) for name in 'AB']
        boot(lab, pair)
        if 'perf' in parts:
            self.say('ntb_perf, and own RAM with the same instruction')
            self.perf(pair)
        if 'pingpong' in parts:
            self.say('ntb_pingpong, and eventfds of two processes')
            self.pingpong(pair)

    def perf(self, pair):
        for guest in pair:
            guest.run('load ntb_perf')
        run = '/sys/kernel/debug/ntb_perf/*/run'
        sender = pair[0]
        sender.run(f'echo {PERF_TOTAL_ORDER} '
                   '>/sys/module/ntb_perf/parameters/total_order')
        wait_until(lambda: 'up' in sender.run(
            'grep "Link status" /sys/kernel/debug/ntb_perf/*/info'),
            'ntb_perf sees the link', 60)

        def both():
            text = sender.run(f'f=$(echo {run}); echo 0 >$f; cat $f')
            copied = re.search(r'copied (\d+) bytes in (\d+) usecs', text)
            if not copied:
                raise GuestError(f'ntb_perf says: {text}')
            own = membench(sender, ['movs'], [PERF_WINDOW], slice_ms=20,
                           budget_ms=0, ram='-')['movs', PERF_WINDOW]['ram']
            return (megabytes_per_second(int(copied[1]),
                                         int(copied[2]) * 1000),
                    megabytes_per_second(PERF_WINDOW, own.median))

        pairs = [both() for _ in range(TURNS)]
        if direct_mappings(sender, 'ntb'):
            self.report.perf = tuple(map(Samples, zip(*pairs)))
        else:
            self.say('Left out: this ntb_perf is without patches/linux, '
                     'nothing arrives')
        for guest in pair:
            guest.run('rmmod ntb_perf')

    def pingpong(self, pair):
        for guest in pair:
            guest.run('load ntb_pingpong delay_ms=0')
        pingpong.wait_growing(pair)
        self.report.pingpong = self.take_turns(lambda: play_slice(pair))


def membench(guest, operations, sizes, slice_ms=SLICE, budget_ms=BUDGET,
             **targets):
    """Run membench in a guest: {(operation, size): {target: Samples}} in
    nanoseconds of a pass."""
    output = guest.run(
        f'membench {",".join(operations)} {",".join(map(str, sizes))} '
        f'{slice_ms} {budget_ms} ' +
        ' '.join(f'{name}={file}' for name, file in targets.items()),
        deadline=60 + len(operations) * len(sizes) * budget_ms / 100)
    results = {}
    for line in output.splitlines():
        if line.startswith('#'):
            print(line, file=sys.stderr)
            continue
        operation, size, target, *values = line.split()
        results.setdefault((operation, int(size)), {})[target] = Samples(
            map(float, values))
    return results


def direct_mappings(guest, name):
    """How much of a port's windows is mapped to its peers' memory."""
    return guest.vm.cmd('qom-get', path=f'/machine/peripheral/{name}',
                        property='direct-mappings')


def read_latency(guest, file):
    """Nanoseconds of one load by request."""
    return membench(guest, ['read'], [8], slice_ms=TURN / 5, budget_ms=0,
                    window=file)['read', 8]['window'].median


def play_slice(pair):
    """Nanoseconds from ping to ping of a game that pauses afterwards, so as
    not to disturb what comes next."""
    for guest in pair:
        pingpong.set_delay(guest, 0)
    interval = ping_interval(pair[0])
    for guest in pair:
        pingpong.set_delay(guest, PAUSE)
    return interval


def ping_interval(guest):
    """Nanoseconds from ping to ping, by the clock of the guest."""
    words = guest.run(
        f'sleep {2 * PAUSE / 1000}; cat /proc/uptime {pingpong.COUNT}; '
        f'sleep 1; cat /proc/uptime {pingpong.COUNT}').split()
    seconds = float(words[3]) - float(words[0])
    return seconds * 1e9 / (int(words[5], 0) - int(words[2], 0))


def check_windows(ports, receiver):
    """Check that data arrives: a window that drops it is fast, too."""
    for name, port in ports.items():
        window = port.bar_address(2)
        for offset in (0, WINDOW // 2 + 4096 + 8, WINDOW - 64):
            value = 0x1122334455667788 ^ window ^ offset
            poke(port.guest, window + offset, value, 64)
            arrived = peek(receiver, BUFFER + offset, 64)
            if arrived != value:
                raise GuestError(f'{name}: {value:#x} written to the window '
                                 f'at {offset:#x} arrived as {arrived:#x}')
        mapped = direct_mappings(port.guest, name)
        if (mapped > 0) != (name == 'direct'):
            raise GuestError(f'{name} has {mapped} direct mappings')
