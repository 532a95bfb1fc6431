"""A strict model of an SDR SDRAM, stepped once per rising clock edge: the twin of sdram_chip.h, message for message.

Every rule of the data sheet a controller can break is checked, and the first one broken ends the model's life: from
then on ``violated`` is set and ``message`` names the cycle, the command and the rule.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

import numpy as np

from narrows.hw.dram.timing import SdramTiming

#: The C++ model.
HEADER = Path(__file__).with_name("sdram_chip.h")

COMMANDS = ("MODE REGISTER SET", "REFRESH", "PRECHARGE", "ACTIVATE", "WRITE", "READ", "TERMINATE", "NOP")
_NEVER = -(1 << 40)


@dataclass(frozen=True, kw_only=True)
class SdramParameters:
    """The part and its clock, as in the C++ structure of that name, field by field in its order.

    Times are in picoseconds and become cycles in the model, apart from the controller's own conversion; what the data
    sheet states in cycles is beside them, and the longer one counts.
    """

    row_bits: int
    column_bits: int
    bank_bits: int
    cas_latency: int
    period_ps: int
    t_rcd_ps: int
    t_rp_ps: int
    t_ras_ps: int
    t_ras_max_ps: int
    t_rc_ps: int
    t_rfc_ps: int
    t_rrd_ps: int
    t_wr_ps: int
    t_mrd_ps: int
    t_rrd_cycles: int
    t_wr_cycles: int
    t_mrd_cycles: int
    t_refi_ps: int
    max_postponed: int
    power_up_cycles: int
    power_up_refreshes: int

    @classmethod
    def of(cls, timing: SdramTiming, *, startup_us: float | None = None) -> SdramParameters:
        """The parameters of ``timing``'s part at its clock; ``startup_us`` as given to the controller."""
        part = timing.part
        return cls(
            row_bits=part.row_bits,
            column_bits=part.column_bits,
            bank_bits=part.bank_bits,
            cas_latency=timing.cas_latency,
            # Rounded up, so that 60 ns are nine cycles of 150 MHz and not a hair more.
            period_ps=ceil(1_000_000 / Fraction(timing.clock_mhz)),
            t_rcd_ps=round(part.t_rcd * 1000),
            t_rp_ps=round(part.t_rp * 1000),
            t_ras_ps=round(part.t_ras * 1000),
            t_ras_max_ps=round(part.t_ras_max * 1000),
            t_rc_ps=round(part.t_rc * 1000),
            t_rfc_ps=round(part.t_rfc * 1000),
            t_rrd_ps=round(part.t_rrd * 1000),
            t_wr_ps=round(part.t_wr * 1000),
            t_mrd_ps=round(part.t_mrd * 1000),
            t_rrd_cycles=part.t_rrd_cycles,
            t_wr_cycles=part.t_wr_cycles,
            t_mrd_cycles=part.t_mrd_cycles,
            t_refi_ps=floor(Fraction(part.refresh_ms) * 10**9 / part.refresh_rows),
            max_postponed=8,
            power_up_cycles=timing.power_up_cycles(startup_us),
            power_up_refreshes=part.power_up_refreshes,
        )

    def initialiser(self) -> str:
        """The C++ initialiser of the same structure, ``{13, 9, ...}``."""
        return "{" + ", ".join(map(str, astuple(self))) + "}"


@dataclass
class _Bank:
    open: bool = False
    row: int = 0
    opened: int = _NEVER
    closed: int = _NEVER
    written: int = _NEVER


class _Broken(Exception):
    """A rule was broken: the command and the rule."""


@dataclass
class _Slot:
    """What the chip drives in a cycle: the word and which of its bytes."""

    data: int = 0
    lanes: int = 0


