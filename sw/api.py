"""What the command line does, as functions: run a network on the engine, print its plan, check it block by block."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from narrows.bitstream.routed import routed_clock, told_clock
from narrows.check import check_model
from narrows.compiler.operator_table import rows_of_refused, rows_of_runnable
from narrows.compiler.runnable import runnable
from narrows.cycles.roofline import roofline, where_time_went
from narrows.device.device import Device
from narrows.device.frame import Frame
from narrows.device.interpreter import real
from narrows.errors import NarrowsError
from narrows.golden.model import model_outputs, run_post, run_pre
from narrows.golden.model import run_model as run_golden
from narrows.graph.network import Network
from narrows.hw.config import EngineConfig
from narrows.hw.system import BAUD
from narrows.importer.importer import import_network
from narrows.inputs.labels import names_for
from narrows.inputs.model_input import ModelInput
from narrows.inputs.picture_file import FILTER, picture_files
from narrows.plan.plan import Plan
from narrows.report import page as report_page
from narrows.report import trace
from narrows.report.run_details import run_details
from narrows.run_options import check_options
from narrows.tflite.file import read_model

__all__ = ["check_model", "engine_rows", "last_part_end", "plan_model", "run_model"]

Progress = Callable[[str, float], None]


def run_model(
    model: Path, images: Sequence[Path], *, on: str = "sim", config: EngineConfig | None = None, labels: Path | None = None,
    top: int = 3, slices: int | None = None, batch: int = 1, stream: bool = False, waveform: Path | None = None,
    window: tuple[int, int] | None = None, baud: int = BAUD, report: Path | None = None, progress: Progress | None = None,
    input_range: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Run ``images`` (a folder: the pictures in it) through ``model`` and say what came out and, on the engine, where the cycles went.

    ``on``: "sim" (the gateware), "golden" (NumPy, no engine keys in the result) or a board as :meth:`narrows.Device.open` takes it,
    at a serial port of ``baud`` or at "socket://host:port"; ``config`` None: of a board, the engine it says it has. ``labels``: a
    file with a name per line; None: those inside the model, if any. ``top``: classes per image. ``slices``: cut every block's
    interior into that many slices, or the next number that fits (at most one per group of channels); None: the planner chooses.
    ``batch``: images that share the late blocks' weights, at most; fewer images are repeated. ``stream``: batch follows batch, and
    each one's classifier runs in the background of the next; the figures are those of a batch in the middle. ``report``: a
    folder that gets a page and, on "sim", a trace (:mod:`narrows.report.page`); the result has what they show, too. ``input_range``: the
    values of pixels 0 and 255 for a model with a float32 input; None: as the file says (:mod:`narrows.inputs.input_range`). Raises
    :class:`NarrowsError`.
    """
    engine = {"--slices": slices, "--batch": batch > 1 and not stream, "--stream": stream}
    check_options(on, report=report, waveform=waveform, window=window, engine=engine)
    network = import_network(model)
    if not images:
        raise NarrowsError("There is no image to run; give one with --image.")
    source = ModelInput(network.model, input_range)
    inputs = [(path, source.read(path)) for path in picture_files(images)]
    names, label_note = names_for(model, labels, network.model)
    result: dict[str, Any] = {"model": str(model), "on": on, "resize_filter": FILTER, "notes": list(network.notes), "images": []}
    result |= {"input_range": source.used_range(picture for _, picture in inputs), "label_note": label_note}
    if on == "golden":
        for path, picture in inputs:
            outputs = model_outputs(network.model, run_golden(network.model, picture.value))
            result["images"].append(_image_row(network, path, outputs, names, top) | {"notes": list(picture.notes)})
        return result

    # What does not fit is refused before anything is compiled or opened, if the engine is known.
    options = {"slices": slices, "batch": batch, "stream": stream}
    able = runnable(network, config or EngineConfig(), **options) if config or on == "sim" else None
    frames, intervals = [], []
    with Device.open(on, config=config, baud=baud, waveform=waveform, window=window, progress=progress) as device:
        able = able or runnable(network, device.config, **options)
        program, plan, predicted = able.program, able.program.plan, able.predicted
        device.load(program, progress=progress)
        pictures = (run_pre(network, picture.value) for _, picture in inputs)
        read = iter(inputs)
        traced = report is not None and on == "sim"  # a board does not tell what its units do when
        if traced:
            device.observe(trace.LINES, pause=trace.PAUSE)
        # Alone with its memory, the engine counts the same on every device.
        for frame in device.stream(pictures, alone=True, progress=progress):
            frames.append(frame)
            if traced and len(frames) == 1:
                intervals = device.observed(frame)
            for (path, picture), output in zip(islice(read, len(frame.outputs)), frame.outputs, strict=True):
                row = _image_row(network, path, run_post(network, *output), names, top)
                result["images"].append(row | {"notes": list(picture.notes), "cycles": frame.cycles})
    frame = frames[0]
    latency = frame.cycles + (last_part_end(plan, frame) if plan.late else 0)
    result |= engine_rows(plan, frame, predicted) | {"latency_cycles": latency}
    if report is not None:
        result |= run_details(program, frame)
        slices_ = trace.trace(intervals, result["runs"], clock_mhz=result["clock_mhz"]) if traced else None
        result["report"] = report_page.write_report(report, result, slices_, [picture.seen for _, picture in inputs])
    return result


