# SPDX-License-Identifier: GPL-2.0-or-later
"""The test of idt-ntb in QEMU's functional framework, run by meson."""

import os
import re
import subprocess

import pytest
import settings

DEADLINE = 600


def meson_test(*args):
    done = subprocess.run(
        [f'{settings.BUILD}/pyvenv/bin/meson', 'test', '-C', settings.BUILD,
         '--no-rebuild', '--setup', 'thorough', *args],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=DEADLINE,
        env={**os.environ, 'IDT_NTB_KERNEL': settings.KERNEL,
             'IDT_NTB_INITRD': settings.INITRD})
    return done.stdout


def test_functional():
    """From QEMU 10.2 on its name has x86_64 once."""
    listed = meson_test('--list')
    name = re.search(r'func-x86_64-(?:x86_64_)?idt_ntb$', listed, re.M)
    assert name, listed
    output = meson_test('--verbose', name[0])
    if not re.search(r'^Ok: +1\s*$', output, re.M):
        pytest.fail(output, pytrace=False)
