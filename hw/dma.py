"""Linear regions of external memory as streams of 16-bit words, and the arbiter they share the controller through.

Byte addresses are even everywhere; lengths and counts are in words of 16 bits.
"""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from narrows.hw.delay import delayed
from narrows.hw.queue import Queue, ShortQueue

#: Byte addresses reach 32 MB; a transfer has up to 2**24 words.
BYTE_ADDRESS_BITS = 25
COUNT_BITS = 25

#: The longest burst a client may ask for, in words.
MAX_BURST = 256
LENGTH_BITS = MAX_BURST.bit_length()

#: A client's request: ``length`` words (1 to ``MAX_BURST``) from word ``address`` (bytes / 2) on.
Burst = data.StructLayout({"address": BYTE_ADDRESS_BITS - 1, "length": LENGTH_BITS})

#: The controller's request: the same, and which way.
ControllerBurst = data.StructLayout({"address": BYTE_ADDRESS_BITS - 1, "length": LENGTH_BITS, "write": 1})

#: Words read, in the order they were asked for. They can't be held back: who asks has room.
ReadData = wiring.Signature({"valid": Out(1), "payload": Out(16)})

#: Bursts the arbiter passes on before the first of them is over.
_TURNS = 4


class _Bursts(wiring.Component):
    """Cuts a region into requests of ``burst`` words, the last one shorter.

    ``grant`` (a level) lets the request of ``length`` words go; two cycles after ``taken`` it must know of it. A taken
    request is followed by the next one four cycles later at the earliest.
    """

    def __init__(self, *, burst: int):
        self._burst = burst
        super().__init__({
            "start": In(1),
            "address": In(BYTE_ADDRESS_BITS),
            "words": In(COUNT_BITS),
            "grant": In(1),
            "length": Out(LENGTH_BITS),
            "taken": Out(1),
            "request": Out(stream.Signature(Burst)),
        })

    def elaborate(self, platform):
        m = Module()
        address, words = Signal(BYTE_ADDRESS_BITS - 1), Signal(COUNT_BITS)
        settled, left = Signal(2), Signal()
        below = self._burst.bit_length() - 1

        # Cycle 0: a new position.  Cycle 1: its length is known.  Cycle 2: the request goes if granted.  Cycle 3: it is offered.
        m.d.sync += [
            self.length.eq(Mux(words[below:].any(), self._burst, words[:below])),
            left.eq(words.any()),
            settled.eq(Cat(1, settled)),
        ]
        with m.If(settled.all() & left & self.grant):
            m.d.sync += self.request.valid.eq(1)
        m.d.comb += [
            self.request.payload.address.eq(address),
            self.request.payload.length.eq(self.length),
            self.taken.eq(self.request.valid & self.request.ready),
        ]
        with m.If(self.taken):
            m.d.sync += [
                self.request.valid.eq(0),
                address.eq(address + self.length),
                words.eq(words - self.length),
                settled.eq(0),
            ]
        with m.If(self.start):
            m.d.sync += [address.eq(self.address >> 1), words.eq(self.words), settled.eq(0)]
        return m


class _Transfer(wiring.Component):
    """What reader and writer have in common: parameters and the count of words that are under way."""

    def __init__(self, *, burst: int, depth: int, queue: type[Queue | ShortQueue], members: dict[str, wiring.Member]):
        if not (2 <= burst <= MAX_BURST and burst & (burst - 1) == 0):
            raise ValueError(f"A burst must be a power of two from 2 to {MAX_BURST} words, not {burst}.")
        if depth & (depth - 1) or depth < 2 * burst:
            raise ValueError(f"The FIFO must hold a power of two of words and two bursts of {burst}, not {depth} words.")
        self._burst, self._depth, self._kind = burst, depth, queue
        super().__init__({
            "start": In(1),
            "address": In(BYTE_ADDRESS_BITS),
            "words": In(COUNT_BITS),
            "done": Out(1),
            "request": Out(stream.Signature(Burst)),
            **members,
        })

    def _bursts(self, m: Module) -> _Bursts:
        """Issue the requests of the transfer."""
        m.submodules.bursts = bursts = _Bursts(burst=self._burst)
        wiring.connect(m, wiring.flipped(self.request), bursts.request)
        m.d.comb += [bursts.start.eq(self.start), bursts.address.eq(self.address), bursts.words.eq(self.words)]
        return bursts

    def _queue(self, m: Module) -> Queue | ShortQueue:
        m.submodules.queue = queue = self._kind(width=16, depth=self._depth)
        return queue

    def _count(self, m: Module, moved) -> None:
        """``done`` is the sign of the words still to be ``moved``, less one."""
        rest = Signal(signed(COUNT_BITS + 1), init=-1)
        m.d.comb += self.done.eq(rest < 0)
        with m.If(moved):
            m.d.sync += rest.eq(rest - 1)
        with m.If(self.start):
            m.d.sync += rest.eq(self.words - 1)


