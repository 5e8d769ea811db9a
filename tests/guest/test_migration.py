# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest B moves, is saved and loaded; A plays on."""

import os
import subprocess

import pingpong
import settings


def start_pair(lab, *args):
    pair = [lab.guest(name, [*lab.switch.port(f'port={port}'), *more],
                      boot=False, shared=True,
                      append='ntb_pingpong.delay_ms=1')
            for name, port, more in (('A', 0, ()), ('B', 2, args))]
    lab.boot_all()
    pingpong.wait_growing(pair)
    return pair


def test_migrate(lab):
    pair = start_pair(lab)
    for _ in range(2):
        pair[1].migrate()
        pingpong.wait_growing(pair)
        assert [pingpong.links(guest) for guest in pair] == [1, 1]


def command(guest, line):
    assert not guest.vm.cmd('human-monitor-command',
                            **{'command-line': line})


def test_snapshot(lab):
    disk = os.path.join(lab.folder, 'disk')
    subprocess.run([os.path.join(os.path.dirname(settings.QEMU), 'qemu-img'),
                    'create', '-q', '-f', 'qcow2', disk, '1M'], check=True)
    pair = start_pair(lab, '-drive', f'if=none,file={disk},format=qcow2')
    command(pair[1], 'savevm now')
    pingpong.wait_growing(pair, pings=200)
    command(pair[1], 'loadvm now')
    pingpong.wait_growing(pair)
    assert [pingpong.links(guest) for guest in pair] == [1, 1]
