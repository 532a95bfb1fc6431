"""What a block's cycles are made of: the least that each part of the engine needs for it, and what was lost beyond.

The terms are the cycle model's: results of the array and how far requantisers keep them apart, the depthwise unit's result words,
residual sums, bytes on the bus at two a cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from narrows.cycles.latencies import REFRESH_BATCH, Latencies
from narrows.cycles.predict import packets
from narrows.hw.config import EngineConfig
from narrows.hw.control.program_reader import Kind, header, lane_bytes, lanes
from narrows.hw.top import memory_timing
from narrows.plan.plan import BlockPlan, Plan, depthwise_geometry

#: What cycles can go into, in the order of a report. ``multipliers``: the array multiplies; ``requantisers``: it waits for one;
#: ``depthwise``, ``residual``: it waits for slower units; ``bus``: for bytes that no better order could bring earlier;
#: ``buffers``: for rows or weights that had no room to come earlier, or were not due yet; ``starts``: blocks begin and end.
CAUSES: tuple[str, ...] = ("multipliers", "requantisers", "depthwise", "residual", "bus", "buffers", "starts")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Cycles that each part needs for a run of a block at least, were all else at once.

    ``array``: in which it multiplies; ``results``: the same, its results as far apart as requantisers need them; ``depthwise``: the
    depthwise unit's results; ``residual``: sums of the shortcut; ``bus``: two bytes a cycle of program, picture and tensors.
    """

    array: int = 0
    results: int = 0
    depthwise: int = 0
    residual: int = 0
    bus: int = 0

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(Bounds)})

    @property
    def compute(self) -> int:
        """Cycles that computing takes at least."""
        return max(self.array, self.depthwise)


class Counted(Protocol):
    """A run's cycles, counted or predicted."""

    @property
    def cycles(self) -> int:
        """All of them."""
        ...

    @property
    def wait_weights(self) -> int:
        """In which the array waits for weights."""
        ...

    @property
    def wait_data(self) -> int:
        """In which it waits for anything else."""
        ...


def bounds_of(plan: Plan) -> list[Bounds]:
    """The bounds of every run of ``plan``."""
    return [_bounds(run, plan.config, block) for run, block in zip(plan.blocks, packets(plan), strict=True)]


def _bounds(run: BlockPlan, config: EngineConfig, of_program: Sequence[tuple[Kind, int]]) -> Bounds:
    array = results = depthwise = residual = 0
    passes = []
    if run.block.depthwise is not None:
        geometry = depthwise_geometry(
            run.block, slices=run.slices, slice_groups=run.slice_groups, images=run.images, segment=run.depthwise_segment
        )
        depthwise = geometry.words() * geometry.result_cycles(config)
        passes.append((run.expand_groups, run.images * geometry.in_h * geometry.in_w, run.expand_depth))
    if run.block.project is not None:
        passes.append((run.project_groups, run.pixels("output"), run.project_depth))
    for groups, pixels, depth in passes:
        words = groups * -(-pixels // config.pixels)
        array += words * depth
        results += words * max(depth, config.result_spacing)
    if run.block.shortcut is not None:
        residual = run.pixels("output") * run.project_groups * config.sum_cycles
    moved = sum(len(header(kind, 0)) + count * lanes(config, kind) * lane_bytes(config, kind) for kind, count in of_program if count)
    moved += sum(transfer.bytes for transfer in (run.picture, run.load, run.store) if transfer is not None)
    return Bounds(array=array, results=results, depthwise=depthwise, residual=residual, bus=-(-moved // 2))


def bus_share(config: EngineConfig) -> float:
    """The share of the bus's cycles that refreshes leave to data, and the commands that open and close rows."""
    latencies = Latencies.of(config, memory_timing(config))
    row = 1 << latencies.column_bits
    return (1 - (latencies.refresh_cycles / REFRESH_BATCH + latencies.refresh) / latencies.refresh_interval) * row / (row + 2)


def parts(bounds: Bounds, counted: Counted | Mapping[str, Any], config: EngineConfig) -> dict[str, int]:
    """Cycles of a run by :data:`CAUSES`; their sum is ``counted``'s cycles.

    A wait is put down to the part that is slower than the array, as far as it is; the rest, which better timing could avoid, to buffers.
    """
    def value(name: str) -> int:
        return counted[name] if isinstance(counted, Mapping) else getattr(counted, name)

    for_weights, for_data = value("wait_weights"), value("wait_data")
    late_bus = max(0, round(bounds.bus / bus_share(config)) - bounds.results)
    found = {"multipliers": bounds.array, "requantisers": bounds.results - bounds.array}
    bus = min(for_weights, late_bus)
    for_weights -= bus
    for name in ("depthwise", "residual"):
        found[name] = min(for_data, max(0, getattr(bounds, name) - bounds.results))
        for_data -= found[name]
    of_data = min(for_data, late_bus - bus)
    found |= {"bus": bus + of_data, "buffers": for_weights + for_data - of_data}
    # Where a unit's own counting overlaps another's by a few cycles, nothing is left.
    left = max(0, value("cycles") - sum(found.values()))
    # An array that has done its part does not wait for the depthwise unit any more, but the block still does.
    alone = min(left, max(0, bounds.depthwise - bounds.results - found["depthwise"]))
    found["depthwise"] += alone
    found["starts"] = left - alone
    return {cause: found[cause] for cause in CAUSES}


def total(of_runs: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of ``parts`` of several runs."""
    result = dict.fromkeys(CAUSES, 0)
    for run in of_runs:
        for cause, cycles in run.items():
            result[cause] += cycles
    return result


def limit(shares: Mapping[str, int]) -> str:
    """The cause of most cycles."""
    return max(shares, key=lambda cause: shares[cause])
