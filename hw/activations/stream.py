"""Tensors between external memory and activation memory: spilled ones, and the inputs of layers in the middle.

In external memory a tensor is pixel after pixel, each ``groups * group`` bytes. In activation memory it lies as
:mod:`narrows.hw.activations.address_generator` describes, in a ring if it is larger than its region.
"""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from narrows.errors import Unfit
from narrows.hw.activations.address_generator import ADDRESS_BITS, Walker, WalkFields, bank_bits, walk_fields
from narrows.hw.activations.memory import activation_read
from narrows.hw.activations.ports import activation_write
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.parts.countdown import Countdown
from narrows.hw.parts.delay import delayed
from narrows.hw.parts.gearbox import COUNT_BITS, WordPacker, WordUnpacker
from narrows.hw.parts.stream_register import StreamRegister

#: Where the tensor lies; ``ring``: pixels the region holds; ``pixels``: of the tensor; ``words``: of 16 bits.
TransferFields = data.StructLayout({
    "walk": WalkFields,
    "ring": POSITION_BITS,
    "pixels": POSITION_BITS,
    "words": COUNT_BITS,
})


def ring_pixels(config: EngineConfig, walk: dict[str, int]) -> int:
    """Pixels that the region of ``walk`` holds in all banks."""
    return walk["size"] // walk["stride"] * config.pixels


def transfer_fields(*, config: EngineConfig, base: int, size: int, groups: int, pixels: int) -> dict:
    """Checked values of :data:`TransferFields`: ``pixels`` of ``groups`` words each, in the ``size`` words from ``base``
    on in every bank (``Unfit``)."""
    if groups < 1 or size < groups:
        raise Unfit(f"A region of {size} words per bank does not hold one pixel of {groups} words.")
    walk = walk_fields(base=base, size=size, stride=groups, groups=groups)
    if base + size > config.bank_words:
        raise Unfit(f"A region of {size} words at {base} exceeds the banks of {config.bank_words} words.")
    words = pixels * groups * config.group // 2
    if not 0 <= pixels < 1 << POSITION_BITS - 1:
        raise Unfit(f"A tensor of {pixels} pixels cannot be counted with {POSITION_BITS} bits.")
    if words > 1 << COUNT_BITS - 1:
        raise Unfit(f"A tensor of {2 * words} bytes is too large for one transfer of {2 << COUNT_BITS - 1} bytes.")
    return {"walk": walk, "ring": ring_pixels(config, walk), "pixels": pixels, "words": words}


