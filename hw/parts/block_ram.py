"""Memories of block RAMs: cut to the chip's RAMs on an ECP5, plain memories anywhere else.

A block RAM reads fast only through its own output register, which synthesis does not use, so the RAMs are instantiated.
What they answer when one port reads the word that the other one writes in the same cycle is not defined: the plain
memories then answer with the word's bits inverted, so a design that used such an answer computes wrong bytes in simulation.
"""

from dataclasses import dataclass
from itertools import product

from amaranth.hdl import Array, Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from narrows.hw.parts.delay import delayed
from narrows.hw.parts.technology import is_ecp5

#: Words and bits a block RAM of 18 Kbit may have. The widest has one port to write and one to read, no port for both.
SHAPES = ((512, 36), (1024, 18), (2048, 9))
_WIDEST = SHAPES[0]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How a memory is cut: ``rows`` x ``columns`` block RAMs of ``depth`` words of ``width`` bits."""

    depth: int
    width: int
    rows: int
    columns: int

    @property
    def block_rams(self) -> int:
        return self.rows * self.columns

    @classmethod
    def of(cls, *, width: int, depth: int, shared: bool = False) -> "Cut":
        """The cut with the fewest block RAMs, of those the one with the fewest rows; ``shared``: a port writes and reads."""
        cuts = [
            cls(depth=words, width=bits, rows=-(-depth // words), columns=-(-width // bits))
            for words, bits in SHAPES if not shared or (words, bits) != _WIDEST
        ]
        return min(cuts, key=lambda cut: (cut.block_rams, cut.rows))


def _check(width: int, depth: int) -> None:
    if width < 1 or depth < 2:
        raise ValueError(f"A memory has words of 1 bit or more, and 2 words or more, not {depth} of {width} bits.")


class BlockRam(wiring.Component):
    """``depth`` words of ``width`` bits, one port to write and one to read: ``data`` follows ``address`` by ``LATENCY`` cycles.

    A word is in memory for addresses of the cycle after its write; one that is read while it is written reads as garbage.
    """

    LATENCY = 2

    def __init__(self, *, width: int, depth: int):
        _check(width, depth)
        self._width, self._depth = width, depth
        super().__init__({
            "write_enable": In(1), "write_address": In(range(depth)), "write_data": In(width),
            "address": In(range(depth)), "data": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        cut = Cut.of(width=self._width, depth=self._depth)
        if is_ecp5(platform) and cut.rows == 1:
            words = []
            for column in range(cut.columns):
                m.submodules[f"column{column}"], _, word = dp16kd(
                    cut.width, write_enable=self.write_enable, b_address=self.address, a_address=self.write_address,
                    write_data=self.write_data[column * cut.width : (column + 1) * cut.width],
                )
                words.append(word)
            m.d.comb += self.data.eq(Cat(words))
            return m
        m.submodules.memory = memory = Memory(shape=self._width, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.write_enable), write.addr.eq(self.write_address), write.data.eq(self.write_data),
            read.addr.eq(self.address),
        ]
        # Cycle 1: the RAM. Cycle 2: its output register.
        m.d.sync += self.data.eq(garbled(m, "read", write.en, write.addr, read.addr, read.data))
        return m


class SharedBlockRam(wiring.Component):
    """``depth`` words of ``width`` bits. Port A writes or reads (``aside``), port B reads; data come ``LATENCY`` cycles later.

    A word that is written is there for addresses of the next cycle. What ``aside_data`` shows of a cycle with
    ``write_enable`` is not defined; a word that is read at port B while it is written reads as garbage.
    """

    LATENCY = 5

    def __init__(self, *, width: int, depth: int):
        _check(width, depth)
        self._width, self._depth = width, depth
        super().__init__({
            "aside_address": In(range(depth)), "write_enable": In(1), "write_data": In(width), "aside_data": Out(width),
            "address": In(range(depth)), "data": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        if is_ecp5(platform):
            self._cut(m)
            return m
        m.submodules.memory = memory = Memory(shape=self._width, depth=self._depth, init=[])
        write, aside, read = memory.write_port(), memory.read_port(), memory.read_port()
        # Cycle 1: addresses travel. Cycle 2: the RAM. Cycle 3: its output register. Cycles 4, 5: the row's word.
        m.d.sync += [
            write.en.eq(self.write_enable), write.addr.eq(self.aside_address), write.data.eq(self.write_data),
            aside.addr.eq(self.aside_address), read.addr.eq(self.address),
        ]
        for name, port, data in (("aside", aside, self.aside_data), ("read", read, self.data)):
            answer = garbled(m, name, write.en, write.addr, port.addr, port.data)
            m.d.sync += data.eq(delayed(m, answer, 2, name=name))
        return m

    def _cut(self, m: Module) -> None:
        """Each column of RAMs has its own copy of what is asked for, and chooses among its rows."""
        cut = Cut.of(width=self._width, depth=self._depth, shared=True)
        below = (cut.depth - 1).bit_length()
        for column in range(cut.columns):
            bits = slice(column * cut.width, (column + 1) * cut.width)
            asked = {}
            for name in ("aside_address", "address", "write_enable"):
                asked[name] = copy = Signal.like(getattr(self, name), name=f"{name}{column}_dup", reset_less=name != "write_enable")
                m.d.sync += copy.eq(getattr(self, name))
            write_data = Signal(len(self.write_data[bits]), name=f"write_data{column}", reset_less=True)
            m.d.sync += write_data.eq(self.write_data[bits])
            aside, address = asked["aside_address"], asked["address"]
            rows = []
            for row in range(cut.rows):
                m.submodules[f"column{column}_row{row}"], *words = dp16kd(
                    cut.width, write_enable=asked["write_enable"] & (aside[below:] == row), write_data=write_data,
                    a_address=aside[:below], b_address=address[:below],
                )
                rows.append(words)
            for port, (wanted, data) in enumerate(((aside, self.aside_data), (address, self.data))):
                # Of four rows one, then of the fours one.
                row = delayed(m, wanted[below:], 2, name=f"row{port}_{column}_dup")
                fours = [
                    delayed(m, Array(words[port] for words in rows[first : first + 4])[row[:2]], 1, name=f"four{port}_{column}_{first}")
                    for first in range(0, cut.rows, 4)
                ]
                m.d.comb += data[bits].eq(delayed(m, Array(fours)[delayed(m, row[2:], 1)], 1, name=f"chosen{port}_{column}"))


def garbled(m: Module, name: str, enable: Value, write_address: Value, address: Value, data: Value) -> Value:
    """``data`` of a read at ``address`` of the cycle before, or its inverse where the word was being written."""
    clash = Signal(name=f"{name}_clash", reset_less=True)
    m.d.sync += clash.eq(enable & (write_address == address))
    return Mux(clash, ~data, data)


def dp16kd(
    width: int, *, write_enable: Value, write_data: Value, a_address: Value, b_address: Value
) -> tuple[Instance, Value, Value]:
    """A block RAM with both output registers: writes (or, unless it is the widest, reads) at port A, reads at port B.

    Returns it and the words read at A and B, ``len(write_data)`` bits; the widest has none at A.
    """
    (depth,) = (words for words, bits in SHAPES if bits == width)
    wide = width == _WIDEST[1]
    unused = 14 - (depth - 1).bit_length()  # of the 14 address bits, at the lower end
    low, high = Const(0, 1), Const(1, 1)
    words = {port: Signal(18, name=f"word_{port.lower()}") for port in "AB"}
    data = Cat(write_data, Const(0, 36 - len(write_data)))
    ports = {f"o_DO{port}{n}": words[port][n] for port, n in product("AB", range(18))}
    ports |= {f"i_DI{port}{n}": data[n + first] for port, first in (("A", 0), ("B", 18)) for n in range(18)}
    for (port, address), n in product((("A", a_address), ("B", b_address)), range(14)):
        ports[f"i_AD{port}{n}"] = address[n - unused] if 0 <= n - unused < len(address) else low
    # Where a word is two bytes or more, address bits below it enable the bytes that are written.
    for n in range(width // 9 if width > 9 else 0):
        ports[f"i_ADA{n}"] = write_enable if wide else high
    for port in "AB":
        ports |= {f"i_CLK{port}": ClockSignal(), f"i_CE{port}": high, f"i_OCE{port}": high, f"i_RST{port}": low}
        ports |= {f"i_CS{port}{n}": low for n in range(3)}
    ram = Instance(
        "DP16KD",
        p_DATA_WIDTH_A=width, p_DATA_WIDTH_B=width, p_REGMODE_A="OUTREG", p_REGMODE_B="OUTREG",
        p_WRITEMODE_A="NORMAL", p_WRITEMODE_B="NORMAL", p_CSDECODE_A="0b000", p_CSDECODE_B="0b000",
        p_RESETMODE="SYNC", p_ASYNC_RESET_RELEASE="SYNC", p_GSR="DISABLED",
        i_WEA=high if wide else write_enable, i_WEB=low, **ports,
    )
    both = Cat(words["A"], words["B"])
    return ram, words["A"][: len(write_data)], (both if wide else words["B"])[: len(write_data)]
