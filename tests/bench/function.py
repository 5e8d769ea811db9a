# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI functions of a guest without a driver, and windows of idt-ntb."""

# Registers of an NT function (hw/misc/idt_ntb_regs.h)
NTCTL = 0x400
NTCTL_IDPROTDIS_AND_CPEN = 3
BARSETUP = 0x470
BARLIMIT = 0x474
BARLTBASE = 0x478
BARUTBASE = 0x47c
BAR_STRIDE = 0x10
BARSETUP_TPART_SHIFT = 13

# Configuration space
COMMAND = 4
COMMAND_MEMORY_AND_MASTER = 6


class Function:
    """The function in one slot of the root bus."""

    def __init__(self, guest, slot):
        self.guest = guest
        self.path = f'/sys/bus/pci/devices/0000:00:{slot:02x}.0'
        guest.run(f"printf '\\{COMMAND_MEMORY_AND_MASTER:03o}\\000' | "
                  f'dd of={self.path}/config bs=1 seek={COMMAND} '
                  'conv=notrunc 2>&1')

    def bar_address(self, bar):
        lines = self.guest.run(f'cat {self.path}/resource').splitlines()
        return int(lines[bar].split()[0], 0)

    def bar_file(self, bar):
        """Return the file to map: write-combining if the BAR is prefetchable,
        as drivers map windows."""
        return self.guest.run(f'ls {self.path}/resource{bar}_wc '
                              f'{self.path}/resource{bar} 2>/dev/null | '
                              'tail -n 1; true').strip()


def peek(guest, address, bits=32):
    return int(guest.run(f'devmem {address:#x} {bits}'), 0)


def poke(guest, address, value, bits=32):
    guest.run(f'devmem {address:#x} {bits} {value:#x}')


def open_window(function, bar, size, partition, address):
    """A direct window: all of the 64-bit BAR is ADDRESS in PARTITION."""
    guest = function.guest
    base = function.bar_address(0)
    limit = function.bar_address(bar) + size

    def write(register, value, number=bar):
        poke(guest, base + register + BAR_STRIDE * number, value & 0xffffffff)

    write(NTCTL, NTCTL_IDPROTDIS_AND_CPEN, 0)
    write(BARSETUP, partition << BARSETUP_TPART_SHIFT)
    write(BARLTBASE, address)
    write(BARUTBASE, address >> 32)
    write(BARLIMIT, limit)
    write(BARLIMIT, limit >> 32, bar + 1)
