# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests with the newest kernel, with each other and with the usual one.

What they do is what the usual guests do; test_*.py have it.
"""

import os
import unittest

import test_driver
import test_hotplug
import test_perf
import test_pingpong
import test_restart
import test_tool
from machine import NEWEST

BOTH = {'A': NEWEST, 'B': NEWEST}
ONE = {'B': NEWEST}


class NewestProbeTest(test_driver.ProbeTest):
    MACHINES = BOTH


class NewestPingPongTest(test_pingpong.PingPongTest):
    """With the usual kernel at the other end."""

    MACHINES = ONE


class NewestToolTest(test_tool.ToolTest):
    MACHINES = BOTH


class NewestRequestTest(test_tool.RequestTest):
    MACHINES = ONE


class NewestIommuTest(test_tool.IommuTest):
    MACHINES = BOTH


class NewestPerfTest(test_perf.PerfTest):
    MACHINES = BOTH


class NewestPerfRequestTest(test_perf.PerfRequestTest):
    MACHINES = BOTH


class NewestRestartTest(test_restart.RestartTest):
    MACHINES = BOTH


class NewestHotplugTest(test_hotplug.NativeTest):
    MACHINES = BOTH


def load_tests(_loader, tests, _pattern):
    """Only ./ntb check --all has what they take."""
    return tests if os.environ.get('NTB_ALL') == '1' else unittest.TestSuite()


if __name__ == '__main__':
    unittest.main()
