# SPDX-License-Identifier: GPL-2.0-or-later
"""ntb_perf in two guests, unmodified and with patches/linux."""

import unittest

from case import GuestTestCase, SharedPairTestCase
from guest import wait_until
from ntbperf import FIXED, PAGE, TOTAL_ORDER, UNMODIFIED, Perf


def pages(data):
    return [data[n:n + PAGE] for n in range(0, len(data), PAGE)]


class PerfChecks:
    """What is done in both test cases."""

    MODULES = ('ntb', 'ntb_hw_idt')

    def load(self, module):
        if self.guests[0].try_run(f'[ -f {module} ]')[0] != 0:
            self.skipTest(f'a kernel of your own: no {module}')
        both = [Perf(guest, module) for guest in self.guests]
        for perf in both:
            perf.wait_ready()
        return both, both[::-1]

    def check_run(self, sender):
        self.assertIn(f'copied {1 << TOTAL_ORDER} bytes', sender.run())

    def check_unmodified(self):
        """Its handshake works, its run "succeeds", and not one byte arrives:
        it writes through a window that nobody opened."""
        for sender, receiver in self.load(UNMODIFIED):
            self.check_run(sender)
            data = receiver.received()
            self.assertGreaterEqual(len(data), PAGE)
            self.assertEqual(data, bytes(len(data)))

    def check_fixed(self):
        """What arrives is what was sent."""
        for sender, receiver in self.load(FIXED):
            self.assertFalse(any(receiver.received()))
            self.check_run(sender)
            first = pages(receiver.received())
            self.assertEqual(len(set(first)), len(first))
            self.assertNotIn(bytes(PAGE), first)
            sender.run_for_ever()
            wait_until(lambda r=receiver: not set(pages(r.received())) &
                       set(first), 'all of the buffer is new')
            wait_until(lambda s=sender, r=receiver: s.has_sent(r.received()),
                       'the sender has what arrived')
            sender.stop()


class PerfTest(PerfChecks, SharedPairTestCase):
    """By the direct path."""

    KIND = {'shared': True}

    def test_unmodified(self):
        self.check_unmodified()

    def test_fixed(self):
        self.check_fixed()


class PerfRequestTest(PerfChecks, GuestTestCase):
    """RAM is not shared: each store is a request."""

    def test_fixed(self):
        self.expect_qemu_log('memory-backend-memfd')
        for name in 'AB':
            self.guest(name, self.switch.port(
                'bar1-size=4K,bar2-size=128K,bar4-size=4K'), boot=False,
                       modules=self.MODULES)
        self.boot_all(self.guests)
        self.check_fixed()


if __name__ == '__main__':
    unittest.main()
