"""External memory in the cycle model: bursts of clients by precedence.

Everything is worked out when it is asked for: a time that depends on something the engine has not done yet is ``None``.

A frame has tens of thousands of bursts, and a prediction should take a tenth of a second: where each of them passes, comparisons
stand in place of ``min`` and ``max``, which are calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from narrows.cycles.latencies import (
    BURST,
    BURSTS_IN_FLIGHT,
    FETCH_TO_READ,
    REFRESH_BATCH,
    REFRESH_TO_START,
    REQUEST_TO_FETCH,
    REQUEST_TO_READ,
    REQUEST_TO_REQUEST,
    ROOM_TO_REQUEST,
    START_TO_REQUEST,
    START_TO_SLOT,
    TAKE_TO_TAKE,
    TICK_TO_WANTED,
    Latencies,
)
from narrows.hw.engine import READ_AHEAD

#: Bursts of a client under way before the first has left its FIFO.
_AHEAD = READ_AHEAD // BURST


class Reader:
    """A linear region (from byte ``address`` on) read in bursts ahead of need; subclasses take its words.

    ``arrivals``: cycle of every burst's first word at the FIFO's end; ``pops``: the cycle after its last word was taken.
    """

    #: Which way its words go.
    reads = True

    def __init__(self, start: int, address: int, words: int):
        self._first = address // 2
        self.words = words
        self.bursts = -(-words // BURST)
        self.arrivals: list[int] = []
        self.pops: list[int] = []
        self._offered = start + START_TO_REQUEST

    def request(self) -> int | None:
        """When the next burst is on offer; ``None``: not before words are taken that nobody has taken yet."""
        index = len(self.arrivals)
        if index == self.bursts:
            return None
        if index < _AHEAD:
            return self._offered
        if index - _AHEAD >= len(self.pops):
            self.take()
            if index - _AHEAD >= len(self.pops):
                return None
        room, offered = self.pops[index - _AHEAD] + ROOM_TO_REQUEST - 1, self._offered
        return room if room > offered else offered

    def address(self) -> int:
        """Word address of the next burst."""
        return self._first + BURST * len(self.arrivals)

    def length(self) -> int:
        """Words of the next burst."""
        left = self.words - BURST * len(self.arrivals)
        return left if left < BURST else BURST

    def taken(self, cycle: int, arrival: int) -> None:
        """The request was taken; its first word will be at ``o`` in cycle ``arrival``."""
        self._offered = cycle + REQUEST_TO_REQUEST
        self.arrivals.append(arrival)

    def take(self) -> bool:
        """Take words that have arrived; whether any were."""
        raise NotImplementedError


class Writer:
    """A linear region written in bursts; ``ready``: the cycle each next burst's words are all in the FIFO, and how many.

    ``fill`` adds to it what has become known.
    """

    reads = False

    def __init__(self, address: int, fill: Callable[[], None]) -> None:
        self._first, self._fill = address // 2, fill
        self.ready: list[tuple[int, int]] = []
        self.done: list[int] = []

    def request(self) -> int | None:
        """As of :class:`Reader`."""
        self._fill()
        return self.ready[len(self.done)][0] if len(self.done) < len(self.ready) else None

    def address(self) -> int:
        """Word address of the next burst."""
        return self._first + BURST * len(self.done)

    def length(self) -> int:
        """Words of the next burst."""
        return self.ready[len(self.done)][1]

    def taken(self, _cycle: int, end: int) -> None:
        """The burst's last word leaves in the cycle before ``end``."""
        self.done.append(end)


