"""Engine, memory controller, counters and the host's registers: all of a board but its link."""

from enum import IntEnum, IntFlag

from amaranth.hdl import Array, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.activity import ACTIVITY
from narrows.hw.config import EngineConfig
from narrows.hw.control.counters import BLOCKS, WORDS, Counters
from narrows.hw.dram.controller import SdramController, sdram_pins
from narrows.hw.dram.dma import BYTE_ADDRESS_BITS, COUNT_BITS
from narrows.hw.dram.pins import IO_LATENCY, SdramRegisters
from narrows.hw.dram.timing import PARTS, SdramTiming
from narrows.hw.engine import Engine
from narrows.hw.link.memory import host_memory_ports
from narrows.hw.link.ports import bus_signature
from narrows.hw.parts.delay import delayed
from narrows.hw.parts.stream_register import StreamRegister


class Register(IntEnum):
    """Addresses of the host's 32-bit registers.

    ``CONTROL`` written with 1 (``START``) starts the program of ``PROGRAM_WORDS`` 16-bit words at byte ``PROGRAM_ADDRESS``;
    with 2 (``RESET``) it ends one that does not end by itself. ``STATUS``: see :class:`Status`. ``CYCLES``: since the start,
    until done. ``BLOCKS``: blocks finished. ``COUNTER_INDEX`` chooses what ``COUNTER`` shows
    (:class:`narrows.hw.control.counters.Counters`). ``ENGINE``: first 32 bits of the configuration's digest. ``WATCHDOG``: a program
    is hung when no block has ended for more than so many cycles; a new number counts from the next block or start on.
    """

    CONTROL = 0
    STATUS = 1
    PROGRAM_ADDRESS = 2
    PROGRAM_WORDS = 3
    CYCLES = 4
    BLOCKS = 5
    COUNTER_INDEX = 6
    COUNTER = 7
    ENGINE = 8
    REFRESHES = 9
    ACTIVATES = 10
    WATCHDOG = 11


#: Bits of the control register.
START, RESET = 1, 2

#: Cycles without the end of a block after which a program is hung, unless the host says otherwise: two seconds and more.
PATIENCE = (1 << 28) - 1

#: Cycles of a reset: the controller has served what it had taken long before the last ones, in which the engine is cleared.
_DRAIN, _CLEAR = 1 << 12, 10


class Status(IntFlag):
    """Bits of the status register: the memory is initialised, a program runs, it has ended, it made no sense, it is hung."""

    READY = 1
    BUSY = 2
    DONE = 4
    BAD = 8
    HUNG = 16


def memory_timing(config: EngineConfig) -> SdramTiming:
    """The timing of the engine's SDRAM part at the engine's clock."""
    return PARTS[config.sdram].at(clock_mhz=config.sdram_mhz)


