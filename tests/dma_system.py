"""Readers and writers behind an arbiter as one component, with the arbiter's side of the controller or with a real one."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Component, In, Out

from narrows.hw.dram.arbiter import MemoryArbiter
from narrows.hw.dram.dma import BYTE_ADDRESS_BITS, COUNT_BITS, MemoryReader, MemoryWriter


def _client(stream_member: dict) -> wiring.Signature:
    return wiring.Signature({
        "start": In(1),
        "address": In(BYTE_ADDRESS_BITS),
        "words": In(COUNT_BITS),
        "done": Out(1),
        **stream_member,
    })


class DmaSystem(Component):
    """``reader<i>`` and ``writer<i>``: controls and data of the clients. ``controller``: an SDRAM controller, whose pins
    become the component's; without one the arbiter's ports are."""

    def __init__(self, *, readers: int, writers: int, burst: int, depth: int, controller: Component | None = None):
        self._arbiter = MemoryArbiter(readers=readers, writers=writers)
        self._readers = [MemoryReader(burst=burst, depth=depth) for _ in range(readers)]
        self._writers = [MemoryWriter(burst=burst, depth=depth) for _ in range(writers)]
        self._controller = controller
        if controller is None:
            memory = {name: self._arbiter.signature.members[name] for name in ("request", "read", "write")}
        else:
            memory = {"pins": controller.signature.members["pins"]}
        super().__init__({
            **{f"reader{i}": Out(_client({"o": Out(stream.Signature(16))})) for i in range(readers)},
            **{f"writer{i}": Out(_client({"i": In(stream.Signature(16))})) for i in range(writers)},
            "read_words": Out(1),
            "write_words": Out(1),
            **memory,
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.arbiter = arbiter = self._arbiter
        m.d.comb += [self.read_words.eq(arbiter.read_words), self.write_words.eq(arbiter.write_words)]
        clients = [(f"reader{i}", reader) for i, reader in enumerate(self._readers)]
        clients += [(f"writer{i}", writer) for i, writer in enumerate(self._writers)]
        for name, client in clients:
            m.submodules[name] = client
            port = getattr(self, name)
            m.d.comb += [
                client.start.eq(port.start),
                client.address.eq(port.address),
                client.words.eq(port.words),
                port.done.eq(client.done),
            ]
        for index, reader in enumerate(self._readers):
            wiring.connect(m, reader.request, arbiter.read_requests[index])
            wiring.connect(m, arbiter.reads[index], reader.read)
            wiring.connect(m, reader.o, wiring.flipped(getattr(self, f"reader{index}").o))
        for index, writer in enumerate(self._writers):
            wiring.connect(m, writer.request, arbiter.write_requests[index])
            wiring.connect(m, writer.write, arbiter.writes[index])
            wiring.connect(m, wiring.flipped(getattr(self, f"writer{index}").i), writer.i)
        self._connect_memory(m)
        return m

    def _connect_memory(self, m: Module) -> None:
        arbiter, controller = self._arbiter, self._controller
        if controller is None:
            for name in ("request", "read", "write"):
                wiring.connect(m, getattr(arbiter, name), wiring.flipped(getattr(self, name)))
            return
        m.submodules.controller = controller
        for name in ("request", "read", "write"):
            wiring.connect(m, getattr(arbiter, name), getattr(controller, name))
        wiring.connect(m, controller.pins, wiring.flipped(self.pins))
