# SPDX-License-Identifier: GPL-2.0-or-later
"""Unmodified ntb_tool in two guests: windows, doorbells, messages, link."""

import random
import re
import struct
import unittest

import ntbtool
from case import SOAK, GuestTestCase, SharedPairTestCase, soak_only
from guest import wait_until

MODULES = ('ntb', 'ntb_hw_idt', 'ntb_tool')
PAGE = 4096

# As a real board: BAR1, 24 entries of BAR2's lookup table, BAR4
WINDOWS = 26
# BARSETUP of BAR2: 64 bits, prefetchable, a table of 24 entries, 2^25; the same
# with 2^24
BARSETUP2 = 0x490
LUT24_32M = 0x8000119c
LUT24_16M = 0x8000118c

# The same with windows of one page, for the slow path
SMALL = 'bar1-size=4K,bar2-size=128K,bar4-size=4K'

# What QEMU says, once, when windows to a guest have no direct path
SLOW = 'memory-backend-memfd'


def direct_mappings(guest):
    """How many of this guest's windows are the peer's memory itself."""
    return guest.vm.cmd('qom-get', path='/machine/peripheral/ntb',
                        property='direct-mappings')


class Transfers:
    """What is done with windows, for test cases."""

    def transfer(self, sender, receiver, size=1 << 20):
        """Random data through all windows of SENDER, checked afterwards in
        the receiver's memory, and then read back through the windows."""
        buffers = receiver.allocate(size)
        self.assertEqual(len(buffers), WINDOWS)
        sender.open(buffers)
        numbers = range(WINDOWS)
        sent = sender.run(sender.fill_script(
            numbers, [size for _, size in buffers])).splitlines()
        self.assertEqual(len(set(sent)), WINDOWS)
        self.assertEqual(receiver.digests('mw', numbers), sent)
        self.assertEqual(sender.digests('peer_mw', numbers), sent)

    def transfer_at_once(self, tools, rounds):
        """Both guests write through all of their windows at the same time,
        each with two processes."""
        all_buffers = [tool.allocate(1 << 20) for tool in tools]
        for tool, buffers in zip(tools, reversed(all_buffers)):
            self.assertEqual(len(buffers), WINDOWS)
            tool.open(buffers)
        halves = range(0, WINDOWS, 2), range(1, WINDOWS, 2)
        for _ in range(rounds):
            started = [tool.send(
                ''.join('{\n' + tool.fill_script(
                    half, [size for _, size in buffers]) +
                    f'\n}} >/tmp/half{number} &\n'
                    for number, half in enumerate(halves)) +
                'wait; cat /tmp/half0 /tmp/half1')
                for tool, buffers in zip(tools, reversed(all_buffers))]
            ended = [tool.finish(number)
                     for tool, number in zip(tools, started)]
            for receiver, (status, output) in zip(reversed(tools), ended):
                self.assertEqual(status, 0, output)
                self.assertEqual(
                    receiver.digests('mw', [*halves[0], *halves[1]]),
                    output.splitlines())