class PositionGate(wiring.Component):
    """Lets pixel (or word) ``position`` pass while ``position < limit``, counted modulo ``2**POSITION_BITS``.

    ``step`` (only while ``open``) goes on to the next one; ``open`` then stays low for a cycle. ``start`` goes back to
    0; ``limit`` must be right from the next cycle on, or, if position 0 may pass in any case, from the one after that. A new
    limit opens the gate after two cycles.
    """

    def __init__(self):
        super().__init__({
            "start": In(1),
            "limit": In(POSITION_BITS),
            "step": In(1),
            "open": Out(1),
            "position": Out(POSITION_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        limit, ahead, started = Signal(POSITION_BITS), Signal(signed(POSITION_BITS)), Signal()
        m.d.comb += ahead.eq(self.position - limit)
        m.d.sync += [
            limit.eq(self.limit), started.eq(self.start),
            # Of the position that was left, and of the limit before a start, it would be wrong.
            self.open.eq(ahead[-1] & ~self.step & ~self.start & ~started),
        ]
        with m.If(self.step):
            m.d.sync += self.position.eq(self.position + 1)
        with m.If(self.start):
            m.d.sync += self.position.eq(0)
        return m


class PixelWalk(wiring.Component):
    """Visits the words of each pixel in turn, pixel after pixel: a :class:`Walker` in segments of one pixel.

    ``first``/``last``: the current word is its pixel's. Otherwise as the walker; ``groups`` of the fields are the pixel's.
    """

    def __init__(self, *, pixels: int):
        self._pixels = pixels
        super().__init__({
            "fields": In(WalkFields),
            "start": In(1),
            "step": In(1),
            "bank": Out(bank_bits(pixels)),
            "address": Out(ADDRESS_BITS),
            "first": Out(1),
            "last": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.walker = walker = Walker(pixels=self._pixels)
        left = Countdown(m, "words", 12, end=1)
        m.d.comb += [
            walker.fields.eq(self.fields),
            walker.start.eq(self.start),
            walker.step.eq(self.step),
            walker.end_group.eq(1),
            walker.end_segment.eq(self.last),
            self.bank.eq(walker.bank),
            self.address.eq(walker.address),
            self.last.eq(left.last),
        ]
        with m.If(self.step):
            left.step()
            m.d.sync += self.first.eq(0)
        with m.If(self.start | (self.step & self.last)):
            left.load(self.fields.groups)
            m.d.sync += self.first.eq(1)
        return m


class ActivationLoad(wiring.Component):
    """Puts a tensor that arrives at ``i``, low byte first, into activation memory.

    ``start`` (one cycle, while ``done``) begins a transfer; ``fields`` are static from the cycle before until ``done``. A pixel is
    written when the ring has room for it beside those from ``consumed`` on, the number of pixels nobody needs any more (from 0 in
    the second cycle after ``start`` on). The ``mark`` is 1 on each pixel's last word. A word is offered two cycles after its last
    part came; 2 bytes per cycle are sustained. ``done`` rises when the last word has been taken.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "fields": In(TransferFields),
            "start": In(1),
            "consumed": In(POSITION_BITS),
            "i": In(stream.Signature(16)),
            "o": Out(stream.Signature(activation_write(config))),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.packer = packer = WordPacker(group=self._config.group)
        m.submodules.gate = gate = PositionGate()
        m.submodules.walk = walk = PixelWalk(pixels=self._config.pixels)
        wiring.connect(m, wiring.flipped(self.i), packer.i)
        m.d.comb += [
            packer.start.eq(self.start),
            packer.words.eq(self.fields.words),
            gate.start.eq(self.start),
            gate.limit.eq(self.consumed + self.fields.ring),
            walk.start.eq(self.start),
            walk.fields.eq(self.fields.walk),
            self.done.eq(packer.done & ~self.o.valid),
        ]
        # A word waits for room of its own at its pixel's first word only. Whether memory takes one is known late: it does not
        # decide here.
        m.submodules.out = out = StreamRegister(activation_write(self._config))
        wiring.connect(m, out.o, wiring.flipped(self.o))
        room, step = Signal(), Signal()
        m.d.comb += [
            room.eq(gate.open | ~walk.first),
            packer.o.ready.eq(out.i.ready & room),
            out.i.valid.eq(packer.o.valid & room),
            step.eq(packer.o.valid & packer.o.ready),
            walk.step.eq(step),
            gate.step.eq(step & walk.first),
            out.i.payload.data.eq(packer.o.payload),
            out.i.payload.bank.eq(walk.bank),
            out.i.payload.address.eq(walk.address),
            out.i.payload.mark.eq(walk.last),
        ]
        return m


class ActivationStore(wiring.Component):
    """Hands out a tensor in activation memory at ``o``, low byte first.

    ``start``, ``fields`` and ``done`` as for :class:`ActivationLoad`. A pixel is fetched when it is among the ``written``
    first ones, the number of complete pixels (from 0 in the cycle after ``start`` on). The answer to each
    ``read_request`` comes in order as ``answer`` (valid) and ``data``; never are more than ``depth`` words of ``group``
    bytes asked for and not handed out. A request is offered three cycles after ``written`` allows it, a word two cycles
    after its answer. ``stored``: pixels that were fetched, whose place may be written again.
    2 bytes per cycle are sustained if an answer takes at most ``depth * group / 2 - 4`` cycles.
    """

    def __init__(self, *, config: EngineConfig, depth: int = 16):
        if depth < 4:
            raise ValueError(f"The FIFO must hold 4 words or more, not {depth}.")
        self._config, self._depth = config, depth
        super().__init__({
            "fields": In(TransferFields),
            "start": In(1),
            "written": In(POSITION_BITS),
            "read_request": Out(stream.Signature(activation_read(config))),
            "answer": In(1),
            "data": In(8 * config.group),
            "o": Out(stream.Signature(16)),
            "stored": Out(POSITION_BITS),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        # Words on their way: asked for and not yet unpacked.
        m.submodules.fifo = fifo = SyncFIFO(width=8 * self._config.group, depth=self._depth)
        m.submodules.unpacker = unpacker = WordUnpacker(group=self._config.group)
        wiring.connect(m, fifo.r_stream, unpacker.i)
        wiring.connect(m, unpacker.o, wiring.flipped(self.o))
        m.d.comb += [fifo.w_en.eq(self.answer), fifo.w_data.eq(self.data)]

        issued, taken = Signal(), Signal()
        m.d.comb += taken.eq(unpacker.i.valid & unpacker.i.ready)
        room, claimed = Signal(), Signal(range(self._depth + 1))
        left = delayed(m, taken, 1, name="taken", reset_less=False)
        m.d.sync += [claimed.eq(claimed + issued - left), room.eq(claimed != self._depth)]

        self._requests(m, room, issued)
        self._counts(m)
        return m

    def _requests(self, m: Module, room: Signal, issued: Signal) -> None:
        """Ask for word after word while there is room, and for a pixel's first one if it is complete."""
        m.submodules.gate = gate = PositionGate()
        m.submodules.walk = walk = PixelWalk(pixels=self._config.pixels)
        left = Signal(signed(POSITION_BITS + 1), init=-1)  # pixels, less one
        m.d.comb += [
            gate.start.eq(self.start),
            gate.limit.eq(self.written),
            gate.step.eq(issued & walk.first),
            walk.start.eq(self.start),
            walk.fields.eq(self.fields.walk),
            walk.step.eq(issued),
            issued.eq(~self.read_request.valid & room & ~left[-1] & (gate.open | ~walk.first)),
        ]
        with m.If(self.read_request.ready):
            m.d.sync += self.read_request.valid.eq(0)
        with m.If(issued):
            m.d.sync += [
                self.read_request.valid.eq(1),
                self.read_request.payload.bank.eq(walk.bank),
                self.read_request.payload.address.eq(walk.address),
                left.eq(left - walk.last),
            ]
        with m.If(self.start):
            m.d.sync += left.eq(self.fields.pixels - 1)

    def _counts(self, m: Module) -> None:
        """Pixels whose words have all come, and 16-bit words (less one) still to leave."""
        arriving, rest = Countdown(m, "arriving", 12, end=1), Signal(signed(COUNT_BITS + 1), init=-1)
        m.d.comb += self.done.eq(rest[-1])
        with m.If(self.answer):
            arriving.step()
            with m.If(arriving.last):
                arriving.load(self.fields.walk.groups)
                m.d.sync += self.stored.eq(self.stored + 1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += rest.eq(rest - 1)
        with m.If(self.start):
            arriving.load(self.fields.walk.groups)
            m.d.sync += [self.stored.eq(0), rest.eq(self.fields.words - 1)]