def last_part_end(plan: Plan, frame: Frame) -> int:
    """The cycle in which the last output of the batch before is there."""
    stores = {part.store for part in plan.outputs}
    last = max(index for index, run in enumerate(plan.blocks) if run.store in stores)
    return sum(block["cycles"] for block in frame.blocks[: last + 1])


def _image_row(network: Network, path: Path, outputs: Sequence[np.ndarray], names: list[str] | None, top: int) -> dict[str, Any]:
    """One image's outputs: hashes of the bytes in the model's own type, and the best classes with their raw scores."""
    model = network.model
    rows = [
        {
            "name": model.tensors[index].name, "shape": list(value.shape), "dtype": value.dtype.name,
            "sha256": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(),
        }
        for index, value in zip(model.outputs, outputs, strict=True)
    ]
    scores, tensor = outputs[0].reshape(-1), model.tensors[model.outputs[0]]
    best = np.argsort(-scores.astype(np.float64), kind="stable")[:top]
    row: dict[str, Any] = {
        "image": str(path), "outputs": rows, "top": [[int(index), scores[index].item()] for index in best],
        "values": [real(tensor, scores[index]) for index in best],
    }
    if names:
        row["labels"] = [names[index] if index < len(names) else None for index in best]
    return row


def engine_rows(plan: Plan, frame: Frame, predicted: Sequence[Any]) -> dict[str, Any]:
    """What the counters of a run say, block by block and in sum; a block's row adds up all its runs. Of a frame that ran alone only."""
    assert not frame.sent, "the host's own transfers are among the counts"
    config = plan.config
    rows: dict[str, dict[str, Any]] = {}
    for run, counted, model in zip(plan.blocks, frame.blocks, predicted, strict=True):
        row = rows.setdefault(run.block.name, {
            "name": run.block.name, "mode": run.mode, "slices": run.slices, "runs": 0, "images": plan.images,
            **dict.fromkeys(("macs", "cycles", "predicted_cycles"), 0),
            **dict.fromkeys(("pointwise_busy", "depthwise_busy", "wait_weights", "wait_data", "read_bytes", "write_bytes"), 0),
        })
        added = {"runs": 1, "macs": run.macs, "predicted_cycles": model.cycles} | {
            name: counted[name] for name in ("cycles", "pointwise_busy", "depthwise_busy", "wait_weights", "wait_data")
        } | {"read_bytes": 2 * counted["read_words"], "write_bytes": 2 * counted["write_words"]}
        for name, value in added.items():
            row[name] += value
    blocks = [row | {
        "utilisation": row["macs"] / (config.multipliers * row["cycles"]), "time": where_time_went(row),
        "roofline": roofline(config, macs=row["macs"], cycles=row["cycles"], moved=row["read_bytes"] + row["write_bytes"]),
    } for row in rows.values()]
    read, written = (sum(block[name] for block in blocks) for name in ("read_bytes", "write_bytes"))
    sums = {name: sum(block[name] for block in blocks) for name in ("cycles", "pointwise_busy", "wait_weights", "wait_data")}
    stored = sum(run.store.bytes for run in plan.blocks if run.store is not None)
    per_image = frame.cycles / plan.images
    clock, board = told_clock(config)
    return {
        "batch": plan.images, "stream": plan.late, "cycles": frame.cycles, "cycles_per_image": per_image,
        "predicted_cycles": sum(block["predicted_cycles"] for block in blocks),
        "macs": plan.macs, "multipliers": config.multipliers, "utilisation": plan.macs / (config.multipliers * frame.cycles),
        "dram_read_bytes": read, "dram_write_bytes": written, "dram_read_bytes_per_image": read / plan.images,
        # Every byte written belongs to a block's output: what is left over would be a wide interior's.
        "interior_bytes_to_dram": written - stored,
        "onchip_bytes": config.onchip_bytes, "clock_mhz": clock, "clock_of": board, "routed": routed_clock(config),
        "frames_per_second": clock * 1e6 / per_image, "engine": config.digest,
        "time": where_time_went(sums | {"cycles": frame.cycles}), "depthwise_busy": sum(block["depthwise_busy"] for block in blocks),
        "roofline": roofline(config, macs=plan.macs, cycles=frame.cycles, moved=read + written), "blocks": blocks,
    }


