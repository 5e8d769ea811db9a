# SPDX-License-Identifier: GPL-2.0-or-later
"""The results as a table and as a plot."""

import datetime
import os
import pathlib
import re
import statistics
import subprocess

import settings
from pings import SYSCALLS
from samples import megabytes_per_second, size_text

# The goals in the last part of the table
OF_RAM = 0.95
OF_IVSHMEM = 0.98
REQUEST_MEGABYTES = 5
READ_TRIPS = 3

PLOT = pathlib.Path(__file__).with_name('windows.gp')


class Report:
    """Everything that was measured; None what was not."""

    def __init__(self):
        self.others = Others()
        self.memory = None
        self.stores = None
        self.read = None
        self.perf = None
        self.pingpong = None
        self.pings = None
        self.causes = None
        self.idle = None
        self.events = None

    def text(self):
        lines = [f'idt-ntb, {datetime.date.today()}', machine(),
                 f'Other programs had {self.others.share():.0%} of the CPU '
                 'time meanwhile', '',
                 'Medians, and the quartiles of all rounds in brackets']
        reached = []
        for part in (self._memory, self._requests, self._perf,
                     self._pingpong, self._pings, self._ports):
            part(lines, reached)
        if reached:
            lines += ['', 'To reach']
        for what, good in reached:
            lines.append(f'  {"reached    " if good else "NOT reached"}  '
                         f'{what}')
        return '\n'.join(lines) + '\n'

    def _memory(self, lines, reached):
        if not self.memory:
            return
        lines += ['', 'A window (direct path), in MB/s and as a part of the '
                  "guest's own RAM and of ivshmem-plain", '',
                  f'  {"":6}{"":>8}{"MB/s":>8}  {"of own RAM":20}'
                  f'{"of ivshmem-plain":20}']
        for (operation, size), took in self.memory.items():
            speed = megabytes_per_second(size, took['window'].median)
            lines.append(
                f'  {operation:6}{size_text(size):>8}{speed:>8.0f}  '
                f'{(took["ram"] / took["window"]).text():20}'
                f'{(took["ivshmem"] / took["window"]).text():20}'.rstrip())
        for other, name, goal in (('ram', 'own RAM', OF_RAM),
                                  ('ivshmem', 'ivshmem-plain', OF_IVSHMEM)):
            for operation in dict.fromkeys(key[0] for key in self.memory):
                ratios = {size: (took[other] / took['window']).median
                          for (op, size), took in self.memory.items()
                          if op == operation}
                overall = statistics.median(ratios.values())
                least = min(ratios, key=ratios.get)
                reached.append((
                    f'{operation} at least {goal} of {name}: {overall:.3f}, '
                    f'the median of all sizes; least {ratios[least]:.3f} '
                    f'with {size_text(least)}', overall >= goal))

    def _requests(self, lines, reached):
        if self.stores:
            direct, requests = self.stores
            lines += [
                '', 'Stores of 8 bytes',
                f'  direct path    {direct.text(0)} MB/s',
                f'  request path   {requests.text(1)} MB/s',
                f'  the direct path is {(direct / requests).text(0)} times '
                'as fast']
            reached.append((f'request path at least {REQUEST_MEGABYTES} MB/s:'
                            f' {requests.median:.1f}',
                            requests.median >= REQUEST_MEGABYTES))
        if self.read:
            read, trip = self.read
            ratio = read / trip
            lines += [
                '', 'A load of 8 bytes by request',
                f'  it takes       {microseconds(read)}',
                f'  an eventfd round trip of two processes on two CPUs '
                f'{microseconds(trip)}',
                f'  {ratio.text()} round trips']
            reached.append((f'a read by request below {READ_TRIPS} eventfd '
                            f'round trips: {ratio.median:.2f}',
                            ratio.median < READ_TRIPS))

    def _perf(self, lines, reached):
        del reached
        if not self.perf:
            return
        perf, own = self.perf
        lines += [
            '', 'ntb_perf (with patches/linux)',
            f'  ntb_perf       {perf.text(0)} MB/s',
            f'  own RAM, copied with the same instruction '
            f'{own.text(0)} MB/s',
            f'  ntb_perf has {(perf / own).text()} of that']

    def _pingpong(self, lines, reached):
        del reached
        if not self.pingpong:
            return
        ping, trip = self.pingpong
        lines += [
            '', 'ntb_pingpong, delay_ms=0',
            f'  a ping comes to each guest every {microseconds(ping)}, '
            f'{1e9 / ping.median:.0f} a second',
            f'  an eventfd round trip of two processes on two CPUs '
            f'{microseconds(trip)}',
            f'  {(ping / trip).text(1)} round trips a ping']

    def _pings(self, lines, reached):
        del reached
        if not self.pings:
            return
        lines += ['', 'ntb_pingpong, delay_ms=0: pings a second of both '
                  'guests together, and what each costs in its QEMU']
        for place in ('any', 'own'):
            names = [name for other, name in self.pings if other == place]
            lines += ['', f'  {"each QEMU on " + place + " CPU":42}' +
                      ''.join(f'{name:24}' for name in names).rstrip()]
            for what, label in (('pings', 'pings a second'),
                                *SYSCALLS.items()):
                digits = 0 if what == 'pings' else 2
                lines.append(f'  {label:42}' + ''.join(
                    f'{self.pings[place, name][what].text(digits):24}'
                    for name in names).rstrip())
            if len(names) == 2:
                before, now = (self.pings[place, name]['pings']
                               for name in names)
                lines.append(f'  {"pings, now of before":42}' +
                             (now / before).text())
        lines += ['', 'Where these calls come from, now']
        now = self.pings['any', 'now']
        for (name, cause), part in self.causes.items():
            lines.append(f'  {name:6} {part * now[name].median:5.2f}  {cause}')

    def _ports(self, lines, reached):
        del reached
        if self.idle:
            none, few, many = self.idle.values()
            _, few_ports, many_ports = self.idle
            lines += [
                '', 'CPU time in a second of a QEMU that is stopped',
                f'  without a port                   {microseconds(none)}',
                f'  with a port, switch with {few_ports} ports  '
                f'{microseconds(few)}',
                f'  with a port, switch with {many_ports} ports  '
                f'{microseconds(many)}',
                f'  {many_ports} ports take {(many / few).text()} of what '
                f'{few_ports} take']
        if self.events:
            few, many = self.events.values()
            few_ports, many_ports = self.events
            lines += [
                '', 'ntb_pingpong of two guests, delay_ms=0: from ping to '
                'ping, a message and a doorbell each',
                f'  switch with {few_ports} ports   {microseconds(few)}',
                f'  switch with {many_ports} ports   {microseconds(many)}; the '
                'others get the doorbells, too',
                f'  {many_ports} ports take {(many / few).text()} of what '
                f'{few_ports} take']


