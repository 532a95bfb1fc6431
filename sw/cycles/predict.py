"""Cycles of a plan, predicted block by block: what the engine's own counters will say, without running it.

Not a formula but a model of the engine's schedule: tasks (a segment of pixels for a group of channels, a burst of external
memory) follow each other as the credits between units allow. A figure of the gateware's own sets every latency
(:mod:`narrows.cycles.latencies`); tests hold the result to the counters of the simulated board.
"""

from __future__ import annotations

from dataclasses import dataclass

from narrows.cycles.block import BlockRun, Counts, Deadlock, block_packets
from narrows.cycles.dram import Bus
from narrows.cycles.latencies import DESCRIPTOR_QUEUE, DESCRIPTOR_TO_POP, DESCRIPTOR_TO_START, Latencies
from narrows.cycles.program import Program, ProgramStream, Ring
from narrows.hw.config import EngineConfig
from narrows.hw.control.descriptor import descriptor_words
from narrows.hw.control.program_reader import RINGS, Kind, fits_rings, header, lane_bytes, lanes, ring_depths
from narrows.hw.depthwise.geometry import constant_words
from narrows.hw.parts.queue import AHEAD
from narrows.hw.top import memory_timing
from narrows.plan.plan import Plan

__all__ = ["BlockCycles", "Deadlock", "predict"]

#: Weight words whose slices share packets in plane mode; the compiler's ``_CHUNK_WORDS``.
CHUNK_WORDS = 64

#: Words of the engine's queue of descriptors (hw/engine.py), and those that wait in front of its way out.
QUEUE_WORDS = 512 + AHEAD

#: From the host's start command to the program reader's start: the engine's reset, a register.
_COMMAND_TO_START = 2


@dataclass(frozen=True, kw_only=True)
class BlockCycles:
    """A block's counters (:data:`narrows.hw.control.counters.NAMES`) in cycles, and its traffic in bytes."""

    name: str
    cycles: int
    pointwise_busy: int
    depthwise_busy: int
    wait_weights: int
    wait_data: int
    read_bytes: int
    write_bytes: int


def _bytes(bursts: list[tuple[int, int]], until: int) -> int:
    """Bytes of the bursts' words before cycle ``until``; what is counted leaves the list."""
    total = 0
    rest: list[tuple[int, int]] = []
    for cycle, words in bursts:
        if cycle + words <= until:
            total += words
            continue
        count = max(0, until - cycle)
        total += count
        rest.append((cycle + count, words - count))
    bursts[:] = rest
    return 2 * total


def packets(plan: Plan) -> list[list[tuple[Kind, int]]]:
    """Every block's packets: kind and memory words, in the order of the program."""
    config = plan.config
    words, constants = descriptor_words(config), constant_words(config)
    packets = [block_packets(block, config, descriptor=words, constants=constants, chunk_words=CHUNK_WORDS) for block in plan.blocks]
    first = Counts(words=dict.fromkeys(Kind, 0)).after(packets[0])
    if fits_rings(config, first.words):
        packets[0].append(packets[0].pop(0))  # the descriptor
    return packets


def _rings(config: EngineConfig) -> list[Ring]:
    depths = ring_depths(config) | {Kind.DESCRIPTOR: QUEUE_WORDS}
    return [Ring(depths[kind], lanes(config, kind) * lane_bytes(config, kind) // 2) for kind in (*RINGS, Kind.DESCRIPTOR)]


def predict(plan: Plan) -> list[BlockCycles]:
    """What each block of ``plan`` will take; raises :class:`Deadlock` for a plan that would never end.

    The first block's cycles begin with the start command, when nothing of the program is on chip; a block's end is the
    next one's beginning. The sum is the frame's.
    """
    config = plan.config
    latencies = Latencies.of(config, memory_timing(config))
    kinds = (*RINGS, Kind.DESCRIPTOR)
    of_blocks = packets(plan)
    order = [(kinds.index(kind), count) for block in of_blocks for kind, count in block if count]
    bus = Bus(latencies)
    stream = ProgramStream(
        _COMMAND_TO_START, plan.program_address, order, _rings(config), header=len(header(Kind.WEIGHTS, 0)) // 2, latencies=latencies
    )
    program = Program(bus, stream)
    descriptors, words = kinds.index(Kind.DESCRIPTOR), descriptor_words(config)

    results, counts, end = [], Counts(words=dict.fromkeys(Kind, 0)), 0
    for index, block in enumerate(plan.blocks):
        loaded = program.loaded(descriptors, words * (index + 1))
        if loaded is None:
            raise Deadlock(
                f"The descriptor of block {block.block.name!r} never comes: the program waits for room in ring memory {stream.blocked}."
            )
        came = loaded - latencies.pop_to_loaded + DESCRIPTOR_QUEUE
        start = max(came, end + words) + DESCRIPTOR_TO_START
        # Its words leave the queue one by one as others may come.
        stream.rings[descriptors].free(words * (index + 1), start - DESCRIPTOR_TO_START - words + DESCRIPTOR_TO_POP)
        run = BlockRun(block, config, program, latencies, counts, start)
        begin, end = end, run.run()
        bus.run(end)
        bus.source = bus.sink = None
        passes = [stage for stage in (run.expand, run.project) if stage is not None]
        results.append(BlockCycles(
            name=block.block.name, cycles=end - begin, pointwise_busy=sum(stage.busy for stage in passes),
            depthwise_busy=run.depthwise_busy, wait_weights=run.wait_weights, wait_data=run.wait_data,
            read_bytes=_bytes(bus.reads, end), write_bytes=_bytes(bus.writes, end),
        ))
        counts = counts.after(of_blocks[index])
    return results
