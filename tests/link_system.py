"""The link with an arbiter behind it, as one component: what stands for the controller in a test is :mod:`bench_dma`'s memory."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Component, In, Out

from narrows.hw.dram.arbiter import ControllerBurst, MemoryArbiter
from narrows.hw.dram.dma import ReadData
from narrows.hw.link.host import Link
from narrows.hw.link.ports import bus_signature

#: What the link under test says of itself, and the registers it knows.
DIGEST, CLOCK_HZ = "0123456789abcdef", 133_000_000
CONTROL, INDEX, VALUE = 0, 6, 7
BUFFER = 4096


class LinkSystem(Component):
    """``i``, ``o``, ``error``, ``bus``, ``busy``, ``hold``, ``status`` of the link; ``request``, ``read``, ``write`` of the arbiter."""

    def __init__(self) -> None:
        super().__init__({
            "i": In(stream.Signature(8)), "error": In(1), "o": Out(stream.Signature(8)),
            "bus": Out(bus_signature.flip()), "busy": In(1), "hold": In(1), "status": In(8),
            "request": Out(stream.Signature(ControllerBurst)), "read": In(ReadData), "write": Out(stream.Signature(16)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.link = link = Link(digest=DIGEST, clock_hz=CLOCK_HZ, control=CONTROL, index=INDEX, value=VALUE, buffer=BUFFER)
        m.submodules.arbiter = arbiter = MemoryArbiter(readers=1, writers=1)
        for name in ("i", "o", "bus"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(link, name))
        m.d.comb += [getattr(link, name).eq(getattr(self, name)) for name in ("error", "busy", "hold", "status")]
        wiring.connect(m, link.memory.read_request, arbiter.read_requests[0])
        wiring.connect(m, link.memory.read, arbiter.reads[0])
        wiring.connect(m, link.memory.write_request, arbiter.write_requests[0])
        wiring.connect(m, link.memory.write, arbiter.writes[0])
        for name in ("request", "read", "write"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(arbiter, name))
        return m
