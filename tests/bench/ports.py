# SPDX-License-Identifier: GPL-2.0-or-later
"""The cost of eight ports on a switch, compared with two."""

import os
import time

import pingpong
import settings
from guest import Guest, GuestError
from measure import PAUSE, TURNS, boot, play_slice
from qemu.machine import QEMUMachine
from samples import Samples

FEW, MANY = 2, 8
CHIP = 'chip=89HPES32NT8AG2'
# Every port looks after the others once a second
IDLE_SECONDS = 5
IDLE_TURNS = 12


class Bystander:
    """A QEMU whose guest has no system, and that may have a port."""

    def __init__(self, lab, name, args, stopped=False):
        self.folder = os.path.join(lab.folder, name)
        os.mkdir(self.folder)
        self.vm = QEMUMachine(
            settings.QEMU, name=name, log_dir=self.folder,
            base_temp_dir=self.folder,
            args=['-nodefaults', '-M', 'q35', '-m', '64', '-accel', 'tcg',
                  '-display', 'none', *settings.FIRMWARE, *args,
                  *(['-S'] if stopped else [])])
        self.vm.launch()

    def cpu_time(self):
        """Nanoseconds that all of its threads have run."""
        # As clock_getcpuclockid(3)
        return time.clock_gettime_ns((~self.vm.get_pid() << 3) | 2)

    def has_link(self):
        return self.vm.cmd('qom-get', path='/machine/peripheral/ntb',
                           property='link')

    def end(self):
        self.vm.shutdown()


class Ports:
    """The measurements; their results go to a Report."""

    def __init__(self, report, say):
        self.report = report
        self.say = say

    def run(self, lab, parts):
        del parts
        self.idle(lab)
        self.events(lab)

    @staticmethod
    def port(lab, name, count):
        """QEMU arguments for a port of a new switch with COUNT of them."""
        return lab.add_switch(name).port(f'{CHIP},partitions={count}')

    @staticmethod
    def attach(lab, port, name, count, **kwargs):
        """Bystanders with a port each."""
        found = [Bystander(lab, f'{name}-{number}', port, **kwargs)
                 for number in range(count)]
        if not all(one.has_link() for one in found):
            raise GuestError(f'{name}: a port without a link')
        return found

    def idle(self, lab):
        self.say(f'QEMUs that do nothing, on switches with {FEW} and '
                 f'{MANY} ports')
        groups = {}
        try:
            # Stopped: what is left is what QEMU and the device do
            groups['none'] = [Bystander(lab, f'none-{number}', [],
                                        stopped=True)
                              for number in range(FEW)]
            for count in FEW, MANY:
                groups[count] = self.attach(
                    lab, self.port(lab, f'idle-{count}', count),
                    f'idle-{count}', count, stopped=True)
            # Right after its start a port looks around more often
            time.sleep(2 * IDLE_SECONDS)

            def times():
                return {name: sum(one.cpu_time() for one in group) / len(group)
                        for name, group in groups.items()}

            took = {name: [] for name in groups}
            for _ in range(IDLE_TURNS):
                before = times()
                time.sleep(IDLE_SECONDS)
                for name, after in times().items():
                    took[name].append((after - before[name]) / IDLE_SECONDS)
            self.report.idle = {name: Samples(values)
                                for name, values in took.items()}
        finally:
            for group in groups.values():
                for one in group:
                    one.end()

    def events(self, lab):
        self.say(f'ntb_pingpong on switches with {FEW} and {MANY} ports in '
                 'turn')
        pairs, others = {}, []
        try:
            for count in FEW, MANY:
                port = self.port(lab, f'events-{count}', count)
                pairs[count] = [
                    Guest(f'{name}{count}', lab.folder, port, ram=128,
                          append=f'ntb_pingpong.delay_ms={PAUSE}')
                    for name in 'AB']
                boot(lab, pairs[count])
                others += self.attach(lab, port, f'other-{count}',
                                      count - FEW)
            for pair in pairs.values():
                pingpong.wait_growing(pair)
            took = {count: [] for count in pairs}
            for _ in range(TURNS):
                for count, pair in pairs.items():
                    took[count].append(play_slice(pair))
            self.report.events = {count: Samples(values)
                                  for count, values in took.items()}
        finally:
            for other in others:
                other.end()
