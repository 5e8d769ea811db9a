# SPDX-License-Identifier: GPL-2.0-or-later
"""Unmodified ntb_pingpong in two guests."""

import time

import pingpong
import pytest

SECONDS = 10
DELAY = 'ntb_pingpong.delay_ms=1'


@pytest.mark.guests
@pytest.mark.machines('newest-b', 'arm64', 'arm64-b')
@pytest.mark.parametrize('delay_ms', [1, 0])
def test_play(guests, delay_ms):
    """Two guests, one QEMU process each, count again and again, and alike.

    A doorbell that goes missing stops the game for good.
    """
    for guest in guests:
        pingpong.set_delay(guest, delay_ms)
    pingpong.wait_growing(guests)
    start = pingpong.counts_at_rest(guests)
    for _ in range(SECONDS):
        time.sleep(1)
        pingpong.wait_growing(guests)
    a, b = [after - before for before, after in
            zip(start, pingpong.counts_at_rest(guests))]
    # Up to two pings are under way, whichever way
    assert abs(a - b) <= 2


@pytest.mark.machines('arm64-b')
@pytest.mark.parametrize('ports', [(0, 2), (2, 0)], ids=['lower', 'higher'])
def test_start_one_after_the_other(lab, ports):
    """The guest with the lower port starts first, or the other one."""
    first, second = [
        lab.guest(name, lab.switch.port(f'port={port}'), boot=False,
                  append=DELAY) for name, port in zip('AB', ports)]
    first.boot()
    # It plays alone for long, then another QEMU brings the peer
    time.sleep(2)
    assert (pingpong.count(first), pingpong.links(first)) == (0, 0)
    second.boot()
    pingpong.wait_growing([first, second])
    assert [pingpong.links(guest) for guest in (first, second)] == [1, 1]


@pytest.mark.machines('arm64-b')
def test_device_long_before_driver(lab):
    """Both guests run, their drivers are loaded by and by."""
    pair = lab.pair(modules=(), append=DELAY)
    for module in 'ntb', 'ntb_hw_idt', 'ntb_pingpong':
        lab.run_all(f'load {module}')
    pingpong.wait_growing(pair)


def test_two_ports_in_one_guest(lab):
    """One QEMU, one guest, both ends of the switch."""
    guest = lab.guest('A', [*lab.switch.port(name='left', slot=2),
                            *lab.switch.port(name='right', slot=3)],
                      append=DELAY)

    def both():
        return [int(n, 0)
                for n in guest.run(f'cat {pingpong.COUNT}').split()]

    start = both()
    assert len(start) == 2
    pingpong.wait_until(
        lambda: min(now - before for now, before in zip(both(), start)) > 20,
        'both ports of one guest count')


def test_two_switches_in_one_guest(lab):
    """Ports of different switches in one guest do not disturb."""
    other = lab.add_switch('other')
    guest_a = lab.guest('A', [*lab.switch.port(name='one', slot=2),
                              *other.port(name='two', slot=3)], append=DELAY)
    guest_b = lab.guest('B', append=DELAY)
    pingpong.wait_growing([guest_b])
    counts = guest_a.run(f'cat {pingpong.COUNT}').split()
    assert sorted(int(n, 0) > 0 for n in counts) == [False, True]