def plan_model(
    model: Path, *, config: EngineConfig | None = None, slices: int | None = None, batch: int = 1, stream: bool = False
) -> dict[str, Any]:
    """The plan of ``model`` on ``config``: what each run of a block does, where it lies, what it will cost, and where operators run.

    What :class:`NarrowsError` is raised for a model that can be read has the rows of its operators, too, with all refusals found.
    """
    config = config or EngineConfig()
    parsed = read_model(model)
    try:
        able = runnable(parsed, config, slices=slices, batch=batch, stream=stream)
    except NarrowsError as error:
        error.operators = rows_of_refused(parsed, config, error)
        raise
    network, plan, predicted = able.network, able.program.plan, able.predicted
    blocks = []
    for block, cost in zip(plan.blocks, predicted, strict=True):
        shape = block.block
        blocks.append({
            "name": shape.name, "mode": block.mode, "slices": block.slices, "input": list(shape.input.shape),
            "interior": list(shape.depthwise.inputs[0].shape) if shape.depthwise else None, "output": list(shape.output.shape),
            "images": block.images, "first_image": block.first, "channels": [block.channels.start, block.channels.stop],
            "macs": block.macs, "predicted_cycles": cost.cycles, "predicted_read_bytes": cost.read_bytes,
            "predicted_write_bytes": cost.write_bytes,
            "input_at": [block.source.base, block.source.end],
            "filtered_at": [block.filtered.base, block.filtered.end] if block.filtered else None,
            "output_at": [block.output.base, block.output.end],
            "external": [name for name in ("picture", "load", "store") if getattr(block, name) is not None],
            "operators": [layer.op for layer in shape.layers],
        })
    cycles = sum(block["predicted_cycles"] for block in blocks)
    macs, (clock, board) = plan.macs, told_clock(config)
    return {
        "model": str(model), "engine": config.digest, "batch": plan.images, "stream": plan.late,
        "predicted_cycles_per_image": cycles / plan.images, "notes": list(network.notes),
        "host_before": [op.name for op in network.pre], "host_after": [op.name for op in network.post],
        "blocks": blocks, "macs": macs, "multipliers": config.multipliers, "predicted_cycles": cycles,
        "predicted_utilisation": macs / (config.multipliers * cycles), "onchip_bytes": config.onchip_bytes,
        "activation_words_per_bank": config.bank_words, "clock_mhz": clock, "clock_of": board, "operators": rows_of_runnable(able),
    }
