"""A component as Verilog that simulates fast: no reset, no attributes, no zeros spelled out."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager

from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Elaboratable, Module, Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

#: As amaranth.back.verilog does it, less what only a reader would want. Its `convert` would elaborate a second time.
SCRIPT = """\
read_rtlil <<rtlil
{text}
rtlil
proc -nomux -norom
memory_collect
opt_clean
write_verilog -norename -noattr
"""


def to_rtlil(component: wiring.Component, *, platform: object = None) -> str:
    """``component`` as module ``top``, ports named as in its signature and the clock ``clk``, built for ``platform``.

    There is no reset: everything powers up with its initial value, which is its reset value, as a configured
    FPGA does. A reset input would make all the next-state logic depend on an input, and Verilator evaluate it
    twice per cycle.
    """
    domain = ClockDomain("sync", reset_less=True)
    ports = {"clk": (domain.clk, PortDirection.Input)}
    for path, member, value in component.signature.flatten(component):
        direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
        ports["__".join(map(str, path))] = (Value.cast(value), direction)
    with _uncollected():
        return rtlil.convert(_Powered(component, domain), name="top", platform=platform, ports=ports, emit_src=False)


def to_verilog(text: str) -> str:
    """RTLIL as Verilog."""
    yosys = find_yosys(lambda version: version >= (0, 40))
    # Yosys warns that not all processes can be translated; Amaranth emits only those that can.
    return without_zeros(yosys.run(["-q", "-"], SCRIPT.format(text=text), ignore_warnings=True))


def without_zeros(text: str) -> str:
    """Verilog without the initial zeros of memories, one statement a word: memories start at zero anyway."""
    return re.sub(r"^\s*\S+ ?\[\d+\] = \d+'h0+;\n", "", text, flags=re.MULTILINE)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: elaboration makes millions of objects and no garbage, and looking for it takes half the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Powered(Elaboratable):
    """``component`` in a clock domain that needs no reset."""

    def __init__(self, component: wiring.Component, domain: ClockDomain) -> None:
        self._component, self._domain = component, domain

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains += self._domain
        m.submodules.board = self._component
        return m
