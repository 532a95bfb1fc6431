"""One register between the SDRAM controller and every pin, each way: in a board's I/O cells, or plain logic anywhere else.

A register in the pad itself leaves no routing between register and pin, so all pins switch within a fraction of a nanosecond of each
other whatever the router does. Both forms are cycle for cycle the same: what is simulated is what the board does.
"""

from amaranth.hdl import Module
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.sdram import sdram_pins
from narrows.hw.sdram_timing import SdramPart
from narrows.hw.technology import has_io_registers

#: Registers a board adds to the controller's own, one on the way out and one back.
IO_LATENCY = 2

#: Outputs of :func:`narrows.hw.sdram.sdram_pins`, and their names in a board's description (amaranth-boards' SDRAMResource).
_OUTPUTS = {
    "cke": "clk_en", "cs_n": "cs", "ras_n": "ras", "cas_n": "cas", "we_n": "we", "ba": "ba", "a": "a", "dqm": "dqm",
}  # fmt: skip


class SdramRegisters(wiring.Component):
    """The registers as plain logic: ``pins`` follow ``controller`` by a cycle, ``controller.dq_i`` follows ``pins.dq_i``.

    On a platform whose I/O cells do that (:func:`narrows.hw.technology.has_io_registers`) these are wires, and the board puts
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
    there. The clock's pin is not its business. The registers power up with the pins low; as ``clk_en`` is among them the part sees no
    command, and a cycle later they hold what ``pins`` say.
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
        m.submodules.dq = dq = io.FFBuffer("io", self._ports.dq)
        m.d.comb += [dq.o.eq(pins.dq_o), dq.oe.eq(pins.dq_oe), pins.dq_i.eq(dq.i)]
        return m
