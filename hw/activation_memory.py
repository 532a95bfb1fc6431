"""Activation memory: one bank a pixel of the array, shared by everything that holds thin tensors."""

from amaranth.hdl import Array, C, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from narrows.hw.config import EngineConfig
from narrows.hw.ports import activation_write
from narrows.hw.walker import ADDRESS_BITS, bank_bits

#: Cycles from an address to its data, on both ports.
READ_LATENCY = 2


def activation_read(config: EngineConfig) -> data.StructLayout:
    """A request for one word of one bank."""
    return data.StructLayout({"bank": bank_bits(config.pixels), "address": ADDRESS_BITS})


class ActivationMemory(wiring.Component):
    """``pixels`` banks of ``bank_words`` words of ``group`` bytes.

    Port B belongs to the array: ``address`` reads the same word of every bank, ``words`` holds them two cycles later.
    Port A of each bank serves one of ``writes`` or ``reads`` per cycle, writes first, lower index first; a client that
    is not served waits (``ready`` low). ``marks[i]`` is the mark of client ``i``'s word in the cycle after it is in memory;
    ``answers[i]``/``data`` carry a read's word two cycles after the request was taken, in order.
    """

    def __init__(self, *, config: EngineConfig, writes: int, reads: int):
        self._config = config
        self._writes, self._reads = writes, reads
        word = 8 * config.group
        super().__init__({
            "address": In(ADDRESS_BITS),
            "words": Out(data.ArrayLayout(word, config.pixels)),
            "writes": In(stream.Signature(activation_write(config))).array(writes),
            "marks": Out(16).array(writes),
            "reads": In(stream.Signature(activation_read(config))).array(reads),
            "answers": Out(1).array(reads),
            "data": Out(word),
        })

    def elaborate(self, platform):
        m = Module()
        word = 8 * self._config.group
        clients = [*self.writes, *self.reads]

        # A client is served unless one before it wants the same bank; of the reads, which share one way out, only the first.
        for index, client in enumerate(clients):
            blocked = C(0, 1)
            for before, other in enumerate(clients[:index]):
                clash = other.payload.bank == client.payload.bank
                blocked = blocked | (other.valid & (clash | (before >= self._writes)))
            m.d.comb += client.ready.eq(~blocked)

        answers = []
        for bank in range(self._config.pixels):
            memory = Memory(shape=word, depth=self._config.bank_words, init=[])
            m.submodules[f"bank{bank}"] = memory
            write, read, aside = memory.write_port(), memory.read_port(), memory.read_port()
            m.d.comb += read.addr.eq(self.address)
            m.d.sync += self.words[bank].eq(read.data)
            # One address for writing and reading: the two are one port of a dual-ported block RAM.
            port = Signal(ADDRESS_BITS, name=f"port{bank}")
            m.d.comb += [aside.addr.eq(port), write.addr.eq(port)]
            for client in reversed(clients):
                with m.If(client.valid & (client.payload.bank == bank)):
                    m.d.comb += port.eq(client.payload.address)
            for client in reversed(self.writes):
                with m.If(client.valid & (client.payload.bank == bank)):
                    m.d.comb += [write.data.eq(client.payload.data), write.en.eq(1)]
            answers.append(aside.data)

        for client, mark in zip(self.writes, self.marks):
            m.d.sync += mark.eq(Mux(client.valid & client.ready, client.payload.mark, 0))
        bank = Signal(bank_bits(self._config.pixels))
        for index, client in enumerate(self.reads):
            taken = Signal(name=f"taken{index}")
            m.d.sync += [taken.eq(client.valid & client.ready), self.answers[index].eq(taken)]
            with m.If(client.valid & client.ready):
                m.d.sync += bank.eq(client.payload.bank)
        m.d.sync += self.data.eq(Array(answers)[bank])
        return m
