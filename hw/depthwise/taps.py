"""The depthwise unit's arithmetic: three taps of ``group`` channels a cycle, summed up over a kernel."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.arithmetic.products import DirectProducts
from narrows.hw.config import EngineConfig
from narrows.hw.depthwise.addresses import TapCycle
from narrows.hw.depthwise.fields import SUM_BITS, DepthwiseFields
from narrows.hw.depthwise.line_buffer import READ_LATENCY
from narrows.hw.depthwise.memory import SliceReader
from narrows.hw.parts.delay import delayed

#: Cycles from a line buffer's address to a factor less its zero point: the read, the rotation, the subtraction.
_OPERAND = READ_LATENCY + 2


class DepthwiseTaps(wiring.Component):
    """Sums (signed, ``SUM_BITS``) of products of (byte - zero point) and weight, ``group`` of them at once.

    ``tap`` comes with the taps' line buffer addresses; ``line_data`` two cycles later. ``weight_address`` is presented one cycle
    after ``tap``, and ``weight_data`` comes two cycles later: factor of tap j, channel c in lane ``j * group + c``.
    ``sums`` holds a result ``LATENCY`` cycles after the tap that was its last, for one cycle at least.
    """

    LATENCY = _OPERAND + DirectProducts.LATENCY + 1

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "fields": In(DepthwiseFields),
            "tap": In(TapCycle),
            "line_data": In(8 * config.group).array(3),
            "weight_address": Out(range(config.depthwise_words)),
            "weight_data": In(data.ArrayLayout(signed(9), 3 * config.group)),
            "weights_freed": Out(16),
            "sums": Out(data.ArrayLayout(signed(SUM_BITS), config.group)),
            "forming": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        f, group = self.fields, self._config.group

        # Cycle 1: the weights' address.
        m.submodules.reader = reader = SliceReader()
        end, weighted = Signal(), Signal()
        m.d.sync += [end.eq(self.tap.valid & self.tap.last), weighted.eq(self.tap.valid & self.tap.weighted)]
        ends = delayed(m, self.tap.ends.as_value(), 1)
        m.d.comb += [
            reader.step.eq(weighted & ~f.ones),
            reader.end_result.eq(end),
            Cat(reader.end_group, reader.end_segment, reader.end_slice).eq(ends),
            self.weight_address.eq(reader.count),
            self.weights_freed.eq(reader.freed),
        ]

        # Cycle 2: the rows come from the banks. Cycle 3: each to its tap. Cycle 4: without zero point, weights beside.
        banks = [delayed(m, bank, READ_LATENCY) for bank in self.tap.banks]
        counts = delayed(m, self.tap.counts, READ_LATENCY + 1)
        one = Const(1, signed(9))
        factors, weights = [], []
        for tap in range(3):
            word = Signal(data.ArrayLayout(8, group), name=f"row{tap}", reset_less=True)
            low, middle, high = self.line_data
            m.d.sync += word.as_value().eq(Mux(banks[tap] == 0, low, Mux(banks[tap] == 1, middle, high)))
            for channel in range(group):
                factor = Signal(signed(9), name=f"factor{tap}_{channel}", reset_less=True)
                weight = Signal(signed(9), name=f"weight{tap}_{channel}", reset_less=True)
                byte = Cat(word[channel], word[channel][-1] & f.signed).as_signed()
                m.d.sync += [
                    factor.eq(Mux(counts[tap], byte - f.zero_in, 0)),
                    weight.eq(Mux(f.ones, one, self.weight_data[tap * group + channel])),
                ]
                factors.append(factor)
                weights.append(weight)

        # Cycles 5 to 8: products and their sums. Cycle 9: the kernel's sum.
        first = delayed(m, self.tap.first, self.LATENCY - 1)
        for channel in range(group):
            m.submodules[f"products{channel}"] = products = DirectProducts(group=3)
            for tap in range(3):
                m.d.comb += [
                    products.a[tap].eq(factors[tap * group + channel]),
                    products.b[tap].eq(weights[tap * group + channel]),
                ]
            m.d.sync += self.sums[channel].eq(Mux(first, 0, self.sums[channel]) + products.o)
        m.d.comb += self.forming.eq(weighted)
        return m
