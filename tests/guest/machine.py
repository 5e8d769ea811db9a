# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of machines that guests run on."""

import os
from dataclasses import dataclass, replace

import settings


@dataclass(frozen=True)
class Machine:
    """An emulator with its kernel, and what differs from others to a test."""

    args: tuple
    # The kernel's name of the first serial port
    console: str
    # Instead of what ./ntb env says
    qemu: str = None
    kernel: str = None
    initrd: str = None
    # Physical address of its RAM
    ram: int = 0

    def with_args(self, *args):
        """The same machine with these arguments instead."""
        return replace(self, args=args)


def _foreign(architecture, emulator, *args, **kwargs):
    """A machine of an architecture as Debian calls it: see scripts/guest."""
    folder = os.path.join(settings.GUESTS, architecture)
    return Machine(args, qemu=os.path.join(settings.BUILD_ALL, emulator),
                   kernel=os.path.join(folder, 'vmlinux'),
                   initrd=os.path.join(folder, 'initrd'), **kwargs)


Q35 = Machine(('-M', 'q35'), 'ttyS0')

# The newest kernel that Debian has the source of
NEWEST = replace(Q35, kernel=os.path.join(settings.GUESTS, 'sid', 'vmlinux'),
                 initrd=os.path.join(settings.GUESTS, 'sid', 'initrd'))

# MSIs by the ITS, by GICv2m, and none at all
ARM64_ITS = _foreign('arm64', 'qemu-system-aarch64', '-M',
                     'virt,gic-version=3', '-cpu', 'cortex-a72',
                     console='ttyAMA0', ram=0x40000000)
ARM64_V2M = ARM64_ITS.with_args('-M', 'virt,gic-version=2', '-cpu',
                                'cortex-a72')
ARM64_INTX = ARM64_ITS.with_args('-M', 'virt,gic-version=3,its=off', '-cpu',
                                 'cortex-a72')
