# SPDX-License-Identifier: GPL-2.0-or-later
"""The patch series, and what puts the device into a source tree."""

import os
import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent
# The first one is what ./ntb qemu builds
RELEASES = subprocess.run(
    [TOP / 'scripts/qemu-source', '--list'], stdout=subprocess.PIPE, text=True,
    check=True).stdout.split()
# Exit status of a script that has nothing to work with
SKIPPED = 77

# They hold the same lock, or read a source tree that another one changes
one_at_a_time = pytest.mark.xdist_group('series')


def run(*command):
    """Run a script of ours that must succeed, and return its output."""
    done = subprocess.run(
        [TOP / 'scripts' / command[0], *command[1:]],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip() or 'nothing to work with')
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)
    return done.stdout


@one_at_a_time
def test_integrate_again():
    """What ./ntb qemu has done, nothing has to do again."""
    assert run('integrate', os.environ['QEMU_SRC']) == ''


@one_at_a_time
def test_patches_are_current():
    run('patches', '--check')


@one_at_a_time
@pytest.mark.parametrize('release', RELEASES)
def test_series_applies(release):
    """And QEMU's checkpatch.pl has nothing to say."""
    run('patches', '--apply', release)


@one_at_a_time
@pytest.mark.parametrize('release', RELEASES[1:])
def test_series_compiles(release):
    run('series-build', '--objects', release)


@one_at_a_time
@pytest.mark.everything
@pytest.mark.parametrize('release', RELEASES)
def test_series_builds(release):
    """After each patch."""
    run('series-build', release)
