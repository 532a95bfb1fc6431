"""Linear regions of external memory as streams of 16-bit words.

Byte addresses are even everywhere; lengths and counts are in words of 16 bits.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.parts.delay import delayed
from narrows.hw.parts.queue import Queue, ShortQueue

#: Byte addresses reach 32 MB; a transfer has up to 2**24 words.
BYTE_ADDRESS_BITS = 25
COUNT_BITS = 25

#: The longest burst a client may ask for, in words.
MAX_BURST = 256
LENGTH_BITS = MAX_BURST.bit_length()

#: A client's request: ``length`` words (1 to ``MAX_BURST``) from word ``address`` (bytes / 2) on.
Burst = data.StructLayout({"address": BYTE_ADDRESS_BITS - 1, "length": LENGTH_BITS})

#: Words read, in the order they were asked for. They can't be held back: who asks has room.
ReadData = wiring.Signature({"valid": Out(1), "payload": Out(16)})


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
