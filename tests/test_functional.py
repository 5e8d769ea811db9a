# SPDX-License-Identifier: GPL-2.0-or-later
"""The test of idt-ntb in QEMU's functional framework."""

import os
import subprocess
import sys

import pytest
import settings

DEADLINE = 600


def test_functional():
    framework = f'{settings.SOURCE}/tests/functional'
    done = subprocess.run(
        [sys.executable, f'{framework}/test_x86_64_idt_ntb.py'],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=DEADLINE,
        env={**os.environ, 'QEMU_TEST_QEMU_BINARY': settings.QEMU,
             'QEMU_BUILD_ROOT': settings.BUILD,
             'IDT_NTB_KERNEL': settings.KERNEL,
             'IDT_NTB_INITRD': settings.INITRD,
             'PYTHONPATH': f'{framework}:{os.environ["PYTHONPATH"]}'})
    if done.returncode or '# SKIP' in done.stdout or \
            '\nok 1 ' not in done.stdout:
        pytest.fail(done.stdout, pytrace=False)
