# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that stands by takes the place of another one."""

import os
import subprocess

import pingpong
from case import GuestTestCase

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
IMAGE = os.path.join(TOP, 'docs/specs/idt-ntb-eeprom/failover.txt')
TOOL = os.path.join(TOP, 'scripts/idt-ntb-eeprom.py')
DRIVERS = 'ntb', 'ntb_hw_idt', 'ntb_pingpong'

GASAADDR, GASADATA = 0xff8, 0xffc
FCAP0CTL = 0x3e500
PRIMARY, SECONDARY = 1, 2


class FailoverTest(GuestTestCase):
    """A plays with B, then with C, which is at another port of the same
    partition, and with B again.  A's driver learns the ports when it is
    loaded."""

    def setUp(self):
        super().setUp()
        image = os.path.join(self.lab.folder, 'failover.img')
        subprocess.run([TOOL, 'build', IMAGE, image], check=True)
        names = {'A': (0, DRIVERS), 'B': (2, DRIVERS), 'C': (4, ())}
        for name, (port, modules) in names.items():
            self.guest(name, self.switch.port(f'port={port},eeprom={image}'),
                       boot=False, modules=modules,
                       append='ntb_pingpong.delay_ms=1')
        self.boot_all(self.guests)

    @staticmethod
    def write_switch(guest, address, value):
        """By configuration cycles, while no driver is there."""
        device = guest.run('grep -l 0x111d /sys/bus/pci/devices/*/vendor'
                           ).strip().rsplit('/', 1)[0]
        for offset, word in (GASAADDR, address), (GASADATA, value):
            data = ''.join(f'\\x{byte:02x}'
                           for byte in word.to_bytes(4, 'little'))
            guest.run(f'printf "{data}" | dd of={device}/config bs=4 '
                      f'seek={offset // 4} conv=notrunc 2>/dev/null')

    def fail_over(self, by, kind, leaves, comes):
        """LEAVES gives its place to COMES."""
        self.write_switch(by, FCAP0CTL, kind)
        pingpong.wait_stopped(self.guests[0])
        for guest in self.guests[0], leaves:
            guest.run('rmmod ntb_pingpong ntb_hw_idt')
        # The function has lost its BARs with its reset
        leaves.run('for vendor in $(grep -l 0x111d '
                   '/sys/bus/pci/devices/*/vendor); do '
                   'echo 1 >${vendor%/*}/remove; done; '
                   'echo 1 >/sys/bus/pci/rescan')
        for guest in self.guests[0], comes:
            guest.run(f'for module in {" ".join(DRIVERS)}; do '
                      'load $module; done')
        pingpong.wait_growing([self.guests[0], comes])

    def test_standby(self):
        guest_a, guest_b, guest_c = self.guests
        pingpong.wait_growing([guest_a, guest_b])
        self.fail_over(guest_c, PRIMARY, guest_b, guest_c)
        self.fail_over(guest_b, SECONDARY, guest_c, guest_b)
