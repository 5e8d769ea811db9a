# SPDX-License-Identifier: GPL-2.0-or-later
"""The qtests of the device and of ivshmem, a process for each."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent
# Seconds for one qtest, which could hang for ever
DEADLINE = 900
OURS = sorted(path.stem for path in (TOP / 'tests/qtest').glob('*-test.c'))


@dataclass(frozen=True)
class Build:
    """A build directory whose qtests run, maybe with other emulators."""

    build: str
    source: str
    # In front of a test's name
    prefix: str = ''
    emulators: dict = field(default_factory=dict)

    def command(self, binary, *args):
        return [f'{self.build}/tests/qtest/{binary}', '-k', *args]

    def environment(self, folder):
        return {**os.environ, 'TMPDIR': folder,
                'QTEST_QEMU_BINARY': f'{self.build}/qemu-system-x86_64',
                'QTEST_QEMU_IMG': f'{self.build}/qemu-img',
                'G_TEST_SRCDIR': f'{self.source}/tests/qtest',
                'G_TEST_BUILDDIR': f'{self.build}/tests/qtest',
                **self.emulators}

    def run(self, binary, *args):
        """Run a test program; return its exit status and its output."""
        with tempfile.TemporaryDirectory(prefix='ntb-') as folder, \
                tempfile.TemporaryFile() as output:
            try:
                status = subprocess.run(
                    self.command(binary, *args), stdin=subprocess.DEVNULL,
                    stdout=output, stderr=subprocess.STDOUT, check=False,
                    env=self.environment(folder), cwd=self.build,
                    timeout=DEADLINE).returncode
            except subprocess.TimeoutExpired:
                status = -signal.SIGKILL
            output.seek(0)
            return status, output.read().decode(errors='replace')

    def paths(self, binary):
        """The tests of a program; its name, which fails, if there are none
        although the emulator is the usual one."""
        try:
            lines = self.run(binary, '-l')[1].splitlines()
        except FileNotFoundError:
            lines = []
        found = [line for line in lines if line.startswith('/')]
        return found or ([] if self.emulators else [binary])


def builds(config):
    """Yield each build with the programs that run in it."""
    build, source = os.environ['QEMU_BUILD'], os.environ['QEMU_SRC']
    yield Build(build, source), ['ivshmem-test', *OURS]
    if not config.getoption('all'):
        return
    little = f'{build}/qemu-system-x86_64'
    big = f'{build}-all/qemu-system-ppc64'
    for prefix, one, other in (('ppc64:', big, big),
                               ('ppc64+x86_64:', big, little),
                               ('x86_64+ppc64:', little, big)):
        emulators = {'QTEST_QEMU_BINARY': one}
        if one != other:
            emulators['QTEST_QEMU_BINARY_PEER'] = other
        yield Build(build, source, prefix, emulators), OURS
    # test_series.py has built these, or ./ntb check with it
    for state in sorted(pathlib.Path(os.environ['NTB_CACHE']).glob(
            'qemu-*/series/state')):
        series = state.parent
        yield Build(f'{series}/build', f'{series}/src',
                    f'{series.parent.name}:'), ['ivshmem-test', 'idt-ntb-test']


def pytest_generate_tests(metafunc):
    if 'path' not in metafunc.fixturenames:
        return
    found = [(build, binary, path)
             for build, binaries in builds(metafunc.config)
             for binary in binaries for path in build.paths(binary)]
    metafunc.parametrize(
        'build,binary,path', found,
        ids=[f'{build.prefix}{path}' for build, _, path in found])


def test_qtest(build, binary, path, pytestconfig, record_property):
    args = ['--tap', '-p', path]
    if pytestconfig.getoption('all'):
        args += ['-m', 'slow']
    seed = pytestconfig.getoption('seed')
    status, output = build.run(binary, *args,
                               *(['--seed', seed] if seed else []))
    found = re.search('^# random seed: (.*)', output, re.M)
    if found:
        record_property('seed', found[1])
    result = re.search(r'^(?:not )?ok \d+ (\S*)(?: # SKIP ?(.*))?$', output,
                       re.M)
    if status or not result or result[1] != path:
        pytest.fail(f'{output}{binary} ended with status {status}',
                    pytrace=False)
    if '# SKIP' in result[0]:
        pytest.skip(result[2])
