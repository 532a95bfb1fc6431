"""A controller for one SDR SDRAM: long sequential bursts at a word per clock.

Three machines, each a stage further from the user. The splitter cuts requests into segments that stay within a row.
The row machine opens the row of the next segment while the column machine still runs the current one; it is also the
only one that refreshes and initialises. The column machine issues a READ or WRITE of one word per cycle (burst length
1, so a user that has no data costs idle cycles and nothing else) except in cycles the row machine needs.
Consecutive rows lie in different banks: an address is row, bank, column from its highest bit to its lowest.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.dram.row_machine import URGENT, RowMachine, segment_layout
from narrows.hw.dram.timing import SdramPart, SdramTiming

#: Width of the counters.
COUNTER_BITS = 32


def sdram_request(part: SdramPart, *, max_length: int = 256) -> data.StructLayout:
    """A request: ``length`` words (1 to ``max_length``) from word ``address`` on, to ``write`` or to read.

    A word has the part's data bits; a request that reaches the end of the memory goes on at address 0.
    """
    return data.StructLayout({"address": part.address_bits, "length": max_length.bit_length(), "write": 1})


def read_data(part: SdramPart) -> wiring.Signature:
    """Words read, in the order asked for. They cannot be held back: a user asks for what it has room for."""
    return wiring.Signature({"payload": Out(part.data_bits), "valid": Out(1)})


def sdram_pins(part: SdramPart) -> wiring.Signature:
    """The part's pins as the controller drives them, all but ``dq_i`` out of registers; ``_n`` are active low."""
    return wiring.Signature({
        "cke": Out(1),
        "cs_n": Out(1, init=1),
        "ras_n": Out(1, init=1),
        "cas_n": Out(1, init=1),
        "we_n": Out(1, init=1),
        "ba": Out(part.bank_bits),
        "a": Out(part.row_bits),
        "dqm": Out(part.data_bits // 8, init=(1 << part.data_bits // 8) - 1),
        "dq_o": Out(part.data_bits),
        "dq_oe": Out(1),
        "dq_i": In(part.data_bits),
    })


class _Splitter(wiring.Component):
    """Cuts a request at the ends of rows: 1 cycle of latency, a segment per cycle."""

    def __init__(self, *, part: SdramPart, max_length: int) -> None:
        self._part = part
        super().__init__({
            "request": In(stream.Signature(sdram_request(part, max_length=max_length))),
            "segment": Out(stream.Signature(segment_layout(part, max_length=max_length))),
        })

    def elaborate(self, platform):
        m = Module()
        request, segment = self.request.payload, self.segment.payload
        column_bits = self._part.column_bits
        size = 1 << column_bits

        # Of what is left of the request: its column, its row with the bank below, the column of its last word were the
        # row long enough, and the lengths (less two) of all of it and of the rest of its row.
        column = Signal(column_bits)
        row_bank = Signal(self._part.row_bits + self._part.bank_bits)
        left_bits = len(segment.left)
        last = Signal(left_bits)
        length, room = Signal(left_bits), Signal(left_bits)
        crosses = last[column_bits:].any()

        # Cycle 0: a request.
        m.d.comb += self.request.ready.eq(~self.segment.valid | (self.segment.ready & ~crosses))
        with m.If(self.request.ready):
            m.d.sync += [
                self.segment.valid.eq(self.request.valid),
                segment.write.eq(request.write),
                Cat(column, row_bank).eq(request.address),
                last.eq(request.address[:column_bits] + request.length - 1),
                length.eq(request.length - 2),
                room.eq(size - 2 - request.address[:column_bits]),
            ]
        # Cycle 1: a segment, after it the next one of the same request.
        with m.Elif(self.segment.ready):
            m.d.sync += [
                column.eq(0),
                row_bank.eq(row_bank + 1),
                last.eq(last - size),
                length.eq(last - size - 1),
                room.eq(size - 2),
            ]
        m.d.comb += [
            segment.column.eq(column),
            Cat(segment.bank, segment.row).eq(row_bank),
            segment.left.eq(Mux(crosses, room, length)),
        ]
        return m


class SdramController(wiring.Component):
    """Serves a stream of requests to one SDR SDRAM, in order.

    A user guarantees room for the words it asks to read, and should have the words it asks to write; where it has not,
    WRITE waits for it. A word of ``read`` is valid ``latency`` cycles after the decision for its READ. A request to an
    idle controller has its first word after ``latency`` + 5 cycles if the row is open, tRCD more if its bank is closed,
    tRCD + tRP - 1 more if the bank has another row open. Requests that follow each other leave no cycle between them if
    the next one's row is open or in another bank and the current one lasts as long as opening it takes; a row miss in
    the same bank leaves tRP + tRCD + 1.

    ``refresh_batch``: refreshes that are postponed and made at once while requests keep coming: fewer cycles lost, a
    longer pause (tRP + ``refresh_batch`` * tRFC + tRCD and a few). ``startup_us``: overrides the part's wait after
    power-up, for simulation. ``io_latency``: registers a board adds on the way out and back.
    ``ready``: initialised (requests are taken earlier, and wait). ``activates``, ``refreshes``, ``words``: commands since
    reset, the last one READ and WRITE together; 32 bits that wrap.
    """

    def __init__(
        self,
        *,
        timing: SdramTiming,
        max_length: int = 256,
        refresh_batch: int = 4,
        startup_us: float | None = None,
        io_latency: int = 0,
    ) -> None:
        if not 1 <= max_length <= 1024:
            raise ValueError(f"A request can have up to 1 to 1024 words, max_length cannot be {max_length}.")
        if not 1 <= refresh_batch < URGENT:
            raise ValueError(f"refresh_batch must be 1 to {URGENT - 1}, as eight may be postponed, not {refresh_batch}.")
        if not 0 <= io_latency <= 4:
            raise ValueError(f"io_latency must be 0 to 4 registers, not {io_latency}.")
        if startup_us is not None and startup_us < 0:
            raise ValueError(f"startup_us must be a time in microseconds, not {startup_us}.")
        self._timing, self._batch, self._max_length = timing, refresh_batch, max_length
        self._power_up = timing.power_up_cycles(startup_us)
        #: Cycles from the decision for a READ to its word: two command registers, CAS latency, ``dq_i`` register.
        self.latency = 3 + timing.cas_latency + io_latency
        super().__init__({
            "request": In(stream.Signature(sdram_request(timing.part, max_length=max_length))),
            "read": Out(read_data(timing.part)),
            "write": In(stream.Signature(timing.part.data_bits)),
            "pins": Out(sdram_pins(timing.part)),
            "ready": Out(1),
            "activates": Out(COUNTER_BITS),
            "refreshes": Out(COUNTER_BITS),
            "words": Out(COUNTER_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        part = self._timing.part
        m.submodules.splitter = splitter = _Splitter(part=part, max_length=self._max_length)
        m.submodules.rows = rows = RowMachine(
            timing=self._timing, power_up_cycles=self._power_up, batch=self._batch, max_length=self._max_length
        )
        wiring.connect(m, wiring.flipped(self.request), splitter.request)
        wiring.connect(m, splitter.segment, rows.segment)

        # The running segment: a word per cycle unless the row machine has a command, then at once the next segment.
        running, active = Signal.like(rows.running), Signal()
        reading, writing = Signal(), Signal()
        may_go = active & rows.clear
        turning = Signal(self._timing.cas_latency + 1)  # dq belongs to the part, then to nobody for a cycle
        m.d.comb += [
            reading.eq(may_go & ~running.write),
            self.write.ready.eq(may_go & running.write & ~turning[0]),
            writing.eq(self.write.ready & self.write.valid),
            rows.prepared.ready.eq(~active | ((reading | writing) & running.left[-1])),
            rows.running.eq(running),
            rows.active.eq(active),
            rows.wrote.eq(writing),
        ]
        with m.If(reading | writing):
            m.d.sync += [running.column.eq(running.column + 1), running.left.eq(running.left - 1)]
        with m.If(rows.prepared.ready):
            m.d.sync += [active.eq(rows.prepared.valid), running.eq(rows.prepared.payload)]
        m.d.sync += turning.eq(Mux(reading, ~0, turning >> 1))

        self._pins(m, rows, running, reading, writing)
        self._count(m, rows, reading | writing)
        return m

    def _pins(self, m: Module, rows: RowMachine, running: data.View, reading: Signal, writing: Signal) -> None:
        """Registers in front of every pin, and the words that come back.

        There are two of them: one beside the machines, one on the way to the pins, which are along a whole edge of the chip.
        """
        signature, row = sdram_pins(self._timing.part), rows.command
        pins = signature.create(path=("first",))
        outputs = [name for name, member in signature.members.items() if member.flow is Out]
        m.d.sync += [getattr(self.pins, name).eq(getattr(pins, name)) for name in outputs if name != "cke"]
        m.d.comb += self.pins.cke.eq(1)
        m.d.sync += [
            pins.cs_n.eq(~(row.valid | reading | writing)),
            pins.ras_n.eq(~row.valid),
            pins.cas_n.eq(Mux(row.valid, row.cas_n, ~(reading | writing))),
            pins.we_n.eq(Mux(row.valid, row.we_n, ~writing)),
            pins.ba.eq(Mux(row.valid, row.ba, running.bank)),
            pins.a.eq(Mux(row.valid, row.a, running.column)),
            pins.dqm.eq((~rows.ready).replicate(len(pins.dqm))),
            pins.dq_o.eq(self.write.payload),
            pins.dq_oe.eq(writing),
            self.read.payload.eq(self.pins.dq_i),
        ]
        under_way = Signal(self.latency)
        m.d.sync += under_way.eq(Cat(reading, under_way))
        m.d.comb += [self.read.valid.eq(under_way[-1]), self.ready.eq(rows.ready)]

    def _count(self, m: Module, rows: RowMachine, word: Signal) -> None:
        """Counters, each a register behind what it counts."""
        counted = Signal()
        m.d.sync += [
            counted.eq(word),
            self.activates.eq(self.activates + rows.activated),
            self.refreshes.eq(self.refreshes + rows.refreshed),
            self.words.eq(self.words + counted),
        ]
