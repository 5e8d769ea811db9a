# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest B goes away and comes back in every way; A plays on untouched."""

import pingpong
import pytest
from guest import DEADLINE, wait_until

DELAY = 'ntb_pingpong.delay_ms=1'


def poweroff(guest):
    """Linux switches itself off."""
    guest.send('poweroff -f')
    wait_until(lambda: not guest.running(), 'B is off')
    guest.shutdown()


def sleep(guest):
    """Linux puts the machine to sleep, until it is reset."""
    if guest.try_run('grep deep /sys/power/mem_sleep')[0]:
        pytest.skip('a machine without S3')
    guest.send('echo deep >/sys/power/mem_sleep; echo mem >/sys/power/state')
    assert guest.vm.event_wait('SUSPEND', DEADLINE)


def wake_up(guest):
    guest.vm.cmd('system_reset')
    assert guest.vm.event_wait('RESET', DEADLINE)
    guest.vm.cmd('cont')
    guest.wait_ready()


WAYS = {
    'reset-button': (lambda b: b.reset(), lambda b: None),
    'reboot': (lambda b: b.reboot(), lambda b: None),
    'shutdown': (lambda b: b.shutdown(), lambda b: b.boot()),
    'kill': (lambda b: b.kill(), lambda b: b.boot()),
    'poweroff': (poweroff, lambda b: b.boot()),
    'sleep': (sleep, wake_up),
}


@pytest.mark.guests(modules=('ntb', 'ntb_hw_idt'))
@pytest.mark.machines('newest', 'arm64-a', 'arm64-b')
@pytest.mark.parametrize('way', WAYS)
def test_restart(guests, way):
    """Nothing is ever done to A: its driver has to notice by itself.

    B's ntb_pingpong is loaded by hand when it is there again, so that A's
    link is certainly seen down before it can come up.
    """
    go_away, come_back = WAYS[way]
    guest_a, guest_b = guests
    for guest in guests:
        guest.run('load ntb_pingpong')
    pingpong.wait_growing(guests)

    go_away(guest_b)
    pingpong.wait_links(guest_a, 0)
    stopped = pingpong.wait_stopped(guest_a)
    come_back(guest_b)
    assert pingpong.links(guest_a) == 0
    assert pingpong.count(guest_a) == stopped
    guest_b.run('load ntb_pingpong')
    pingpong.wait_links(guest_a, 1)
    pingpong.wait_growing(guests)
    # B counts from nothing, A goes on from where it was
    assert pingpong.count(guest_a) > stopped + 19


def interrupts(guest):
    return int(guest.run('grep ntb_irq_idt /proc/interrupts').split()[1])


def test_link_events(lab):
    """A link that goes up or down interrupts the other guest.

    Neither has a client, and Linux does not even come up in B: nothing else
    does.
    """
    guest_a = lab.guest('a', modules=('ntb', 'ntb_hw_idt'))
    guest_b = lab.guest('b', modules=(), boot=False)
    for go, what in ((lambda: guest_b.boot(wait=False), 'up'),
                     (lambda: guest_b.vm.cmd('system_reset'), 'reset'),
                     (guest_b.kill, 'down'),
                     (lambda: guest_b.boot(wait=False), 'up again')):
        before = interrupts(guest_a)
        go()
        wait_until(lambda n=before: interrupts(guest_a) > n,
                   f'an interrupt for a link that goes {what}')
    guest_b.wait_ready()


@pytest.mark.everything
@pytest.mark.parametrize('way', ['reset-button', 'kill'])
def test_restart_at_full_speed(lab, way):
    """The drivers load at boot, and no guest waits for the other one."""
    go_away, come_back = WAYS[way]
    pair = lab.pair(append='ntb_pingpong.delay_ms=0')
    for _ in range(20):
        pingpong.wait_growing(pair, pings=500)
        go_away(pair[1])
        come_back(pair[1])
    pingpong.wait_growing(pair, pings=500)


def test_server_killed(lab):
    """The ports that are attached do without the server."""
    guest_a, guest_b = pair = lab.pair(append=DELAY)
    pingpong.wait_growing(pair)
    lab.expect_qemu_log('ivshmem-server')
    lab.switch.kill()
    pingpong.wait_growing(pair, pings=500)

    guest_b.run('rmmod ntb_pingpong')
    pingpong.wait_links(guest_a, 0)
    guest_b.run('load ntb_pingpong')
    pingpong.wait_growing(pair)

    guest_b.reset()
    pingpong.wait_growing(pair)

    # The user is told, once
    for guest in pair:
        assert len(guest.qemu_log().splitlines()) == 1, guest.qemu_log()

    # Nobody reports the death of B, and A finds out nevertheless
    guest_b.kill()
    pingpong.wait_links(guest_a, 0)
    pingpong.wait_stopped(guest_a)


@pytest.mark.parametrize('fresh_memory', [False, True],
                         ids=['memory-it-left', 'other-memory'])
def test_new_server(lab, fresh_memory):
    """The server is killed and another one started; ports whose chardev
    reconnects meet there again, and no guest has to do anything."""
    lab.expect_qemu_log(
        'ivshmem-server|reconnect-ms|new server|Unable to connect')
    pair = [lab.guest(name, lab.switch.port(reconnect=True), boot=False,
                      append=DELAY) for name in 'AB']
    lab.boot_all()
    pingpong.wait_growing(pair)
    for times in 1, 2:
        lab.switch.kill()
        pingpong.wait_growing(pair)
        lab.switch.start(fresh_memory)
        for guest in pair:
            wait_until(lambda g=guest, n=times: g.qemu_log().count(
                'attached to the new server') == n,
                       f'{guest.name} is attached to the new server')
        pingpong.wait_growing(pair)
    # And a guest that comes new finds its peer there
    pair[1].kill()
    pingpong.wait_links(pair[0], 0)
    pair[1].boot()
    pingpong.wait_growing(pair)
