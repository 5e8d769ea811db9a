# SPDX-License-Identifier: GPL-2.0-or-later
"""The device comes and goes behind a pcie-root-port of a running guest.

One guest has the device all the time, the other now and then.
"""

import pingpong
import pytest
from guest import DEADLINE, wait_until
from machine import Q35
from qemu.qmp import ExecuteError

# Without the reserves, Linux finds no room for the windows of a new device
ROOT_PORT = ['-device', 'pcie-root-port,id=port1,chassis=1,slot=1,'
             'pref64-reserve=64M,mem-reserve=4M']
# q35 tells Linux about new devices through ACPI; a real root port by itself
NATIVE = ['-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off']


def make_acpi(lab, native=False, **kwargs):
    append = 'ntb_pingpong.delay_ms=1'
    lab.guest('A', boot=False, append=append, **kwargs)
    q35 = lab.machines.get('B', Q35).args[1] == 'q35'
    lab.guest('B', [*ROOT_PORT, *lab.switch.chardev(reconnect=True),
                    *(NATIVE if native and q35 else [])],
              boot=False, append=append, **kwargs)


def make_native(lab, **kwargs):
    make_acpi(lab, native=True, **kwargs)


class Plug:
    """A port that a guest gets and gives back."""

    def __init__(self, guest):
        self.guest = guest
        self.plugged = False

    def plug(self):
        self.guest.vm.cmd('device_add', driver='idt-ntb', id='ntb',
                          bus='port1', chardev='ntb')
        self.plugged = True
        self.wait_found()

    def wait_found(self):
        wait_until(lambda: self.guest.try_run(
            f'cat {pingpong.COUNT}')[0] == 0, 'B has found its port')

    def unplug(self):
        """As a person would: ask, and wait until Linux has let go."""
        wait_until(self.ask, 'B can be asked for its port')
        self.wait_gone()

    def ask(self):
        """Refused while Linux is still busy with the plug, and the slot's
        indicator blinks."""
        try:
            self.guest.vm.cmd('device_del', id='ntb')
        except ExecuteError as error:
            if 'busy' in str(error):
                return False
            raise
        return True

    def wait_gone(self):
        assert self.guest.vm.event_wait(
            'DEVICE_DELETED', timeout=DEADLINE,
            match={'data': {'device': 'ntb'}}), 'the device is not gone'
        self.plugged = False


@pytest.fixture
def port(guests):
    port = Plug(guests[1])
    yield port
    if port.plugged and port.guest.running():
        port.unplug()


def check_plug_and_unplug(guests, port):
    port.plug()
    pingpong.wait_growing(guests)
    port.unplug()
    pingpong.wait_links(guests[0], 0)
    pingpong.wait_stopped(guests[0])


@pytest.mark.guests(make=make_acpi)
class TestAcpi:
    """Linux learns of it through ACPI."""

    def test_plug_and_unplug(self, guests, port):
        check_plug_and_unplug(guests, port)

    def test_reset_while_plugged(self, guests, port):
        port.plug()
        port.guest.reset()
        pingpong.wait_growing(guests)

    def test_remove_and_rescan(self, guests, port):
        """Linux forgets the device and finds it again."""
        port.plug()
        port.guest.run('echo 1 >$(readlink -f '
                       '/sys/bus/pci/drivers/ntb_hw_idt/0*)/remove')
        pingpong.wait_links(guests[0], 0)
        port.guest.run('echo 1 >/sys/bus/pci/rescan')
        port.wait_found()
        pingpong.wait_growing(guests)


@pytest.mark.guests(make=make_native)
@pytest.mark.machines('newest', 'arm64-b')
class TestNative:
    """Linux learns of it from the root port."""

    def test_plug_and_unplug(self, guests, port):
        # Whoever presses its button has five seconds to change their mind
        check_plug_and_unplug(guests, port)

    def test_slot_power(self, guests, port):
        """The slot is switched off under the driver, which QEMU takes for an
        unplug."""
        port.plug()
        pingpong.wait_growing(guests)
        port.guest.run('echo 0 >/sys/bus/pci/slots/1/power')
        pingpong.wait_links(guests[0], 0)
        port.wait_gone()
