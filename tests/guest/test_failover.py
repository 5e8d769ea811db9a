# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that stands by takes the place of another one."""

import os
import pathlib
import subprocess

import pingpong

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
DRIVERS = 'ntb', 'ntb_hw_idt', 'ntb_pingpong'

GASAADDR, GASADATA = 0xff8, 0xffc
FCAP0CTL = 0x3e500
PRIMARY, SECONDARY = 1, 2


def write_switch(guest, address, value):
    """By configuration cycles, while no driver is there."""
    device = guest.run('grep -l 0x111d /sys/bus/pci/devices/*/vendor'
                       ).strip().rsplit('/', 1)[0]
    for offset, word in (GASAADDR, address), (GASADATA, value):
        data = ''.join(f'\\x{byte:02x}' for byte in word.to_bytes(4, 'little'))
        guest.run(f'printf "{data}" | dd of={device}/config bs=4 '
                  f'seek={offset // 4} conv=notrunc 2>/dev/null')


def fail_over(guest_a, by, kind, leaves, comes):
    """LEAVES gives its place to COMES."""
    write_switch(by, FCAP0CTL, kind)
    pingpong.wait_stopped(guest_a)
    for guest in guest_a, leaves:
        guest.run('rmmod ntb_pingpong ntb_hw_idt')
    # The function has lost its BARs with its reset
    leaves.run('for vendor in $(grep -l 0x111d /sys/bus/pci/devices/*/vendor);'
               ' do echo 1 >${vendor%/*}/remove; done; '
               'echo 1 >/sys/bus/pci/rescan')
    for guest in guest_a, comes:
        guest.run(f'for module in {" ".join(DRIVERS)}; do load $module; done')
    pingpong.wait_growing([guest_a, comes])


def test_standby(lab):
    """A plays with B, then with C, which is at another port of the same
    partition, and with B again.  A's driver learns the ports when it is
    loaded."""
    image = os.path.join(lab.folder, 'failover.img')
    subprocess.run([TOP / 'scripts/idt-ntb-eeprom.py', 'build',
                    TOP / 'docs/specs/idt-ntb-eeprom/failover.txt', image],
                   check=True)
    guest_a, guest_b, guest_c = [
        lab.guest(name, lab.switch.port(f'port={port},eeprom={image}'),
                  boot=False, modules=modules,
                  append='ntb_pingpong.delay_ms=1')
        for name, port, modules in (('A', 0, DRIVERS), ('B', 2, DRIVERS),
                                    ('C', 4, ()))]
    lab.boot_all()
    pingpong.wait_growing([guest_a, guest_b])
    fail_over(guest_a, guest_c, PRIMARY, guest_b, guest_c)
    fail_over(guest_a, guest_b, SECONDARY, guest_c, guest_b)
