# SPDX-License-Identifier: GPL-2.0-or-later
"""Translated addresses that a mapping can't have, with accesses of a CPU."""

import struct

import ntbtool
from case import SharedPairTestCase

PAGE = 4096
# A direct window, and one of the lookup table
NUMBERS = 0, 1


class TranslationTest(SharedPairTestCase):
    """Memory is mapped whole page on whole page; a translation may begin at
    any DWORD."""

    MODULES = ('ntb', 'ntb_hw_idt', 'ntb_tool')
    PAIR = {'shared': True}

    def test_every_dword(self):
        """The first DWORD of a window is put on each DWORD of a page in
        turn, and its own number is written there."""
        sender, receiver = [ntbtool.Tool(guest) for guest in self.guests]
        ntbtool.connect(sender, receiver)
        buffers = receiver.allocate(1 << 20)
        # What is behind the page shall stay as it is
        want = b''.join(struct.pack('<I', n) for n in range(PAGE // 4))
        want += b'\0' * PAGE
        for number in NUMBERS:
            address = buffers[number][0]
            # One command a line, and all of them the shell's own: no process
            sender.run('\n'.join(
                f'echo {address + 4 * n:#x}:1048576 '
                f'>peer0/peer_mw_trans{number}\n'
                f"printf '\\x{n % 256:02x}\\x{n // 256:02x}\\0\\0' "
                f'>peer0/peer_mw{number}' for n in range(PAGE // 4)),
                deadline=240)
            sender.write(f'peer0/peer_mw_trans{number}', '0:0')
            got = bytes.fromhex(receiver.run(
                f'head -c {2 * PAGE} peer0/mw{number} | xxd -p | tr -d "\\n"'))
            self.assertEqual(got, want)
        receiver.free()