def microseconds(samples):
    return samples.map(lambda ns: ns / 1000).text(1) + ' us'


class Others:
    """The CPU time that other programs take meanwhile."""

    def __init__(self):
        self._before = self._seconds()

    @staticmethod
    def _seconds():
        """CPU time of the host that was used, that was idle, and that we
        and what we started and ended used."""
        with open('/proc/stat') as file:
            ticks = [int(word) for word in file.readline().split()[1:]]
        idle = ticks[3] + ticks[4]
        used = sum(ticks[:8]) - idle
        own = sum(os.times()[:4])
        return [n / os.sysconf('SC_CLK_TCK') for n in (used, idle)] + [own]

    def share(self):
        """Their part of all CPU time since this was made."""
        used, idle, own = (
            now - then for then, now in zip(self._before, self._seconds()))
        return max(0, used - own) / (used + idle)


def machine():
    """Describe the host, without its name."""
    cpuinfo = pathlib.Path('/proc/cpuinfo').read_text()
    model = re.search(r'model name\s*: (.*)', cpuinfo)
    qemu = subprocess.run([settings.QEMU, '--version'], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split()[3]
    return (f'{os.cpu_count()} CPUs ({model[1] if model else "?"}), Linux '
            f'{os.uname().release}, QEMU {qemu} (TCG)')


def write_plot(report, folder):
    """The windows' part of it, drawn by gnuplot."""
    with open(folder / 'windows.dat', 'w') as file:
        operation = None
        for (name, size), took in report.memory.items():
            if name != operation:
                file.write(f'\n\n# {name}: size, of RAM, low, high, '
                           'of ivshmem, low, high\n' if operation else
                           f'# {name}\n')
                operation = name
            numbers = [size]
            for other in ('ram', 'ivshmem'):
                ratio = took[other] / took['window']
                numbers += [f'{n:.4f}' for n in
                            (ratio.median, ratio.low, ratio.high)]
            file.write(' '.join(map(str, numbers)) + '\n')
    subprocess.run(['gnuplot', PLOT], cwd=folder, check=True)
