"""Activation memory: one bank a pixel of the array, shared by everything that holds thin tensors."""

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.activations.address_generator import ADDRESS_BITS, bank_bits
from narrows.hw.activations.ports import activation_write
from narrows.hw.config import EngineConfig
from narrows.hw.parts.block_ram import SharedBlockRam
from narrows.hw.parts.delay import delayed
from narrows.hw.parts.stream_register import StreamRegister

#: Cycles from an address to its words on the array's port, and to an answer on the other.
READ_LATENCY = SharedBlockRam.LATENCY
ANSWER_LATENCY = StreamRegister.LATENCY + READ_LATENCY + 2


def activation_read(config: EngineConfig) -> data.StructLayout:
    """A request for one word of one bank."""
    return data.StructLayout({"bank": bank_bits(config.pixels), "address": ADDRESS_BITS})


class ActivationMemory(wiring.Component):
    """``pixels`` banks of ``bank_words`` words of ``group`` bytes.

    Port B belongs to the array: ``address`` reads the same word of every bank, ``words`` holds them ``READ_LATENCY`` cycles
    later. Port A of each bank serves one of ``writes`` or ``reads`` per cycle, writes first, lower index first; the others wait
    for their turn. ``marks[i]`` is the mark of client ``i``'s word two cycles after its turn, from which on reads see it: three
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
        # Clients are all over the engine: a register for each, here, and one for each bank that says whether this bank is wanted.
        banks = range(self._config.pixels)
        clients, wants = [], []
        for index, client in enumerate((*self.writes, *self.reads)):
            shape = client.payload.shape()
            m.submodules[f"client{index}"] = here = StreamRegister(shape, decode=lambda word: [word.bank == bank for bank in banks])
            wiring.connect(m, wiring.flipped(client), here.i)
            clients.append(here.o)
            wants.append(here.decoded)
        writes, reads = clients[: self._writes], clients[self._writes :]

        # Cycle 0: whose turn it is in each bank: the first client that wants it; of the reads, which share one way out, only the
        # first of all.
        turns = [Signal(len(clients), name=f"turn{bank}") for bank in banks]
        for index, client in enumerate(clients):
            earlier_reads = Cat(other.valid for other in reads[: max(index - self._writes, 0)]).any()
            for bank, turn in zip(banks, turns):
                earlier = Cat(want[bank] for want in wants[:index]).any()
                m.d.comb += turn[index].eq(wants[index][bank] & ~earlier & ~earlier_reads)
            m.d.comb += client.ready.eq(Cat(turn[index] for turn in turns).any())

        # Cycle 1: the one whose turn it is goes to the bank.
        words = [delayed(m, client.payload, 1, name=f"client{index}") for index, client in enumerate(clients)]
        answers = []
        for bank in banks:
            turn = delayed(m, turns[bank], 1, name=f"turn{bank}", reset_less=False)
            m.submodules[f"bank{bank}"] = memory = SharedBlockRam(width=word, depth=self._config.bank_words)
            m.d.comb += [
                memory.address.eq(self.address), self.words[bank].eq(memory.data),
                memory.aside_address.eq(_chosen(turn, [request.address for request in words])),
                memory.write_data.eq(_chosen(turn, [request.data for request in words[: self._writes]])),
                memory.write_enable.eq(turn[: self._writes].any()),
            ]
            answers.append(memory.aside_data)

        for client, request, mark in zip(writes, words, self.marks):
            m.d.sync += mark.eq(Mux(delayed(m, client.valid & client.ready, 1, reset_less=False), request.mark, 0))
        for client, answer in zip(reads, self.answers):
            taken = client.valid & client.ready
            m.d.comb += answer.eq(delayed(m, taken, READ_LATENCY + 2, name="taken", reset_less=False))
        bank = reads[-1].payload.bank
        for client in reversed(reads[:-1]):
            bank = Mux(client.valid, client.payload.bank, bank)
        m.d.sync += self.data.eq(Array(answers)[delayed(m, bank, READ_LATENCY + 1, name="bank")])
        return m


def _chosen(turn: Value, values: list[Value]) -> Value:
    """The value of the one bit of ``turn`` that is set, or 0."""
    chosen = C(0, len(values[0]))
    for bit, value in zip(turn, values):
        chosen = chosen | Mux(bit, value, 0)
    return chosen