@dataclass
class SdramChip:
    """The chip. ``memory`` holds the words in order of row, bank, column; ``data_bits`` is 16 or 32.

    After ``posedge``, ``dq`` is what the chip drives from that edge on, to be sampled at the next one; bytes nobody
    drives read as ones, and ``drives`` tells whether it drives any.
    """

    parameters: SdramParameters
    data_bits: int = 16
    violated: bool = False
    message: str = ""
    memory: np.ndarray = field(init=False)
    dq: int = field(init=False)
    drives: bool = False

    def __post_init__(self) -> None:
        p = self.parameters
        self._all_lanes = (1 << self.data_bits // 8) - 1
        self._ones = (1 << self.data_bits) - 1
        self.dq = self._ones
        self.memory = np.zeros(1 << (p.row_bits + p.bank_bits + p.column_bits), f"uint{self.data_bits}")
        self._rcd = self._cycles(p.t_rcd_ps)
        self._rp = self._cycles(p.t_rp_ps)
        self._ras = self._cycles(p.t_ras_ps)
        self._ras_max = p.t_ras_max_ps // p.period_ps
        self._rc = self._cycles(p.t_rc_ps)
        self._rfc = self._cycles(p.t_rfc_ps)
        self._rrd = self._cycles(p.t_rrd_ps, p.t_rrd_cycles)
        self._wr = self._cycles(p.t_wr_ps, p.t_wr_cycles)
        self._mrd = self._cycles(p.t_mrd_ps, p.t_mrd_cycles)
        self._banks = [_Bank() for _ in range(1 << p.bank_bits)]
        self._bus = [_Slot() for _ in range(4)]  # by the cycle in which it is sampled, modulo 4
        self._drove = False
        self._start = -1
        self._commanded = self._precharged = self._mode_set = False
        self._refreshes = self._due = self._ticks = self._next_due = 0
        self._mode_at = self._refreshed = self._activated = _NEVER

    def posedge(
        self,
        cycle: int,
        *,
        cs_n: int = 1,
        ras_n: int = 1,
        cas_n: int = 1,
        we_n: int = 1,
        ba: int = 0,
        a: int = 0,
        dqm: int = 0,
        dq: int = 0,
        dq_oe: int = 0,
        cke: int = 1,
    ) -> bool:
        """One rising edge with the pins as sampled there; ``cycle`` counts up by one. Returns whether all is well."""
        if self.violated:
            return False
        self._now = cycle
        if self._start < 0:
            self._start = cycle
        try:
            self._check_bus(dq_oe)
            if not cke and self._commanded:
                raise _Broken("CKE low", "clock suspend and power-down are not modelled")
            if self._mode_set and cycle >= self._next_due:
                self._tick()
            if not cs_n and not (ras_n and cas_n and we_n):
                self._command(ras_n << 2 | cas_n << 1 | we_n, ba, a, dqm, dq, dq_oe)
        except _Broken as broken:
            what, rule = broken.args
            self.violated, self.message = True, f"cycle {cycle}: {what}: {rule}"
        if dqm:
            self._bus[(cycle + 2) & 3].lanes &= ~dqm
        slot = self._bus[(cycle + 1) & 3]
        self.drives = slot.lanes != 0
        self.dq = (slot.data | self._ones & ~self._mask(slot.lanes)) if self.drives else self._ones
        return not self.violated

    def _cycles(self, ps: int, least: int = 1) -> int:
        return max(-(-ps // self.parameters.period_ps), least)

    def _mask(self, lanes: int) -> int:
        if lanes == self._all_lanes:
            return self._ones
        return sum(0xFF << 8 * lane for lane in range(self.data_bits // 8) if lanes >> lane & 1)

    def _require(self, what: str, rule: str, since: int, needed: int) -> None:
        """Require that `needed` cycles have passed since `since`."""
        if self._now - since < needed:
            raise _Broken(what, f"{rule} is {needed} cycles, not {self._now - since}")

    def _check_bus(self, dq_oe: int) -> None:
        """Nobody else may drive a cycle that the chip drives, nor the one after it, in which the chip lets go."""
        slot = self._bus[self._now & 3]
        driving, drove = slot.lanes != 0, self._drove
        self._drove = driving
        slot.lanes = 0
        if dq_oe and (driving or drove):
            raise _Broken("dq", "driven while the chip drives it or lets go")

    def _tick(self) -> None:
        p = self.parameters
        self._ticks += 1
        self._due += 1
        self._next_due = self._refreshing_since + self._cycles((self._ticks + 1) * p.t_refi_ps)
        if self._due > p.max_postponed:
            raise _Broken("refresh", f"{self._due} are due")

    def _command(self, code: int, ba: int, a: int, dqm: int, dq: int, dq_oe: int) -> None:
        name = COMMANDS[code]
        self._require(name, "the wait after power-up", self._start, self.parameters.power_up_cycles)
        self._commanded = True
        self._require(name, "tRFC", self._refreshed, self._rfc)
        self._require(name, "tMRD", self._mode_at, self._mrd)
        if name in ("READ", "WRITE"):
            self._column(name, ba, a, dqm, dq, dq_oe)
        elif name == "ACTIVATE":
            self._activate(f"{name} bank {ba}", self._banks[ba], a)
        elif name == "PRECHARGE":
            self._precharge(ba, a)
        elif name == "REFRESH":
            self._refresh()
        elif name == "MODE REGISTER SET":
            self._set_mode(ba, a)
        else:
            raise _Broken(name, "not modelled")

    def _closed(self, name: str) -> None:
        """Require that all banks are closed and have been for tRP."""
        for index, bank in enumerate(self._banks):
            if bank.open:
                raise _Broken(name, f"bank {index} is open")
            self._require(name, "tRP", bank.closed, self._rp)

    def _set_mode(self, ba: int, a: int) -> None:
        p, name = self.parameters, "MODE REGISTER SET"
        if self._refreshes < p.power_up_refreshes:
            raise _Broken(name, f"initialisation: after {p.power_up_refreshes} REFRESH, not {self._refreshes}")
        self._closed(name)
        if ba != 0 or a & ~0x200 != p.cas_latency << 4:
            raise _Broken(name, f"mode 0x{a:04x} is not burst length 1, sequential, CAS latency {p.cas_latency}")
        self._mode_at = self._now
        if not self._mode_set:
            self._mode_set, self._refreshing_since = True, self._now
            self._next_due = self._now + self._cycles(p.t_refi_ps)

    def _refresh(self) -> None:
        if not self._precharged:
            raise _Broken("REFRESH", "initialisation: after PRECHARGE of all banks")
        self._closed("REFRESH")
        self._refreshed = self._now
        self._refreshes += 1
        self._due = max(self._due - 1, 0)  # refreshing ahead of time earns nothing

    def _precharge(self, ba: int, a: int) -> None:
        every = a >> 10 & 1
        for index, bank in enumerate(self._banks):
            if not every and index != ba:
                continue
            if bank.open:
                name = f"PRECHARGE bank {index}"
                self._require(name, "tRAS", bank.opened, self._ras)
                self._require(name, "tWR", bank.written, self._wr)
                self._not_forgotten(name, bank)
            if bank.open or not self._precharged:
                bank.closed = self._now
            bank.open = False
        self._precharged = self._precharged or bool(every)

    def _activate(self, name: str, bank: _Bank, a: int) -> None:
        if not self._mode_set:
            raise _Broken(name, "initialisation: after MODE REGISTER SET")
        if bank.open:
            raise _Broken(name, "the bank is open")
        self._require(name, "tRP", bank.closed, self._rp)
        self._require(name, "tRC", bank.opened, self._rc)
        self._require(name, "tRRD", self._activated, self._rrd)
        bank.open, bank.row = True, a & ((1 << self.parameters.row_bits) - 1)
        bank.opened = self._activated = self._now

    def _not_forgotten(self, name: str, bank: _Bank) -> None:
        if self._now - bank.opened > self._ras_max:
            raise _Broken(name, f"tRAS is at most {self._ras_max} cycles, not {self._now - bank.opened}")

    def _column(self, command: str, ba: int, a: int, dqm: int, dq: int, dq_oe: int) -> None:
        p, bank, name = self.parameters, self._banks[ba], f"{command} bank {ba}"
        if not bank.open:
            raise _Broken(name, "the bank is closed")
        self._require(name, "tRCD", bank.opened, self._rcd)
        self._not_forgotten(name, bank)
        if a >> p.column_bits:
            raise _Broken(name, "auto precharge is not modelled" if a >> 10 & 1 else "no such column")
        address = ((bank.row << p.bank_bits | ba) << p.column_bits) | a
        if command == "WRITE":
            if not dq_oe:
                raise _Broken(name, "nobody drives dq")
            kept = self._mask(dqm)
            self.memory[address] = (int(self.memory[address]) & kept) | (dq & ~kept)
            bank.written = self._now
        else:
            self._bus[(self._now + p.cas_latency) & 3] = _Slot(int(self.memory[address]), self._all_lanes)
