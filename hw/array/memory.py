"""The memories beside the array's slices."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.arithmetic.ports import ChannelConstants
from narrows.hw.array.ports import constant_load
from narrows.hw.config import EngineConfig
from narrows.hw.parts.block_ram import BlockRam
from narrows.hw.parts.delay import delayed


def local_memory(m, name, load, address, *, index, sharing=1):
    """A word of a memory that holds ``sharing`` lanes' loads, those from lane ``index * sharing`` on, ``BlockRam.LATENCY``
    cycles after its address. The lane is the address's lowest bits."""
    lane_bits = (sharing - 1).bit_length()
    m.submodules[name] = memory = BlockRam(width=len(load.data), depth=sharing << len(load.address))
    m.d.comb += [
        memory.write_enable.eq(load.enable & (load.lane >> lane_bits == index)),
        memory.write_address.eq(Cat(load.lane[:lane_bits], load.address)),
        memory.write_data.eq(load.data),
        memory.address.eq(address),
    ]
    return memory.data


class Constants(wiring.Component):
    """The constants of ``constant_sharing`` neighbouring slices, number ``index`` of the chain's.

    ``last[k]``: slice ``k`` has the last sum of a result, that of ``constant[k]``. ``o[n]``: the constants of the last such slice of
    requantiser ``n``, from ``LATENCY`` cycles after on, for as many cycles as results of a slice are apart. Slices that share have
    their last sums in different cycles, as the chain makes them.
    """

    LATENCY = BlockRam.LATENCY

    def __init__(self, *, config: EngineConfig, index: int):
        self._config, self._index = config, index
        sharing = config.constant_sharing
        super().__init__({
            "last": In(1).array(sharing),
            "constant": In(range(config.constant_words)).array(sharing),
            "load": In(constant_load(config)),
            "o": Out(ChannelConstants).array(sharing // config.sharing),
        })

    def elaborate(self, platform):
        m = Module()
        config, sharing = self._config, self._config.constant_sharing
        lane_bits = (sharing - 1).bit_length()
        # Cycle 0: the address, held so that a word for one requantiser stays.
        address, held = Signal(lane_bits + len(self.constant[0])), Signal(lane_bits + len(self.constant[0]))
        m.d.comb += address.eq(held)
        m.d.sync += held.eq(address)
        for lane in range(sharing):
            with m.If(self.last[lane]):
                m.d.comb += address.eq(Cat(Const(lane, lane_bits), self.constant[lane]))
        # Cycle 2: the word.
        word = local_memory(m, "memory", self.load, address, index=self._index, sharing=sharing)
        if len(self.o) == 1:
            m.d.comb += self.o[0].eq(word)
            return m
        # Words for several requantisers follow each other, so each keeps its own.
        for n, o in enumerate(self.o):
            last = Cat(self.last[n * config.sharing : (n + 1) * config.sharing]).any()
            here = delayed(m, last, self.LATENCY, name=f"here{n}")
            kept = Signal(len(word), name=f"kept{n}", reset_less=True)
            m.d.comb += o.as_value().eq(Mux(here, word, kept))
            m.d.sync += kept.eq(o)
        return m
