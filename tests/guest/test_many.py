# SPDX-License-Identifier: GPL-2.0-or-later
"""Four guests on one switch, and with ./ntb check --all eight.

Guests are known by their place: the order of their ports and of their
partitions, in which the driver numbers the peers.
"""

import hashlib
import random
import re

import ntbtool
import pingpong
import pytest
from guest import wait_until
from ntbperf import FIXED, Perf

PAGE = 4096
# Bytes of a line of data that says which way it goes
LINE = 64
# The ports of all chips with so many
PORTS = 0, 2, 4, 6, 8, 12, 16, 20


def make_many(lab, modules, count, options):
    for name, port in zip('ABCDEFGH'[:count], PORTS):
        lab.guest(name, lab.switch.port(f'port={port},{options}'), boot=False,
                  modules=modules, append='ntb_pingpong.delay_ms=1', ram=128,
                  shared=True)


# Windows of one page: each peer has a buffer for each
def make_four(lab, modules):
    make_many(lab, modules, 4, 'partitions=4,bar1-size=4K,bar2-mode=lut12,'
              'bar2-size=64K,bar4-size=4K')


def make_eight(lab, modules):
    """All that a chip can have."""
    make_many(lab, modules, 8, 'chip=89HPES32NT8AG2,partitions=8,bar1-size=4K,'
              'bar2-size=128K,bar4-size=4K')


WINDOWS = {4: 14, 8: 26}


def peer_index(here, there):
    """The number that the guest in place HERE has for the one in THERE."""
    return there - (there > here)


def peers_of(here, everybody):
    return [place for place in everybody if place != here]


def shifts(count):
    """In each item every guest has a peer, and is somebody's peer; together
    they are all pairs."""
    return [[(here, (here + shift) % count) for here in range(count)]
            for shift in range(1, count)]


# The ping goes round: each guest pings the next one that is there

def check_ring(guests, places):
    """Check that the guests in PLACES, which are in order, play, and no others.
    """
    for here in places:
        pingpong.wait_links(guests[here], sum(
            1 << peer_index(here, there) for there in places if there != here))
    playing = [guests[place] for place in places]
    if len(places) < 2:
        for guest in playing:
            pingpong.wait_stopped(guest)
        return
    # A ping that was under way when the ring changed is gone then
    pingpong.wait_growing(playing)
    for before, here in zip([places[-1], *places], places):
        assert last_ping(guests[here]) == peer_index(here, before), \
            f'{guests[here].name} is pinged by the wrong one'


def last_ping(guest):
    """Whom the last one came from."""
    info = guest.run('cat /sys/kernel/debug/ntb_hw_idt/info:*')
    return int(re.search(r'\t0\. 0x[0-9a-f]+ from peer (\d+)', info)[1])


class PingPongTests:
    def test_ring(self, guests):
        """All in turn, and equally often: a ping that reached two guests, or
        none, would tell."""
        check_ring(guests, range(len(guests)))
        start = pingpong.counts_at_rest(guests)
        pingpong.wait_growing(guests, pings=200)
        grown = [now - before for before, now in
                 zip(start, pingpong.counts_at_rest(guests))]
        # One may be under way to each, at the start and at the end
        assert max(grown) - min(grown) <= 2 * len(grown), grown

    def test_clients_come_and_go(self, guests):
        """All but one leave and come again, in any order."""
        left = [*range(len(guests))]
        random.shuffle(left)
        for count in range(len(left) - 1, 0, -1):
            guests[left[count]].run('rmmod ntb_pingpong')
            check_ring(guests, sorted(left[:count]))
        come = left[:1]
        for place in random.sample(left[1:], len(left) - 1):
            guests[place].run('load ntb_pingpong')
            come.append(place)
            check_ring(guests, sorted(come))

    def test_guests_come_and_go(self, guests):
        """Two QEMUs end and start again, while a third one is reset."""
        everybody = range(len(guests))
        killed, shut, reset, *_ = random.sample(everybody, 3)
        guests[killed].kill()
        guests[shut].shutdown()
        check_ring(guests, [place for place in everybody
                            if place not in (killed, shut)])
        guests[reset].vm.cmd('system_reset')
        for place in killed, shut:
            guests[place].boot(wait=False)
        for place in reset, killed, shut:
            guests[place].wait_ready()
            guests[place].run('for module in ntb ntb_hw_idt ntb_pingpong; do '
                              'load $module; done')
        check_ring(guests, everybody)


