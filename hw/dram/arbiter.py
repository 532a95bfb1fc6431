"""Who may use the memory controller: readers and writers (:mod:`narrows.hw.dram.dma`) in turn, burst by burst."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from narrows.hw.dram.dma import BYTE_ADDRESS_BITS, LENGTH_BITS, Burst, ReadData

#: The controller's request: a client's, and which way.
ControllerBurst = data.StructLayout({"address": BYTE_ADDRESS_BITS - 1, "length": LENGTH_BITS, "write": 1})

#: Bursts the arbiter passes on before the first of them is over.
_TURNS = 4


class _Turns(wiring.Component):
    """Whose words pass: ``turn`` (one bit per client) for ``length`` steps each, in the order of ``push``.

    A turn begins two cycles after its push, or right after the one before it. ``room`` allows a push. ``told`` is ``turn`` once more,
    out of registers of its own: for clients, who may be far away while what counts steps is here.
    """

    def __init__(self, *, clients: int):
        self._clients = clients
        super().__init__({
            "push": In(clients),
            "length": In(LENGTH_BITS),
            "room": Out(1),
            "step": In(1),
            "turn": Out(clients),
            "told": Out(clients),
        })

    def elaborate(self, platform):
        m = Module()
        layout = data.StructLayout({"turn": self._clients, "left": signed(LENGTH_BITS + 1)})
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=_TURNS)
        entry, after, room = Signal(layout), data.View(layout, queue.r_data), Signal(init=1)
        m.d.sync += room.eq(queue.level < _TURNS)  # pushes are three cycles apart
        m.d.comb += [entry.turn.eq(self.push), entry.left.eq(self.length - 2)]  # negative at the last step
        m.d.comb += [queue.w_data.eq(entry), queue.w_en.eq(self.push.any()), self.room.eq(room)]
        left, told = Signal(signed(LENGTH_BITS + 1)), Signal(self._clients, name="told_dup")
        m.d.comb += self.told.eq(told)
        with m.If(self.step):
            m.d.sync += left.eq(left - 1)
        with m.If(~self.turn.any() | (self.step & (left < 0))):
            m.d.comb += queue.r_en.eq(1)
            m.d.sync += [turn.eq(Mux(queue.r_rdy, after.turn, 0)) for turn in (self.turn, told)] + [left.eq(after.left)]
        return m


class MemoryArbiter(wiring.Component):
    """Shares the controller among ``readers`` clients that read and ``writers`` that write, burst by burst.

    Of the requests offered in a cycle the one of the lowest index goes first, readers before writers (who wait while
    readers ask without end); after these ``patient`` readers; after all of them the last ``guests`` readers and as many
    writers. A request is taken a cycle after it was chosen, is another cycle later at ``request``, and is followed by the
    next one in three cycles. Bursts are served in the order they were taken, so a read taken after a write sees its words.
    Words read reach their reader one cycle after ``read``, words to write pass without a register. The controller must not
    answer before the second cycle after it took a request.
    ``read_words``/``write_words`` are high for one cycle per word.
    """

    def __init__(self, *, readers: int, writers: int, patient: int = 0, guests: int = 0):
        if readers < 1 or writers < 1:
            raise ValueError(f"An arbiter needs a reader and a writer or more, not {readers} and {writers}.")
        if not 0 <= guests <= min(readers, writers):
            raise ValueError(f"Of {readers} readers and {writers} writers {guests} can't be guests.")
        if not 0 <= patient <= readers - guests:
            raise ValueError(f"Of {readers} readers, {guests} of them guests, {patient} can't be patient.")
        self._readers, self._writers, self._patient, self._guests = readers, writers, patient, guests
        super().__init__({
            "read_requests": In(stream.Signature(Burst)).array(readers),
            "reads": Out(ReadData).array(readers),
            "write_requests": In(stream.Signature(Burst)).array(writers),
            "writes": In(stream.Signature(16)).array(writers),
            "request": Out(stream.Signature(ControllerBurst)),
            "read": In(ReadData),
            "write": Out(stream.Signature(16)),
            "read_words": Out(1),
            "write_words": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.read_turns = reading = _Turns(clients=self._readers)
        m.submodules.write_turns = writing = _Turns(clients=self._writers)
        self._requests(m, reading, writing)

        # Words read: one register, then to the reader whose turn it is.
        m.d.comb += reading.step.eq(self.read.valid)
        m.d.sync += [self.read_words.eq(reading.step), self.write_words.eq(writing.step)]
        word = Signal(16, reset_less=True)
        m.d.sync += word.eq(self.read.payload)
        for index, reader in enumerate(self.reads):
            m.d.sync += reader.valid.eq(self.read.valid & reading.turn[index])
            m.d.comb += reader.payload.eq(word)

        # Words to write: from the writer whose turn it is.
        for index, writer in enumerate(self.writes):
            m.d.comb += writer.ready.eq(self.write.ready & writing.told[index])
            with m.If(writing.turn[index]):
                m.d.comb += [self.write.valid.eq(writer.valid), self.write.payload.eq(writer.payload)]
        m.d.comb += writing.step.eq(self.write.valid & self.write.ready)
        return m

    def _requests(self, m: Module, reading: _Turns, writing: _Turns) -> None:
        """Choose the first request on offer; a cycle later take it into a register, and note whose turn it will be."""
        clients = [*self.read_requests, *self.write_requests]
        # Indices of clients in order of precedence.
        readers, writers = range(self._readers), range(self._readers, len(clients))
        first, second = self._readers - self._guests, self._writers - self._guests
        eager = first - self._patient
        order = [*readers[:eager], *writers[:second], *readers[eager:], *writers[second:]]

        # Clients are all over the chip: their flags end in a register here, their answer comes out of it.
        chosen = Signal(len(clients))
        m.d.sync += chosen.eq(0)
        with m.If(~chosen.any() & ~self.request.valid & reading.room & writing.room):
            for place, index in enumerate(order):
                before = Cat(clients[other].valid for other in order[:place]).any()
                m.d.sync += chosen[index].eq(clients[index].valid & ~before)
        m.d.comb += [
            *(client.ready.eq(chosen[index]) for index, client in enumerate(clients)),
            Cat(reading.push, writing.push).eq(chosen),
        ]
        offered = [Mux(chosen[index], client.payload.as_value(), 0) for index, client in enumerate(clients)]
        burst = data.View(Burst, reduce(or_, offered))
        m.d.comb += [reading.length.eq(burst.length), writing.length.eq(burst.length)]
        with m.If(self.request.ready):
            m.d.sync += self.request.valid.eq(0)
        with m.If(chosen.any()):
            m.d.sync += [
                self.request.valid.eq(1),
                self.request.payload.address.eq(burst.address),
                self.request.payload.length.eq(burst.length),
                self.request.payload.write.eq(writing.push.any()),
            ]
