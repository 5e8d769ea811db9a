# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own tools/testing/selftests/ntb/ntb_test.sh, unmodified."""

import os
import re

import pytest
import settings
from guest import DEADLINE
from test_tool import SLOW, SMALL, WINDOWS

# The kernels of Debian 12 and 13: 6.1 and 6.12; and the newest, if asked for
SUITES = ['bookworm', 'trixie', *(['sid'] if settings.SUITE == 'sid' else [])]
# 1 MiB of ntb_perf
OPTIONS = '-p 20'


def expected(local, remote, windows):
    """Return the lines that the script prints when all tests have run."""
    def both(name, result):
        return [f'Running {name} tests on: {local} / {remote}', result,
                f'Running {name} tests on: {remote} / {local}', result]

    def perf(where):
        return [f'Running {where} perf test without DMA',
                'Peer 0 test statistics:', '0: copied 1048576 bytes', 'Passed']

    def all_windows(here, there):
        return [line for n in range(windows) for line in (
            f'Running mw{n} tests on: {here} / {there}', 'Passed')]

    return [
        'Starting ntb_tool tests...',
        f'Running port tests on: {local} / {remote}',
        'Local port 0 with index 0 on remote host',
        'Peer port 2 with index 0 on local host',
        'Passed',
        *both('link', 'Passed'), *both('db', 'Passed'),
        # The chip has no scratchpads
        *both('spad', 'Unsupported'), *both('msg', 'Passed'),
        *all_windows(local, remote), *all_windows(remote, local),
        'Starting ntb_pingpong tests...',
        f'Running ping pong tests on: {local} / {remote}', 'Passed',
        # and no inbound translation, which this would need
        'Starting ntb_msi_test tests...',
        'Not doing MSI tests seeing the module is not available.',
        'Starting ntb_perf tests...', *perf('local'), *perf('remote')]


def normalised(output):
    """The script's output without what varies."""
    lines = [' '.join(line.split()) for line in output.splitlines()]
    return [re.sub(r'(copied \d+ bytes) in .*', r'\1', line) for line in lines
            if line and not re.match(r'MW \d+ size aligned to', line)]


# Windows 0 and 1 must have one size: ntb_perf takes that of the wrong one
LAYOUT = 'bar1-size=64K,bar2-mode={},bar2-size={},bar4-size=64K'


def selftest_guest(lab, name, suite, args, **kwargs):
    """A guest with what the script needs."""
    folder = os.path.join(settings.GUESTS, suite)
    initrd = os.path.join(folder, 'initrd-selftest')
    if not os.path.exists(initrd):
        pytest.skip('only for Debian\'s kernel')
    # The modules are for modprobe to load
    return lab.guest(name, args, modules=(), boot=False, initrd=initrd,
                     kernel=os.path.join(folder, 'vmlinux'), **kwargs)


def run_script(guest, options, local, remote, windows=WINDOWS):
    # It says "Passed" after some things that went wrong, too, and skips
    # what it does not find: its exit status is not enough
    output = guest.run(f'bash /ntb_test.sh {OPTIONS} {options} '
                       f'{local} {remote} 2>&1', 3 * DEADLINE)
    assert normalised(output) == expected(local, remote, windows)


def check_remote(lab, suite, shared, layout='', windows=WINDOWS):
    """Two guests; the script runs in A and reaches B over ssh."""
    address = os.path.join(lab.folder, 'ethernet')
    net = f'stream,id=net,addr.type=unix,addr.path={address}'
    guest_a, guest_b = [
        selftest_guest(lab, name, suite, [
            *lab.switch.port(layout, slot=slot), '-netdev', netdev, '-device',
            f'e1000,netdev=net,romfile=,mac=52:54:00:00:00:0{name}'],
                       shared=shared)
        for name, slot, netdev in (('A', 8, net + ',server=on'),
                                   ('B', 9, net))]
    lab.boot_all()
    for number, guest in enumerate(lab.guests, 1):
        guest.run('modprobe ntb_hw_idt && modprobe e1000 && '
                  f'ip addr add 10.0.0.{number}/24 dev eth0 && '
                  'ip link set eth0 up')
    connect(guest_a, guest_b)
    run_script(guest_a, '-r b', '0000:00:08.0', '0000:00:09.0', windows)
    connections = guest_b.run('grep -c "Child connection" /tmp/dropbear')
    assert connections.strip() == '1'


def connect(guest_a, guest_b):
    """One connection that all ssh commands share."""
    key = guest_a.run('cd /root/.ssh && '
                      'ssh-keygen -q -t ed25519 -N "" -f id_ed25519 && '
                      'cat id_ed25519.pub')
    guest_b.run(f'echo "{key.strip()}" >/root/.ssh/authorized_keys && '
                'mkdir /etc/dropbear && dropbear -R -E 2>/tmp/dropbear')
    guest_a.run('cat >/root/.ssh/config <<END\n'
                'Host b\n'
                'HostName 10.0.0.2\n'
                'ControlPath /tmp/ssh\n'
                'StrictHostKeyChecking accept-new\n'
                'END\n'
                'ssh -MNf b 2>&1')


@pytest.mark.parametrize('suite,shared', [
    pytest.param(suite, shared, id=f'{suite}-{"shared" if shared else "plain"}',
                 marks=[] if shared and suite == settings.SUITE else
                 pytest.mark.everything)
    for suite in SUITES for shared in (True, False)])
def test_local(lab, suite, shared):
    """Two devices in one guest, with each of Debian's kernels and each kind
    of RAM."""
    guest = selftest_guest(
        lab, 'A', suite, [*lab.switch.port(name='left', slot=2),
                          *lab.switch.port(name='right', slot=3)],
        shared=shared)
    guest.boot()
    guest.run('modprobe ntb_hw_idt')
    run_script(guest, '', '0000:00:02.0', '0000:00:03.0')


@pytest.mark.everything
@pytest.mark.parametrize('shared', [True, False], ids=['shared', 'plain'])
@pytest.mark.parametrize('suite', SUITES)
def test_remote(lab, suite, shared):
    lab.expect_qemu_log(SLOW)
    check_remote(lab, suite, shared, '' if shared else SMALL)


# For a change, and for time: each window takes eight commands

@pytest.mark.everything
@pytest.mark.parametrize('windows,mode,size', [(3, 'direct', '64K'),
                                               (14, 'lut12', '1M')],
                         ids=['direct', 'lut12'])
def test_remote_layout(lab, windows, mode, size):
    check_remote(lab, settings.SUITE, True, LAYOUT.format(mode, size), windows)
