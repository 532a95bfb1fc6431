"""A network on the gateware held to the golden model, block by block, and that to TensorFlow Lite where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from narrows.compiler.runnable import runnable
from narrows.device.device import Device
from narrows.device.frame import Frame
from narrows.errors import NarrowsError
from narrows.golden import oracle
from narrows.golden.model import run_model as run_golden
from narrows.golden.model import run_network, run_pre
from narrows.graph.network import Network
from narrows.hw.config import EngineConfig
from narrows.importer.importer import import_network
from narrows.inputs.model_input import ModelInput
from narrows.inputs.picture_file import picture_files
from narrows.plan.plan import BlockPlan
from narrows.tflite.model import Operator

Progress = Callable[[str, float], None]

#: What is compared with what: of every result's rows the key, and words.
COMPARED = {
    "blocks": ("blocks of the gateware", "the golden model"),
    "layers": ("layers of the golden model", "the operators of the file in the golden model"),
    "operators": ("operators of the golden model", f"TensorFlow Lite's reference kernels, ai-edge-litert {oracle.VERSION}"),
}


def check_model(
    model: Path, images: Sequence[Path], *, config: EngineConfig | None = None, slices: int | None = None, batch: int = 1,
    progress: Progress | None = None, input_range: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Compare every block of the gateware with the golden model, and every operator of that with the oracle if it is there.

    ``equal``: nothing that was compared differs. ``compared``: what was compared with what, by the rows' key. ``oracle``: whether
    TensorFlow Lite was asked, else ``oracle_missing`` says why not. Per image rows of ``blocks``, ``layers`` and ``operators``: name,
    ``equal``, and ``first_difference``: None or {position: [y, x, channel], got, expected}; ``not_compared``: operators that
    TensorFlow Lite has no value for.
    """
    network = import_network(model)
    if not images:
        raise NarrowsError("There is no image to check; give one with --image.")
    able = runnable(network, config or EngineConfig(), slices=slices, store_blocks=True, batch=batch)
    program, plan = able.program, able.program.plan
    source, images = ModelInput(network.model, input_range), picture_files(images)
    missing = None if oracle.available() else f"ai-edge-litert {oracle.VERSION} is not installed (the extra `test` has it)"
    result: dict[str, Any] = {"model": str(model), "batch": plan.images, "images": [], "equal": True, "input_range": None}
    with Device.open(config=plan.config, progress=progress) as device:
        device.load(program, progress=progress)
        for first in range(0, len(images), plan.images):
            paths = images[first : first + plan.images]
            read = [source.read(path) for path in paths]
            result["input_range"] = source.used_range(read) or result["input_range"]
            pictures = [run_pre(network, picture.value) for picture in read]
            frame = device.run(*pictures, progress=progress)
            for number, (path, picture) in enumerate(zip(paths, read, strict=True)):
                golden = dict(zip((id(layer.output) for layer in network.layers), run_network(network, pictures[number]), strict=True))
                blocks = [
                    {"name": run.block.name, "equal": difference is None, "first_difference": difference}
                    for run in plan.blocks if run.first <= number < run.first + run.images and run.completes
                    for difference in (stored_difference(device, frame, run, golden, number),)
                ]
                tensors, operators = _operators(network, picture.value)
                layers = _layers(network, golden, tensors)
                row = {"image": str(path), "notes": list(picture.notes), "blocks": blocks, "layers": layers, "operators": []}
                if missing is None:
                    missing = _ask_oracle(model, picture.value, operators, row)
                result["images"].append(row)
                result["equal"] &= all(compared["equal"] for key in COMPARED for compared in row[key])
    keys = [key for key in COMPARED if key != "operators" or missing is None]
    compared = {key: dict(zip(("what", "with"), COMPARED[key], strict=True)) for key in keys}
    return result | {"oracle": missing is None, "oracle_missing": missing, "compared": compared}


def stored_difference(
    device: Device, frame: Frame, run: BlockPlan, golden: Mapping[int, np.ndarray], number: int
) -> dict[str, Any] | None:
    """Where what ``run`` stored of image ``number`` in ``frame``, the last one, differs from the golden model's tensors (by the id of the
    network's), or None."""
    found = device.tensor(frame, run)[number - run.first]
    wanted = golden[id(run.block.output)].reshape(run.block.output.shape)
    return first_difference(found, wanted[..., run.stored.start : run.stored.stop])


def first_difference(got: np.ndarray, expected: np.ndarray) -> dict[str, Any] | None:
    """Where two tensors differ first in memory's order, or None."""
    expected = expected.reshape(got.shape)
    differing = np.argwhere(got != expected)
    if not len(differing):
        return None
    place = tuple(differing[0])
    return {
        "position": [int(n) for n in place], "got": got[place].item(), "expected": expected[place].item(),
        "differing": len(differing), "of": got.size,
    }


def _operators(network: Network, value: np.ndarray) -> tuple[dict[int, np.ndarray], list[tuple[Operator, np.ndarray]]]:
    """The golden model's tensors by index, and what each operator gave."""
    outputs: list[tuple[Operator, np.ndarray]] = []
    tensors = run_golden(network.model, value, lambda op, output: outputs.append((op, output)))
    return tensors, outputs


def _row(name: str, got: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    expected = expected.reshape(got.shape)
    difference = None if got.tobytes() == expected.tobytes() else first_difference(np.atleast_1d(got), np.atleast_1d(expected))
    return {"name": name, "equal": difference is None, "first_difference": difference}


def _layers(network: Network, golden: Mapping[int, np.ndarray], tensors: Mapping[int, np.ndarray]) -> list[dict[str, Any]]:
    """Every layer whose output is a tensor of the file beside that tensor: what the import made of the operators."""
    outputs = ((layer.name, golden[id(layer.output)], tensors.get(layer.output.index)) for layer in network.layers)
    return [_row(name, got, expected) for name, got, expected in outputs if expected is not None]


def _ask_oracle(model: Path, value: np.ndarray, operators: Sequence[tuple[Operator, np.ndarray]], row: dict[str, Any]) -> str | None:
    """Put rows of ``operators`` beside the reference kernels into ``row``; why that can't be, or None."""
    try:
        reference = oracle.oracle_tensors(model, value)
    except (ValueError, RuntimeError) as error:
        return f"TensorFlow Lite refuses the file ({' '.join(str(error).split())})"
    known = [(op, output) for op, output in operators if op.outputs[0] in reference]
    row["operators"] = [_row(f"{op.index} {op.name}", output, reference[op.outputs[0]]) for op, output in known]
    row["not_compared"] = [f"{op.index} {op.name}" for op, _ in operators if op.outputs[0] not in reference]
    return None
