# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's ntb_hw_idt on the device: probe, sensor, interrupts, unloading."""

import re
import unittest

import pingpong
from case import SOAK, GuestTestCase, SharedPairTestCase

PORT = '/sys/bus/pci/drivers/ntb_hw_idt/0000:*'

# The family: device IDs, and the ports that can have an NT function
CHIPS = {
    '89HPES24NT6AG2': (0x8091, [0, 2, 4, 6, 8, 12]),
    '89HPES32NT8AG2': (0x808f, [0, 2, 4, 6, 8, 12, 16, 20]),
    '89HPES32NT8BG2': (0x8088, [0, 2, 4, 6, 8, 12, 16, 20]),
    '89HPES12NT12G2': (0x8092, [0, 8, 16]),
    '89HPES16NT16G2': (0x8090, [0, 8, 12, 16]),
    '89HPES24NT24G2': (0x808e, [0, 2, 4, 6, 8, 12, 16, 20]),
    '89HPES32NT24AG2': (0x808c, [0, 2, 4, 6, 8, 12, 16, 20]),
    '89HPES32NT24BG2': (0x808a, [0, 2, 4, 6, 8, 12, 16, 20]),
}


class ProbeTest(SharedPairTestCase):
    """What the driver finds."""

    def test_probe_log(self):
        """The driver names the chip and has nothing to complain about."""
        guest = self.guest_a
        log = guest.run("dmesg | grep 'ntb_hw_idt 0000:'")
        self.assertIn('IDT 89HPES24NT6AG2 discovered', log)
        self.assertIn('IDT NTB device is ready', log)
        self.assertNotIn('AER capability disabled', log)
        # The raw log has the level of each line: 5 is a notice
        for line in guest.run('dmesg -r').splitlines():
            match = re.match(r'<(\d+)>', line)
            if match and 'ntb_hw_idt' in line:
                self.assertGreaterEqual(int(match[1]) & 7, 5, line)

    def test_capabilities(self):
        """The PCI core sees the chip's link, MSI, AER and serial number."""
        guest = self.guest_a
        device = guest.run(f'readlink -f {PORT}').strip()
        read = guest.run(f'cd {device}; cat vendor device class '
                         'current_link_speed current_link_width '
                         'max_link_speed max_link_width').splitlines()
        self.assertEqual(read, ['0x111d', '0x8091', '0x068000',
                                '5.0 GT/s PCIe', '4', '5.0 GT/s PCIe', '4'])
        self.assertEqual(guest.run(f'ls {device}/msi_irqs | wc -l').strip(),
                         '1')
        # Only there when the kernel handles AER for it
        guest.run(f'cat {device}/aer_dev_fatal')
        config = bytes.fromhex(guest.run(f'hexdump -ve \'1/1 "%02x"\' '
                                         f'{device}/config'))
        self.assertEqual(len(config), 4096)

        def capabilities(position, size, get):
            found = {}
            while position:
                ident, position_next = get(position)
                found[ident] = position
                position = position_next
                self.assertLess(len(found), size)
            return found

        plain = capabilities(config[0x34], 48, lambda at: (
            config[at], config[at + 1]))
        self.assertEqual(plain, {0x10: 0x40, 0x01: 0xc0, 0x05: 0xd0,
                                 0x0d: 0xf0})
        extended = capabilities(0x100, 960, lambda at: (
            int.from_bytes(config[at:at + 2], 'little'),
            int.from_bytes(config[at + 2:at + 4], 'little') >> 4))
        self.assertEqual((extended[0x01], extended[0x03]), (0x100, 0x180))