class ToolTest(Transfers, SharedPairTestCase):
    """Two guests whose RAM is shared: the direct path."""

    MODULES = MODULES
    KIND = {'shared': True}

    def setUp(self):
        super().setUp()
        self.tools = [ntbtool.Tool(guest) for guest in self.guests]
        for tool in self.tools:
            self.assertEqual(tool.windows, WINDOWS)

    def tearDown(self):
        # Unloaded with open windows, ntb_tool removes their files twice
        for tool in self.tools:
            tool.close()
            tool.free()
        super().tearDown()

    def both_ways(self):
        return self.tools, self.tools[::-1]

    def test_windows(self):
        ntbtool.connect(*self.tools)
        for sender, receiver in self.both_ways():
            self.transfer(sender, receiver)
        for guest in self.guests:
            self.assertEqual(direct_mappings(guest), WINDOWS)
        for tool in self.tools:
            tool.close()
            self.assertEqual(direct_mappings(tool.guest), 0)

    def test_windows_without_link(self):
        """A guest that has its link disabled reaches nothing through its
        windows: they drop what it writes and read as all ones.  What others
        write comes to it as before."""
        sender, receiver = self.tools
        ones = sender.run('tr "\\0" "\\377" </dev/zero | head -c 4096 | '
                          'sha256sum')
        # One of each kind of BAR
        numbers = 0, 1, WINDOWS - 1
        sizes = [4096] * WINDOWS
        ntbtool.connect(*self.tools)
        sender.open(receiver.allocate(4096))
        for down in self.tools:
            sent = sender.run(sender.fill_script(numbers, sizes)).splitlines()
            self.assertEqual(receiver.digests('mw', numbers, 4096), sent)
            self.assertEqual(sender.digests('peer_mw', numbers, 4096), sent)
            self.assertEqual(direct_mappings(sender.guest), 3)

            down.write('link', 'N')
            mapped = 0 if down is sender else 3
            self.assertEqual(direct_mappings(sender.guest), mapped)
            filled = sender.run(sender.fill_script(numbers,
                                                   sizes)).splitlines()
            if down is receiver:
                sent = filled
            self.assertEqual(sender.digests('peer_mw', numbers, 4096),
                             [ones] * 3 if down is sender else sent)
            self.assertEqual(receiver.digests('mw', numbers, 4096), sent)
            self.assertEqual(direct_mappings(sender.guest), mapped)

            ntbtool.connect(*self.tools)
            self.assertEqual(sender.digests('peer_mw', numbers, 4096), sent)

    @staticmethod
    def window_sizes(guest):
        info = guest.run('cat /sys/kernel/debug/ntb_hw_idt/info:*')
        return [int(size) for size in re.findall(r'Size max (\d+)', info)]

    def test_layout(self):
        """Linux gives BAR2 another size, and its old one: it finds what the
        register says when it enumerates the device again, and the other
        guest when it loads its driver."""
        guest = self.guest_a
        device = guest.run('readlink -f '
                           '/sys/bus/pci/drivers/ntb_hw_idt/0000:*').strip()
        for setup, size in (LUT24_16M, 512 << 10), (LUT24_32M, 1 << 20):
            value = ''.join(f'\\x{byte:02x}'
                            for byte in struct.pack('<I', setup))
            guest.run(f'cd {device} && printf "{value}" | '
                      f'dd of=config bs=4 seek={BARSETUP2 // 4} '
                      'conv=notrunc 2>/dev/null && '
                      'echo 1 >remove && echo 1 >/sys/bus/pci/rescan')
            self.guest_b.run('rmmod ntb_tool ntb_hw_idt && load ntb_hw_idt')
            self.tools = [ntbtool.Tool(guest) for guest in self.guests]
            # Its own windows and the other guest's, of BAR1, BAR2 and BAR4
            self.assertEqual([self.window_sizes(guest)
                              for guest in self.guests],
                             [[1 << 20, size, 1 << 20] + [1 << 20] * 3,
                              [1 << 20] * 3 + [1 << 20, size, 1 << 20]])
            if size != 1 << 20:
                ntbtool.connect(*self.tools)
                self.transfer(*self.tools, size)
                self.assertEqual(direct_mappings(self.guest_a), WINDOWS)
                self.tools[0].close()
                self.tools[1].free()

    def test_doorbells(self):
        """All 32, one by one, and an interrupt."""
        ntbtool.connect(*self.tools)
        for here, there in self.both_ways():
            mask = there.number('db_valid_mask')
            self.assertEqual(mask, 0xffffffff)
            there.write('db_mask', f's {mask:#x}')
            there.write('db', f'c {mask:#x}')
            seen = 0
            for bit in range(32):
                self.assertEqual(there.number('db'), seen)
                here.write('peer_db', f's {1 << bit:#x}')
                seen |= 1 << bit
            self.assertEqual(there.number('db'), mask)
            there.write('db', f'c {mask:#x}')
            self.assertEqual(there.number('db'), 0)
            there.write('db_mask', f'c {mask:#x}')
            with there.event('db_event', '0x80000001', 'tool_db_event_write'):
                here.write('peer_db', 's 0x80000001')
            there.write('db', f'c {mask:#x}')

    def test_messages(self):
        """All four, with the sender's index; a full one tells the sender."""
        ntbtool.connect(*self.tools)
        for here, there in self.both_ways():
            bits = there.number('msg_inbits')
            for tool in self.tools:
                tool.write('msg_sts', f'c {bits | bits >> 16:#x}')
            there.write('msg_mask', f'c {bits:#x}')
            values = [random.getrandbits(32) for _ in range(4)]
            # The interrupt is that of the first
            with there.event('msg_event', f'{bits & -bits:#x}',
                             'tool_msg_event_write'):
                here.write('peer0/msg0', f'{values[0]:#x}')
            for number, value in enumerate(values[1:], 1):
                here.write(f'peer0/msg{number}', f'{value:#x}')
            self.assertEqual(there.number('msg_sts'), bits)
            self.assertEqual(here.number('msg_sts') & 0xf, 0)
            # The second one is refused, the first one stays
            here.write('peer0/msg1', '0x11111111')
            self.assertEqual(here.number('msg_sts') & 0xf, 2)
            for number, value in enumerate(values):
                self.assertEqual(there.read(f'msg{number}'),
                                 f'0x{value:08x}<-0')
            there.write('msg_sts', f'c {bits:#x}')
            self.assertEqual(there.number('msg_sts'), 0)

    def test_link(self):
        """Up when both want it, down when one does not; each change wakes
        the other guest."""
        function = 'tool_peer_link_event_write'
        for here, there in self.both_ways():
            here.write('link', 'Y')
            for tool in self.tools:
                self.assertEqual(tool.read('peer0/link'), 'N')
            with here.event('peer0/link_event', 'Y', function):
                there.write('link', 'Y')
            wait_until(lambda t=there: t.read('peer0/link') == 'Y',
                       'the link is up on both sides')
            with there.event('peer0/link_event', 'N', function):
                here.write('link', 'N')
            self.assertEqual(here.read('peer0/link'), 'N')
            there.write('link', 'N')


