"""Every primitive of the ECP5 that a netlist has, in every mode that is used, side by side in one design."""

from __future__ import annotations

import itertools
import random

from amaranth.hdl import Cat, ClockSignal, Instance, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

#: Tables of the LUT4s: constants, single inputs, parity, random ones.
TABLES = (0x0000, 0xFFFF, 0xAAAA, 0xCCCC, 0xF0F0, 0xFF00, 0x6996, 0x8000, *random.Random(1).sample(range(1 << 16), 8))

#: Carry cells: (INIT0, INIT1, INJECT1_0, INJECT1_1).
ADDER, PRODUCTS = 0x96AA, 0x7888
CARRIES = (
    (ADDER, ADDER, "NO", "NO"),
    (PRODUCTS, PRODUCTS, "NO", "NO"),
    *((*random.Random(seed).sample(range(1 << 16), 2), *inject) for seed, inject in enumerate(itertools.product(("NO", "YES"), repeat=2))),
)

#: Flip-flops: (CLKMUX, CEMUX, LSRMUX, SRMODE, REGSET).
FLIP_FLOPS = tuple(itertools.product(
    ("CLK", "INV"), ("CE", "INV", "1", "0"), ("LSR", "INV"), ("LSR_OVER_CE", "ASYNC"), ("RESET", "SET"),
))  # fmt: skip

DISTRIBUTED_INIT = 0x0123_4567_89AB_CDEF

#: Multipliers: (register of A, of B, pipeline, of the product, A signed, B signed).
MULTIPLIERS = tuple(itertools.product((0, 1), repeat=6))

#: Block RAMs: (primitive, width A, width B, REGMODE of both, WRITEMODE of both, whether it has initial contents).
RAMS = (
    *(("DP16KD", width, width, "OUTREG", "NORMAL", width == 18) for width in (1, 2, 4, 9, 18)),
    *(("DP16KD", *widths, "NOREG", "NORMAL", True) for widths in ((9, 18), (18, 9), (1, 4), (36, 36), (36, 18), (9, 36), (36, 4))),
    *(("DP16KD", width, width, "NOREG", "READBEFOREWRITE", False) for width in (9, 18)),
    *(("DP16KD", width, width, "NOREG", "WRITETHROUGH", False) for width in (2, 9)),
    ("DP16KD", 18, 9, "OUTREG", "READBEFOREWRITE", False),
    *(("PDPW16KD", 36, width, mode, "NORMAL", width == 36) for width in (36, 18, 9) for mode in ("OUTREG", "NOREG")),
)

PORT = data.StructLayout({"address": 14, "data": 36, "enable": 1, "write": 1, "output_enable": 1})


def initial_rows(index: int) -> list[int]:
    """The 64 parameters INITVAL of RAM ``index``, with bits that are not in the memory set as well."""
    rng = random.Random(index)
    return [rng.getrandbits(320) if RAMS[index][5] else 0 for _ in range(64)]


def pins(name: str, value, direction: str = "i") -> dict:
    """The bits of ``value`` as pins ``name0``, ``name1``..."""
    return {f"{direction}_{name}{index}": bit for index, bit in enumerate(value)}


