"""The pointwise array: a chain of slices, each one output channel of several pixels.

Nothing is broadcast. Activations, weight addresses, accumulator control and the weights being loaded each pass one
register per slice, neighbour to neighbour, so slice ``j`` does at cycle ``t + j`` what slice 0 does at ``t``. Every slice
holds its own weights. Behind it stands a requantiser, one pixel per cycle, which neighbouring slices share if there are
fewer, as they may share the memory of its constants; only bytes leave the chain.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.arithmetic.ports import ChannelConstants, OutputRange
from narrows.hw.arithmetic.products import STRATEGIES
from narrows.hw.arithmetic.requantise import Requantise
from narrows.hw.array.memory import Constants, local_memory
from narrows.hw.array.ports import (
    ACTIVATION_DELAY,
    WEIGHT_DELAY,
    array_op,
    array_result,
    constant_load,
    pixel_factors,
    result_flags,
    shared_terms,
    sum_delay,
    weight_load,
)
from narrows.hw.config import ACCUMULATOR_BITS, EngineConfig
from narrows.hw.parts.delay import delayed


class Accumulate(data.Struct):
    """What slice ``j`` does with the sum of the cycle."""

    valid: 1
    first: 1
    last: 1


class Slice(wiring.Component):
    """Output channel ``index`` of ``pixels`` pixels: weights, products, accumulators.

    ``weight`` is the address of the op whose ``activations`` come ``WEIGHT_DELAY`` cycles later, and ``accumulate`` as many
    cycles after these as products take; ``shared`` is formed of the same activations. ``sums`` follow ``accumulate`` by one cycle.
    """

    def __init__(self, *, config: EngineConfig, index: int):
        self._config = config
        self._index = index
        super().__init__({
            "weight": In(range(config.weight_words)),
            "activations": In(pixel_factors(config)),
            "shared": In(shared_terms(config)),
            "accumulate": In(Accumulate),
            "load_weight": In(weight_load(config)),
            "sums": Out(data.ArrayLayout(signed(ACCUMULATOR_BITS), config.pixels)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        factors = Signal(9 * config.group, reset_less=True)
        # Cycles 1, 2: memory. Cycle 3: a plain register lets the memory stand far from the multipliers.
        m.d.sync += factors.eq(local_memory(m, "weights", self.load_weight, self.weight, index=self._index))

        # Sums arrive with `accumulate`. Cycle 1 after it: accumulators.
        for pixel in range(config.pixels):
            m.submodules[f"products{pixel}"] = products = STRATEGIES[config.products](group=config.group)
            accumulator = Signal(signed(ACCUMULATOR_BITS), name=f"accumulator{pixel}", reset_less=True)
            m.d.comb += [products.a.eq(self.activations[pixel]), products.b.eq(factors)]
            if products.SHARED is not None:
                m.d.comb += products.shared.eq(self.shared[pixel])
            with m.If(self.accumulate.valid):
                m.d.sync += accumulator.eq(Mux(self.accumulate.first, 0, accumulator) + products.o)
            m.d.comb += self.sums[pixel].eq(accumulator)
        return m


class Results(wiring.Component):
    """The requantiser of ``sharing`` neighbouring slices.

    ``last[k]``: slice ``k`` has the last sum of a result, that of ``project[k]``; its ``sums`` come a cycle later, its
    ``constants`` two, to stay for as many cycles as there are pixels. The pixels' bytes leave ``o`` in turn, the first
    ``LATENCY`` cycles after ``last``. Results of slices that share are a pixel each, a cycle apart, as the chain makes them.
    """

    LATENCY = 2 + Requantise.LATENCY

    def __init__(self, *, config: EngineConfig):
        self._config = config
        self._sharing = config.sharing
        super().__init__({
            "last": In(1).array(self._sharing),
            "project": In(1).array(self._sharing),
            "sums": In(data.ArrayLayout(signed(ACCUMULATOR_BITS), config.pixels)).array(self._sharing),
            "ranges": In(data.ArrayLayout(OutputRange, 2)),
            "constants": In(ChannelConstants),
            "o": Out(8),
        })

    def elaborate(self, platform):
        m = Module()
        project, project_held = Signal(), Signal()
        m.d.comb += project.eq(project_held)
        m.d.sync += project_held.eq(project)
        # Cycle 1: accumulators. Cycle 2: results wait to be requantised in turn.
        waiting = Signal(data.ArrayLayout(signed(ACCUMULATOR_BITS), self._config.pixels), reset_less=True)
        m.d.sync += waiting.as_value().eq(waiting.as_value() >> ACCUMULATOR_BITS)
        for k in range(self._sharing):
            finished = Signal(name=f"finished{k}")
            m.d.sync += finished.eq(self.last[k])
            with m.If(self.last[k]):
                m.d.comb += project.eq(self.project[k])
            with m.If(finished):
                m.d.sync += waiting.eq(self.sums[k])
        m.submodules.requantise = requantise = Requantise()
        m.d.comb += [
            requantise.acc.eq(waiting[0]),
            requantise.constants.eq(self.constants),
            requantise.range.eq(self.ranges[delayed(m, project, 2 + Requantise.RANGE_DELAY, name="project_range")]),
            self.o.eq(requantise.o),
        ]
        return m


def array_latency(config: EngineConfig) -> int:
    """Cycles from a result's last op at the array's port to its first pixel's word: the sum, the requantiser, the chain's end."""
    return sum_delay(config) + Results.LATENCY + config.outputs + 1


class PointwiseArray(wiring.Component):
    """``outputs`` slices in a chain. ``op`` is taken every cycle it is ``valid``; its ``words`` come ``READ_LATENCY`` cycles later.

    Last ops must be ``config.result_spacing`` cycles apart or more, for a requantiser takes one pixel per cycle. The first pixel's
    word leaves ``o`` ``latency`` cycles after the result's last op, the others follow. ``zero_points`` and ``ranges``
    belong to expand (0) and project (1) and are static while their ops are in flight; ``signed_input``: bytes are int8.
    ``forming``: products of a real op are being formed.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        self.latency = array_latency(config)
        super().__init__({
            "valid": In(1),
            "op": In(array_op(config)),
            "words": In(data.ArrayLayout(8 * config.group, config.pixels)),
            "zero_points": In(data.ArrayLayout(signed(9), 2)),
            "signed_input": In(1),
            "ranges": In(data.ArrayLayout(OutputRange, 2)),
            "load_weight": In(weight_load(config)),
            "load_constant": In(constant_load(config)),
            "o_valid": Out(1),
            "o": Out(array_result(config)),
            "forming": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        accumulate = Signal(Accumulate)
        m.d.comb += [
            accumulate.valid.eq(self.valid & ~self.op.idle),
            accumulate.first.eq(self.op.first),
            accumulate.last.eq(self.op.last),
            self.forming.eq(accumulate.valid),
        ]
        activations, summed = self._activations(m), sum_delay(config)
        links = {
            "weight": delayed(m, self.op.weight, ACTIVATION_DELAY - WEIGHT_DELAY, name="weight"),
            "activations": activations,
            "shared": self._shared(m, activations),
            "accumulate": delayed(m, accumulate, summed, name="accumulate"),
            "constant": delayed(m, self.op.constant, summed, name="constant"),
            "project": delayed(m, self.op.project, summed, name="project"),
            "load_weight": self.load_weight,
            "load_constant": self.load_constant,
            "ranges": self.ranges,
        }
        members = ("weight", "activations", "shared", "accumulate", "load_weight")
        for index in range(config.outputs):
            m.submodules[f"slice{index}"] = slice_ = Slice(config=config, index=index)
            for name, link in links.items():
                links[name] = here = Signal.like(link, name=f"{name}{index}", reset_less=True)
                m.d.sync += here.eq(link)
            m.d.comb += [getattr(slice_, name).eq(links[name]) for name in members]
            last = links["accumulate"].valid & links["accumulate"].last
            place, lane = divmod(index, config.constant_sharing)
            if lane == 0:
                m.submodules[f"constants{place}"] = constants = Constants(config=config, index=place)
                m.d.comb += constants.load.eq(links["load_constant"])
            m.d.comb += [constants.last[lane].eq(last), constants.constant[lane].eq(links["constant"])]
            number, k = divmod(index, config.sharing)
            if k == 0:
                m.submodules[f"results{number}"] = results = Results(config=config)
                m.d.comb += [results.ranges.eq(links["ranges"]), results.constants.eq(constants.o[lane // config.sharing])]
            m.d.comb += [results.last[k].eq(last), results.project[k].eq(links["project"]), results.sums[k].eq(slice_.sums)]
            # Slice j is j cycles late: the earlier ones wait for the last. A register after that, as words go far.
            m.d.comb += self.o.data.word_select(index, 8).eq(
                delayed(m, results.o, config.outputs - index, name=f"byte{index}")
            )
        self._flags(m, accumulate)
        return m

    def _activations(self, m):
        """Nine-bit factors, ``ACTIVATION_DELAY`` cycles after their op: the memory, a register, one to take the zero point off."""
        factors = Signal(pixel_factors(self._config), reset_less=True)
        words = delayed(m, self.words, 1, name="words")
        zero_point = Signal(signed(9), reset_less=True)
        m.d.sync += zero_point.eq(self.zero_points[delayed(m, self.op.project, ACTIVATION_DELAY - 2, name="project_read")])
        for pixel in range(self._config.pixels):
            for channel in range(self._config.group):
                byte = words[pixel].word_select(channel, 8)
                value = Cat(byte, byte[7] & self.signed_input).as_signed()
                m.d.sync += factors[pixel][channel].eq(value - zero_point)
        return factors

    def _shared(self, m, activations):
        """What the pixels' factors share, for the slices."""
        terms = Signal(shared_terms(self._config))
        strategy = STRATEGIES[self._config.products]
        if strategy.SHARED is not None:
            for pixel in range(self._config.pixels):
                m.submodules[f"shared{pixel}"] = shared = strategy.SHARED(group=self._config.group)
                m.d.comb += [shared.a.eq(activations[pixel]), terms[pixel].eq(shared.o)]
        return terms

    def _flags(self, m, accumulate):
        """The last op's flags meet its results at the end of the chain, one pixel per cycle."""
        result = Signal(result_flags(self._config))
        pixels = Signal(self._config.pixels)
        m.d.comb += [
            pixels.eq(Mux(accumulate.valid & accumulate.last, self.op.pixels, 0)),
            *(result[name].eq(self.op[name]) for name in ("project", "end_group", "end_segment", "end_slice")),
        ]
        result = delayed(m, result, self.latency - 2, name="flags")
        pixels = delayed(m, pixels, self.latency - 2, name="pixels", reset_less=False)
        flags, left = Signal.like(result), Signal.like(pixels)
        m.d.sync += left.eq(left >> 1)
        with m.If(pixels.any()):
            m.d.sync += [left.eq(pixels), flags.eq(result)]
        final = ~(left >> 1).any()
        m.d.sync += [
            self.o_valid.eq(left[0]),
            self.o.project.eq(flags.project),
            *(self.o[name].eq(flags[name] & final) for name in ("end_group", "end_segment", "end_slice")),
        ]