class Top(wiring.Component):
    """Engine and memory controller behind a register port.

    ``bus``: ``read_data`` follows ``address`` by two cycles; ``write`` takes ``write_data`` in its cycle and has its effect two
    cycles later, which a read in the next one sees. ``done`` stays high from the end of a program to the next start;
    ``block_done`` is high for a cycle when a block is over. ``status``: the lowest bits of that register, a cycle later.
    ``host``: see :class:`narrows.hw.engine.Engine`; no transfer of it may be under way at a start and while ``resetting``,
    which is high for some thousand cycles after a reset was written. ``startup_us``: the wait after power-up, short in
    simulation. ``watched``: see :class:`narrows.hw.engine.Engine`.
    """

    def __init__(self, *, config: EngineConfig, startup_us: float | None = None, watched: bool = False):
        self._config, self._startup_us, self._watched = config, startup_us, watched
        super().__init__({
            "bus": Out(bus_signature),
            "host": In(host_memory_ports),
            "sdram": Out(sdram_pins(memory_timing(config).part)),
            "busy": Out(1), "done": Out(1), "block_done": Out(1), "status": Out(8), "resetting": Out(1),
            **({"activity": Out(len(ACTIVITY))} if watched else {}),
        })

    def elaborate(self, platform):
        m = Module()
        timing = memory_timing(self._config)
        m.submodules.engine = engine = Engine(config=self._config, watched=self._watched)
        if self._watched:
            m.d.comb += self.activity.eq(engine.activity)
        m.submodules.sdram = sdram = SdramController(timing=timing, startup_us=self._startup_us, io_latency=IO_LATENCY)
        m.submodules.sdram_io = sdram_io = SdramRegisters(part=timing.part)
        m.submodules.counters = counters = Counters()
        for name in ("request", "read"):
            wiring.connect(m, getattr(engine, name), getattr(sdram, name))
        # The engine's queues are far from the pins. What a reset finds here belongs to a request that will never come.
        words_to_write, over = StreamRegister(timing.part.data_bits), Signal()
        m.submodules.words = ResetInserter(over)(words_to_write)
        wiring.connect(m, engine.write, words_to_write.i)
        wiring.connect(m, words_to_write.o, sdram.write)
        wiring.connect(m, wiring.flipped(self.host), engine.host)
        wiring.connect(m, sdram.pins, sdram_io.controller)
        wiring.connect(m, wiring.flipped(self.sdram), sdram_io.pins)

        address, words = Signal(BYTE_ADDRESS_BITS), Signal(COUNT_BITS)
        index, cycles = Signal(range(BLOCKS * WORDS)), Signal(32)
        busy, done = Signal(), Signal()
        # What is written arrives a cycle later: registers' addresses are told apart beside the link, not beside each register.
        bus, write, value = self.bus, {}, Signal(32)
        m.d.sync += value.eq(bus.write_data)
        for register in Register:
            write[register] = Signal(name=f"write_{register.name.lower()}")
            m.d.sync += write[register].eq(bus.write & (bus.address == register))
        with m.If(write[Register.PROGRAM_ADDRESS]):
            m.d.sync += address.eq(value)
        with m.If(write[Register.PROGRAM_WORDS]):
            m.d.sync += words.eq(value)
        with m.If(write[Register.COUNTER_INDEX]):
            m.d.sync += index.eq(value)
        start = Signal()
        m.d.comb += start.eq(write[Register.CONTROL] & (value[:2] == START) & ~busy & ~self.resetting)
        alive = delayed(m, start | engine.block, 1, name="alive", reset_less=False)
        hung = self._watchdog(m, busy, alive, write[Register.WATCHDOG], value)

        # The engine's done is that of the program before until its reset has reached it.
        started = Signal(4)
        m.d.sync += started.eq(started >> 1)

        # A frame lasts from the start command to the engine's done: by then the last word is in external memory.
        with m.If(busy):
            m.d.sync += cycles.eq(cycles + 1)
            with m.If(engine.done & ~started.any()):
                m.d.sync += [busy.eq(0), done.eq(1)]
        # A reset lasts until the controller has nothing of the engine's left to do, and a little more, in which it gets there.
        drained = Signal(range(_DRAIN))
        m.d.sync += [
            drained.eq(Mux(self.resetting, drained + 1, 0)), engine.clear.eq(drained == _DRAIN - _CLEAR), over.eq(drained == _DRAIN - 2),
        ]
        m.d.comb += engine.stop.eq(self.resetting)
        with m.If(over):
            m.d.sync += [self.resetting.eq(0), busy.eq(0), done.eq(0)]
        with m.If(write[Register.CONTROL] & value[1]):
            m.d.sync += self.resetting.eq(1)
        with m.If(start):
            m.d.sync += [busy.eq(1), done.eq(0), cycles.eq(0), started.eq(~0)]
        m.d.comb += [
            engine.start.eq(started[-1]), engine.address.eq(address), engine.words.eq(words),
            counters.clear.eq(start), counters.run.eq(busy), counters.events.eq(engine.events), counters.block.eq(engine.block),
            counters.index.eq(index),
            self.busy.eq(busy), self.done.eq(done), self.block_done.eq(engine.block),
        ]

        status = (
            sdram.ready * Status.READY | busy * Status.BUSY | done * Status.DONE | engine.bad * Status.BAD | hung * Status.HUNG
        )
        m.d.sync += self.status.eq(status)
        values = {
            Register.STATUS: status,
            Register.CYCLES: cycles, Register.BLOCKS: counters.blocks, Register.COUNTER: counters.value,
            Register.ENGINE: int(self._config.digest[:8], 16),
            Register.REFRESHES: sdram.refreshes, Register.ACTIVATES: sdram.activates,
        }
        # Cycle 1: the address. Cycle 2: the value.
        chosen = Signal(8)
        table = Array(values.get(n, 0) for n in range(max(Register) + 1))
        m.d.sync += [chosen.eq(bus.address), bus.read_data.eq(table[chosen[:4]])]
        return m

    def _watchdog(self, m, busy, alive, write, value):
        """High when the program has run for the register's cycles without a sign of life, until the next one."""
        limit, left = Signal(32, init=PATIENCE), Signal(signed(33), init=PATIENCE)
        hung = Signal()
        with m.If(write):
            m.d.sync += limit.eq(value)
        with m.If(busy):
            m.d.sync += [left.eq(left - 1), hung.eq(hung | (left < 0))]
        with m.If(alive | ~busy):
            m.d.sync += [left.eq(limit), hung.eq(0)]
        return hung