class Tools:
    """ntb_tool in all guests, and data that says which way it goes."""

    def __init__(self, lab):
        self.lab = lab
        self.guests = lab.guests
        self.tools = [ntbtool.Tool(guest) for guest in lab.guests]
        self.everybody = range(len(self.tools))
        self.windows = WINDOWS[len(self.tools)]
        ntbtool.connect(*self.tools)
        # Data of other tests may still be somewhere
        self.nonce = f'{random.getrandbits(64):016x}'

    def run_all(self, *scripts):
        """A script for each, or the same for all."""
        if len(scripts) == 1:
            scripts *= len(self.tools)
        return self.lab.run_all(*(
            f'set -e; cd {tool.folder}; {script}'
            for tool, script in zip(self.tools, scripts, strict=True)))

    def peers(self, here):
        return peers_of(here, self.everybody)

    def line(self, here, there, number, turn):
        return f'<{self.nonce} {here}>{there} {number:02} {turn:02}'.ljust(
            LINE, '.')

    def page(self, *way):
        return self.line(*way).encode() * (PAGE // LINE)

    def fill_script(self, here, there, number, turn):
        """Write a page, with the shell alone and so without a process."""
        assert PAGE == LINE << 6
        return (f"x='{self.line(here, there, number, turn)}'; " +
                'x=$x$x; ' * 6 + f'printf %s "$x" '
                f'>peer{peer_index(here, there)}/peer_mw{number}\n')

    def allocate(self):
        """A buffer for each window of each peer: their addresses in each
        guest, by place of the peer and number of the window."""
        texts = self.run_all(
            f'for file in peer*/mw_trans*; do echo {PAGE} >$file; done; '
            'cat peer*/mw_trans*')
        found = []
        for here, text in enumerate(texts):
            rows = re.findall(r'Inbound MW\s+(\d+)\s+Port\s+\d+ \((\d+)\)'
                              r'[^D]+DMA Address\s+(\S+)', text)
            assert len(rows) == len(self.peers(here)) * self.windows, text
            found.append({(self.peers(here)[int(peer)], int(number)):
                          int(address, 16) for number, peer, address in rows})
        return found

    def target(self, here, number, turn):
        """Where a window leads: neighbours to different peers, and each in
        turn to all."""
        peers = self.peers(here)
        return peers[(here + number + turn) % len(peers)]

    def check_memory(self, buffers, sent):
        """Each guest's memory has what was sent to it, where it was sent to,
        and of all that was sent nothing else."""
        for there, guest in enumerate(self.guests):
            memory = guest.memory()
            for (here, number), address in buffers[there].items():
                turn = sent.get((here, there, number))
                want = bytes(PAGE) if turn is None else \
                    self.page(here, there, number, turn)
                assert memory[address:address + PAGE] == want, \
                    f'{guest.name}: from {here} by window {number}'
            for match in re.finditer(
                    f'<{self.nonce} ([0-9]+)>([0-9]+) ([0-9]+)'.encode(),
                    memory):
                sender, receiver, number = map(int, match.groups())
                if sender != there:
                    assert receiver == there, f'{guest.name}: {match}'
                    assert match.start() & -PAGE == \
                        buffers[there][sender, number]

    def close(self):
        """Unloaded with open windows, ntb_tool removes their files twice."""
        self.run_all('for file in peer0/peer_mw_trans*; do '
                     'echo 0:0 >$file; done; '
                     'for file in peer*/mw_trans*; do echo 0 >$file; done')


@pytest.fixture
def tools(guests, shared):
    return Tools(shared.lab)


class ToolTests:
    """ntb_tool between any two."""

    def test_ports(self, tools):
        """Each guest has its port, and sees those of all others."""
        for here, tool in enumerate(tools.tools):
            assert tool.number('port') == PORTS[here]
            assert [int(n, 0) for n in tool.read('peer*/port').split()] == [
                PORTS[there] for there in tools.peers(here)]
            assert tool.windows == tools.windows

    def test_link(self, tools):
        """A link that goes down does so for all others, and no other one."""
        for down in tools.everybody:
            tools.tools[down].write('link', 'N')
            for here, tool in enumerate(tools.tools):
                wait_until(
                    lambda t=tool, want=[
                        'N' if down in (here, there) else 'Y'
                        for there in tools.peers(here)]:
                    t.read('peer*/link').split() == want,
                    f'{tool.guest.name} sees who has no link')
            ntbtool.connect(*tools.tools)

    def test_messages(self, tools):
        """All send at the same time, each to another one, in turn to all."""
        def value(here, there):
            return 0x10000 * (here + 1) + 0x100 * (there + 1)

        bits = tools.tools[0].number('msg_inbits')
        tools.run_all(f'echo c {bits | bits >> 16:#x} >msg_sts')
        for shift, pairs in enumerate(shifts(len(tools.tools))):
            number = shift % 4
            tools.run_all(*(
                f'echo {value(here, there):#x} '
                f'>peer{peer_index(here, there)}/msg{number}'
                for here, there in pairs))
            said = tools.run_all(
                f'cat msg{number} msg_sts; echo c {bits:#x} >msg_sts')
            for here, there in pairs:
                message, status = said[there].split()
                assert message == f'0x{value(here, there):08x}<-' \
                    f'{peer_index(there, here)}'
                # That one register, and no failure to send
                assert int(status, 0) == (bits & -bits) << number

    def test_doorbells(self, tools):
        """Each reaches everybody, and is cleared by each for itself."""
        everything = (1 << len(tools.tools)) - 1
        tools.run_all('echo s 0xffffffff >db_mask; echo c 0xffffffff >db')
        tools.run_all(*(f'echo s {1 << here:#x} >peer_db'
                        for here in tools.everybody))
        tools.run_all(*(f'echo c {1 << here:#x} >db'
                        for here in tools.everybody))
        for here, tool in enumerate(tools.tools):
            assert tool.number('db') == everything & ~(1 << here)

    def test_windows(self, tools):
        """All guests write through all of their windows at the same time,
        each to all of the others."""
        numbers = range(tools.windows)
        buffers = tools.allocate()
        sent = {}
        for turn in range(2):
            ways = [[(here, tools.target(here, number, turn), number)
                     for number in numbers] for here in tools.everybody]
            tools.run_all(*('\n'.join(
                f'echo {buffers[there][here, number]}:{PAGE} '
                f'>peer{peer_index(here, there)}/peer_mw_trans{number}'
                for here, there, number in mine) for mine in ways))
            tools.run_all(*(''.join(tools.fill_script(*way, turn)
                                    for way in mine) for mine in ways))
            sent.update({way: turn for mine in ways for way in mine})
            tools.check_memory(buffers, sent)
            # And back
            digests = tools.run_all(*(
                'cat ' + ' '.join(
                    f'peer{peer_index(here, there)}/peer_mw{number}'
                    for here, there, number in mine) + ' | sha256sum'
                for mine in ways))
            for mine, digest in zip(ways, digests):
                data = b''.join(tools.page(*way, turn) for way in mine)
                assert digest.split()[0] == hashlib.sha256(data).hexdigest()
        tools.close()


class PerfTests:
    """ntb_perf between any two, and everybody at the same time."""

    def test_every_pair(self, guests):
        if guests[0].try_run(f'[ -f {FIXED} ]')[0] != 0:
            pytest.skip(f'a kernel of your own: no {FIXED}')
        everybody = range(len(guests))
        perfs = [Perf(guest, FIXED) for guest in guests]
        for perf in perfs:
            perf.wait_ready(peers=len(perfs) - 1)
        buffers = [dict(zip(peers_of(here, everybody), perf.buffers()))
                   for here, perf in enumerate(perfs)]

        def received(there):
            memory = guests[there].memory()
            return {here: memory[address:address + size] for
                    here, (address, size) in buffers[there].items()}

        def has_arrived(here, there, old):
            data = received(there)[here]
            return data != old and perfs[here].has_sent(data)

        for shift in shifts(len(guests)):
            before = [received(there) for there in everybody]
            for here, there in shift:
                perfs[here].run_for_ever(peer_index(here, there))
            for here, there in shift:
                wait_until(lambda h=here, t=there, old=before[there][here]:
                           has_arrived(h, t, old),
                           f'{guests[there].name} has what '
                           f'{guests[here].name} sends')
            for here, there in shift:
                perfs[here].stop()
                after = received(there)
                del before[there][here], after[here]
                assert after == before[there]


ALL = ('ntb', 'ntb_hw_idt', 'ntb_pingpong')
TOOL = ('ntb', 'ntb_hw_idt', 'ntb_tool')
DRIVER = ('ntb', 'ntb_hw_idt')


@pytest.mark.guests(make=make_four, modules=ALL)
class TestFourPingPong(PingPongTests):
    pass


@pytest.mark.guests(make=make_four, modules=TOOL)
class TestFourTool(ToolTests):
    pass


@pytest.mark.guests(make=make_four, modules=DRIVER)
class TestFourPerf(PerfTests):
    pass


@pytest.mark.everything
@pytest.mark.guests(make=make_eight, modules=ALL)
class TestEightPingPong(PingPongTests):
    pass


@pytest.mark.everything
@pytest.mark.guests(make=make_eight, modules=TOOL)
class TestEightTool(ToolTests):
    pass


@pytest.mark.everything
@pytest.mark.guests(make=make_eight, modules=DRIVER)
class TestEightPerf(PerfTests):
    pass