class ChipTest(GuestTestCase):
    """All chips of the family at the same time, each on a switch that has
    all ports that it can have."""

    FIRST_SLOT = 2

    def test_family(self):
        args = []
        for slot, (chip, (_, ports)) in enumerate(CHIPS.items(),
                                                  self.FIRST_SLOT):
            # Neither the first port nor the last one
            args += self.lab.add_switch(chip).port(
                f'chip={chip},partitions={len(ports)},port={ports[1]},'
                'bar2-size=128K', name=f'ntb{slot}', slot=slot)
        guest = self.guest('A', args, modules=('ntb', 'ntb_hw_idt'))
        log = guest.dmesg()
        for slot, (chip, (device, ports)) in enumerate(CHIPS.items(),
                                                       self.FIRST_SLOT):
            with self.subTest(chip):
                name = f'0000:00:{slot:02x}.0'
                path = f'/sys/bus/pci/devices/{name}'
                self.assertEqual(
                    guest.run(f'cat {path}/vendor {path}/device '
                              f'{path}/hwmon/*/name').split(),
                    ['0x111d', f'{device:#06x}', chip])
                self.assertIn(f'ntb_hw_idt {name}: IDT {chip} discovered', log)
                self.assertIn(f'ntb_hw_idt {name}: IDT NTB device is ready',
                              log)
                info = guest.run(
                    f'cat /sys/kernel/debug/ntb_hw_idt/info:{name}')
                self.assertIn(f'Local Port {ports[1]}, Partition 1\n', info)
                self.assertEqual(
                    re.findall(r'\t(\d+)\. Port (\d+), Partition (\d+)\n',
                               info),
                    [(str(index), str(ports[partition]), str(partition))
                     for index, partition in enumerate(
                         [0, *range(2, len(ports))])])


class TemperatureTest(SharedPairTestCase):
    """The sensor, which is the switch's, in Linux's hwmon of each guest."""

    MODULES = ('ntb', 'ntb_hw_idt')

    def setUp(self):
        super().setUp()
        for guest in self.guests:
            self.assertEqual(
                guest.run('cat /sys/class/hwmon/hwmon0/name').strip(),
                '89HPES24NT6AG2')

    def check(self, **want):
        for guest in self.guests:
            values = guest.run('cd /sys/class/hwmon/hwmon0; cat ' + ' '.join(
                f'temp1_{name}' for name in want)).split()
            self.assertEqual(dict(zip(want, map(int, values))), want,
                             guest.name)

    def set(self, guest, millidegrees):
        guest.vm.cmd('qom-set', path='/machine/peripheral/ntb',
                     property='temperature', value=millidegrees)

    def write(self, guest, name, value):
        guest.run(f'echo {value} >/sys/class/hwmon/hwmon0/temp1_{name}')

    def test_history(self):
        """What either port's device says all see, and what it has been."""
        self.set(self.guest_a, 40000)
        self.write(self.guest_b, 'reset_history', 1)
        self.check(input=40000, lowest=40000, highest=40000)
        self.set(self.guest_b, 71500)
        self.check(input=71500, lowest=40000, highest=71500)
        self.set(self.guest_a, 12500)
        self.check(input=12500, lowest=12500, highest=71500)
        self.set(self.guest_a, 40000)
        self.write(self.guest_a, 'reset_history', 1)
        self.check(input=40000, lowest=40000, highest=40000)

    def test_offset(self):
        """It is added to what is measured; any guest sets it for all."""
        self.set(self.guest_a, 40000)
        for writer, offset in zip(self.guests, (5500, -8000)):
            self.write(writer, 'offset', offset)
            self.check(offset=offset, input=40000 + offset)
        self.write(self.guest_a, 'offset', 0)
        self.check(offset=0, input=40000)


