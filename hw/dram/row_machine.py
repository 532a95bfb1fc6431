"""The SDRAM controller's row machine: opens rows ahead of need, refreshes, initialises.

Times of two commands are compared at the point where row and column commands meet, two registers before the pins. A
timer is a shift register: ``n`` ones loaded in the cycle after one command let the next come ``n + 2`` cycles later. In that
cycle the command itself makes the next one wait, so that its decision ends in a few registers and nothing hangs on it.
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_

from amaranth.hdl import Array, Cat, Module, Mux, Signal, ValueLike, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.dram.timing import SdramPart, SdramTiming

#: The part forgets when more than eight refreshes are postponed: at this many the row machine interrupts a segment for them.
URGENT = 7
#: Cycles without a request after which even a single refresh that is due is not postponed any longer.
IDLE_CYCLES = 15

#: From one refresh to the next at least, so that the count of those that are due is there: more than slow clocks need.
REFRESH_CYCLES = 4


def _ones(count: int) -> int:
    """So many, or none."""
    return (1 << max(count, 0)) - 1


def segment_layout(part: SdramPart, *, max_length: int) -> data.StructLayout:
    """Words within one row; ``left``: how many, less two, so its sign says that the current word is the last one."""
    left = max(max_length.bit_length(), part.column_bits) + 1
    return data.StructLayout({
        "row": part.row_bits,
        "bank": part.bank_bits,
        "column": part.column_bits,
        "left": signed(left),
        "write": 1,
    })


def row_command(part: SdramPart) -> data.StructLayout:
    """What the row machine puts on the pins in the next cycle; ``ras_n`` is low in all its commands."""
    return data.StructLayout({"valid": 1, "cas_n": 1, "we_n": 1, "ba": part.bank_bits, "a": part.row_bits})


def _one_hot(m: Module, state: data.View, transitions: Mapping[tuple[str, str], ValueLike]) -> None:
    """Move ``state``, one bit per state: from the first to the second name if the condition holds.

    The conditions that leave a state exclude each other. Sums of products, so no priority among states is decoded.
    """
    for name in state.shape().members:
        enter = [state[source] & condition for (source, target), condition in transitions.items() if target == name]
        leave = [condition for (source, _), condition in transitions.items() if source == name]
        m.d.sync += state[name].eq(reduce(or_, enter, state[name] & ~Cat(*leave).any()))


class RefreshTimer(wiring.Component):
    """Counts refreshes that are due, and times the wait after power-up with the same counter.

    ``tick``: the wait is over, later a refresh interval is. ``done``: a refresh was issued. Eight are due from the
    start, as the part wants them after power-up. ``pending`` (any), ``wanted`` (worth a pause between segments: a batch,
    or one while nothing is asked for) and ``urgent`` (now) follow the count a cycle later.
    """

    def __init__(self, *, timing: SdramTiming, power_up_cycles: int, batch: int) -> None:
        self._timing, self._power_up, self._batch = timing, power_up_cycles, batch
        super().__init__({
            "idle": In(1),
            "done": In(1),
            "tick": Out(1),
            "pending": Out(1),
            "wanted": Out(1),
            "urgent": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        due = Signal(range(16), init=self._timing.part.power_up_refreshes)
        idle_for = Signal(range(IDLE_CYCLES + 1))
        counting = Signal()

        # Down to -1, whose sign is the end flag: no comparator.
        longest = max(self._timing.t_refi, self._power_up)
        left = Signal(signed(longest.bit_length() + 1), init=self._power_up)
        m.d.comb += self.tick.eq(left[-1])
        m.d.sync += left.eq(Mux(self.tick, self._timing.t_refi - 2, left - 1))

        # The first tick ends the wait after power-up and makes nothing due.
        with m.If(self.tick):
            m.d.sync += counting.eq(1)
        m.d.sync += due.eq(due + (self.tick & counting) - self.done)

        with m.If(~self.idle):
            m.d.sync += idle_for.eq(0)
        with m.Elif(idle_for != IDLE_CYCLES):
            m.d.sync += idle_for.eq(idle_for + 1)
        m.d.sync += [
            self.pending.eq(due != 0),
            self.wanted.eq((due >= self._batch) | ((due != 0) & (idle_for == IDLE_CYCLES))),
            self.urgent.eq(due >= URGENT),
        ]
        return m


class RowMachine(wiring.Component):
    """Opens the rows of segments, refreshes, initialises: every command but READ and WRITE.

    ``segment`` to ``prepared``: 3 cycles if the row is open, tRCD more if its bank is closed, tRCD + tRP - 1 more if the
    bank has another row open. One segment is in hand. ``running`` is the column machine's segment while ``active``;
    ``wrote`` tells of a WRITE for it. It may issue commands only while ``clear``: there is no ``command`` here, and no refresh that
    stops the segment. ``ready`` rises after initialisation; ``activated`` and ``refreshed`` tell of commands.
    """

    def __init__(self, *, timing: SdramTiming, power_up_cycles: int, batch: int, max_length: int) -> None:
        self._timing, self._power_up, self._batch = timing, power_up_cycles, batch
        segment = segment_layout(timing.part, max_length=max_length)
        super().__init__({
            "segment": In(stream.Signature(segment)),
            "prepared": Out(stream.Signature(segment)),
            "running": In(segment),
            "active": In(1),
            "wrote": In(1),
            "clear": Out(1, init=1),
            "command": Out(row_command(timing.part)),
            "ready": Out(1),
            "activated": Out(1),
            "refreshed": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.refresh = refresh = RefreshTimer(
            timing=self._timing, power_up_cycles=self._power_up, batch=self._batch
        )
        names = "power_up fetch lookup compare decide activate prepared drain refresh restore resume"
        state = Signal(data.StructLayout(dict.fromkeys(names.split(), 1)), init={"power_up": 1})
        commands = "precharge activate drain refresh mode restore"
        issue = Signal(data.StructLayout(dict.fromkeys(commands.split(), 1)))
        issued, pause = Signal.like(issue), Signal()
        m.d.sync += issued.eq(issue)
        waiting, busy = self._timers(m, issued)
        is_open, hit, same_bank = self._rows(m, state, issued)

        # Which command, if any: a state, its timer, and conditions that are registers or nearly so.
        bank = self.prepared.payload.bank
        needed = same_bank & self.active  # the running segment's row may not be closed under it
        may_drain = (~self.active | pause) & ~busy.any() & ~waiting
        m.d.comb += [
            issue.precharge.eq(state.decide & ~refresh.urgent & is_open & ~hit & ~needed & ~busy.bit_select(bank, 1)),
            issue.activate.eq(state.activate & ~waiting),
            issue.drain.eq(state.drain & may_drain),
            issue.refresh.eq(state.refresh & ~waiting & refresh.pending),
            issue.mode.eq(state.refresh & ~waiting & ~refresh.pending & ~self.ready),
            issue.restore.eq(state.restore),
        ]
        self._commands(m, issue)
        m.d.comb += [self.activated.eq(issued.activate | issued.restore), self.refreshed.eq(issued.refresh)]
        with m.If(issued.mode):
            m.d.sync += self.ready.eq(1)

        # One segment in hand.
        in_hand = Signal()
        taken = self.prepared.valid & self.prepared.ready
        m.d.comb += [
            self.segment.ready.eq(state.fetch & ~refresh.wanted),
            self.prepared.valid.eq(state.prepared & ~waiting),
        ]
        with m.If(state.fetch):
            m.d.sync += [self.prepared.payload.eq(self.segment.payload), in_hand.eq(self.segment.ready & self.segment.valid)]
        with m.If(taken):
            m.d.sync += in_hand.eq(0)

        refreshed = ~waiting & ~refresh.pending
        _one_hot(m, state, {
            ("power_up", "drain"): refresh.tick,
            ("fetch", "drain"): refresh.wanted,
            ("fetch", "compare"): ~refresh.wanted & self.segment.valid,
            ("lookup", "compare"): 1,
            ("compare", "decide"): 1,
            ("decide", "drain"): refresh.urgent,
            ("decide", "prepared"): ~refresh.urgent & hit,
            ("decide", "activate"): (~refresh.urgent & ~is_open) | issue.precharge,
            ("activate", "prepared"): ~waiting,
            ("prepared", "fetch"): taken,
            ("prepared", "drain"): refresh.urgent & ~waiting & ~self.prepared.ready,
            ("drain", "refresh"): may_drain,
            ("refresh", "restore"): refreshed & self.active,
            ("refresh", "lookup"): refreshed & ~self.active & in_hand,
            ("refresh", "fetch"): refreshed & ~self.active & ~in_hand,
            ("restore", "resume"): 1,
            ("resume", "lookup"): ~waiting & in_hand,
            ("resume", "fetch"): ~waiting & ~in_hand,
        })
        m.d.comb += [
            refresh.idle.eq(state.fetch & ~self.segment.valid & ~self.active),
            refresh.done.eq(issued.refresh),
        ]
        # An urgent refresh stops a running segment, which then finds its row opened again.
        pause_after = (pause | (state.drain & refresh.urgent)) & ~(state.fetch | state.lookup)
        m.d.sync += [pause.eq(pause_after), self.clear.eq(~pause_after & ~issue.as_value().any())]
        return m

    def _timers(self, m: Module, issued: data.View) -> tuple[Signal, Signal]:
        """Whether the row machine's next command must wait, and which banks may not be closed yet."""
        timing, waiting = self._timing, Signal()
        wait = Signal(max(timing.t_rp, timing.t_rcd, timing.t_rrd, timing.t_rfc, timing.t_mrd, REFRESH_CYCLES))
        m.d.sync += wait.eq(wait >> 1)
        m.d.comb += waiting.eq(wait[0] | self.command.valid)
        for command, cycles in (
            (issued.precharge | issued.drain, timing.t_rp),
            # tRRD lies within tRCD, or nearly: no second timer for it.
            (issued.activate | issued.restore, max(timing.t_rcd, timing.t_rrd)),
            (issued.refresh, max(timing.t_rfc, REFRESH_CYCLES)),
            (issued.mode, timing.t_mrd),
        ):
            with m.If(command):
                m.d.sync += wait.eq(_ones(cycles - 2))

        # tRC holds if tRP follows the longer of tRAS and tRC - tRP.
        opened_for = max(timing.t_ras, timing.t_rc - timing.t_rp)
        busy = Signal(1 << timing.part.bank_bits)
        opened = Mux(issued.restore, self.running.bank, self.prepared.payload.bank)
        for bank in range(len(busy)):
            opening, recovering = Signal(opened_for), Signal(max(timing.t_wr - 1, 1))
            m.d.sync += [opening.eq(opening >> 1), recovering.eq(recovering >> 1)]
            with m.If((issued.activate | issued.restore) & (opened == bank)):
                m.d.sync += opening.eq(_ones(opened_for - 2))
            # A WRITE is where commands meet, the PRECHARGE that is timed here a cycle before it.
            with m.If(self.wrote & (self.running.bank == bank)):
                m.d.sync += recovering.eq(_ones(timing.t_wr - 2))
            m.d.comb += busy[bank].eq(opening[0] | recovering[0])
        return waiting, busy

    def _rows(self, m: Module, state: data.View, issued: data.View) -> tuple[Signal, Signal, Signal]:
        """Of the segment in hand, valid in state ``decide``: its bank is open, at its row; it is the running one's."""
        part = self._timing.part
        banks = 1 << part.bank_bits
        rows, opens = Array(Signal(part.row_bits, name=f"row_{bank}") for bank in range(banks)), Signal(banks)
        is_open, hit, same_bank = Signal(), Signal(), Signal()
        row = Signal(part.row_bits)
        in_hand = self.prepared.payload

        # State fetch or lookup: the bank's row. State compare: the comparison.
        bank = Mux(state.lookup, in_hand.bank, self.segment.payload.bank)
        with m.If(state.fetch | state.lookup):
            m.d.sync += [row.eq(rows[bank]), is_open.eq(opens.bit_select(bank, 1))]
        with m.If(state.compare):
            m.d.sync += [hit.eq(is_open & (row == in_hand.row)), same_bank.eq(in_hand.bank == self.running.bank)]

        # A PRECHARGE needs no entry: the same segment's ACTIVATE follows.
        for index in range(banks):
            with m.If(issued.activate & (in_hand.bank == index)):
                m.d.sync += [rows[index].eq(in_hand.row), opens[index].eq(1)]
            with m.If(issued.restore & (self.running.bank == index)):
                m.d.sync += [rows[index].eq(self.running.row), opens[index].eq(1)]
        with m.If(issued.drain):
            m.d.sync += opens.eq(0)
        return is_open, hit, same_bank

    def _commands(self, m: Module, issue: data.View) -> None:
        """The command register."""
        in_hand, running = self.prepared.payload, self.running
        all_banks = 1 << 10
        m.d.sync += [
            self.command.valid.eq(issue.as_value().any()),
            self.command.cas_n.eq(~(issue.refresh | issue.mode)),
            self.command.we_n.eq(~(issue.precharge | issue.drain | issue.mode)),
            self.command.ba.eq(Mux(issue.restore, running.bank, in_hand.bank) & ~issue.mode.replicate(len(in_hand.bank))),
            self.command.a.eq(
                Mux(issue.activate, in_hand.row, 0)
                | Mux(issue.restore, running.row, 0)
                | Mux(issue.drain, all_banks, 0)
                | Mux(issue.mode, self._timing.mode, 0)
            ),
        ]
