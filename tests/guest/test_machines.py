# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of other architectures, with each other and with x86-64 ones.

What they do is what the usual guests do; test_*.py have it.
"""

import os
import unittest

import ntbtool
import pingpong
import test_hotplug
import test_perf
import test_pingpong
import test_restart
import test_tool
from case import GuestTestCase
from machine import ARM64_INTX, ARM64_ITS, ARM64_V2M

# With an x86-64 guest as the other one, and with each other
WITH_X86 = {'B': ARM64_ITS}
TWO_ARMS = {'A': ARM64_ITS, 'B': ARM64_ITS}

ROOT_PORT = ['-device', 'pcie-root-port,id=port1,chassis=1']


class Arm64PingPongTest(test_pingpong.PingPongTest):
    MACHINES = WITH_X86


class Arm64PairPingPongTest(test_pingpong.PingPongTest):
    MACHINES = TWO_ARMS


class Arm64StartOrderTest(test_pingpong.StartOrderTest):
    MACHINES = WITH_X86


class Arm64RestartTest(test_restart.RestartTest):
    """The ARM guest goes away."""

    MACHINES = WITH_X86


class Arm64StaysTest(test_restart.RestartTest):
    """The x86-64 guest goes away."""

    MACHINES = {'A': ARM64_ITS}


class Arm64ToolTest(test_tool.ToolTest):
    MACHINES = WITH_X86


class Arm64PairToolTest(test_tool.ToolTest):
    MACHINES = TWO_ARMS


class Arm64LargeTest(test_tool.Transfers, GuestTestCase):
    """Windows of 4 MiB: no larger buffer is to be had of Linux on x86."""

    MACHINES = WITH_X86
    SIZE = 4 << 20

    def test_windows(self):
        pair = [self.guest(name, self.switch.port(
            'bar1-size=4M,bar4-size=4M'), boot=False,
                           modules=test_tool.MODULES, shared=True)
                for name in 'AB']
        self.boot_all(pair)
        tools = [ntbtool.Tool(guest) for guest in pair]
        ntbtool.connect(*tools)
        for sender, receiver in (tools, tools[::-1]):
            self.transfer(sender, receiver, self.SIZE)
            self.assertEqual(test_tool.direct_mappings(sender.guest),
                             test_tool.WINDOWS)
            sizes = [size for _, size in receiver.allocate(self.SIZE)]
            self.assertEqual(sizes.count(self.SIZE), 2)


class Arm64RequestTest(test_tool.RequestTest):
    MACHINES = WITH_X86


class Arm64SmpTest(test_tool.SmpTest):
    MACHINES = WITH_X86


class Arm64PerfTest(test_perf.PerfTest):
    MACHINES = WITH_X86


class Arm64HotplugTest(test_hotplug.NativeTest):
    """Behind a root port of the ARM guest."""

    KIND = []
    MACHINES = WITH_X86


class Arm64InterruptTest(GuestTestCase):
    """All ways by which virt brings interrupts, at the root and behind a root
    port."""

    PORT = 'partitions=3'

    def check(self, machine, controller, root_port=True):
        guests = [self.guest('x86', self.switch.port(self.PORT), boot=False),
                  self.guest('root', self.switch.port(self.PORT), boot=False,
                             machine=machine)]
        if root_port:
            guests.append(self.guest(
                'port', [*ROOT_PORT,
                         *self.switch.port(f'{self.PORT},bus=port1')],
                boot=False, machine=machine))
        self.boot_all(guests)
        pingpong.wait_growing(guests)
        for guest in guests[1:]:
            self.assertRegex(guest.run('grep ntb_irq_idt /proc/interrupts'),
                             controller)

    def test_its(self):
        self.check(ARM64_ITS, 'ITS-MSI')

    def test_v2m(self):
        self.check(ARM64_V2M, 'MSI')

    def test_intx(self):
        """QEMU's root ports insist on MSIs themselves."""
        self.check(ARM64_INTX, 'GICv3', root_port=False)


def load_tests(_loader, tests, _pattern):
    """Only ./ntb check --all has what they take."""
    return tests if os.environ.get('NTB_ALL') == '1' else unittest.TestSuite()


if __name__ == '__main__':
    unittest.main()
