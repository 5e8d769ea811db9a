# SPDX-License-Identifier: GPL-2.0-or-later
"""Two guests play ntb_pingpong for ten seconds, and the table of it."""

import shutil
import sys
import tempfile
import time

import pingpong
from guest import Guest, GuestError
from switch import Switch

SECONDS = 10
NAMES = ('A', 'B')


def say(text):
    print(f'==> {text}', file=sys.stderr, flush=True)


def play(folder, switch, guests):
    say('Starting ivshmem-server, the switch')
    switch.start()
    for name in NAMES:
        guests.append(Guest(name, folder, switch.port(),
                            append='ntb_pingpong.delay_ms=0'))
    say('Starting two guests, one QEMU process each')
    for guest in guests:
        guest.boot(wait=False)
    for guest in guests:
        guest.wait_ready()
        print(guest.run("dmesg | sed -n 's/.*\\(ntb_hw_idt 0000.*\\)/"
                        f"    {guest.name}: \\1/p'"), end='')
    say(f'Both play ntb_pingpong with delay_ms=0 for {SECONDS} seconds')
    print(f'{"second":>8}' + ''.join(
        f'{"guest " + name:>12}{"growth":>10}' for name in NAMES))
    last = first = [pingpong.count(guest) for guest in guests]
    start = time.monotonic()
    for second in range(SECONDS + 1):
        time.sleep(max(0, start + second - time.monotonic()))
        now = [pingpong.count(guest) for guest in guests]
        print(f'{second:>8}' + ''.join(
            f'{after:>12}{after - before:>+10}'
            for before, after in zip(last, now)), flush=True)
        last = now
    return [after - before for before, after in zip(first, last)]


def main():
    folder = tempfile.mkdtemp(prefix='ntb-')
    switch = Switch(folder)
    guests = []
    try:
        grown = play(folder, switch, guests)
    except GuestError as error:
        sys.exit(f'demo: error: {error}')
    finally:
        for guest in guests:
            guest.shutdown()
        switch.stop()
        shutil.rmtree(folder)
    if min(grown) <= 0:
        sys.exit('demo: error: a guest that did not count: no ping-pong')
    print(f'Both guests counted: A {grown[0]}, B {grown[1]} pings in '
          f'{SECONDS} seconds.')


if __name__ == '__main__':
    main()
