# SPDX-License-Identifier: GPL-2.0-or-later
"""What eight ports on a switch cost, against two."""

import os
import time

import pingpong
import settings
from guest import Guest, GuestError
from measure import TURNS, boot, play_slice
from qemu.machine import QEMUMachine
from samples import Samples

FEW, MANY = 2, 8
LAYOUT = f'chip=89HPES32NT8AG2,partitions={MANY}'
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
    def attach(lab, switch, name, count, **kwargs):
        """Bystanders with a port each."""
        found = []
        for number in range(count):
            found.append(Bystander(lab, f'{name}-{number}',
                                   switch.port(LAYOUT), **kwargs))
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
                    lab, lab.add_switch(f'idle-{count}'), f'idle-{count}',
                    count, stopped=True)
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
                switch = lab.add_switch(f'events-{count}')
                pairs[count] = [
                    Guest(f'{name}{count}', lab.folder, switch.port(LAYOUT),
                          ram=128, append='ntb_pingpong.delay_ms=50')
                    for name in 'AB']
                boot(lab, pairs[count])
                others += self.attach(lab, switch, f'other-{count}',
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
