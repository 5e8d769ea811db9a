#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the windows, requests and doorbells are, and what ports cost.

Started by ./ntb bench.  Every figure compares two things that take turns in
one run, so that neither the machine nor its load is in it.
"""

import argparse
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'guest'))

# pylint: disable=wrong-import-position
import settings  # noqa: E402
from case import Lab  # noqa: E402
from guest import GuestError  # noqa: E402
from measure import Bench  # noqa: E402
from ports import Ports  # noqa: E402
from report import Report, write_plot  # noqa: E402

PARTS = ('memory', 'requests', 'perf', 'pingpong', 'ports')


def say(text):
    print(f'==> {text}', file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--initrd', required=True)
    parser.add_argument('--eventfd', required=True)
    parser.add_argument('--output', required=True, type=pathlib.Path)
    parser.add_argument('parts', nargs='*', metavar='PART',
                        help='of ' + ', '.join(PARTS) + '; all by default')
    args = parser.parse_args()
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"no part '{part}': there are " + ', '.join(PARTS))
    settings.INITRD = args.initrd

    report = Report()
    bench = Bench(args.eventfd, report, say)
    failed = False
    for lab_parts, run in ((('memory', 'requests'), bench.windows),
                           (('perf', 'pingpong'), bench.drivers),
                           (('ports',), Ports(report, say).run)):
        wanted = [part for part in lab_parts
                  if part in (args.parts or PARTS)]
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
    (args.output / 'table.txt').write_text(text)
    print(text, end='')
    print(f'\nThis table: {args.output}/table.txt')
    if report.memory:
        write_plot(report, args.output)
        print(f'A plot:     {args.output}/windows.svg')
    if failed:
        sys.exit(1)


if __name__ == '__main__':
    main()
