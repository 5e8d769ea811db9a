# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of all guest tests: a switch, guests, and a check at the end.

  lab     a Lab of the test's own
  guests  two guests that the test takes over from the one before, to save
          boots: they have the modules of the marker "guests" loaded, however
          the last test left them, and are new ones when that failed

The marker "guests" says what these are like:

  modules  the modules that a test finds loaded
  make     a function that makes the guests of a Lab, if not make_pair() does
  others   arguments of that function

The marker "machines" names the rows of MACHINES that a test also runs with if
--all is given.
"""

import os

import pytest
import settings
from lab import Lab
from machine import ARM64_ITS, NEWEST

MODULES = ('ntb', 'ntb_hw_idt', 'ntb_pingpong')
MACHINES = {
    'newest': {'A': NEWEST, 'B': NEWEST},
    'newest-b': {'B': NEWEST},
    'arm64': {'A': ARM64_ITS, 'B': ARM64_ITS},
    'arm64-a': {'A': ARM64_ITS},
    'arm64-b': {'B': ARM64_ITS},
}
UNLOAD = (
    'for module in ntb_pingpong ntb_tool ntb_perf ntb_hw_idt ntb; do '
    '[ ! -f /lib/modules/$module.ko ] || [ ! -d /sys/module/$module ] || '
    'rmmod $module || exit; done')


def pytest_generate_tests(metafunc):
    marker = metafunc.definition.get_closest_marker('machines')
    if marker and metafunc.config.getoption('all'):
        metafunc.parametrize('machines', ['q35', *marker.args], indirect=True)


def kind(item):
    """Return the kind of guests that a test takes over, or None."""
    marker = item.get_closest_marker('guests')
    if not marker or 'guests' not in item.fixturenames:
        return None
    callspec = getattr(item, 'callspec', None)
    return {**marker.kwargs,
            'machines': callspec and callspec.params.get('machines')}


def pytest_collection_modifyitems(items):
    """Let tests that share guests run in one process, one after another."""
    kinds = []
    for item in items:
        if wanted := kind(item):
            wanted = item.path, {**wanted, 'modules': None}
            if wanted not in kinds:
                kinds.append(wanted)
            item.add_marker(pytest.mark.xdist_group(
                f'guests{kinds.index(wanted)}'))


LAB = pytest.StashKey()


def keep_logs(item, lab):
    lab.failed = True
    kept = os.path.join(settings.FAILED, item.nodeid.replace('/', '.'))
    lab.keep_logs(kept)
    print(f'The logs are in {kept}')


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    """Keep what a test leaves that fails, while its guests are there."""
    lab = item.stash.get(LAB, None)
    if lab and call.when != 'teardown' and call.excinfo and \
            not call.excinfo.errisinstance(pytest.skip.Exception):
        keep_logs(item, lab)


def check(item, lab):
    if not lab.failed:
        try:
            lab.check()
        except BaseException:
            keep_logs(item, lab)
            raise


@pytest.fixture
def machines(request):
    return MACHINES.get(getattr(request, 'param', None), {})


@pytest.fixture
def lab(request, machines):
    lab = Lab(machines)
    request.node.stash[LAB] = lab
    try:
        yield lab
        check(request.node, lab)
    finally:
        lab.close()


class Shared:
    """The Lab of the last test that shares its guests, and their kind."""

    kind = None
    lab = None

    def close(self):
        lab, self.lab = self.lab, None
        if lab:
            lab.close()

    def get(self, kind, machines):
        """Return one of this kind; the guests of a new one do not run yet."""
        if self.lab and (self.lab.failed or self.kind != kind):
            self.close()
        if not self.lab:
            self.kind = kind
            self.lab = Lab(machines)
        return self.lab


@pytest.fixture(scope='module')
def shared():
    shared = Shared()
    yield shared
    shared.close()


@pytest.fixture
def guests(request, shared, machines):
    wanted = kind(request.node)
    modules = wanted.pop('modules', MODULES)
    make = wanted.pop('make', make_pair)
    lab = shared.get((request.path, make, wanted), machines)
    request.node.stash[LAB] = lab
    if not lab.guests:
        del wanted['machines']
        make(lab, modules=modules, **wanted)
        lab.boot_all()
    assert lab.run_all(UNLOAD) == [''] * len(lab.guests)
    lab.run_all('; '.join(f'load {module}' for module in modules))
    yield lab.guests
    check(request.node, lab)


def make_pair(lab, append='ntb_pingpong.delay_ms=1', **kwargs):
    for name in 'AB':
        lab.guest(name, boot=False, append=append, **kwargs)
