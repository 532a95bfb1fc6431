"""The program: one linear stream of descriptors, weights and constants in the order the engine uses them.

Packets of 16-bit words, low byte first: a header of two words, then ``count`` memory words::

    word 0   bits 0-2 kind, bit 3 bytes are int8, bits 7-15 zero point of the weights (9 bits, signed)
    word 1   count

A memory word is ``lanes`` entries of a local memory, lane 0 first: ``group`` bytes of weights (9-bit factors once the zero
point is off), 8 bytes of constants, or 16 bits of a descriptor.
"""

from enum import IntEnum

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from narrows.hw.array import constant_load, delayed, memory_load, weight_load
from narrows.hw.config import CONSTANT_BITS, EngineConfig
from narrows.hw.passes import COUNT_BITS


class Kind(IntEnum):
    """What a packet holds."""

    DESCRIPTOR = 1
    WEIGHTS = 2
    CONSTANTS = 3
    DEPTHWISE_WEIGHTS = 4
    DEPTHWISE_CONSTANTS = 5


#: The kinds that go into ring memories, in the order of the counters below.
RINGS = (Kind.WEIGHTS, Kind.CONSTANTS, Kind.DEPTHWISE_WEIGHTS, Kind.DEPTHWISE_CONSTANTS)


def depthwise_weight_load(config: EngineConfig) -> data.StructLayout:
    """``group`` 9-bit factors of one of three taps."""
    return memory_load(lanes=3, depth=config.depthwise_words, width=9 * config.group)


def depthwise_constant_load(config: EngineConfig) -> data.StructLayout:
    """One channel's constants for one of the depthwise unit's requantisers."""
    return memory_load(lanes=config.depthwise_requantisers, depth=config.depthwise_words, width=CONSTANT_BITS)


def lanes(config: EngineConfig, kind: Kind) -> int:
    """Entries in a memory word of ``kind``."""
    return {
        Kind.DESCRIPTOR: 1, Kind.WEIGHTS: config.outputs, Kind.CONSTANTS: config.outputs,
        Kind.DEPTHWISE_WEIGHTS: 3, Kind.DEPTHWISE_CONSTANTS: config.depthwise_requantisers,
    }[kind]


def lane_bytes(config: EngineConfig, kind: Kind) -> int:
    """Bytes of one entry in the program."""
    if kind == Kind.DESCRIPTOR:
        return 2
    return config.group if kind in (Kind.WEIGHTS, Kind.DEPTHWISE_WEIGHTS) else CONSTANT_BITS // 8


def header(kind: Kind, count: int, *, zero_point: int = 0, signed: bool = False) -> bytes:
    """A packet's first four bytes."""
    if not 0 <= count < 1 << 16 or not -256 <= zero_point < 256:
        raise ValueError(f"A packet can't hold {count} words with zero point {zero_point}.")
    return (kind | signed << 3 | (zero_point & 0x1FF) << 7 | count << 16).to_bytes(4, "little")


class LaneMemory(wiring.Component):
    """A ring memory loaded lane by lane and read a word at a time, ``word`` two cycles after ``address``."""

    def __init__(self, *, load: data.StructLayout, lanes: int):
        self._lanes = lanes
        self._width = load["data"].width
        super().__init__({
            "load": In(load),
            "address": In(load["address"].shape),
            "word": Out(self._width * lanes),
        })

    def elaborate(self, platform):
        m = Module()
        shape = data.ArrayLayout(self._width, self._lanes)
        m.submodules.memory = memory = Memory(shape=shape, depth=1 << len(self.address), init=[])
        write, read = memory.write_port(granularity=1), memory.read_port()
        load = Signal.like(self.load)
        m.d.sync += [load.eq(self.load), self.word.eq(read.data)]
        m.d.comb += [
            read.addr.eq(self.address),
            write.addr.eq(load.address),
            write.data.eq(data.View(shape, load.data.replicate(self._lanes))),
            write.en.eq(Mux(load.enable, 1 << load.lane, 0)),
        ]
        return m