class InterruptTest(SharedPairTestCase):
    """The game by either kind of interrupt."""

    MODULES = ()

    def tearDown(self):
        self.use_msi(True, True)
        super().tearDown()

    def use_msi(self, *use_msi):
        """From the next load of the driver on."""
        for guest, msi in zip(self.guests, use_msi):
            # pci=nomsi would take AER from the kernel, too
            guest.run('for file in $(grep -l 0x111d '
                      '/sys/bus/pci/devices/*/vendor); do '
                      f'echo {int(msi)} >"${{file%/*}}/msi_bus"; done')

    def interrupt(self, guest):
        """The line of /proc/interrupts: how many, which kind."""
        words = guest.run('grep ntb_irq_idt /proc/interrupts').split()
        return int(words[1]), words[2]

    def start_with(self, *use_msi):
        """Load the drivers, with MSI switched off where USE_MSI says so."""
        self.use_msi(*use_msi)
        for guest in self.guests:
            guest.run('load ntb && load ntb_hw_idt && load ntb_pingpong')
        pingpong.wait_growing(self.guests, pings=200)

    def check(self, guest, kind):
        count, found = self.interrupt(guest)
        self.assertIn(kind, found)
        self.assertGreater(count, 0)
        # Each ping is an interrupt, unless two came at once.  What comes
        # between the looks at both counts is more interrupts.
        interrupts, pings = self.interrupt(guest)[0], pingpong.count(guest)
        pingpong.wait_growing([guest], pings=200)
        pings = pingpong.count(guest) - pings
        interrupts = self.interrupt(guest)[0] - interrupts
        self.assertGreater(interrupts, 0.5 * pings)

    def test_msi(self):
        self.start_with(True, True)
        self.check(self.guest_a, 'PCI-MSI')
        self.check(self.guest_b, 'PCI-MSI')

    def test_intx(self):
        self.start_with(False, False)
        self.check(self.guest_a, 'IO-APIC')
        self.check(self.guest_b, 'IO-APIC')

    def test_msi_against_intx(self):
        self.start_with(True, False)
        self.check(self.guest_a, 'PCI-MSI')
        self.check(self.guest_b, 'IO-APIC')


class UnloadTest(SharedPairTestCase):
    """Modules come and go on either side; the other notices and goes on."""

    def setUp(self):
        super().setUp()
        pingpong.wait_growing(self.guests)

    def both_orders(self):
        return (self.guest_a, self.guest_b), (self.guest_b, self.guest_a)

    def test_client(self):
        """rmmod and insmod of ntb_pingpong."""
        for here, there in self.both_orders():
            for _ in range(2 * SOAK):
                here.run('rmmod ntb_pingpong')
                pingpong.wait_links(there, 0)
                stopped = pingpong.wait_stopped(there)
                here.run('load ntb_pingpong')
                pingpong.wait_links(there, 1)
                pingpong.wait_growing(self.guests)
                self.assertGreater(pingpong.count(there), stopped)

    def test_driver(self):
        """rmmod and insmod of ntb_hw_idt under ntb_pingpong."""
        for here, there in self.both_orders():
            for _ in range(2 * SOAK):
                here.run('rmmod ntb_pingpong; rmmod ntb_hw_idt')
                pingpong.wait_links(there, 0)
                stopped = pingpong.wait_stopped(there)
                here.run('load ntb_hw_idt && load ntb_pingpong')
                pingpong.wait_growing(self.guests)
                self.assertGreater(pingpong.count(there), stopped)

    def test_unbind(self):
        """The driver lets go of the device and takes it again."""
        for here, there in self.both_orders():
            name = here.run(f'basename {PORT}').strip()
            driver = '/sys/bus/pci/drivers/ntb_hw_idt'
            here.run(f'echo {name} >{driver}/unbind')
            pingpong.wait_links(there, 0)
            here.run(f'echo {name} >{driver}/bind')
            pingpong.wait_growing(self.guests)

    def test_function_reset(self):
        """A reset of the function through sysfs takes the link down, and
        the driver bound again brings it up."""
        for here, there in self.both_orders():
            name = here.run(f'basename {PORT}').strip()
            driver = '/sys/bus/pci/drivers/ntb_hw_idt'
            here.run(f'echo {name} >{driver}/unbind; '
                     f'echo 1 >/sys/bus/pci/devices/{name}/reset')
            pingpong.wait_links(there, 0)
            here.run(f'echo {name} >{driver}/bind')
            pingpong.wait_growing(self.guests)


if __name__ == '__main__':
    unittest.main()
