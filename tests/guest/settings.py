# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs and files that the tests use, from "./ntb env"."""

import os
import shlex
import subprocess
import sys

_NAMES = ('QEMU', 'IVSHMEM_SERVER', 'KERNEL', 'INITRD', 'QEMU_SRC',
          'QEMU_BUILD', 'QEMU_FIRMWARE', 'NTB_CACHE')


def _from_ntb_env():
    """Ask ./ntb env when a test is started by hand."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__))))
    text = subprocess.run([os.path.join(top, 'ntb'), 'env'], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return dict(word.split('=', 1) for word in shlex.split(text)
                if '=' in word)


_env = os.environ
if any(name not in _env for name in _NAMES):
    _env = _from_ntb_env()

QEMU = _env['QEMU']
IVSHMEM_SERVER = _env['IVSHMEM_SERVER']
KERNEL = _env['KERNEL']
INITRD = _env['INITRD']
# "-L DIRECTORY" as often as needed
FIRMWARE = shlex.split(_env['QEMU_FIRMWARE'])
# Debian's kernels and initramfs, one folder for each suite, and the suite of
# this run
GUESTS = os.path.join(_env['NTB_CACHE'], 'guest')
SUITE = os.path.basename(os.path.dirname(INITRD))
SOURCE = _env['QEMU_SRC']
BUILD = _env['QEMU_BUILD']
# The emulators of other machines, as ./ntb qemu --all builds them
BUILD_ALL = BUILD + '-all'
# Where what is left of a failed test goes
FAILED = os.path.join(_env['NTB_CACHE'], 'logs', 'failed')

# kvm: as ./ntb kvm runs a command
ACCEL = _env.get('NTB_ACCEL', 'tcg')

sys.path.append(os.path.join(SOURCE, 'python'))