class TranslationTest(SharedPairTestCase):
    """Translated addresses that a mapping can't have, with accesses of a CPU:
    memory is mapped whole page on whole page; a translation may begin at any
    DWORD."""

    # A direct window, and one of the lookup table
    NUMBERS = 0, 1

    MODULES = MODULES
    KIND = {'shared': True}

    def test_every_dword(self):
        """The first DWORD of a window is put on each DWORD of a page in
        turn, and its own number is written there."""
        sender, receiver = [ntbtool.Tool(guest) for guest in self.guests]
        ntbtool.connect(sender, receiver)
        buffers = receiver.allocate(1 << 20)
        # What is behind the page shall stay as it is
        want = b''.join(struct.pack('<I', n) for n in range(PAGE // 4))
        want += b'\0' * PAGE
        for number in self.NUMBERS:
            address = buffers[number][0]
            # One command a line, and all of them the shell's own: no process
            sender.run('\n'.join(
                f'echo {address + 4 * n}:1048576 '
                f'>peer0/peer_mw_trans{number}\n'
                f"printf '\\x{n % 256:02x}\\x{n // 256:02x}\\0\\0' "
                f'>peer0/peer_mw{number}' for n in range(PAGE // 4)))
            sender.write(f'peer0/peer_mw_trans{number}', '0:0')
            got = bytes.fromhex(receiver.run(
                f'head -c {2 * PAGE} peer0/mw{number} | xxd -p | tr -d "\\n"'))
            self.assertEqual(got, want)
        receiver.free()


class RequestTest(Transfers, GuestTestCase):
    """Guests whose RAM is their own: everything goes by request."""

    def test_windows(self):
        self.expect_qemu_log(SLOW)
        pair = [self.guest(name, self.switch.port(SMALL), boot=False,
                           modules=MODULES) for name in 'AB']
        self.boot_all(pair)
        tools = [ntbtool.Tool(guest) for guest in pair]
        ntbtool.connect(*tools)
        for sender, receiver in (tools, tools[::-1]):
            self.transfer(sender, receiver, 4096)
        for guest in pair:
            self.assertEqual(direct_mappings(guest), 0)
            # The user is told, once
            self.assertEqual(len(guest.qemu_log().splitlines()), 1,
                             guest.qemu_log())


class SmpTest(Transfers, GuestTestCase):
    """Two processors in each guest."""

    def test_windows(self):
        pair = [self.guest(name, [*self.switch.port(), '-smp', '2'],
                           boot=False, modules=MODULES, shared=True)
                for name in 'AB']
        self.boot_all(pair)
        tools = [ntbtool.Tool(guest) for guest in pair]
        for tool in tools:
            self.assertEqual(tool.guest.run('nproc').strip(), '2')
        ntbtool.connect(*tools)
        self.transfer_at_once(tools, rounds=SOAK)


class IommuTest(Transfers, GuestTestCase):
    """B's devices see its memory through an IOMMU, where A's windows can
    only follow by request; A has none."""

    def test_intel(self):
        self.check('intel-iommu', 'intel_iommu=on')

    @soak_only
    def test_amd(self):
        self.check('amd-iommu')

    def check(self, device, append=''):
        pair = [self.guest('A', self.switch.port(SMALL), boot=False,
                           modules=MODULES, shared=True),
                self.guest('B', ['-device', device,
                                 *self.switch.port(SMALL)], boot=False,
                           modules=MODULES, shared=True, append=append)]
        self.boot_all(pair)
        # It is on, and translates
        kind = pair[1].run(
            'cat /sys/bus/pci/drivers/ntb_hw_idt/0*/iommu_group/type')
        self.assertIn(kind.strip(), ('DMA', 'DMA-FQ'))
        tools = [ntbtool.Tool(guest) for guest in pair]
        ntbtool.connect(*tools)
        for sender, receiver in (tools, tools[::-1]):
            self.transfer(sender, receiver, 4096)
        self.assertEqual(direct_mappings(pair[0]), 0)
        self.assertEqual(direct_mappings(pair[1]), WINDOWS)
        # What an IOMMU does not know of it reports
        self.assertNotRegex(pair[1].dmesg(), 'DMAR.*fault|IO_PAGE_FAULT')


if __name__ == '__main__':
    unittest.main()