class Bus:
    """The memory controller and its arbiter: bursts one after the other, refreshes between them."""

    def __init__(self, latencies: Latencies):
        self._latencies = latencies
        self.source: Reader | None = None
        self.program: Reader | None = None
        self.sink: Writer | None = None
        self._start = self._end = 0  # of the latest burst's READs or WRITEs
        self._read = True
        # When the latest bursts that begin make room for another in the queue before them.
        self._slots = deque([0] * (BURSTS_IN_FLIGHT - 1), maxlen=BURSTS_IN_FLIGHT - 1)
        self._last_take = 0
        self._refreshed = 0  # refreshes that were made, of one every so many cycles
        self._rows: dict[int, int] = {}  # the open row of each bank
        self._bank = -1  # of the latest burst
        #: (cycle, words) of every burst, by direction.
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int]] = []

    def _next(self) -> tuple[int, Reader | Writer] | None:
        """The next request to be taken, and when."""
        free, after = self._slots[0], self._last_take + TAKE_TO_TAKE
        if after > free:
            free = after
        best: tuple[int, Reader | Writer] | None = None
        for client in (self.source, self.sink, self.program):
            if client is None:
                continue
            offered = client.request()
            if offered is None:
                continue
            if offered <= free:
                return free, client
            if best is None or offered < best[0]:
                best = offered, client
        return best

    def step(self) -> bool:
        """Serve one burst; whether there was one."""
        chosen = self._next()
        if chosen is None:
            return False
        self._serve(*chosen)
        return True

    def run(self, until: int) -> None:
        """Serve what is taken before cycle ``until``."""
        while (chosen := self._next()) is not None and chosen[0] < until:
            self._serve(*chosen)

    def _commands(self, bank: int, asked: int) -> int:
        """Commands for a row of ``bank`` for which the burst before pauses, if a burst that is ``asked`` for comes during it."""
        if asked >= self._end or not self._rows:  # after a refresh
            return 0
        return 2 if bank in self._rows else 1

    def _due(self, cycle: int) -> int:
        """Refreshes that are due in a cycle and not made."""
        latencies = self._latencies
        return (cycle - latencies.first_refresh) // latencies.refresh_interval + 1 - self._refreshed

    def _idle_refreshes(self, due: int, since: int) -> int:
        """Make ``due`` refreshes as nothing is asked for from cycle ``since`` on; when the row machine may take a burst again."""
        latencies, idle = self._latencies, since + self._latencies.idle
        self._refreshed += due
        self._rows.clear()
        latest = latencies.first_refresh + (self._refreshed - 1) * latencies.refresh_interval + TICK_TO_WANTED
        # Those that were due before are made at once, later ones one by one.
        count = due if latest <= idle else 1
        return max(latest, idle) + latencies.refresh_opening + count * latencies.refresh

    def _serve(self, take: int, client: Reader | Writer) -> None:
        latencies, length = self._latencies, client.length()
        before, read, asked = self._end, client.reads, take + REQUEST_TO_READ
        start = before if read or not self._read else before + latencies.turnaround
        if asked > start:
            start = asked
        # The row machine takes a burst when the one before it begins, unless enough refreshes are due then, or some and it is idle.
        fetched = take + REQUEST_TO_FETCH if take + REQUEST_TO_FETCH > self._start else self._start
        due = self._due(fetched - TICK_TO_WANTED)
        if due and fetched >= before + latencies.idle:
            asked = max(asked, self._idle_refreshes(due, before) + FETCH_TO_READ)
            start = max(start, asked)
        elif due >= REFRESH_BATCH:
            due = self._due(before)
            self._refreshed += due
            self._rows.clear()
            start = max(start, before + latencies.refresh_cycles + due * latencies.refresh)
            self._slots[-1] = start - REFRESH_TO_START  # nothing moves up before
        row, bank = divmod(client.address() >> latencies.column_bits, 1 << latencies.bank_bits)
        if self._rows.get(bank) != row:
            if bank == self._bank and bank in self._rows:  # only after the burst before, whose row is closed
                start = max(start, before + latencies.row_miss)
            else:  # while that runs; the commands take the place of its own
                start = max(start + self._commands(bank, asked), asked + latencies.row_open)
            self._rows[bank] = row
        self._bank = bank
        self._start, self._end, self._read = start, start + length, read
        self._slots.append(start + START_TO_SLOT)
        self._last_take = take
        if not read:
            self.writes.append((start, length))
            client.taken(take, start + length)
        else:
            self.reads.append((start + latencies.read_to_word - 2, length))
            client.taken(take, start + latencies.read_to_word)