class Cells(wiring.Component):
    """Inputs straight to the pins of all cells of a kind, outputs straight from them. ``a[i]``, ``b[i]`` are the ports of RAM ``i``."""

    def __init__(self):
        super().__init__({
            "lut": In(4), "tables": Out(len(TABLES)),
            "mux": In(3), "pfumx": Out(1), "l6mux21": Out(1),
            "carry": In(9), "carries": Out(3).array(len(CARRIES)),
            "ce": In(1), "lsr": In(1), "di": In(1), "q": Out(len(FLIP_FLOPS)),
            "wad": In(4), "rad": In(4), "wre": In(1), "d": In(4), "distributed": Out(4),
            "factor_a": In(18), "factor_b": In(18), "mult_ce": In(1), "product": Out(36).array(len(MULTIPLIERS)),
            "a": In(PORT).array(len(RAMS)), "b": In(PORT).array(len(RAMS)), "o": Out(36).array(len(RAMS)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        for index, table in enumerate(TABLES):
            m.submodules += Instance("LUT4", p_INIT=table, **dict(zip(("i_A", "i_B", "i_C", "i_D"), self.lut)), o_Z=self.tables[index])
        m.submodules += Instance("PFUMX", i_BLUT=self.mux[0], i_ALUT=self.mux[1], i_C0=self.mux[2], o_Z=self.pfumx)
        m.submodules += Instance("L6MUX21", i_D0=self.mux[0], i_D1=self.mux[1], i_SD=self.mux[2], o_Z=self.l6mux21)
        for (init0, init1, inject0, inject1), out in zip(CARRIES, self.carries):
            inputs = dict(zip([f"i_{pin}" for pin in ("CIN", "A0", "B0", "C0", "D0", "A1", "B1", "C1", "D1")], self.carry))
            parameters = {"p_INIT0": init0, "p_INIT1": init1, "p_INJECT1_0": inject0, "p_INJECT1_1": inject1}
            m.submodules += Instance("CCU2C", **parameters, **inputs, o_S0=out[0], o_S1=out[1], o_COUT=out[2])
        for index, values in enumerate(FLIP_FLOPS):
            parameters = dict(zip(("p_CLKMUX", "p_CEMUX", "p_LSRMUX", "p_SRMODE", "p_REGSET"), values))
            m.submodules += Instance(
                "TRELLIS_FF", **parameters, p_GSR="DISABLED", i_CLK=ClockSignal(), i_CE=self.ce, i_LSR=self.lsr, i_DI=self.di,
                o_Q=self.q[index],
            )  # fmt: skip
        m.submodules += Instance(
            "TRELLIS_DPR16X4", p_INITVAL=DISTRIBUTED_INIT, i_WCK=ClockSignal(), i_WRE=self.wre, i_WAD=self.wad, i_DI=self.d, i_RAD=self.rad,
            o_DO=self.distributed,
        )  # fmt: skip
        for values, product in zip(MULTIPLIERS, self.product):
            m.submodules += self._multiplier(values, product)
        for index in range(len(RAMS)):
            m.submodules += self._ram(index)
        return m

    def _multiplier(self, values, product) -> Instance:
        *registers, signed_a, signed_b = values
        clocks = [("NONE", "CLK0")[register] for register in registers]
        return Instance(
            "MULT18X18D", **dict(zip([f"p_REG_{name}_CLK" for name in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT")], clocks)),
            i_CLK0=ClockSignal(), i_CE0=self.mult_ce, i_RST0=0, i_SIGNEDA=signed_a, i_SIGNEDB=signed_b, i_SOURCEA=0, i_SOURCEB=0,
            **pins("A", self.factor_a), **pins("B", self.factor_b), **pins("P", product, "o"),
        )  # fmt: skip

    def _ram(self, index: int) -> Instance:
        kind, width_a, width_b, register, write, _ = RAMS[index]
        a, b, o = self.a[index], self.b[index], self.o[index]
        rows = {f"p_INITVAL_{row:02X}": value for row, value in enumerate(initial_rows(index)) if value}
        if kind == "PDPW16KD":
            return Instance(
                "PDPW16KD", p_DATA_WIDTH_W=width_a, p_DATA_WIDTH_R=width_b, p_REGMODE=register, **rows,
                i_CLKW=ClockSignal(), i_CLKR=ClockSignal(), i_CEW=a.enable & a.write, i_CER=b.enable, i_OCER=b.output_enable, i_RST=0,
                **pins("ADW", a.address[5:]), **pins("BE", a.address[:4]), **pins("ADR", b.address), **pins("CSW", Cat(0, 0, 0)),
                **pins("CSR", Cat(0, 0, 0)), **pins("DI", a.data), **pins("DO", o, "o"),
            )  # fmt: skip
        wide = 36 in (width_a, width_b)
        return Instance(
            "DP16KD", p_DATA_WIDTH_A=width_a, p_DATA_WIDTH_B=width_b, p_REGMODE_A=register, p_REGMODE_B=register, p_WRITEMODE_A=write,
            p_WRITEMODE_B=write, **rows, i_CLKA=ClockSignal(), i_CLKB=ClockSignal(), i_CEA=a.enable, i_CEB=b.enable, i_WEA=a.write,
            i_WEB=0 if wide else b.write, i_OCEA=a.output_enable, i_OCEB=b.output_enable, i_RSTA=0, i_RSTB=0,
            **pins("ADA", a.address), **pins("ADB", b.address), **pins("CSA", Cat(0, 0, 0)), **pins("CSB", Cat(0, 0, 0)),
            **pins("DIA", a.data[:18]), **pins("DIB", a.data[18:] if wide else b.data[:18]), **pins("DOA", o[:18], "o"),
            **pins("DOB", o[18:], "o"),
        )  # fmt: skip
