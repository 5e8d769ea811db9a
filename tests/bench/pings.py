# SPDX-License-Identifier: GPL-2.0-or-later
"""What a ping of ntb_pingpong costs: a message and the doorbell after it.

perf counts system calls, so that the guests are hardly slower than without, and
samples from where they are called.
"""

import os
import re
import subprocess
import time
from collections import Counter
from dataclasses import replace

import pingpong
import settings
from guest import Guest
from machine import Q35
from measure import PAUSE, boot
from samples import Samples

ROUNDS = 8
SECONDS = 2
# Milliseconds from set_delay() until the game is at full speed
SETTLE = 3 * PAUSE

# System calls, and what they are.  In a QEMU that plays, only the main loop
# calls ppoll(2), only the device calls preadv2(2) and io_submit(2), and it
# reads and writes nothing else as often as the notifier of the main loop.
SYSCALLS = {
    'ppoll': 'turns of the main loop',
    'preadv2': 'of which read the eventfd of the port',
    'read': 'of which read the notifier of QEMU',
    'write': 'writes to the notifier of QEMU',
    'io_submit': 'signals to the other port',
    'futex': 'futex calls',
}

# From where a system call comes: its name, what is in the names of the
# functions that called it, what that means.  The first line that fits counts.
CAUSES = (
    ('write', r'\bapic_timer_update\b', 'the guest sets its timer'),
    ('write', r'\blook_at_others\b|\bwrite_bar0\b|\bread_bar0\b',
     'the device'),
    ('futex', r'cond_broadcast.*\bapic_timer\b',
     "the guest's timer wakes its vCPU"),
    ('futex', r'cond_broadcast.*\b(update_irq|notify_guest)\b',
     "the device's MSI wakes the vCPU"),
    ('futex', r'pthread_mutex_cond_lock',
     'a vCPU was woken by a thread that still holds the BQL'),
    ('futex', r'pthread_cond_wait.*\bqemu_wait_io_event\b', 'a vCPU halts'),
    ('futex', r'lock_wake.*\bdo_(st|ld)_mmio',
     'a vCPU releases the BQL after an access'),
    ('futex', r'lock_wake.*\bmttcg_cpu_thread_fn\b',
     'a vCPU releases the BQL after a halt'),
    ('futex', r'lock_wake.*\bmain_loop_wait\b', 'the main loop releases the '
     'BQL'),
    ('futex', r'lock_wait.*\bmain_loop_wait\b', 'the main loop waits for the '
     'BQL'),
    ('', '', 'anything else'),
)
MMIO = 'a vCPU releases the BQL after an access'


class Pings:
    """The measurements; their results go to a Report.

    before  another QEMU to compare with, or None
    """

    def __init__(self, report, say, before):
        self.report = report
        self.say = say
        self.qemus = {'before': before} if before else {}
        self.qemus['now'] = settings.QEMU

    def run(self, lab, parts):
        del parts
        if not may_count():
            self.say('Left out: perf may not count system calls here')
            return
        pairs = {}
        for name, qemu in self.qemus.items():
            self.say(f'Starting two guests for ntb_pingpong: {name}')
            port = lab.add_switch(f'pings-{name}').port()
            pairs[name] = [
                Guest(f'{letter}-{name}', lab.folder, port, ram=128,
                      machine=replace(Q35, qemu=qemu),
                      append=f'ntb_pingpong.delay_ms={PAUSE}')
                for letter in 'AB']
            boot(lab, pairs[name])
            pingpong.wait_growing(pairs[name])
        self.say(f'{ROUNDS} rounds of ntb_pingpong in turn, each QEMU on any '
                 'CPU, then on one of its own')
        found = {}
        for _ in range(ROUNDS):
            for place in ('any', 'own'):
                for name, pair in pairs.items():
                    pin(pair, place == 'own')
                    for what, value in play(pair).items():
                        found.setdefault((place, name), {}).setdefault(
                            what, []).append(value)
        self.report.pings = {
            key: {what: Samples(values) for what, values in each.items()}
            for key, each in found.items()}
        self.say('Where the calls come from')
        self.report.causes = causes(pairs['now'], lab.folder)


