"""Components in both their forms side by side: of the chip's primitives, and as plain logic."""

from __future__ import annotations

from amaranth.hdl import Elaboratable, Fragment, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.parts.block_ram import BlockRam, SharedBlockRam
from narrows.hw.parts.dsp import DspMultiplier
from narrows.hw.parts.multiplier import FACTOR_BITS, FactorMultiplier, Multiplier
from narrows.hw.parts.technology import Ecp5

#: Memories with a port to write and one to read, and with one for both: (width, depth).
RAMS = ((36, 512), (72, 512), (18, 1024), (9, 2048), (64, 300), (69, 512), (8, 2), (7, 1500), (16, 513))
SHARED = ((18, 1024), (64, 1500), (32, 2049), (9, 4096), (20, 100))
#: Multipliers of the chip, and in logic: (width of a, width of b).
FACTORS = ((18, 18), (9, 9), (10, 10), (2, 18), (9, 8))
PRODUCTS = ((28, 31), (2, 1), (18, 32), (33, 7), (32, 12))
#: Every kind of multiplier: the widths of each, and how it is made.
MULTIPLIERS = {
    "dsp": (FACTORS, DspMultiplier), "product": (PRODUCTS, Multiplier),
    "factor": (((FACTOR_BITS, FACTOR_BITS),), lambda **_widths: FactorMultiplier()),
}  # fmt: skip


class For(Elaboratable):
    """``component`` built for ``platform``."""

    def __init__(self, component: Elaboratable, platform: object):
        self._component, self._platform = component, platform

    def elaborate(self, platform):
        return Fragment.get(self._component, self._platform)


class OnChip(wiring.Component):
    """``component`` as it is on an ECP5, with the same ports."""

    def __init__(self, component: wiring.Component):
        self._component = component
        super().__init__(component.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = For(self._component, Ecp5())
        wiring.connect(m, wiring.flipped(self), self._component)
        return m


class Twins(wiring.Component):
    """Inputs go to both forms. ``*_chip`` are outputs of the primitives, ``*_plain`` those of plain logic."""

    def __init__(self):
        members = {}
        for kind, sizes in (("ram", RAMS), ("shared", SHARED)):
            for index, (width, depth) in enumerate(sizes):
                name = f"{kind}{index}"
                members |= {f"{name}_enable": In(1), f"{name}_value": In(width)}
                members |= {f"{name}_{port}": In(range(depth)) for port in ("write", "read")}
                members |= {f"{name}_{form}": Out(width) for form in ("chip", "plain")}
                members |= {f"{name}_aside_{form}": Out(width) for form in ("chip", "plain")} if kind == "shared" else {}
        for kind, (sizes, _) in MULTIPLIERS.items():
            for index, (a, b) in enumerate(sizes):
                members |= {f"{kind}{index}_a": In(signed(a)), f"{kind}{index}_b": In(b)}
                members |= {f"{kind}{index}_{form}": Out(signed(a + b)) for form in ("chip", "plain")}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for form, target in (("chip", Ecp5()), ("plain", None)):
            for index, (width, depth) in enumerate(RAMS):
                self._memory(m, f"ram{index}", form, target, BlockRam(width=width, depth=depth), "write_address")
            for index, (width, depth) in enumerate(SHARED):
                ram = self._memory(m, f"shared{index}", form, target, SharedBlockRam(width=width, depth=depth), "aside_address")
                m.d.comb += getattr(self, f"shared{index}_aside_{form}").eq(ram.aside_data)
            for kind, (sizes, maker) in MULTIPLIERS.items():
                for index, (a, b) in enumerate(sizes):
                    name, unit = f"{kind}{index}", maker(a_width=a, b_width=b)
                    m.submodules[f"{name}_{form}"] = For(unit, target)
                    m.d.comb += [
                        unit.a.eq(getattr(self, f"{name}_a")), unit.b.eq(getattr(self, f"{name}_b")),
                        getattr(self, f"{name}_{form}").eq(unit.o),
                    ]
        return m

    def _memory(self, m: Module, name: str, form: str, target: object, ram: wiring.Component, write: str) -> wiring.Component:
        m.submodules[f"{name}_{form}"] = For(ram, target)
        m.d.comb += [
            ram.write_enable.eq(getattr(self, f"{name}_enable")), getattr(ram, write).eq(getattr(self, f"{name}_write")),
            ram.write_data.eq(getattr(self, f"{name}_value")), ram.address.eq(getattr(self, f"{name}_read")),
            getattr(self, f"{name}_{form}").eq(ram.data),
        ]
        return ram
