"""Cycles between cause and effect in the engine, each with the place in the gateware that makes it so.

Times are the cycle in which something is done or first seen. A pass's op "fires" when the sequencer chooses it; a tap is
"issued" when the depthwise unit's loops count it; a word of the program is "popped" when the program reader takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from narrows.hw.array.array import array_latency
from narrows.hw.array.ports import ACTIVATION_DELAY, sum_delay
from narrows.hw.config import EngineConfig
from narrows.hw.depthwise.unit import DepthwiseUnit
from narrows.hw.dram.pins import IO_LATENCY
from narrows.hw.dram.row_machine import IDLE_CYCLES
from narrows.hw.dram.timing import SdramTiming
from narrows.hw.writeback.residual import ResidualAdd

# Passes and sequencer (hw/array/passes.py).

#: From a credit's counter to the first op it allows: GroupWalk's register for it, then the group becomes active.
CREDIT_TO_FIRE = 5
#: From the start pulse to the first op: ``left``, ``ready`` and ``active`` in turn.
START_TO_FIRE = 6
#: From the end of a group's fires to ``consumed``, and to words released (one register more) as the program reader sees
#: them (its register ``full``).
FIRE_TO_CONSUMED = 1
FIRE_TO_POP = 5 + ACTIVATION_DELAY


def fire_to_pop_constants(config: EngineConfig) -> int:
    """The same for constants, which are read when the last sums are there (hw/engine.py)."""
    return FIRE_TO_POP - ACTIVATION_DELAY + sum_delay(config) + config.pixels



# Depthwise unit (hw/depthwise/jobs.py, depthwise_addresses.py, depthwise_memory.py).

#: From a position of expanded pixels, and from a count of loaded words, to the first tap: a register, then the job is taken.
EXPANDED_TO_TAP = 5
LOADED_TO_TAP = 4
#: From project's consumed pixels to the first tap: ``allowed`` and ``room`` before that.
CONSUMED_TO_TAP = 6
#: From the end of a segment's taps to ``freed``: addresses' latency and the register.
TAP_TO_FREED = 4
#: From the end of a slice's taps to the program reader's next word: addresses, the register behind them, the count, ``full``.
TAP_TO_POP = 9
#: The same for constants, which are read when the sums are there.
TAP_TO_POP_CONSTANTS = 20

# Memories and writeback (hw/activations/memory.py, engine.py, line_buffer.py, writeback.py).

#: From a word that activation memory takes to the position that counts it: ``marks``, then the engine's register.
WRITE_TO_POSITION = 4
#: The same to the depthwise unit's being done.
WRITE_TO_DONE = 3
#: From a word at the line writer to ``expanded``.
WORD_TO_EXPANDED = 2
#: From a result word at the writeback to its way out without a residual: two queues; the sum's bypass comes on top.
WRITEBACK_QUEUES = 9
#: With a residual the shortcut's word must come: request, memory, queue.
WRITEBACK_SHORTCUT = 8

# Control (hw/control/control.py).

#: From the last unit's being done to ``block``: the quiet time.
QUIET_TO_BLOCK = 9
#: From the descriptor's last word to ``start``, and from the program reader through the queue to the control.
DESCRIPTOR_TO_START = 4
DESCRIPTOR_QUEUE = 6
#: From a descriptor's word that leaves the queue to the pop of one in its place.
DESCRIPTOR_TO_POP = 2

# Program (hw/control/program_reader.py).

#: From the pop of a memory word's last part to ``loaded``: the chain of slices and 4, and the counter.
LOADED_REGISTERS = 5

# External memory (hw/dram/dma.py, arbiter.py, sdram.py).

#: Words of a burst, and of the FIFO of a client that writes: the defaults of MemoryWriter.
BURST = 128
FIFO_WORDS = 512
#: From the start pulse, from a request that was chosen, and from a burst's room in the FIFO to the next request on offer.
START_TO_REQUEST = 4
REQUEST_TO_REQUEST = 5
#: From a block's start pulse to the start of the reader of its source: on its way there, as counted.
START_TO_SOURCE = 3
ROOM_TO_REQUEST = 5
#: From a request that the arbiter chooses to the decision for its first READ on an idle controller with the row open: the
#: arbiter's two registers, the splitter, the row machine's three cycles, the column machine.
REQUEST_TO_READ = 7
#: From that to the row machine, which takes it, as counted by whether a refresh goes first; from a refresh that is due to the row
#: machine's taking no more because of it.
REQUEST_TO_FETCH = 4
FETCH_TO_READ = REQUEST_TO_READ - REQUEST_TO_FETCH
TICK_TO_WANTED = 2
#: Cycles of a refresh while nothing is asked for, beside tRP + tRFC: into it and out of it.
IDLE_REFRESH_STATES = 4
#: From the refresh interval's end at which the power-up wait ends to the first program's start, beside the initialisation's
#: commands: in simulation, where the host starts as soon as memory is ready. Later programs meet refreshes at any time.
TICK_TO_START = 11
#: From the READ's decision (beside the CAS latency and the registers at the pins) to the word at the client's ``o``: two command
#: registers and the data register of the controller, arbiter, FIFO.
READ_TO_WORD = 10
#: Bursts between arbiter and pins: running, prepared, in the splitter, in the arbiter's register.
BURSTS_IN_FLIGHT = 4
#: Refreshes made at once (the controller's default), and cycles around them in which no word is moved beside tRP + tRFC:
#: draining, the row opened again for the running segment, states in between. Counted on full streams.
REFRESH_BATCH = 4
REFRESH_STATES = 8
#: From a burst's beginning to room for one more in the arbiter's register: the next moves from the splitter to the row machine.
START_TO_SLOT = 2
#: The same after refreshes: the row machine takes the next segment and opens its row.
REFRESH_TO_START = 8
#: Requests that the arbiter chooses are so far apart.
TAKE_TO_TAKE = 3

# Stem (hw/stem/unit.py, picture.py).

#: From the last 16-bit word of a row's lines to the first step of its patches: packer, ring, two comparisons.
WORD_TO_STEP = 4
#: From a step to the word at activation memory: the step's register, the ring's way, gathering, queue.
STEP_TO_WRITE = 11
#: Words on that way at most, those that wait for their turn included: no step while so many are ``claimed``.
STEM_QUEUE = 14
#: From the last step of a row to the first of the next: settling, waiting.
ROW_GAP = 9
#: From the last step of a row to the pop of picture words in the place of lines it needed.
ROW_TO_POP = 7
#: From consumed pixels to the step of a patch in their place, or to the pop of a loaded word: PositionGate.
CONSUMED_TO_STEP = 3
#: From a popped word of a loaded tensor to activation memory (hw/activations/stream.py).
LOAD_TO_WRITE = 2

# Store (hw/activations/stream.py, dma.py).

#: From a position of the output to its first 16-bit word in the writer's FIFO: gate, request, answer, unpacker.
POSITION_TO_STORE = 9
#: From a burst's last word in the FIFO to its request on offer: the level, the grant, and three more as counted.
WORDS_TO_REQUEST = 5


@dataclass(frozen=True)
class Latencies:
    """Latencies that depend on the configuration, and those of the SDRAM, in cycles."""

    #: From a fire to the position of expanded pixels: the op's register, the array, the line writer.
    fire_to_expanded: int
    #: From a fire of project to its word's way out of the writeback, without and with a residual.
    fire_to_written: int
    fire_to_summed: int
    #: From one pixel's residual sum to the next.
    sum_cycles: int
    #: From a tap to its result at activation memory.
    tap_to_write: int
    #: From the pop of a memory word's last part to its count.
    pop_to_loaded: int
    #: From a READ's decision to the word at the client.
    read_to_word: int
    #: When the first refresh is due after the start of the first program after power-up.
    first_refresh: int
    #: From one refresh to the next; a refresh; what a batch of them costs beside.
    refresh_interval: int
    refresh: int
    refresh_cycles: int
    #: A pause after which even one is made; what that costs beside.
    idle: int
    refresh_opening: int
    #: Opening a closed row, and cycles between bursts in different rows of one bank.
    row_open: int
    row_miss: int
    #: Cycles between a burst read and one written after it.
    turnaround: int
    #: The place of bank and row in a word's address.
    column_bits: int
    bank_bits: int

    @classmethod
    def of(cls, config: EngineConfig, timing: SdramTiming) -> Latencies:
        """Those of an engine and its memory."""
        word = 2 + array_latency(config)
        return cls(
            fire_to_expanded=word + WORD_TO_EXPANDED,
            fire_to_written=word + WRITEBACK_QUEUES + ResidualAdd.BYPASS_LATENCY,
            fire_to_summed=word + WRITEBACK_QUEUES + WRITEBACK_SHORTCUT + ResidualAdd.latency(config),
            sum_cycles=config.sum_cycles,
            tap_to_write=DepthwiseUnit.latency(config),
            pop_to_loaded=config.outputs + LOADED_REGISTERS,
            read_to_word=READ_TO_WORD + IO_LATENCY + timing.cas_latency,
            first_refresh=timing.t_refi - timing.t_rp - timing.part.power_up_refreshes * timing.t_rfc - timing.t_mrd - TICK_TO_START,
            refresh_interval=timing.t_refi,
            refresh=timing.t_rfc,
            refresh_cycles=timing.t_rp + REFRESH_STATES,
            idle=IDLE_CYCLES + TICK_TO_WANTED,
            refresh_opening=timing.t_rp + IDLE_REFRESH_STATES,
            row_open=timing.t_rcd,
            row_miss=timing.t_rp + timing.t_rcd + 1,
            turnaround=timing.cas_latency + 1,
            column_bits=timing.part.column_bits,
            bank_bits=timing.part.bank_bits,
        )
