"""External memory for the host link: a reader and a writer, bytes on this side."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.dram.dma import BYTE_ADDRESS_BITS, COUNT_BITS, Burst, MemoryReader, MemoryWriter, ReadData
from narrows.hw.link.frame import crc32
from narrows.hw.parts.queue import ShortQueue

#: Short bursts and small queues: the host is slow, and waits for its turn after the engine anyway.
_SIZES = {"burst": 16, "depth": 32, "queue": ShortQueue}

#: Ports to the arbiter: a reader's and a writer's, from the client's side.
host_memory_ports = wiring.Signature({
    "read_request": Out(stream.Signature(Burst)), "read": In(ReadData),
    "write_request": Out(stream.Signature(Burst)), "write": Out(stream.Signature(16)),
})


class HostMemory(wiring.Component):
    """One transfer at a time of ``words`` 16-bit words at byte ``address``, low bytes first.

    ``start_read``: they leave at ``o``; ``start_write``: they come in at ``i``; ``start_sum``: ``sum`` becomes the CRC-32
    of their bytes, two cycles each at best. All three while ``done``, which is low from the second cycle after the start to
    the end of the transfer: until the last byte was taken, the controller has taken the last word, ``sum`` is right.
    """

    def __init__(self):
        super().__init__({
            "start_read": In(1), "start_write": In(1), "start_sum": In(1),
            "address": In(BYTE_ADDRESS_BITS), "words": In(COUNT_BITS), "done": Out(1),
            "i": In(stream.Signature(8)), "o": Out(stream.Signature(8)), "sum": Out(32),
            "memory": Out(host_memory_ports),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = MemoryReader(**_SIZES)
        m.submodules.writer = writer = MemoryWriter(**_SIZES)
        for name in ("request", "read"):
            wiring.connect(m, wiring.flipped(getattr(self.memory, "read_request" if name == "request" else name)), getattr(reader, name))
        wiring.connect(m, wiring.flipped(self.memory.write_request), writer.request)
        wiring.connect(m, wiring.flipped(self.memory.write), writer.write)
        for client in (reader, writer):
            m.d.comb += [client.address.eq(self.address), client.words.eq(self.words)]
        m.d.comb += [reader.start.eq(self.start_read | self.start_sum), writer.start.eq(self.start_write)]

        self._write(m, writer)
        summed = self._read(m, reader)
        m.d.sync += self.done.eq(reader.done & writer.done & ~summed)
        return m

    def _write(self, m, writer) -> None:
        """Two bytes are a word, which waits in a register."""
        low, half, full = Signal(8), Signal(), Signal()
        m.d.comb += [self.i.ready.eq(~full), writer.i.valid.eq(full)]
        with m.If(writer.i.ready):
            m.d.sync += full.eq(0)
        with m.If(self.i.valid & ~full):
            m.d.sync += [half.eq(~half), low.eq(self.i.payload), full.eq(half)]
            with m.If(half):
                m.d.sync += writer.i.payload.eq(Cat(low, self.i.payload))

    def _read(self, m, reader):
        """A word is two bytes, for ``o`` or for the sum. Returns whether one is still on its way into the sum."""
        half, summing = Signal(), Signal()
        byte = reader.o.payload.word_select(half, 8)
        taken = reader.o.valid & (summing | self.o.ready)
        m.d.comb += [
            self.o.valid.eq(reader.o.valid & ~summing), self.o.payload.eq(byte),
            reader.o.ready.eq(half & (summing | self.o.ready)),
        ]
        with m.If(taken):
            m.d.sync += half.eq(~half)
        with m.If(self.start_read | self.start_sum):
            m.d.sync += summing.eq(self.start_sum)
        # Cycle 1: a byte in a register. Cycle 2: it is in the sum.
        m.submodules.crc = crc = crc32()
        m.d.sync += [crc.data.eq(byte), crc.valid.eq(taken & summing), crc.start.eq(self.start_sum)]
        m.d.comb += self.sum.eq(crc.crc)
        return crc.valid
