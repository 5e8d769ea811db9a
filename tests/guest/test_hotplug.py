# SPDX-License-Identifier: GPL-2.0-or-later
"""The device comes and goes behind a pcie-root-port of a running guest."""

import unittest

import pingpong
from case import SOAK, SharedTestCase
from guest import DEADLINE, wait_until
from qemu.qmp import ExecuteError

# Without the reserves, Linux finds no room for the windows of a new device
ROOT_PORT = ['-device', 'pcie-root-port,id=port1,chassis=1,slot=1,'
             'pref64-reserve=64M,mem-reserve=4M']
# q35 tells Linux about new devices through ACPI; a real root port by itself
NATIVE = ['-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off']


class HotplugTestCase(SharedTestCase):
    """One guest has the device all the time, the other now and then."""

    # More arguments of its QEMU
    KIND = []

    def make_guests(self):
        append = 'ntb_pingpong.delay_ms=1'
        self.guest('A', boot=False, append=append)
        self.guest('B', [*ROOT_PORT, *self.switch.chardev(reconnect=True),
                         *self.KIND], boot=False, append=append)

    def setUp(self):
        super().setUp()
        self.still, self.plugged = self.guests
        self.is_plugged = False

    def tearDown(self):
        super().tearDown()
        if self.is_plugged:
            self.unplug()

    def plug(self):
        self.plugged.vm.cmd('device_add', driver='idt-ntb', id='ntb',
                            bus='port1', chardev='ntb')
        self.is_plugged = True
        self.wait_found()

    def wait_found(self):
        wait_until(lambda: self.plugged.try_run(
            f'cat {pingpong.COUNT}')[0] == 0, 'B has found its port')

    def unplug(self):
        """As a person would: ask, and wait until Linux has let go."""
        wait_until(self.ask, 'B can be asked for its port')
        self.wait_gone()

    def ask(self):
        """Refused while Linux is still busy with the plug, and the slot's
        indicator blinks."""
        try:
            self.plugged.vm.cmd('device_del', id='ntb')
        except ExecuteError as error:
            if 'busy' in str(error):
                return False
            raise
        return True

    def wait_gone(self):
        gone = self.plugged.vm.event_wait(
            'DEVICE_DELETED', timeout=DEADLINE,
            match={'data': {'device': 'ntb'}})
        self.assertIsNotNone(gone, 'the device is not gone')
        self.is_plugged = False

    def check_rounds(self):
        for _ in range(SOAK):
            self.plug()
            pingpong.wait_growing(self.guests)
            self.unplug()
            pingpong.wait_links(self.still, 0)
            pingpong.wait_stopped(self.still)


class AcpiTest(HotplugTestCase):
    """Linux learns of it through ACPI."""

    def test_plug_and_unplug(self):
        self.check_rounds()

    def test_reset_while_plugged(self):
        self.plug()
        self.plugged.reset()
        pingpong.wait_growing(self.guests)

    def test_remove_and_rescan(self):
        """Linux forgets the device and finds it again."""
        self.plug()
        for _ in range(SOAK):
            self.plugged.run(
                'echo 1 >$(readlink -f /sys/bus/pci/drivers/ntb_hw_idt/0*)'
                '/remove')
            pingpong.wait_links(self.still, 0)
            self.plugged.run('echo 1 >/sys/bus/pci/rescan')
            self.wait_found()
            pingpong.wait_growing(self.guests)


class NativeTest(HotplugTestCase):
    """Linux learns of it from the root port."""

    KIND = NATIVE

    def test_plug_and_unplug(self):
        # Whoever presses its button has five seconds to change their mind
        self.check_rounds()

    def test_slot_power(self):
        """The slot is switched off under the driver, which QEMU takes for an
        unplug; then the device is plugged in anew."""
        for _ in range(SOAK):
            self.plug()
            pingpong.wait_growing(self.guests)
            self.plugged.run('echo 0 >/sys/bus/pci/slots/1/power')
            pingpong.wait_links(self.still, 0)
            self.wait_gone()


if __name__ == '__main__':
    unittest.main()
