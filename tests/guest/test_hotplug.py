# SPDX-License-Identifier: GPL-2.0-or-later
"""The device comes and goes behind a pcie-root-port of a running guest."""

import unittest

import pingpong
from case import SOAK, GuestTestCase
from guest import wait_until

# Without the reserves, Linux finds no room for the windows of a new device
ROOT_PORT = ['-device', 'pcie-root-port,id=port1,chassis=1,slot=1,'
             'pref64-reserve=64M,mem-reserve=4M']
# q35 tells Linux about new devices through ACPI; a real root port by itself
NATIVE = ['-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off']


class HotplugTest(GuestTestCase):
    """One guest has the device all the time, the other now and then."""

    ROUNDS = SOAK

    def start(self, args=()):
        self.still = self.guest('A', boot=False,
                                append='ntb_pingpong.delay_ms=1')
        self.plugged = self.guest(
            'B', [*ROOT_PORT, *self.switch.chardev(reconnect=True), *args],
            boot=False, append='ntb_pingpong.delay_ms=1')
        self.boot_all(self.guests)

    def plug(self):
        self.plugged.vm.cmd('device_add', driver='idt-ntb', id='ntb',
                            bus='port1', chardev='ntb')
        self.wait_found()

    def wait_found(self):
        wait_until(lambda: self.plugged.try_run(
            f'cat {pingpong.COUNT}')[0] == 0, 'B has found its port')

    def unplug(self):
        """As a person would: ask, and wait until Linux has let go."""
        self.plugged.vm.cmd('device_del', id='ntb')
        gone = self.plugged.vm.event_wait(
            'DEVICE_DELETED', timeout=60,
            match={'data': {'device': 'ntb'}})
        self.assertIsNotNone(gone, 'the device is not gone in a minute')

    def rounds(self, count):
        for _ in range(count):
            self.plug()
            pingpong.wait_growing(self.guests)
            self.unplug()
            pingpong.wait_links(self.still, 0)
            pingpong.wait_stopped(self.still)

    def test_acpi(self):
        self.start()
        self.rounds(self.ROUNDS)

    def test_native(self):
        # Whoever presses its button has five seconds to change their mind
        self.start(NATIVE)
        self.rounds(SOAK)

    def test_reset_while_plugged(self):
        self.start()
        self.plug()
        self.plugged.reset()
        pingpong.wait_growing(self.guests)

    def test_slot_power(self):
        """The slot is switched off under the driver, which QEMU takes for an
        unplug; then the device is plugged in anew."""
        self.start(NATIVE)
        for _ in range(self.ROUNDS):
            self.plug()
            pingpong.wait_growing(self.guests)
            self.plugged.run('echo 0 >/sys/bus/pci/slots/1/power')
            pingpong.wait_links(self.still, 0)
            self.plugged.vm.event_wait('DEVICE_DELETED', timeout=60,
                                       match={'data': {'device': 'ntb'}})

    def test_remove_and_rescan(self):
        """Linux forgets the device and finds it again."""
        self.start()
        self.plug()
        for _ in range(self.ROUNDS):
            self.plugged.run(
                'echo 1 >$(readlink -f /sys/bus/pci/drivers/ntb_hw_idt/0*)'
                '/remove')
            pingpong.wait_links(self.still, 0)
            self.plugged.run('echo 1 >/sys/bus/pci/rescan')
            self.wait_found()
            pingpong.wait_growing(self.guests)


if __name__ == '__main__':
    unittest.main()
