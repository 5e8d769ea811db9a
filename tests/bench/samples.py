# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians of repeated measurements, and where the middle half of them is."""

import statistics


class Samples:
    """The time of one thing in each round."""

    def __init__(self, values):
        self.values = list(values)
        self.median = statistics.median(self.values)
        self.low, _, self.high = statistics.quantiles(self.values, n=4)

    def __truediv__(self, other):
        """How many times the other of the same round."""
        return Samples(a / b for a, b in zip(self.values, other.values))

    def map(self, function):
        return Samples(map(function, self.values))

    def text(self, digits=2):
        return (f'{self.median:.{digits}f} '
                f'[{self.low:.{digits}f} {self.high:.{digits}f}]')


def megabytes_per_second(size, nanoseconds):
    return size / nanoseconds * 1000


def size_text(size):
    for unit in ('B', 'KiB', 'MiB'):
        if size < 1024:
            break
        size //= 1024
    return f'{size} {unit}'