class MemoryReader(_Transfer):
    """``words`` words from byte ``address`` on, read in bursts ahead of need, come out of ``o``.

    ``start`` (one cycle, while ``done``) takes ``address`` and ``words`` (0 to 2**24). ``done`` falls in the next cycle
    and rises after the last word has left ``o``; it stays high for 0 words. ``burst`` words are asked for at once, and
    only if the FIFO of ``depth`` words has room for them beside all that was asked for before. The first request is
    offered four cycles after ``start``; a word is offered at ``o`` ``queue.LATENCY`` cycles after it came in at ``read``.
    """

    def __init__(self, *, burst: int = 128, depth: int = 512, queue: type[Queue | ShortQueue] = Queue):
        members = {"read": In(ReadData), "o": Out(stream.Signature(16))}
        super().__init__(burst=burst, depth=depth, queue=queue, members=members)

    def elaborate(self, platform):
        m = Module()
        bursts, queue = self._bursts(m), self._queue(m)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        popped = Signal()
        m.d.comb += [
            queue.i.payload.eq(self.read.payload),
            queue.i.valid.eq(self.read.valid),
            popped.eq(self.o.valid & self.o.ready),
        ]
        self._count(m, popped)

        # Room that is neither taken nor promised; a power of two of bursts, so a compare is a look at the upper bits.
        free = Signal(range(self._depth + 1), init=self._depth)
        promised = delayed(m, Mux(bursts.taken, bursts.length, 0), 1, name="promised", reset_less=False)
        m.d.sync += [
            free.eq(free + delayed(m, popped, 1, name="popped", reset_less=False) - promised),
            bursts.grant.eq(free[self._burst.bit_length() - 1 :].any()),
        ]
        return m


class MemoryWriter(_Transfer):
    """The next ``words`` words of ``i`` go to byte ``address`` and those after it.

    ``start`` as for :class:`MemoryReader`. Words of ``i`` gather in a FIFO of ``depth`` words, before ``start`` too; a
    burst is asked for when all its words are there. ``done`` rises when the controller has taken the last word: what is
    read from then on sees it, as requests are served in order.
    """

    def __init__(self, *, burst: int = 128, depth: int = 512, queue: type[Queue | ShortQueue] = Queue):
        members = {"i": In(stream.Signature(16)), "write": Out(stream.Signature(16))}
        super().__init__(burst=burst, depth=depth, queue=queue, members=members)

    def elaborate(self, platform):
        m = Module()
        bursts, queue = self._bursts(m), self._queue(m)
        wiring.connect(m, wiring.flipped(self.i), queue.i)
        wiring.connect(m, queue.o, wiring.flipped(self.write))
        self._count(m, self.write.valid & self.write.ready)

        # Words in the FIFO that no request has claimed.
        level = Signal(range(self._depth + 2))
        pushed = self.i.valid & self.i.ready
        m.d.sync += level.eq(level + pushed - Mux(bursts.taken, bursts.length, 0))
        m.d.comb += bursts.grant.eq(level >= bursts.length)
        return m


class _Turns(wiring.Component):
    """Whose words pass: ``turn`` (one bit per client) for ``length`` steps each, in the order of ``push``.

    A turn begins two cycles after its push, or right after the one before it. ``room`` allows a push. ``told`` is ``turn`` once more,
    out of registers of its own: for clients, who may be far away while what counts steps is here.
    """

    def __init__(self, *, clients: int):
        self._clients = clients
        super().__init__({
            "push": In(clients),
            "length": In(LENGTH_BITS),
            "room": Out(1),
            "step": In(1),
            "turn": Out(clients),
            "told": Out(clients),
        })

    def elaborate(self, platform):
        m = Module()
        layout = data.StructLayout({"turn": self._clients, "left": signed(LENGTH_BITS + 1)})
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=_TURNS)
        entry, after, room = Signal(layout), data.View(layout, queue.r_data), Signal(init=1)
        m.d.sync += room.eq(queue.level < _TURNS)  # pushes are three cycles apart
        m.d.comb += [entry.turn.eq(self.push), entry.left.eq(self.length - 2)]  # negative at the last step
        m.d.comb += [queue.w_data.eq(entry), queue.w_en.eq(self.push.any()), self.room.eq(room)]
        left, told = Signal(signed(LENGTH_BITS + 1)), Signal(self._clients, name="told_dup")
        m.d.comb += self.told.eq(told)
        with m.If(self.step):
            m.d.sync += left.eq(left - 1)
        with m.If(~self.turn.any() | (self.step & (left < 0))):
            m.d.comb += queue.r_en.eq(1)
            m.d.sync += [turn.eq(Mux(queue.r_rdy, after.turn, 0)) for turn in (self.turn, told)] + [left.eq(after.left)]
        return m