def may_count():
    """True if perf has tracepoints, and we may use them."""
    return not subprocess.run(
        ['perf', 'stat', '-e', 'syscalls:sys_enter_futex', 'true'],
        check=False, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL).returncode


def pin(pair, own):
    """Give each QEMU a CPU of its own, or all that there are."""
    cpus = sorted(os.sched_getaffinity(0))
    for number, guest in enumerate(pair):
        wanted = {cpus[number % len(cpus)]} if own else cpus
        for thread in os.listdir(f'/proc/{guest.vm.get_pid()}/task'):
            os.sched_setaffinity(int(thread), wanted)


def perf(*command, pids, **kwargs):
    return subprocess.run(
        ['perf', *command, '-e',
         ','.join(f'syscalls:sys_enter_{name}' for name in SYSCALLS),
         '-p', ','.join(map(str, pids)),
         '--', 'sleep', str(SECONDS)],
        check=True, stdin=subprocess.DEVNULL, text=True, **kwargs)


def set_delay(pair, milliseconds):
    for guest in pair:
        pingpong.set_delay(guest, milliseconds)


def play(pair):
    """Pings a second of both guests together, and what perf counts for each
    of them, in a slice of a game that pauses afterwards."""
    set_delay(pair, 0)
    numbers = [guest.send(
        f'sleep {SETTLE / 1000}; cat /proc/uptime {pingpong.COUNT}; '
        f'sleep {SECONDS - SETTLE / 1000}; cat /proc/uptime {pingpong.COUNT}')
        for guest in pair]
    text = perf('stat', '-x;', '-D', str(SETTLE), pids=[guest.vm.get_pid() for guest in pair],
                stderr=subprocess.PIPE).stderr
    rate = 0
    for guest, number in zip(pair, numbers):
        words = guest.finish(number)[1].split()
        rate += ((int(words[5], 0) - int(words[2], 0)) /
                 (float(words[3]) - float(words[0])))
    set_delay(pair, PAUSE)
    found = {'pings': rate}
    for count, name in re.findall(r'(?m)^(\d+);.*sys_enter_(\w+);', text):
        found[name] = int(count) / (SECONDS - SETTLE / 1000) / rate
    return found


def causes(pair, folder):
    """Which part of each system call has which cause, in one of the QEMUs:
    {(system call, cause): part}."""
    data = os.path.join(folder, 'perf.data')
    set_delay(pair, 0)
    time.sleep(SETTLE / 1000)
    perf('record', '-q', '-c', '7', '--call-graph', 'dwarf,16384', '-o', data,
         pids=[pair[0].vm.get_pid()], stderr=subprocess.DEVNULL)
    set_delay(pair, PAUSE)
    text = subprocess.run(
        ['perf', 'script', '-i', data, '-F', 'tid,event,ip,sym'], check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    os.unlink(data)
    counts, last = Counter(), {}
    for sample in text.split('\n\n'):
        head = re.match(r'\s*(\d+) +syscalls:sys_enter_(\w+)', sample)
        if head:
            name, cause = head[2], find_cause(head[2], sample)
            if cause == MMIO:
                # The last thing the thread did while it held the BQL
                cause += (', in which it set its timer'
                          if last.get(head[1]) == CAUSES[0][2] else
                          ' of another kind')
            last[head[1]] = cause
            counts[name, cause] += 1
    total = Counter()
    for (name, _), count in counts.items():
        total[name] += count
    return {key: count / total[key[0]] for key, count in
            counts.most_common() if key[0] in ('write', 'futex')}


def find_cause(name, sample):
    functions = ' '.join(line.split(None, 1)[-1]
                         for line in sample.splitlines()[1:])
    return next(cause for syscall, pattern, cause in CAUSES
                if syscall in ('', name) and re.search(pattern, functions))
