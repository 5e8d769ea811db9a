# SPDX-License-Identifier: GPL-2.0-or-later
"""Four guests on one switch, and in ./ntb check --soak eight."""

import hashlib
import random
import re
import unittest

import ntbtool
import pingpong
from case import SOAK, SharedTestCase, soak_only
from guest import wait_until
from ntbperf import FIXED, Perf

PAGE = 4096
# Bytes of a line of data that says which way it goes
LINE = 64


class ManyTestCase(SharedTestCase):
    """Guests that are known by their place: the order of their ports and of
    their partitions, in which the driver numbers the peers."""

    NAMES = 'ABCD'
    # The ports of all chips with so many
    PORTS = 0, 2, 4, 6, 8, 12, 16, 20
    # Windows of one page: each peer has a buffer for each
    PORT = ('partitions=4,bar1-size=4K,bar2-mode=lut12,bar2-size=64K,'
            'bar4-size=4K')
    WINDOWS = 14
    KIND = {'append': 'ntb_pingpong.delay_ms=1', 'ram': 128, 'shared': True}

    def make_guests(self):
        for name, port in zip(self.NAMES, self.PORTS):
            self.guest(name, self.switch.port(f'port={port},{self.PORT}'),
                       boot=False, modules=self.MODULES, **self.KIND)

    def setUp(self):
        super().setUp()
        self.everybody = range(len(self.guests))

    @staticmethod
    def index(here, there):
        """The number that the guest in place HERE has for the one in THERE."""
        return there - (there > here)

    def peers(self, here):
        return [place for place in self.everybody if place != here]

    def shifts(self):
        """In each item every guest has a peer, and is somebody's peer;
        together they are all pairs."""
        count = len(self.guests)
        return [[(here, (here + shift) % count) for here in self.everybody]
                for shift in range(1, count)]

    def at_once(self, scripts):
        """Run a script in each guest, all at the same time; the outputs."""
        started = [guest.send(script)
                   for guest, script in zip(self.guests, scripts)]
        ended = [guest.finish(number)
                 for guest, number in zip(self.guests, started)]
        for guest, (status, output) in zip(self.guests, ended):
            self.assertEqual(status, 0, f'{guest.name}: {output}')
        return [output for _, output in ended]


class PingPongTests:
    """The ping goes round: each guest pings the next one that is there."""

    def check_ring(self, places):
        """Those in PLACES, which are in order, play, and nobody else."""
        for here in places:
            pingpong.wait_links(self.guests[here], sum(
                1 << self.index(here, there) for there in places
                if there != here))
        playing = [self.guests[place] for place in places]
        if len(places) < 2:
            for guest in playing:
                pingpong.wait_stopped(guest)
            return
        # A ping that was under way when the ring changed is gone then
        pingpong.wait_growing(playing)
        for before, here in zip([places[-1], *places], places):
            self.assertEqual(self.last_ping(here), self.index(here, before),
                             f'{self.guests[here].name} is pinged by the '
                             'wrong one')

    def last_ping(self, place):
        """Whom the last one came from."""
        info = self.guests[place].run(
            'cat /sys/kernel/debug/ntb_hw_idt/info:*')
        return int(re.search(r'\t0\. 0x[0-9a-f]+ from peer (\d+)', info)[1])

    def test_ring(self):
        """All in turn, and equally often: a ping that reached two guests, or
        none, would tell."""
        self.check_ring(self.everybody)
        start = pingpong.counts_at_rest(self.guests)
        pingpong.wait_growing(self.guests, pings=200)
        grown = [now - before for before, now in
                 zip(start, pingpong.counts_at_rest(self.guests))]
        # One may be under way to each, at the start and at the end
        self.assertLessEqual(max(grown) - min(grown), 2 * len(grown), grown)

    def test_clients_come_and_go(self):
        """All but one leave and come again, in any order."""
        for _ in range(SOAK):
            left = [*self.everybody]
            random.shuffle(left)
            for count in range(len(left) - 1, 0, -1):
                self.guests[left[count]].run('rmmod ntb_pingpong')
                self.check_ring(sorted(left[:count]))
            come = left[:1]
            for place in random.sample(left[1:], len(left) - 1):
                self.guests[place].run('load ntb_pingpong')
                come.append(place)
                self.check_ring(sorted(come))

    def test_guests_come_and_go(self):
        """Two QEMUs end and start again, while a third one is reset."""
        for _ in range(SOAK):
            killed, shut, reset, *_ = random.sample(self.everybody, 3)
            self.guests[killed].kill()
            self.guests[shut].shutdown()
            self.check_ring([place for place in self.everybody
                             if place not in (killed, shut)])
            self.guests[reset].vm.cmd('system_reset')
            for place in killed, shut:
                self.guests[place].boot(wait=False)
            for place in reset, killed, shut:
                guest = self.guests[place]
                guest.wait_ready()
                guest.run('for module in ntb ntb_hw_idt ntb_pingpong; do '
                          'load $module; done')
            self.check_ring(self.everybody)


