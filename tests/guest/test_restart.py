# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest B goes away and comes back in every way; A plays on untouched."""

import unittest

import pingpong
from case import (SOAK, GuestTestCase, SharedPairTestCase,
                  soak_only)
from guest import DEADLINE, wait_until


class RestartTest(SharedPairTestCase):
    """Nothing is ever done to A: its driver has to notice by itself.

    B's ntb_pingpong is loaded by hand when it is there again, so that A's
    link is certainly seen down before it can come up.
    """

    MODULES = ('ntb', 'ntb_hw_idt')
    ROUNDS = SOAK

    def setUp(self):
        super().setUp()
        for guest in self.guests:
            guest.run('load ntb_pingpong')
        pingpong.wait_growing(self.guests)

    def check_restart(self, go_away, come_back):
        for _ in range(self.ROUNDS):
            go_away()
            pingpong.wait_links(self.guest_a, 0)
            stopped = pingpong.wait_stopped(self.guest_a)
            come_back()
            self.assertEqual(pingpong.links(self.guest_a), 0)
            self.assertEqual(pingpong.count(self.guest_a), stopped)
            self.guest_b.run('load ntb_pingpong')
            pingpong.wait_links(self.guest_a, 1)
            pingpong.wait_growing(self.guests)
            # B counts from nothing, A goes on from where it was
            self.assertGreater(pingpong.count(self.guest_a), stopped + 19)

    def nothing(self):
        pass

    def test_reset_button(self):
        self.check_restart(self.guest_b.reset, self.nothing)

    def test_reboot(self):
        self.check_restart(self.guest_b.reboot, self.nothing)

    def test_shutdown(self):
        self.check_restart(self.guest_b.shutdown, self.guest_b.boot)

    def test_kill(self):
        self.check_restart(self.guest_b.kill, self.guest_b.boot)

    def test_poweroff(self):
        """Linux switches itself off."""
        def go_away():
            self.guest_b.send('poweroff -f')
            wait_until(lambda: not self.guest_b.running(), 'B is off')
            self.guest_b.shutdown()
        self.check_restart(go_away, self.guest_b.boot)

    def test_sleep(self):
        """Linux puts the machine to sleep, until it is reset."""
        if self.guest_b.try_run('grep deep /sys/power/mem_sleep')[0]:
            self.skipTest('a machine without S3')

        def go_away():
            self.guest_b.send('echo deep >/sys/power/mem_sleep; '
                              'echo mem >/sys/power/state')
            self.assertTrue(self.guest_b.vm.event_wait('SUSPEND',
                                                       DEADLINE))

        def come_back():
            self.guest_b.vm.cmd('system_reset')
            self.assertTrue(self.guest_b.vm.event_wait('RESET',
                                                       DEADLINE))
            self.guest_b.vm.cmd('cont')
            self.guest_b.wait_ready()
        self.check_restart(go_away, come_back)


class LinkEventTest(GuestTestCase):
    """A link that goes up or down interrupts the other guest.

    Neither has a client, and Linux does not even come up in B: nothing else
    does.
    """

    def test_up_and_down(self):
        guest_a = self.guest('a', modules=('ntb', 'ntb_hw_idt'))
        guest_b = self.guest('b', modules=(), boot=False)
        for go, what in ((lambda: guest_b.boot(wait=False), 'up'),
                         (lambda: guest_b.vm.cmd('system_reset'), 'reset'),
                         (guest_b.kill, 'down'),
                         (lambda: guest_b.boot(wait=False), 'up again')):
            before = self.interrupts(guest_a)
            go()
            wait_until(lambda n=before: self.interrupts(guest_a) > n,
                       f'an interrupt for a link that goes {what}')
        guest_b.wait_ready()

    @staticmethod
    def interrupts(guest):
        return int(guest.run('grep ntb_irq_idt /proc/interrupts').split()[1])


@soak_only
class FullSpeedTest(GuestTestCase):
    """Nothing is loaded by hand, nobody waits for anybody."""

    ROUNDS = SOAK

    def test_reset_while_playing(self):
        pair = self.pair(append='ntb_pingpong.delay_ms=0')
        for _ in range(self.ROUNDS):
            pingpong.wait_growing(pair, pings=500)
            pair[1].reset()
        pingpong.wait_growing(pair, pings=500)

    def test_kill_while_playing(self):
        pair = self.pair(append='ntb_pingpong.delay_ms=0')
        for _ in range(self.ROUNDS):
            pingpong.wait_growing(pair, pings=500)
            pair[1].kill()
            pair[1].boot()
        pingpong.wait_growing(pair, pings=500)


class WithoutServerTest(GuestTestCase):
    """The ports that are attached do without the server."""

    def test_server_killed(self):
        guest_a, guest_b = self.pair(append='ntb_pingpong.delay_ms=1')
        pingpong.wait_growing(self.guests)
        self.expect_qemu_log('ivshmem-server')
        self.switch.kill()
        pingpong.wait_growing(self.guests, pings=500)

        guest_b.run('rmmod ntb_pingpong')
        pingpong.wait_links(guest_a, 0)
        guest_b.run('load ntb_pingpong')
        pingpong.wait_growing(self.guests)

        guest_b.reset()
        pingpong.wait_growing(self.guests)

        # The user is told, once
        for guest in self.guests:
            self.assertEqual(len(guest.qemu_log().splitlines()), 1,
                             guest.qemu_log())

        # Nobody reports the death of B, and A finds out nevertheless
        guest_b.kill()
        pingpong.wait_links(guest_a, 0)
        pingpong.wait_stopped(guest_a)


class NewServerTest(GuestTestCase):
    """The server is killed and another one started; ports whose chardev
    reconnects meet there again, and no guest has to do anything."""

    def test_on_the_memory_it_left(self):
        self.play_and_restart(fresh_memory=False)

    def test_on_other_memory(self):
        self.play_and_restart(fresh_memory=True)

    def play_and_restart(self, fresh_memory):
        self.expect_qemu_log('ivshmem-server|new server|Unable to connect')
        pair = [self.guest(name, self.switch.port(reconnect=True), boot=False,
                           append='ntb_pingpong.delay_ms=1') for name in 'AB']
        self.boot_all(pair)
        pingpong.wait_growing(pair)
        for times in range(1, 1 + 2 * SOAK):
            self.switch.kill()
            pingpong.wait_growing(pair)
            self.switch.start(fresh_memory)
            for guest in pair:
                wait_until(
                    lambda g=guest, n=times: g.qemu_log().count(
                        'attached to the new server') == n,
                    f'{guest.name} is attached to the new server')
            pingpong.wait_growing(pair)
        # And a guest that comes new finds its peer there
        pair[1].kill()
        pingpong.wait_links(pair[0], 0)
        pair[1].boot()
        pingpong.wait_growing(pair)


if __name__ == '__main__':
    unittest.main()
