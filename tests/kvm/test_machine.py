# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest tests under KVM, as ./ntb kvm runs them."""

import pathlib
import subprocess
import sys

import pytest
import settings

TOP = pathlib.Path(__file__).resolve().parent.parent.parent

# Two CPUs are not enough for more than one
pytestmark = pytest.mark.xdist_group('kvm')

# Tests that share one start of the machine
SHORT = ['guest/test_kvm.py::test_short']
LONG = {
    'driver': ['guest/test_driver.py::*'],
    'pingpong': ['guest/test_pingpong.py::*'],
    'tool': ['guest/test_tool.py::*'],
    'perf': ['guest/test_perf.py::*'],
    'restart': ['guest/test_restart.py::*'],
    'hotplug': ['guest/test_hotplug.py::*'],
    'many': ['guest/test_many.py::*'],
}


def run(patterns):
    """Run them and show what they print; all must pass."""
    if not list(pathlib.Path(settings.GUESTS, settings.SUITE).glob(
            'download/linux-image-*')):
        pytest.skip('a kernel that is not of Debian')
    command = [TOP / 'ntb', 'kvm', 'python3', '-m', 'pytest', '-n', '0',
               *(word for pattern in patterns for word in ('--test', pattern)),
               'tests/guest']
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
    assert process.returncode == 0
    assert ' 0 failed' in line


@pytest.mark.everything
def test_short():
    run(SHORT)


@pytest.mark.everything
@pytest.mark.parametrize('what', LONG)
def test_long(what):
    run(LONG[what])
