# SPDX-License-Identifier: GPL-2.0-or-later
"""Watching Linux's ntb_pingpong from outside."""

import re
import time

from guest import DEADLINE, GuestError, wait_until

COUNT = '/sys/kernel/debug/ntb_pingpong/*/count'


def count(guest):
    """How many pings the guest's (one) ntb_pingpong has seen."""
    return int(guest.run(f'cat {COUNT}'), 0)


def set_delay(guest, milliseconds):
    guest.run(f'echo {milliseconds} '
              '>/sys/module/ntb_pingpong/parameters/delay_ms')


def wait_growing(guests, pings=20):
    """Wait until all guests have counted PINGS more, or raise GuestError."""
    start = [count(guest) for guest in guests]
    grown = []

    def all_grew():
        grown[:] = [count(g) - s for g, s in zip(guests, start)]
        return min(grown) >= pings

    try:
        wait_until(all_grew, f'{pings} pings more everywhere')
    except GuestError as error:
        names = ', '.join(f'{guest.name} {n}'
                          for guest, n in zip(guests, grown))
        raise GuestError(f'{error}; came: {names}') from None


def wait_stopped(guest):
    """Wait until the guest's count stands still for a second, in which the
    guest does something."""
    end = time.monotonic() + DEADLINE
    last = []
    while True:
        last = [*last[-2:], count(guest)]
        if last == last[:1] * 3:
            return last[0]
        if time.monotonic() > end:
            raise GuestError(f'{guest.name}: still counts, {last}')
        time.sleep(0.5)


def counts_at_rest(guests):
    """The counts of all guests while their game stands still, since one of
    them is halted all the time."""
    first, *others = guests
    first.vm.cmd('stop')
    counted = [wait_stopped(guest) for guest in others]
    for guest in others:
        guest.vm.cmd('stop')
    first.vm.cmd('cont')
    counted.insert(0, wait_stopped(first))
    for guest in others:
        guest.vm.cmd('cont')
    return counted


def links(guest):
    """The peers whose link ntb_hw_idt sees up, as a bit for each peer index."""
    info = guest.run('cat /sys/kernel/debug/ntb_hw_idt/info:*')
    return int(re.search(r'NTB link status\s+- (0x[0-9a-f]+)', info)[1], 16)


def wait_links(guest, value):
    wait_until(lambda: links(guest) == value,
               f'{guest.name} sees links {value:#x}')
