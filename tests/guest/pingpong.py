# SPDX-License-Identifier: GPL-2.0-or-later
"""Watching Linux's ntb_pingpong from outside."""

import re
import time

from guest import GuestError, wait_until

COUNT = '/sys/kernel/debug/ntb_pingpong/*/count'


def count(guest):
    """How many pings the guest's (one) ntb_pingpong has seen."""
    return int(guest.run(f'cat {COUNT}'), 0)


def counts(guests):
    """The counts of all guests at about the same time.

    The first ones are taken again after the last one and the mean is given,
    so that the time between the samples cancels out.
    """
    there = [count(guest) for guest in guests]
    back = [count(guest) for guest in reversed(guests)]
    return [(a + b) / 2 for a, b in zip(there, reversed(back))]


def set_delay(guest, milliseconds):
    guest.run(f'echo {milliseconds} '
              '>/sys/module/ntb_pingpong/parameters/delay_ms')


def wait_growing(guests, pings=20, deadline=60):
    """Wait until all guests have counted PINGS more, or raise GuestError."""
    start = [count(guest) for guest in guests]
    grown = []

    def all_grew():
        grown[:] = [count(g) - s for g, s in zip(guests, start)]
        return min(grown) >= pings

    try:
        wait_until(all_grew, f'{pings} pings more everywhere', deadline)
    except GuestError as error:
        names = ', '.join(f'{guest.name} {n}'
                          for guest, n in zip(guests, grown))
        raise GuestError(f'{error}; came: {names}') from None


def wait_stopped(guest, deadline=60):
    """Wait until the guest's count stands still for half a second."""
    end = time.monotonic() + deadline
    last = None
    while True:
        now = count(guest)
        if now == last:
            return now
        if time.monotonic() > end:
            raise GuestError(f'{guest.name}: still counts, {now}')
        last = now
        time.sleep(0.5)


def counts_at_rest(first, second):
    """The counts of two guests while their game stands still, since one of
    them is halted all the time."""
    second.vm.cmd('stop')
    first_count = wait_stopped(first)
    first.vm.cmd('stop')
    second.vm.cmd('cont')
    second_count = wait_stopped(second)
    first.vm.cmd('cont')
    return [first_count, second_count]


def links(guest):
    """The peers whose link ntb_hw_idt sees up, as a bit for each peer index."""
    info = guest.run('cat /sys/kernel/debug/ntb_hw_idt/info:*')
    return int(re.search(r'NTB link status\s+- (0x[0-9a-f]+)', info)[1], 16)


def wait_links(guest, value, deadline=60):
    wait_until(lambda: links(guest) == value,
               f'{guest.name} sees links {value:#x}', deadline)