class ToolTests:
    """ntb_tool between any two."""

    MODULES = ('ntb', 'ntb_hw_idt', 'ntb_tool')

    def setUp(self):
        super().setUp()
        self.tools = [ntbtool.Tool(guest) for guest in self.guests]
        ntbtool.connect(*self.tools)
        # Data of other tests may still be somewhere
        self.nonce = f'{random.getrandbits(64):016x}'

    def all_tools(self, scripts):
        return self.at_once([f'set -e; cd {tool.folder}; {script}'
                             for tool, script in zip(self.tools, scripts)])

    def test_ports(self):
        """Each guest has its port, and sees those of all others."""
        for here, tool in enumerate(self.tools):
            self.assertEqual(tool.number('port'), self.PORTS[here])
            self.assertEqual(
                [int(n, 0) for n in tool.read('peer*/port').split()],
                [self.PORTS[there] for there in self.peers(here)])
            self.assertEqual(tool.windows, self.WINDOWS)

    def test_link(self):
        """A link that goes down does so for all others, and no other one."""
        for down in self.everybody:
            self.tools[down].write('link', 'N')
            for here, tool in enumerate(self.tools):
                wait_until(
                    lambda t=tool, want=[
                        'N' if down in (here, there) else 'Y'
                        for there in self.peers(here)]:
                    t.read('peer*/link').split() == want,
                    f'{tool.guest.name} sees who has no link')
            ntbtool.connect(*self.tools)

    def test_messages(self):
        """All send at the same time, each to another one, in turn to all."""
        def value(here, there):
            return 0x10000 * (here + 1) + 0x100 * (there + 1)

        bits = self.tools[0].number('msg_inbits')
        self.all_tools([f'echo c {bits | bits >> 16:#x} >msg_sts'] *
                       len(self.tools))
        for shift, pairs in enumerate(self.shifts()):
            number = shift % 4
            self.all_tools([
                f'echo {value(here, there):#x} '
                f'>peer{self.index(here, there)}/msg{number}'
                for here, there in pairs])
            said = self.all_tools([
                f'cat msg{number} msg_sts; echo c {bits:#x} >msg_sts'] *
                                  len(self.tools))
            for here, there in pairs:
                message, status = said[there].split()
                self.assertEqual(message, f'0x{value(here, there):08x}<-'
                                 f'{self.index(there, here)}')
                # That one register, and no failure to send
                self.assertEqual(int(status, 0),
                                 (bits & -bits) << number)

    def test_doorbells(self):
        """Each reaches everybody, and is cleared by each for itself."""
        everything = (1 << len(self.tools)) - 1
        self.all_tools(['echo s 0xffffffff >db_mask; echo c 0xffffffff >db'] *
                       len(self.tools))
        self.all_tools([f'echo s {1 << here:#x} >peer_db'
                        for here in self.everybody])
        self.all_tools([f'echo c {1 << here:#x} >db'
                        for here in self.everybody])
        for here, tool in enumerate(self.tools):
            self.assertEqual(tool.number('db'), everything & ~(1 << here))

    # Windows

    def line(self, here, there, number, turn):
        return f'<{self.nonce} {here}>{there} {number:02} {turn:02}'.ljust(
            LINE, '.')

    def fill_script(self, here, there, number, turn):
        """Write a page, with the shell alone and so without a process."""
        assert PAGE == LINE << 6
        return (f"x='{self.line(here, there, number, turn)}'; " +
                'x=$x$x; ' * 6 + f'printf %s "$x" '
                f'>peer{self.index(here, there)}/peer_mw{number}\n')

    def allocate(self):
        """A buffer for each window of each peer: their addresses in each
        guest, by place of the peer and number of the window."""
        texts = self.all_tools([
            f'for file in peer*/mw_trans*; do echo {PAGE} >$file; done; '
            'cat peer*/mw_trans*'] * len(self.tools))
        found = []
        for here, text in enumerate(texts):
            rows = re.findall(r'Inbound MW\s+(\d+)\s+Port\s+\d+ \((\d+)\)'
                              r'[^D]+DMA Address\s+(\S+)', text)
            self.assertEqual(len(rows),
                             len(self.peers(here)) * self.WINDOWS, text)
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
                want = sent.get((here, there, number))
                self.assertEqual(
                    memory[address:address + PAGE],
                    self.line(here, there, number, want).encode() *
                    (PAGE // LINE) if want is not None else bytes(PAGE),
                    f'{guest.name}: from {self.guests[here].name} by window '
                    f'{number}')
            for match in re.finditer(
                    f'<{self.nonce} ([0-9]+)>([0-9]+) ([0-9]+)'.encode(),
                    memory):
                sender, receiver, number = map(int, match.groups())
                if sender == there:
                    continue
                self.assertEqual(receiver, there, f'{guest.name}: {match}')
                self.assertEqual(match.start() & -PAGE,
                                 buffers[there][sender, number])

    def test_windows(self):
        """All guests write through all of their windows at the same time,
        each to all of the others."""
        numbers = range(self.WINDOWS)
        buffers = self.allocate()
        sent = {}
        for turn in range(2 * SOAK):
            self.all_tools(['\n'.join(
                f'echo {buffers[there][here, number]}:{PAGE} '
                f'>peer{self.index(here, there)}/peer_mw_trans{number}'
                for number in numbers
                for there in [self.target(here, number, turn)])
                            for here in self.everybody])
            self.all_tools([''.join(
                self.fill_script(here, self.target(here, number, turn),
                                 number, turn)
                for number in numbers) for here in self.everybody])
            for here in self.everybody:
                for number in numbers:
                    sent[here, self.target(here, number, turn), number] = turn
            self.check_memory(buffers, sent)
            # And back
            digests = self.all_tools([
                'cat ' + ' '.join(
                    f'peer{self.index(here, self.target(here, n, turn))}/'
                    f'peer_mw{n}' for n in numbers) + ' | sha256sum'
                for here in self.everybody])
            for here, digest in enumerate(digests):
                data = ''.join(
                    self.line(here, self.target(here, n, turn), n, turn) *
                    (PAGE // LINE) for n in numbers)
                self.assertEqual(digest.split()[0], hashlib.sha256(
                    data.encode()).hexdigest())
        # Unloaded with open windows, ntb_tool removes their files twice
        self.all_tools(['for file in peer0/peer_mw_trans*; do '
                        'echo 0:0 >$file; done'] * len(self.tools))
        self.all_tools(['for file in peer*/mw_trans*; do '
                        'echo 0 >$file; done'] * len(self.tools))


class PerfTests:
    """ntb_perf between any two, and everybody at the same time."""

    MODULES = ('ntb', 'ntb_hw_idt')

    @staticmethod
    def has_arrived(sender, data, old):
        return data != old and sender.has_sent(data)

    def test_every_pair(self):
        if self.guests[0].try_run(f'[ -f {FIXED} ]')[0] != 0:
            self.skipTest(f'a kernel of your own: no {FIXED}')
        perfs = [Perf(guest, FIXED) for guest in self.guests]
        for perf in perfs:
            perf.wait_ready(peers=len(perfs) - 1)
        buffers = [dict(zip(self.peers(here), perf.buffers()))
                   for here, perf in enumerate(perfs)]

        def received(there):
            memory = self.guests[there].memory()
            return {here: memory[address:address + size] for
                    here, (address, size) in buffers[there].items()}

        for shift in self.shifts():
            before = [received(there) for there in self.everybody]
            for here, there in shift:
                perfs[here].run_for_ever(self.index(here, there))
            for here, there in shift:
                wait_until(lambda h=here, t=there, old=before[there][here]:
                           self.has_arrived(perfs[h], received(t)[h], old),
                           f'{self.guests[there].name} has what '
                           f'{self.guests[here].name} sends')
            for here, there in shift:
                perfs[here].stop()
                after = received(there)
                del before[there][here], after[here]
                self.assertEqual(after, before[there])


class FourPingPongTest(PingPongTests, ManyTestCase):
    """Four guests."""


class FourToolTest(ToolTests, ManyTestCase):
    """Four guests."""


class FourPerfTest(PerfTests, ManyTestCase):
    """Four guests."""


class EightTestCase(ManyTestCase):
    """Eight guests, all that a chip can have."""

    NAMES = 'ABCDEFGH'
    PORT = ('chip=89HPES32NT8AG2,partitions=8,bar1-size=4K,bar2-size=128K,'
            'bar4-size=4K')
    WINDOWS = 26


@soak_only
class EightPingPongTest(PingPongTests, EightTestCase):
    """Eight guests."""


@soak_only
class EightToolTest(ToolTests, EightTestCase):
    """Eight guests."""


@soak_only
class EightPerfTest(PerfTests, EightTestCase):
    """Eight guests."""


if __name__ == '__main__':
    unittest.main()
