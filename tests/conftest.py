# SPDX-License-Identifier: GPL-2.0-or-later
"""Choose tests, print a line for each that ends, and count them."""

import collections
import fnmatch
import os
import re
import shlex

import pytest


def pytest_addoption(parser):
    group = parser.getgroup('idt-ntb')
    group.addoption('--all', action='store_true',
                    help='also tests that take long or other machines')
    group.addoption('--soak', action='store_true', help='only the soak test')
    group.addoption('--kvm', action='store_true',
                    help='only the guest tests, under KVM')
    group.addoption('--minutes', type=int, default=60,
                    help='how long the soak test takes')
    group.addoption('--test', action='append', default=[], metavar='NAME',
                    help='a name as the failures have it, or a pattern')
    group.addoption('--seed', help='where random numbers come from')


def pytest_configure(config):
    if not hasattr(config, 'workerinput'):
        config.pluginmanager.register(Tally(config))


def test_name(nodeid):
    """Return what --test calls a test: a qtest by its path alone."""
    nodeid = re.sub(r'@[^]@]*$', '', nodeid)
    qtest = re.fullmatch(r'test_qtest\.py::test_qtest\[(.*)\]', nodeid)
    return qtest[1] if qtest else nodeid


def is_wanted(config, item):
    if not (config.getoption('all') or config.getoption('kvm')) and \
            item.get_closest_marker('everything'):
        return False
    if item.get_closest_marker('kvm') and os.environ.get('NTB_ACCEL') != 'kvm':
        return False
    if config.getoption('kvm') and not item.nodeid.startswith('kvm/'):
        return False
    if config.getoption('soak'):
        return 'test_soak.py' in item.nodeid
    name = test_name(item.nodeid)
    wanted = config.getoption('test')
    return not wanted or any(
        name == pattern or fnmatch.fnmatchcase(name, pattern)
        for pattern in wanted)


def pytest_collection_modifyitems(config, items):
    """Start with what takes longest, so that no CPU is idle at the end."""
    chosen = [item for item in items if is_wanted(config, item)]
    items[:] = sorted(chosen, key=lambda item: (
        'test_soak.py' not in item.nodeid,
        not item.nodeid.startswith(('guest/', 'kvm/'))))


class Tally:
    """Counts what has passed and failed, and prints a line for each test."""

    def __init__(self, config):
        self.config = config
        self.reports = collections.defaultdict(list)
        self.counts = collections.Counter()
        self.failed = []

    @staticmethod
    def print(text):
        print(text, flush=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self):
        """Leave it to us to print results."""
        return '', '', ''

    def pytest_collectreport(self, report):
        if report.failed:
            self.fail(report.nodeid or 'collection', [report])

    def pytest_runtest_logreport(self, report):
        reports = self.reports[report.nodeid]
        reports.append(report)
        # A worker that dies reports its test with neither of them
        if report.when in ('setup', 'call'):
            return
        name = test_name(report.nodeid)
        took = f'{sum(report.duration for report in reports):.1f} s'
        if any(report.failed for report in reports):
            self.fail(name, reports)
            return
        skips = [report.longrepr[2].removeprefix('Skipped: ')
                 for report in reports if report.skipped]
        self.counts['skipped' if skips else 'passed'] += 1
        self.print(f'skipped - {name}: {skips[0]}' if skips else
                   f'ok - {name} {took}')

    def fail(self, name, reports):
        for report in reports:
            if report.failed:
                self.print(report.longreprtext)
        for title, text in reports[-1].sections:
            self.print(f'{title}:\n{text}')
        options = [f'--{option}' for option in ('all', 'soak', 'kvm')
                   if self.config.getoption(option)]
        for key, value in getattr(reports[-1], 'user_properties', ()):
            options += [f'--{key}', value]
        self.failed.append(name)
        self.print(f'not ok - {name}\n    repeat it: ' + shlex.join(
            ['./ntb', 'check', *options, '--test', name]))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if not self.counts['passed'] and not self.failed:
            self.fail_all(session, 'no test ran')
        elif session.exitstatus and not self.failed:
            self.fail_all(session, 'the tests did not come to their end')

    def fail_all(self, session, why):
        self.failed.append(why)
        session.exitstatus = session.exitstatus or 1

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self):
        for name in self.failed:
            self.print(f'failed: {name}')
        text = f'{self.counts["passed"]} passed, {len(self.failed)} failed'
        if self.counts['skipped']:
            text += f', {self.counts["skipped"]} skipped'
        self.print(text)
