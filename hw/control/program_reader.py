"""The program: one linear stream of descriptors, weights and constants in the order the engine uses them.

Packets of 16-bit words, low byte first: a header of two words, then ``count`` memory words::

    word 0   bits 0-2 kind, bit 3 bytes are int8, bits 7-15 zero point of the weights (9 bits, signed)
    word 1   count

A memory word is ``lanes`` entries of a local memory, lane 0 first: ``group`` bytes of weights (9-bit factors once the zero
point is off), 8 bytes of constants (10 if wide), or 16 bits of a descriptor.
"""

from collections.abc import Mapping
from enum import IntEnum

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.array.pass_fields import COUNT_BITS
from narrows.hw.array.ports import constant_load, memory_load, weight_load
from narrows.hw.config import BIAS_BITS, CONSTANT_BITS, NARROW_BIAS_BITS, EngineConfig
from narrows.hw.parts.block_ram import BlockRam
from narrows.hw.parts.countdown import Countdown
from narrows.hw.parts.delay import delayed


class Kind(IntEnum):
    """What a packet holds."""

    DESCRIPTOR = 1
    WEIGHTS = 2
    CONSTANTS = 3
    DEPTHWISE_WEIGHTS = 4
    DEPTHWISE_CONSTANTS = 5
    WIDE_CONSTANTS = 6
    DEPTHWISE_WIDE_CONSTANTS = 7


#: The kinds that go into ring memories, in the order of the counters below.
RINGS = (Kind.WEIGHTS, Kind.CONSTANTS, Kind.DEPTHWISE_WEIGHTS, Kind.DEPTHWISE_CONSTANTS)

#: Constants with a bias of 32 bits, as only odd channels have, and the ring they go into like the others.
WIDE = {Kind.WIDE_CONSTANTS: Kind.CONSTANTS, Kind.DEPTHWISE_WIDE_CONSTANTS: Kind.DEPTHWISE_CONSTANTS}

#: 16-bit words of an entry of constants, narrow and wide.
_NARROW_PARTS, _WIDE_PARTS = 4, 5


def depthwise_weight_load(config: EngineConfig) -> data.StructLayout:
    """``group`` 9-bit factors of one of three taps."""
    return memory_load(lanes=3, depth=config.depthwise_words, width=9 * config.group)


def depthwise_constant_load(config: EngineConfig) -> data.StructLayout:
    """One channel's constants for one of the depthwise unit's requantisers."""
    return memory_load(lanes=config.depthwise_requantisers, depth=config.depthwise_words, width=CONSTANT_BITS)


def ring_of(kind: Kind) -> int:
    """Which of ``RINGS`` a packet fills."""
    return RINGS.index(WIDE.get(kind, kind))


def lanes(config: EngineConfig, kind: Kind) -> int:
    """Entries in a memory word of ``kind``."""
    return {
        Kind.DESCRIPTOR: 1, Kind.WEIGHTS: config.outputs, Kind.CONSTANTS: config.outputs,
        Kind.DEPTHWISE_WEIGHTS: 3, Kind.DEPTHWISE_CONSTANTS: config.depthwise_requantisers,
    }[WIDE.get(kind, kind)]


def lane_bytes(config: EngineConfig, kind: Kind) -> int:
    """Bytes of one entry in the program."""
    if kind == Kind.DESCRIPTOR:
        return 2
    if kind in (Kind.WEIGHTS, Kind.DEPTHWISE_WEIGHTS):
        return config.group
    return 2 * (_WIDE_PARTS if kind in WIDE else _NARROW_PARTS)


def ring_depths(config: EngineConfig) -> dict[Kind, int]:
    """Memory words of each of ``RINGS``."""
    return {
        Kind.WEIGHTS: config.weight_words, Kind.CONSTANTS: config.constant_words,
        Kind.DEPTHWISE_WEIGHTS: config.depthwise_words, Kind.DEPTHWISE_CONSTANTS: config.depthwise_words,
    }  # fmt: skip


def fits_rings(config: EngineConfig, counts: Mapping[Kind, int]) -> bool:
    """Whether the rings hold so many words of each kind at once."""
    return all(counts.get(kind, 0) <= depth for kind, depth in ring_depths(config).items())


