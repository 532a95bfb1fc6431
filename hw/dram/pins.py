"""One register between the SDRAM controller and every pin, each way: in a board's I/O cells, or plain logic anywhere else.

A register in the pad itself leaves no routing between register and pin, so all pins switch within a fraction of a nanosecond of each
other whatever the router does. Both forms are cycle for cycle the same: what is simulated is what the board does.
"""

from functools import partial

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.dram.controller import sdram_pins
from narrows.hw.dram.timing import SdramPart
from narrows.hw.parts.technology import has_io_registers, is_ecp5

#: Registers a board adds to the controller's own, one on the way out and one back.
IO_LATENCY = 2

#: Outputs of :func:`narrows.hw.dram.controller.sdram_pins`, and their names in a board's description (amaranth-boards' SDRAMResource).
_OUTPUTS = {
    "cke": "clk_en", "cs_n": "cs", "ras_n": "ras", "cas_n": "cas", "we_n": "we", "ba": "ba", "a": "a", "dqm": "dqm",
}  # fmt: skip


class SdramRegisters(wiring.Component):
    """The registers as plain logic: ``pins`` follow ``controller`` by a cycle, ``controller.dq_i`` follows ``pins.dq_i``.

    On a platform whose I/O cells do that (:func:`narrows.hw.parts.technology.has_io_registers`) these are wires, and the board puts
    :class:`SdramPads` behind them.
    """

    def __init__(self, *, part: SdramPart) -> None:
        super().__init__({"controller": In(sdram_pins(part)), "pins": Out(sdram_pins(part))})

    def elaborate(self, platform):
        m = Module()
        domain = m.d.comb if has_io_registers(platform) else m.d.sync
        controller, pins = self.controller, self.pins
        domain += [getattr(pins, name).eq(getattr(controller, name)) for name in (*_OUTPUTS, "dq_o", "dq_oe")]
        domain += controller.dq_i.eq(pins.dq_i)
        return m


class SdramPads(wiring.Component):
    """The registers in I/O cells: ``pins`` to ``ports``, a cycle each way.

    ``ports`` has an ``io.PortLike`` for each of ``ras``, ``cas``, ``we``, ``ba``, ``a``, ``dq``, and for ``clk_en``, ``cs`` and ``dqm``
    unless the board ties those: what ``platform.request("sdram", dir="-")`` answers; ports of active-low pins are inverted
    there. The clock's pin is not its business. The registers power up with the pins low, and ``dq`` not driven; as ``clk_en`` is among
    them the part sees no command, and a cycle later they hold what ``pins`` say.
    """

    def __init__(self, *, part: SdramPart, ports: object) -> None:
        if missing := [name for name in ("ras", "cas", "we", "ba", "a", "dq") if not hasattr(ports, name)]:
            raise ValueError(f"The SDRAM's ports must have {', '.join(missing)} too.")
        for name, needed in (("ba", part.bank_bits), ("a", part.row_bits), ("dq", part.data_bits)):
            if len(getattr(ports, name)) < needed:
                raise ValueError(f"{part.name} needs {needed} pins {name}, the board has {len(getattr(ports, name))}.")
        self._ports = ports
        super().__init__({"pins": In(sdram_pins(part))})

    def elaborate(self, platform):
        m = Module()
        pins = self.pins
        for name, port_name in _OUTPUTS.items():
            if (port := getattr(self._ports, port_name, None)) is not None:
                m.submodules[name] = buffer = io.FFBuffer("o", port)
                value = getattr(pins, name)
                # An inverted port names the active level, the controller the level of the pin.
                m.d.comb += buffer.o.eq(~value if name.endswith("_n") else value)
        m.submodules.dq = dq = (_DataPads if is_ecp5(platform) else partial(io.FFBuffer, "io"))(self._ports.dq)
        m.d.comb += [dq.o.eq(pins.dq_o), dq.oe.eq(pins.dq_oe), pins.dq_i.eq(dq.i)]
        return m


class _DataPads(wiring.Component):
    """What ``io.FFBuffer`` is, but silent until the first clock: its own registers power up driving the pins, against the part if that
    was stopped in the middle of a read."""

    def __init__(self, port: io.PortLike) -> None:
        self._port = port
        super().__init__({"o": In(len(port)), "oe": In(1), "i": Out(len(port))})

    def elaborate(self, platform):
        m = Module()
        clock = {"i_SCLK": ClockSignal(), "i_SP": Const(1)}
        for bit in range(len(self._port)):
            m.submodules[f"buffer{bit}"] = buffer = io.Buffer("io", self._port[bit])
            silent = Signal(name=f"silent{bit}")
            m.submodules[f"o{bit}"] = Instance("OFS1P3DX", **clock, i_CD=Const(0), i_D=self.o[bit], o_Q=buffer.o)
            m.submodules[f"i{bit}"] = Instance("IFS1P3DX", **clock, i_CD=Const(0), i_D=buffer.i, o_Q=self.i[bit])
            m.submodules[f"t{bit}"] = Instance("OFS1P3BX", **clock, i_PD=Const(0), i_D=~self.oe, o_Q=silent)
            m.d.comb += buffer.oe.eq(~silent)  # inverted again by the buffer, so that the register is the one at the pad
        return m
