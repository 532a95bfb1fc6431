"""Activation memory: one bank a pixel of the array, shared by everything that holds thin tensors."""

from amaranth.hdl import Array, C, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.block_ram import SharedBlockRam
from narrows.hw.config import EngineConfig
from narrows.hw.delay import delayed
from narrows.hw.ports import activation_write
from narrows.hw.stream_register import StreamRegister
from narrows.hw.walker import ADDRESS_BITS, bank_bits

#: Cycles from an address to its words on the array's port, and to an answer on the other.
READ_LATENCY = SharedBlockRam.LATENCY
ANSWER_LATENCY = StreamRegister.LATENCY + READ_LATENCY + 1


def activation_read(config: EngineConfig) -> data.StructLayout:
    """A request for one word of one bank."""
    return data.StructLayout({"bank": bank_bits(config.pixels), "address": ADDRESS_BITS})


class ActivationMemory(wiring.Component):
    """``pixels`` banks of ``bank_words`` words of ``group`` bytes.

    Port B belongs to the array: ``address`` reads the same word of every bank, ``words`` holds them ``READ_LATENCY`` cycles
    later. Port A of each bank serves one of ``writes`` or ``reads`` per cycle, writes first, lower index first; the others wait
    for their turn. ``marks[i]`` is the mark of client ``i``'s word in the cycle after its turn, from which on reads see it: two
    cycles after it was taken at the earliest. ``answers[i]``/``data`` carry a read's word ``ANSWER_LATENCY`` cycles after the
    request was taken if it had its turn at once; answers come in order.
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
        # Clients are all over the engine: a register for each, here.
        clients = []
        for index, client in enumerate((*self.writes, *self.reads)):
            m.submodules[f"client{index}"] = here = StreamRegister(client.payload.shape())
            wiring.connect(m, wiring.flipped(client), here.i)
            clients.append(here.o)
        writes, reads = clients[: self._writes], clients[self._writes :]

        # A client is served unless one before it wants the same bank; of the reads, which share one way out, only the first.
        for index, client in enumerate(clients):
            blocked = C(0, 1)
            for before, other in enumerate(clients[:index]):
                clash = other.payload.bank == client.payload.bank
                blocked = blocked | (other.valid & (clash | (before >= self._writes)))
            m.d.comb += client.ready.eq(~blocked)

        answers = []
        for bank in range(self._config.pixels):
            m.submodules[f"bank{bank}"] = memory = SharedBlockRam(width=word, depth=self._config.bank_words)
            m.d.comb += [memory.address.eq(self.address), self.words[bank].eq(memory.data)]
            for client in reversed(clients):
                with m.If(client.valid & (client.payload.bank == bank)):
                    m.d.comb += memory.aside_address.eq(client.payload.address)
            for client in reversed(writes):
                with m.If(client.valid & (client.payload.bank == bank)):
                    m.d.comb += [memory.write_data.eq(client.payload.data), memory.write_enable.eq(1)]
            answers.append(memory.aside_data)

        for client, mark in zip(writes, self.marks):
            m.d.sync += mark.eq(Mux(client.valid & client.ready, client.payload.mark, 0))
        bank = Signal(bank_bits(self._config.pixels))
        for index, client in enumerate(reads):
            taken = client.valid & client.ready
            m.d.comb += self.answers[index].eq(delayed(m, taken, READ_LATENCY + 1, name=f"taken{index}", reset_less=False))
            with m.If(taken):
                m.d.comb += bank.eq(client.payload.bank)
        m.d.sync += self.data.eq(Array(answers)[delayed(m, bank, READ_LATENCY, name="bank")])
        return m
