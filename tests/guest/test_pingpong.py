# SPDX-License-Identifier: GPL-2.0-or-later
"""Unmodified ntb_pingpong in two guests."""

import time
import unittest

import pingpong
from case import SOAK, GuestTestCase, SharedPairTestCase


class PingPongTest(SharedPairTestCase):
    """Two guests, one QEMU process each, count up together."""

    SECONDS = 10 if SOAK == 1 else 60 * SOAK

    def play(self, delay_ms):
        """Let two guests play; both must count again and again, and alike.

        A doorbell that goes missing stops the game for good.
        """
        pair = self.guests
        for guest in pair:
            pingpong.set_delay(guest, delay_ms)
        pingpong.wait_growing(pair)
        start = pingpong.counts_at_rest(pair)
        for _ in range(self.SECONDS):
            time.sleep(1)
            pingpong.wait_growing(pair)
        grown = [after - before for before, after in
                 zip(start, pingpong.counts_at_rest(pair))]
        print(f'delay_ms={delay_ms}: A {grown[0]}, B {grown[1]} '
              f'in {self.SECONDS} s', flush=True)
        # Up to two pings are under way, whichever way
        self.assertLessEqual(abs(grown[0] - grown[1]), 2)

    def test_at_1_ms(self):
        self.play(1)

    def test_without_delay(self):
        self.play(0)


class StartOrderTest(GuestTestCase):
    """Which guest is there first makes no difference."""

    DELAY = 'ntb_pingpong.delay_ms=1'

    def test_lower_port_first(self):
        self.one_after_the_other(['port=0', 'port=2'])

    def test_higher_port_first(self):
        self.one_after_the_other(['port=2', 'port=0'])

    def one_after_the_other(self, ports):
        first, second = [
            self.guest(name, self.switch.port(port), boot=False,
                       append=self.DELAY) for name, port in zip('AB', ports)]
        first.boot()
        # It plays alone for long, then another QEMU brings the peer
        time.sleep(2)
        self.assertEqual(pingpong.count(first), 0)
        self.assertEqual(pingpong.links(first), 0)
        second.boot()
        pingpong.wait_growing([first, second])
        self.assertEqual([pingpong.links(g) for g in (first, second)], [1, 1])

    def test_device_long_before_driver(self):
        """Both guests run, their drivers are loaded by and by."""
        pair = self.pair(modules=(), append=self.DELAY)
        for module in ('ntb', 'ntb_hw_idt', 'ntb_pingpong'):
            for guest in pair:
                guest.run(f'load {module}')
        pingpong.wait_growing(pair)


class TwoPortsTest(GuestTestCase):
    """More than one port in a guest."""

    DELAY = 'ntb_pingpong.delay_ms=1'

    def test_two_ports_in_one_guest(self):
        """One QEMU, one guest, both ends of the switch."""
        guest = self.guest(
            'A', [*self.switch.port(name='left', slot=2),
                  *self.switch.port(name='right', slot=3)], append=self.DELAY)
        paths = guest.run(f'ls {pingpong.COUNT}').split()
        self.assertEqual(len(paths), 2)

        def both():
            return [int(n, 0) for n in guest.run(
                'cat ' + ' '.join(paths)).split()]

        start = both()
        pingpong.wait_until(
            lambda: min(now - before
                        for now, before in zip(both(), start)) > 20,
            'both ports of one guest count')

    def test_two_switches_in_one_guest(self):
        """Ports of different switches in one guest do not disturb."""
        other = self.lab.add_switch('other')
        guest_a = self.guest(
            'A', [*self.switch.port(name='one', slot=2),
                  *other.port(name='two', slot=3)], append=self.DELAY)
        guest_b = self.guest('B', append=self.DELAY)
        pingpong.wait_growing([guest_b])
        counts = guest_a.run(f'cat {pingpong.COUNT}').split()
        self.assertEqual(sorted(int(n, 0) > 0 for n in counts), [False, True])


if __name__ == '__main__':
    unittest.main()
