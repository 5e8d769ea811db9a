# SPDX-License-Identifier: GPL-2.0-or-later
"""The device comes and goes behind a pcie-root-port of a running guest."""

import unittest

import pingpong
from case import SOAK, GuestTestCase
from guest import wait_until

# Without the reserves, Linux finds no room for the windows of a new device
ROOT_PORT = ['-device', 'pcie-root-port,id=slot,chassis=1,slot=1,'
             'pref64-reserve=64M,mem-reserve=4M']


class HotplugTest(GuestTestCase):
    """One guest has the device all the time, the other now and then."""

    ROUNDS = 3 * SOAK

    def setUp(self):
        super().setUp()
        self.still = self.guest('A', boot=False,
                                append='ntb_pingpong.delay_ms=1')
        self.plugged = self.guest(
            'B', ROOT_PORT + self.switch.chardev(reconnect=True), boot=False,
            append='ntb_pingpong.delay_ms=1')
        self.boot_all(self.guests)

    def plug(self):
        self.plugged.vm.cmd('device_add', driver='idt-ntb', id='ntb',
                            bus='slot', chardev='ntb')

    def unplug(self):
        """As a person would: ask, and wait until Linux has let go."""
        self.plugged.vm.cmd('device_del', id='ntb')
        gone = self.plugged.vm.event_wait(
            'DEVICE_DELETED', timeout=60,
            match={'data': {'device': 'ntb'}})
        self.assertIsNotNone(gone, 'the device is not gone in a minute')

    def test_plug_and_unplug(self):
        for _ in range(self.ROUNDS):
            self.plug()
            wait_until(lambda: self.plugged.try_run(
                f'cat {pingpong.COUNT}')[0] == 0, 'B has found its port')
            pingpong.wait_growing(self.guests)
            self.unplug()
            pingpong.wait_links(self.still, 0)
            pingpong.wait_stopped(self.still)

    def test_reset_while_plugged(self):
        self.plug()
        wait_until(lambda: self.plugged.try_run(
            f'cat {pingpong.COUNT}')[0] == 0, 'B has found its port')
        self.plugged.reset()
        pingpong.wait_growing(self.guests)

    def test_surprise_removal(self):
        """The slot is switched off under the playing driver, and on again."""
        self.plug()
        wait_until(lambda: self.plugged.try_run(
            f'cat {pingpong.COUNT}')[0] == 0, 'B has found its port')
        pingpong.wait_growing(self.guests)
        power = '/sys/bus/pci/slots/1/power'
        self.plugged.run(f'echo 0 >{power}')
        pingpong.wait_links(self.still, 0)


if __name__ == '__main__':
    unittest.main()