class ProgramReader(wiring.Component):
    """Takes the program apart: one word of ``i`` per cycle, unless the memory it is for is full.

    ``freed[n]``: count of words of ring memory ``n`` (see ``RINGS``) that are no longer needed; ``loaded[n]``: count of
    words that can be read. Counts start at 0 with a reset and are modulo ``2**COUNT_BITS``. ``bad``: a packet's kind was
    unknown; nothing more is taken.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(16)),
            "descriptor": Out(stream.Signature(16)),
            "load_weight": Out(weight_load(config)),
            "load_constant": Out(constant_load(config)),
            "load_depthwise_weight": Out(depthwise_weight_load(config)),
            "load_depthwise_constant": Out(depthwise_constant_load(config)),
            "freed": In(COUNT_BITS).array(len(RINGS)),
            "loaded": Out(COUNT_BITS).array(len(RINGS)),
            "bad": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        loads = [self.load_weight, self.load_constant, self.load_depthwise_weight, self.load_depthwise_constant]
        depths = [config.weight_words, config.constant_words, config.depthwise_words, config.depthwise_words]
        kind, signed_bytes, zero_point, count = Signal(3), Signal(), Signal(9), Signal(16)
        ring = Signal(range(len(RINGS)))
        part, parts = Signal(3), Signal(3)
        lane, last_lane = Signal(range(config.outputs)), Signal(range(config.outputs))
        buffer = Signal(CONSTANT_BITS if config.group <= 8 else 8 * config.group, reset_less=True)
        gathered = Signal.like(buffer)
        m.d.comb += gathered.eq(Cat(buffer, self.i.payload)[16:])

        # A word may begin in the cycle after the last one ended, when `full` does not know of that one yet.
        written = [Signal(COUNT_BITS, name=f"written{n}") for n in range(len(RINGS))]
        full, almost_full = Signal(len(RINGS)), Signal(len(RINGS))
        for n, depth in enumerate(depths):
            held = Signal(COUNT_BITS, name=f"held{n}")
            m.d.comb += held.eq(written[n] - self.freed[n])
            m.d.sync += [full[n].eq(held >= depth), almost_full[n].eq(held >= depth - 1)]
        take, done_lane, done_word = Signal(), Signal(), Signal()
        blocked, ended = Signal(), Signal()
        m.d.sync += ended.eq(take & done_word)
        m.d.comb += [
            blocked.eq((Mux(ended, almost_full, full) >> ring)[0] & (part == 0) & (lane == 0)),
            take.eq(self.i.valid & self.i.ready),
            done_lane.eq(part == parts),
            done_word.eq(done_lane & (lane == last_lane)),
        ]
        store = Signal()
        with m.FSM():
            with m.State("KIND"):
                m.d.comb += self.i.ready.eq(~self.bad)
                with m.If(take):
                    m.d.sync += [
                        Cat(kind, signed_bytes).eq(self.i.payload), zero_point.eq(self.i.payload[7:]),
                        part.eq(0), lane.eq(0),
                    ]
                    m.next = "COUNT"
                    with m.Switch(self.i.payload[:3]):
                        for n, value in enumerate(RINGS):
                            with m.Case(value):
                                m.d.sync += [
                                    ring.eq(n), last_lane.eq(lanes(config, value) - 1),
                                    parts.eq(lane_bytes(config, value) // 2 - 1),
                                ]
                        with m.Case(Kind.DESCRIPTOR):
                            pass
                        with m.Default():
                            m.d.sync += self.bad.eq(1)
                            m.next = "KIND"
            with m.State("COUNT"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(take):
                    m.d.sync += count.eq(self.i.payload)
                    with m.If(self.i.payload == 0):
                        m.next = "KIND"
                    with m.Elif(kind == Kind.DESCRIPTOR):
                        m.next = "DESCRIPTOR"
                    with m.Else():
                        m.next = "WORDS"
            with m.State("DESCRIPTOR"):
                m.d.comb += [
                    self.descriptor.valid.eq(self.i.valid), self.descriptor.payload.eq(self.i.payload),
                    self.i.ready.eq(self.descriptor.ready),
                ]
                with m.If(take):
                    m.d.sync += count.eq(count - 1)
                    with m.If(count == 1):
                        m.next = "KIND"
            with m.State("WORDS"):
                m.d.comb += self.i.ready.eq(~blocked)
                with m.If(take):
                    m.d.sync += [buffer.eq(gathered), part.eq(part + 1)]
                    m.d.comb += store.eq(done_lane)
                    with m.If(done_lane):
                        m.d.sync += [part.eq(0), lane.eq(lane + 1)]
                    with m.If(done_word):
                        m.d.sync += [lane.eq(0), count.eq(count - 1)]
                        with m.If(count == 1):
                            m.next = "KIND"

        entry = gathered[len(gathered) - CONSTANT_BITS:]
        first_byte = len(gathered) - 8 * config.group
        factors = Signal(9 * config.group)
        m.d.comb += factors.eq(Cat(
            (Cat(byte, byte[7] & signed_bytes).as_signed() - zero_point.as_signed())[:9]
            for byte in (gathered[first_byte + 8 * c:first_byte + 8 * c + 8] for c in range(config.group))
        ))
        for n, load in enumerate(loads):
            here = store & (ring == n)
            m.d.sync += [
                load.enable.eq(here), load.lane.eq(lane), load.address.eq(written[n]),
                load.data.eq(factors if RINGS[n] in (Kind.WEIGHTS, Kind.DEPTHWISE_WEIGHTS) else entry),
            ]
            complete = Signal(name=f"complete{n}")
            m.d.comb += complete.eq(here & done_word)
            m.d.sync += written[n].eq(written[n] + complete)
            # The last lane's load still has to travel down the chain.
            m.d.sync += self.loaded[n].eq(self.loaded[n] + delayed(m, complete, config.outputs + 3, name=f"complete{n}"))
        return m
