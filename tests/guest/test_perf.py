# SPDX-License-Identifier: GPL-2.0-or-later
"""ntb_perf in two guests, unmodified and with patches/linux."""

import pytest
from guest import wait_until
from ntbperf import FIXED, PAGE, TRAPPED_ORDER, UNMODIFIED, Perf
from test_tool import SLOW

MODULES = ('ntb', 'ntb_hw_idt')
direct = pytest.mark.guests(modules=MODULES, shared=True)


def pages(data):
    return [data[n:n + PAGE] for n in range(0, len(data), PAGE)]


def load(guests, module, **kwargs):
    if guests[0].try_run(f'[ -f {module} ]')[0] != 0:
        pytest.skip(f'a kernel of your own: no {module}')
    both = [Perf(guest, module, **kwargs) for guest in guests]
    for perf in both:
        perf.wait_ready()
    return both, both[::-1]


def check_run(sender):
    assert f'copied {1 << sender.total_order} bytes' in sender.run()


def check_fixed(guests, **kwargs):
    """Check that the data that arrives is what was sent."""
    for sender, receiver in load(guests, FIXED, **kwargs):
        assert not any(receiver.received())
        check_run(sender)
        first = pages(receiver.received())
        assert len(set(first)) == len(first)
        assert bytes(PAGE) not in first
        sender.run_for_ever()
        wait_until(lambda r=receiver: not set(pages(r.received())) &
                   set(first), 'all of the buffer is new')
        wait_until(lambda s=sender, r=receiver: s.has_sent(r.received()),
                   'the sender has what arrived')
        sender.stop()


@direct
@pytest.mark.machines('newest', 'arm64-b')
def test_unmodified(guests):
    """Its handshake works, its run "succeeds", and not one byte arrives: it
    writes through a window that is closed."""
    for sender, receiver in load(guests, UNMODIFIED,
                                 total_order=TRAPPED_ORDER):
        check_run(sender)
        data = receiver.received()
        assert len(data) >= PAGE
        assert data == bytes(len(data))


@direct
@pytest.mark.machines('newest', 'arm64-b')
def test_fixed(guests):
    check_fixed(guests)


@pytest.mark.machines('newest')
def test_fixed_by_request(lab):
    """RAM is not shared: each store is a request."""
    lab.expect_qemu_log(SLOW)
    check_fixed(lab.pair('bar1-size=4K,bar2-size=128K,bar4-size=4K',
                         modules=MODULES), total_order=TRAPPED_ORDER)