class MemoryArbiter(wiring.Component):
    """Shares the controller among ``readers`` clients that read and ``writers`` that write, burst by burst.

    Of the requests offered in a cycle the one of the lowest index goes first, readers before writers (who wait while
    readers ask without end); after these ``patient`` readers; after all of them the last ``guests`` readers and as many
    writers. A request is taken a cycle after it was chosen, is another cycle later at ``request``, and is followed by the
    next one in three cycles. Bursts are served in the order they were taken, so a read taken after a write sees its words.
    Words read reach their reader one cycle after ``read``, words to write pass without a register. The controller must not
    answer before the second cycle after it took a request.
    ``read_words``/``write_words`` are high for one cycle per word.
    """

    def __init__(self, *, readers: int, writers: int, patient: int = 0, guests: int = 0):
        if readers < 1 or writers < 1:
            raise ValueError(f"An arbiter needs a reader and a writer or more, not {readers} and {writers}.")
        if not 0 <= guests <= min(readers, writers):
            raise ValueError(f"Of {readers} readers and {writers} writers {guests} can't be guests.")
        if not 0 <= patient <= readers - guests:
            raise ValueError(f"Of {readers} readers, {guests} of them guests, {patient} can't be patient.")
        self._readers, self._writers, self._patient, self._guests = readers, writers, patient, guests
        super().__init__({
            "read_requests": In(stream.Signature(Burst)).array(readers),
            "reads": Out(ReadData).array(readers),
            "write_requests": In(stream.Signature(Burst)).array(writers),
            "writes": In(stream.Signature(16)).array(writers),
            "request": Out(stream.Signature(ControllerBurst)),
            "read": In(ReadData),
            "write": Out(stream.Signature(16)),
            "read_words": Out(1),
            "write_words": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.read_turns = reading = _Turns(clients=self._readers)
        m.submodules.write_turns = writing = _Turns(clients=self._writers)
        self._requests(m, reading, writing)

        # Words read: one register, then to the reader whose turn it is.
        m.d.comb += reading.step.eq(self.read.valid)
        m.d.sync += [self.read_words.eq(reading.step), self.write_words.eq(writing.step)]
        word = Signal(16, reset_less=True)
        m.d.sync += word.eq(self.read.payload)
        for index, reader in enumerate(self.reads):
            m.d.sync += reader.valid.eq(self.read.valid & reading.turn[index])
            m.d.comb += reader.payload.eq(word)

        # Words to write: from the writer whose turn it is.
        for index, writer in enumerate(self.writes):
            m.d.comb += writer.ready.eq(self.write.ready & writing.told[index])
            with m.If(writing.turn[index]):
                m.d.comb += [self.write.valid.eq(writer.valid), self.write.payload.eq(writer.payload)]
        m.d.comb += writing.step.eq(self.write.valid & self.write.ready)
        return m

    def _requests(self, m: Module, reading: _Turns, writing: _Turns) -> None:
        """Choose the first request on offer; a cycle later take it into a register, and note whose turn it will be."""
        clients = [*self.read_requests, *self.write_requests]
        # Indices of clients in order of precedence.
        readers, writers = range(self._readers), range(self._readers, len(clients))
        first, second = self._readers - self._guests, self._writers - self._guests
        eager = first - self._patient
        order = [*readers[:eager], *writers[:second], *readers[eager:], *writers[second:]]

        # Clients are all over the chip: their flags end in a register here, their answer comes out of it.
        chosen = Signal(len(clients))
        m.d.sync += chosen.eq(0)
        with m.If(~chosen.any() & ~self.request.valid & reading.room & writing.room):
            for place, index in enumerate(order):
                before = Cat(clients[other].valid for other in order[:place]).any()
                m.d.sync += chosen[index].eq(clients[index].valid & ~before)
        m.d.comb += [
            *(client.ready.eq(chosen[index]) for index, client in enumerate(clients)),
            Cat(reading.push, writing.push).eq(chosen),
        ]
        offered = [Mux(chosen[index], client.payload.as_value(), 0) for index, client in enumerate(clients)]
        burst = data.View(Burst, reduce(or_, offered))
        m.d.comb += [reading.length.eq(burst.length), writing.length.eq(burst.length)]
        with m.If(self.request.ready):
            m.d.sync += self.request.valid.eq(0)
        with m.If(chosen.any()):
            m.d.sync += [
                self.request.valid.eq(1),
                self.request.payload.address.eq(burst.address),
                self.request.payload.length.eq(burst.length),
                self.request.payload.write.eq(writing.push.any()),
            ]
