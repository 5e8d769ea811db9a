#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the windows, requests and doorbells are, and what ports cost.

Started by ./ntb bench.  Every figure compares two things that take turns in
one run, so that neither the machine nor its load is in it.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'guest'))

# pylint: disable=wrong-import-position
import settings  # noqa: E402
from lab import Lab  # noqa: E402
from guest import GuestError  # noqa: E402
from measure import Bench  # noqa: E402
from pings import Pings  # noqa: E402
from ports import Ports  # noqa: E402
from report import Report, write_plot  # noqa: E402

PARTS = ('memory', 'requests', 'perf', 'pingpong', 'pings', 'ports')


def say(text):
    print(f'==> {text}', file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('parts', nargs='*', metavar='PART',
                        help='of ' + ', '.join(PARTS) + '; all by default')
    parser.add_argument('--before', metavar='QEMU',
                        help='another QEMU that pings is to compare')
    args = parser.parse_args()
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"no part '{part}': there are " + ', '.join(PARTS))
    output = pathlib.Path(os.environ['NTB_CACHE'], 'bench')
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        make_programs(pathlib.Path(work))
        settings.INITRD = f'{work}/initrd'
        measure(args.parts or PARTS, f'{work}/eventfd', output, args.before)


def make_programs(work):
    """Build the programs that measure, for the host and the initramfs."""
    say('Building the programs that measure')
    gcc = ('gcc', '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror')
    (work / 'root/bin').mkdir(parents=True)
    (work / 'root/lib/modules').mkdir(parents=True)
    subprocess.run([*gcc, '-static', '-o', work / 'root/bin/membench',
                    HERE / 'membench.c'], check=True)
    subprocess.run([*gcc, '-o', work / 'eventfd', HERE / 'eventfd.c'],
                   check=True)
    fixed = pathlib.Path(os.environ['KERNEL_MODULES'], 'fixed/ntb_perf.ko')
    if fixed.is_file():
        shutil.copy(fixed, work / 'root/lib/modules')
    names = subprocess.run(['find', '.'], cwd=work / 'root', check=True,
                           stdout=subprocess.PIPE).stdout
    shutil.copy(settings.INITRD, work / 'initrd')
    with open(work / 'initrd', 'ab') as initrd:
        subprocess.run(['cpio', '-o', '-H', 'newc', '-R', '0:0', '--quiet'],
                       cwd=work / 'root', input=names, stdout=initrd,
                       check=True)


def measure(parts, eventfd, output, before):
    report = Report()
    bench = Bench(eventfd, report, say)
    failed = False
    for lab_parts, run in ((('memory', 'requests'), bench.windows),
                           (('perf', 'pingpong'), bench.drivers),
                           (('pings',), Pings(report, say, before).run),
                           (('ports',), Ports(report, say).run)):
        wanted = [part for part in lab_parts
                  if part in parts]
        if not wanted:
            continue
        lab = Lab()
        try:
            run(lab, wanted)
        except GuestError as error:
            lab.keep_logs(os.path.join(settings.FAILED, 'bench'))
            print(f'bench: error: {error}\nbench: the logs are in '
                  f'{settings.FAILED}/bench', file=sys.stderr)
            failed = True
        finally:
            lab.close()

    text = report.text()
    (output / 'table.txt').write_text(text)
    print(text, end='')
    print(f'\nThis table: {output}/table.txt')
    if report.memory:
        write_plot(report, output)
        print(f'A plot:     {output}/windows.svg')
    if failed:
        sys.exit(1)


if __name__ == '__main__':
    main()
