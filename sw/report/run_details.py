"""What a report draws beside the counters: the network's blocks, their runs over time, and what lies where meanwhile."""

from __future__ import annotations

from typing import Any

from narrows.device.frame import Frame
from narrows.plan.plan import BlockPlan, Region, Transfer
from narrows.program.encode import Program


def run_details(program: Program, frame: Frame) -> dict[str, Any]:
    """``network``: shapes (height, width, channels) of every block. ``runs``: the program's runs in order, ``begin`` in cycles from the
    start command on, the activation memory that each uses (first word and the one after the last, in every bank), its counters.
    ``activation_memory``: sizes. ``external_memory``: its regions in bytes, and the cycles from which and up to which each is in use.
    """
    plan = program.plan
    network: dict[str, dict[str, Any]] = {}
    runs, begin = [], 0
    for number, (run, counted) in enumerate(zip(plan.blocks, frame.blocks, strict=True)):
        block = run.block
        network.setdefault(block.name, {
            "name": block.name, "input": list(block.input.shape), "output": list(block.output.shape),
            "interior": list(block.depthwise.inputs[0].shape) if block.depthwise else None,
            "shortcut": block.shortcut is not None, "operators": [f"{layer.op} {type(layer).__name__}" for layer in block.layers],
        })
        runs.append({
            "number": number, "name": block.name, "mode": run.mode, "slices": run.slices, "first_image": run.first, "images": run.images,
            "channels": [run.channels.start, run.channels.stop], "begin": begin,
            "source_at": _span(run.source), "filtered_at": _filtered(run), "output_at": _span(run.output),
            **{name: counted[name] for name in ("cycles", "pointwise_busy", "depthwise_busy", "wait_weights", "wait_data")},
            "read_bytes": 2 * counted["read_words"], "write_bytes": 2 * counted["write_words"],
        })
        begin += counted["cycles"]
    config = plan.config
    return {
        "network": list(network.values()), "runs": runs,
        "activation_memory": {"words_per_bank": config.bank_words, "banks": config.pixels, "word_bytes": config.group},
        "external_memory": _external(program, runs),
    }


def _span(region: Region) -> list[int]:
    return [region.base, region.end]


def _filtered(run: BlockPlan) -> list[int] | None:
    """Where the filtered interior lies, if that is not the output."""
    return None if run.filtered is None or run.filtered == run.output else _span(run.filtered)


def _external(program: Program, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Regions by address. A region is in use from the run that writes it, or from the start, to the last one that reads it, or the end."""
    plan = program.plan
    ends = [run["begin"] + run["cycles"] for run in runs]
    regions: dict[tuple[int, int], dict[str, Any]] = {}

    def put(region: Transfer, what: str, name: str, begin: int, end: int) -> None:
        row = regions.setdefault((region.address, region.bytes), {
            "what": what, "name": name, "address": region.address, "bytes": region.bytes, "begin": begin, "end": end,
        })
        row["begin"], row["end"] = min(row["begin"], begin), max(row["end"], end)

    put(Transfer(address=program.address, bytes=len(program.image)), "program", "descriptors, weights, constants", 0, ends[-1])
    outputs = {(part.store.address, part.store.bytes) for part in plan.outputs}
    for number, run in enumerate(plan.blocks):
        if run.picture is not None:
            put(run.picture, "picture", "picture" if plan.images == 1 else f"picture {run.first + 1}", 0, ends[number])
        if run.store is not None:
            is_output = (run.store.address, run.store.bytes) in outputs
            of = f", picture {run.first + 1}" if run.images < plan.images else ""
            put(run.store, "output" if is_output else "tensor", f"output of {run.block.name}{of}", runs[number]["begin"],
                ends[-1] if is_output else ends[number])  # fmt: skip
        if run.load is not None:
            written = [row for (address, size), row in regions.items() if address < run.load.address + run.load.bytes
                       and run.load.address < address + size and row["what"] == "tensor"]  # fmt: skip
            for row in written:
                row["end"] = max(row["end"], ends[number])
            if not written:
                put(run.load, "tensor", f"input of {run.block.name}", 0, ends[number])
    return sorted(regions.values(), key=lambda row: row["address"])
