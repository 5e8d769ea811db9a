# SPDX-License-Identifier: GPL-2.0-or-later
"""The patch series, and what puts the device into a source tree.

As a program, with a release: build that with its series, for the qtests.
"""

import fcntl
import functools
import hashlib
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import types

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = TOP / 'scripts'
# Nothing of the user's git configuration
GIT = {'GIT_CONFIG_GLOBAL': '/dev/null', 'GIT_CONFIG_NOSYSTEM': '1',
       **{f'GIT_{who}_{what}': 'idt-ntb@example.org'
          for who in ('AUTHOR', 'COMMITTER') for what in ('NAME', 'EMAIL')}}
# Exit status of a script that has nothing to work with
SKIPPED = 77

# They hold the same lock, or read a source tree that another one changes
one_at_a_time = pytest.mark.xdist_group('series')


def run(*command, **env):
    """Run a program that must succeed, and return its output."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, **env})
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip() or 'nothing to work with')
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)
    return done.stdout


# The first one is what ./ntb qemu builds
RELEASES = run(SCRIPTS / 'qemu-source', '--list').split()


def cached(release):
    return pathlib.Path(os.environ['NTB_CACHE'], f'qemu-{release}')


def find_source(release):
    path = run(SCRIPTS / 'qemu-source', release).splitlines()[-1]
    return pathlib.Path(path)


def find_patches(release):
    return sorted((TOP / f'patches/qemu-{release}').glob('*.patch'))


def load(script):
    return types.SimpleNamespace(**runpy.run_path(str(SCRIPTS / script)))


def build_series(release):
    """Build a copy of the source after each patch, as a user would have it."""
    source = find_source(release)
    series = cached(release) / 'series'
    tree = series / 'src'
    patches = find_patches(release)
    parts = [path.read_bytes() for path in (source / 'VERSION', *patches)]
    state = hashlib.sha256(b''.join(parts)).hexdigest()
    kept = series / 'state'
    git = functools.partial(run, 'git', '-C', tree, **GIT)
    build = functools.partial(
        run, SCRIPTS / 'qemu', '--as-is', 'qemu-system-x86_64',
        QEMU_SRC=str(tree), QEMU_BUILD=f'{series}/build')

    series.mkdir(parents=True, exist_ok=True)
    with open(series / 'lock', 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_file() or kept.read_text() != state:
            kept.unlink(missing_ok=True)
            shutil.rmtree(tree, ignore_errors=True)
            shutil.copytree(source, tree, symlinks=True,
                            ignore=lambda path, names: (
                                ['.git', 'build'] if path == str(source)
                                else []))
            run(SCRIPTS / 'integrate', '--remove', tree)
            git('init', '-q')
            git('add', '-A')
            git('commit', '-q', '-m', 'QEMU')
            for patch in patches:
                print(f'==> QEMU {release}: {patch.name}', file=sys.stderr,
                      flush=True)
                git('am', '-q', patch)
                build()
        build('contrib/ivshmem-server/ivshmem-server',
              'tests/qtest/idt-ntb-test', 'tests/qtest/ivshmem-test')
        kept.write_text(state)


@one_at_a_time
def test_integrate_again():
    """A second run changes nothing."""
    assert run(SCRIPTS / 'integrate', os.environ['QEMU_SRC']) == ''


@one_at_a_time
def test_patches_are_current():
    run(SCRIPTS / 'patches', '--check')


@one_at_a_time
@pytest.mark.parametrize('release', RELEASES)
def test_series_applies(release):
    """The series makes the files that integrate makes."""
    integrate = load('integrate')
    patches = load('patches')
    with tempfile.TemporaryDirectory() as work:
        tree = pathlib.Path(work)
        run(SCRIPTS / 'integrate', '--pristine', tree, find_source(release))
        number = integrate.Tree(tree).release()
        files = integrate.our_files(number)
        changes = patches.changes(number)
        expected = {
            name: integrate.patched((tree / name).read_text(), changes[name])
            if name in changes else integrate.port(files[name], number)
            for _, names in patches.assign(number).values() for name in names}
        git = functools.partial(run, 'git', '-C', tree, **GIT)
        git('init', '-q')
        git('add', '.')
        git('commit', '-q', '-m', 'QEMU')
        git('am', '-q', *find_patches(release))
        assert {name: (tree / name).read_text()
                for name in expected} == expected


@one_at_a_time
@pytest.mark.parametrize('release', RELEASES)
def test_checkpatch(release):
    done = subprocess.run(
        ['perl', 'scripts/checkpatch.pl', '--quiet', '--no-signoff',
         *find_patches(release)], cwd=find_source(release),
        stdout=subprocess.PIPE, text=True, check=False)
    # The first patch adds to MAINTAINERS what all of them need
    assert re.findall(r'(?m)^(?:ERROR|WARNING): (?!added, moved or deleted).*'
                      r'\n(?:.+\n)*', done.stdout) == []


@one_at_a_time
@pytest.mark.parametrize('release', RELEASES[1:])
def test_series_compiles(release):
    """The device and its tests, without linking."""
    source = find_source(release)
    if source != cached(release) / 'src':
        pytest.skip("it would change the user's source tree")
    run(SCRIPTS / 'qemu', '--objects', QEMU_SRC=str(source),
        QEMU_BUILD=str(cached(release) / 'build'))


@one_at_a_time
@pytest.mark.everything
@pytest.mark.parametrize('release', RELEASES)
def test_series_builds(release):
    build_series(release)


if __name__ == '__main__':
    try:
        build_series(sys.argv[1])
    except (pytest.skip.Exception, pytest.fail.Exception) as why:
        sys.exit(str(why))