def header(kind: Kind, count: int, *, zero_point: int = 0, signed: bool = False) -> bytes:
    """A packet's first four bytes."""
    if not 0 <= count < 1 << 16 or not -256 <= zero_point < 256:
        raise ValueError(f"A packet can't hold {count} words with zero point {zero_point}.")
    return (kind | signed << 3 | (zero_point & 0x1FF) << 7 | count << 16).to_bytes(4, "little")


class LaneMemory(wiring.Component):
    """A ring memory loaded lane by lane and read a word at a time, ``word`` ``BlockRam.LATENCY`` cycles after ``address``."""

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
        load = Signal.like(self.load)
        m.d.sync += load.eq(self.load)
        for lane in range(self._lanes):
            m.submodules[f"lane{lane}"] = memory = BlockRam(width=self._width, depth=1 << len(self.address))
            m.d.comb += [
                memory.write_enable.eq(load.enable & (load.lane == lane)),
                memory.write_address.eq(load.address), memory.write_data.eq(load.data),
                memory.address.eq(self.address), self.word.word_select(lane, self._width).eq(memory.data),
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
        self._ring = Signal(range(len(RINGS)))  # of the packet, and how its words are cut: parts of 16 bits, lanes
        self._signed, self._zero_point, self._wide = Signal(), Signal(signed(9)), Signal()
        self._last_part = Signal(3)
        self._lane, self._last_lane = Signal(range(config.outputs)), Signal(range(config.outputs))
        self._parts, self._lanes = Countdown(m, "parts", 3), Countdown(m, "lanes", len(self._lane))
        self._take_word, self._end_word, self._at_start = Signal(), Signal(), Signal()
        m.d.comb += self._end_word.eq(self._parts.last & self._lanes.last)
        written = [Signal(COUNT_BITS, name=f"written{n}") for n in range(len(RINGS))]
        self._packets(m, self._blocked(m, written))
        self._loads(m, written)
        return m

    def _packets(self, m, blocked):
        """Header, then the descriptor's words to their stream or memory words part by part."""
        count, is_descriptor = Countdown(m, "count", 16, end=1), Signal()
        # One state each: before the kind, before the count, in a descriptor, in memory words.
        at_kind, at_count, in_descriptor, in_words = Signal(init=1), Signal(), Signal(), Signal()
        m.d.comb += [
            self._take_word.eq(self.i.valid & in_words & ~blocked),
            self.i.ready.eq(at_kind | at_count | (in_descriptor & self.descriptor.ready) | (in_words & ~blocked)),
            self.descriptor.valid.eq(self.i.valid & in_descriptor), self.descriptor.payload.eq(self.i.payload),
        ]
        ended = Signal()
        m.d.comb += ended.eq((self.descriptor.valid & self.descriptor.ready) | (self._take_word & self._end_word))
        count.step(ended)
        with m.If(at_kind & self.i.valid):
            m.d.sync += [
                self._signed.eq(self.i.payload[3]), self._zero_point.eq(self.i.payload[7:]),
                is_descriptor.eq(self.i.payload[:3] == Kind.DESCRIPTOR), at_kind.eq(0), at_count.eq(1),
            ]
            with m.Switch(self.i.payload[:3]):
                for into in (*RINGS, *WIDE):
                    with m.Case(into):
                        m.d.sync += [
                            self._ring.eq(ring_of(into)), self._wide.eq(into in WIDE),
                            self._last_lane.eq(lanes(self._config, into) - 1),
                            self._last_part.eq(lane_bytes(self._config, into) // 2 - 1),
                        ]
                with m.Case(Kind.DESCRIPTOR):
                    pass
                with m.Default():
                    m.d.sync += [self.bad.eq(1), at_count.eq(0)]  # and nothing is taken any more
        with m.If(at_count):
            self._parts.load(self._last_part)
            self._lanes.load(self._last_lane)
            m.d.sync += [self._lane.eq(0), self._at_start.eq(1)]
            with m.If(self.i.valid):
                count.load(self.i.payload)
                some = self.i.payload.any()
                m.d.sync += [at_count.eq(0), at_kind.eq(~some), in_descriptor.eq(some & is_descriptor), in_words.eq(some & ~is_descriptor)]
        with m.If(ended & count.last):
            m.d.sync += [in_descriptor.eq(0), in_words.eq(0), at_kind.eq(1)]

    def _blocked(self, m, written):
        """Whether the packet's ring has no room for another word. It is known four cycles late, so of a word that begins right after
        the last one ended there must be one place more. Words take four cycles or more."""
        config = self._config
        full, almost_full = Signal(len(RINGS)), Signal(len(RINGS))
        for n, depth in enumerate(ring_depths(config).values()):
            held = Signal(COUNT_BITS, name=f"held{n}")
            m.d.comb += held.eq(written[n] - self.freed[n])
            m.d.sync += [full[n].eq(held >= depth), almost_full[n].eq(held >= depth - 1)]
        # One register says what is to be known in the next cycle: the end of a word is known late, and so is not looked at twice.
        lacks_room, ended = Signal(), Signal(3)
        ends = self._take_word & self._end_word
        m.d.sync += [
            ended.eq(Cat(ends, ended)),
            lacks_room.eq(Mux(ends | ended.any(), almost_full.bit_select(self._ring, 1), full.bit_select(self._ring, 1))),
        ]
        return lacks_room & self._at_start

    def _loads(self, m, written):
        """Parts gather into a lane, low byte first; a complete lane goes to the memory of the packet's ring.

        The memories are all over the chip, so nothing of it is worked out in the cycle in which the last part is taken.
        """
        group = self._config.group
        gathered = Signal(max(16 * _WIDE_PARTS, 8 * group), reset_less=True)
        store, ends, lane = Signal(), Signal(), Signal.like(self._lane, reset_less=True)
        m.d.sync += [store.eq(self._take_word & self._parts.last), ends.eq(self._take_word & self._end_word), lane.eq(self._lane)]
        with m.If(self._take_word):
            m.d.sync += [gathered.eq(Cat(gathered, self.i.payload)[16:]), self._at_start.eq(self._end_word)]
            self._parts.step()
            with m.If(self._parts.last):
                self._parts.load(self._last_part)
                self._lanes.step()
                m.d.sync += self._lane.eq(self._lane + 1)
                with m.If(self._lanes.last):
                    self._lanes.load(self._last_lane)
                    m.d.sync += self._lane.eq(0)

        factors = Signal(9 * group)
        weights = gathered[len(gathered) - 8 * group:]
        for channel in range(group):
            byte = weights.word_select(channel, 8)
            value = Cat(byte, byte[7] & self._signed).as_signed()
            m.d.comb += factors.word_select(channel, 9).eq(value - self._zero_point)
        narrow, wide = gathered[-16 * _NARROW_PARTS :], gathered[-16 * _WIDE_PARTS :]
        bias = Signal(signed(BIAS_BITS))
        constants = Signal(CONSTANT_BITS)
        m.d.comb += [
            bias.eq(narrow[:NARROW_BIAS_BITS].as_signed()),
            constants.eq(Mux(self._wide, wide, Cat(bias, narrow[NARROW_BIAS_BITS:]))),
        ]
        loads = (self.load_weight, self.load_constant, self.load_depthwise_weight, self.load_depthwise_constant)
        for n, load in enumerate(loads):
            here, complete = Signal(name=f"here{n}"), Signal(name=f"complete{n}")
            m.d.comb += here.eq(store & (self._ring == n))
            m.d.sync += [
                load.enable.eq(here), load.lane.eq(lane), load.address.eq(written[n]),
                load.data.eq(factors if RINGS[n] in (Kind.WEIGHTS, Kind.DEPTHWISE_WEIGHTS) else constants),
                complete.eq(here & ends), written[n].eq(written[n] + complete),
                # The last lane's load still has to travel down the chain.
                self.loaded[n].eq(self.loaded[n] + delayed(m, complete, self._config.outputs + 2, name=f"complete{n}", reset_less=False)),
            ]
