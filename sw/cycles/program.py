"""The program in the cycle model: packets that run ahead of the engine into its ring memories."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from narrows.cycles.dram import Bus, Reader
from narrows.cycles.latencies import BURST, Latencies


class Ring:
    """A ring memory that the program fills: ``size`` bus words for each of its words.

    ``written`` words have come; ``free(count, cycle)``: from ``cycle`` on the first ``count`` words may be overwritten.
    """

    def __init__(self, depth: int, size: int):
        self.depth, self.size = depth, size
        self.written = 0
        self._starts: list[int] = [0]
        self._times: list[int] = [0]
        self.freed = 0
        self._frees: list[tuple[int, int]] = []
        self._seen = 0

    def free(self, count: int, cycle: int) -> None:
        """Words before ``count`` are not needed from ``cycle`` (of a pop) on."""
        self._frees.append((count, cycle))

    def load(self, words: int, first: int) -> None:
        """``words`` more have come, the first counts from cycle ``first`` on, the others follow ``size`` cycles apart."""
        self._starts.append(self.written + 1)
        self._times.append(first)
        self.written += words

    def room(self) -> tuple[int, int] | None:
        """(words that may begin, cycle from which) for one word at least, or ``None`` if nothing known frees one."""
        count, cycle = self.freed + self.depth - self.written, 0
        while count <= 0:
            if self._seen == len(self._frees):
                return None
            self.freed, cycle = self._frees[self._seen]
            self._seen += 1
            count = self.freed + self.depth - self.written
        return count, cycle

    def time(self, count: int) -> int:
        """The cycle from which ``count`` (up to ``written``) words count."""
        at = bisect_right(self._starts, count) - 1
        return self._times[at] + (count - self._starts[at]) * self.size if at else 0


class ProgramStream(Reader):
    """The program reader: packets in order into rings, each as far as it has room.

    ``packets``: (ring, words of it), each behind a header of ``header`` bus words.
    """

    def __init__(
        self, start: int, address: int, packets: Sequence[tuple[int, int]], rings: Sequence[Ring], *, header: int, latencies: Latencies
    ):
        self.rings = rings
        self._pieces: list[tuple[int, int]] = []
        for ring, count in packets:
            self._pieces += [(-1, header), (ring, count * rings[ring].size)]
        super().__init__(start, address, sum(words for _, words in self._pieces))
        self._latency = latencies.pop_to_loaded
        self._piece, self._left = 0, self._pieces[0][1]
        self._part = 0  # bus words of the ring word in progress
        self._cycle = 0  # of the next pop
        self._burst_left = 0
        #: The ring that stopped the program when it last stopped.
        self.blocked = -1

    def take(self) -> bool:
        """Take one burst, or what is left of it, as far as room is known."""
        index = len(self.pops)
        if index == len(self.arrivals):
            return False
        if not self._burst_left:
            self._burst_left = min(BURST, self.words - BURST * index)
        cycle, arrived = self._cycle, self.arrivals[index]
        if arrived > cycle:
            cycle = arrived
        left = before = self._burst_left
        while left:
            if not self._left:
                self._piece += 1
                self._left = self._pieces[self._piece][1]
            number = self._pieces[self._piece][0]
            step = left if left < self._left else self._left
            if number >= 0:
                ring = self.rings[number]
                size, part = ring.size, self._part
                if part:  # of a word that has its room
                    step = min(step, size - part)
                else:
                    room = ring.room()
                    if room is None:
                        self.blocked = number
                        break
                    words, since = room
                    if since > cycle:
                        cycle = since
                    if words * size < step:
                        step = words * size
                whole, self._part = divmod(part + step, size)
                if whole:
                    ring.load(whole, cycle + size - part - 1 + self._latency)
            cycle += step
            left -= step
            self._left -= step
        self._cycle, self._burst_left = cycle, left
        if not left:
            self.pops.append(cycle)
        return left != before


class Program:
    """The program and the bus it comes over: when words of the rings are there."""

    def __init__(self, bus: Bus, stream: ProgramStream):
        self.bus, self.stream = bus, stream
        bus.program = stream

    def loaded(self, ring: int, count: int) -> int | None:
        """The cycle in which ``count`` words of a ring have been loaded since the start of the program."""
        memory = self.stream.rings[ring]
        while memory.written < count:
            if not self.stream.take() and not self.bus.step():
                return None
        return memory.time(count)
