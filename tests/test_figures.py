"""Every figure of a run means the same on every device, however many pictures there are: all of the JSON, key by key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_runs import SMALL
from PIL import Image
from random_mobilenet import random_mobilenet
from report_runs import OPTIONS
from virtual_board import Served

from narrows import Device
from narrows.api import engine_rows, run_model
from narrows.compiler.runnable import build_program
from narrows.cycles.predict import predict
from narrows.importer.importer import import_network

#: Keys, by their last name, that can't be the same, and why.
DIFFERENT = {
    "on": "it is the device", "page": "it is a path", "json": "it is a path",
    "trace": "only a simulation in this process tells what every unit does when, so only its report has one",
}

#: A refresh of the memory comes at its own time, not at one since the start: it meets other words in every frame, on one device, too.
#: Cycles that a block waits more or less because of that, twice as many of a whole frame, and its share.
BLOCK, FRAME = 64, 0.003
NEAR = ("cycles", "cycles_per_image", "latency_cycles", "wait_weights", "wait_data", "no_work", "begin", "end")
#: A block's words may be read before the one before it ends, or after: so many bytes of a burst.
BORDER = 64
#: What is worked out of these is as near, and of a block by the same formulas as of the frame.
DERIVED = ("utilisation", "frames_per_second", "macs_per_byte", "macs_per_cycle", "attainable_macs_per_cycle", "bound", "attained")


def leaves(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value of a JSON tree that has no others inside, with the way there."""
    if not isinstance(tree, dict | list) or not tree:
        yield path, tree
    for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from leaves(value, (*path, name))


def same(path: tuple[str | int, ...], value: Any, expected: Any) -> bool:
    """Whether a value of one device may stand beside that of another."""
    name, in_parts = path[-1], path[0] in ("blocks", "runs")
    if name in DIFFERENT:
        return True
    if name in NEAR:
        return abs(value - expected) <= (BLOCK if in_parts and name not in ("begin", "end") else 2 * BLOCK)
    if name in DERIVED:
        return in_parts or value == expected or value == pytest.approx(expected, rel=FRAME)
    if in_parts and name == "read_bytes":
        return abs(value - expected) <= BORDER
    return value == expected


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[tuple[tuple[str | int, ...], Any, Any]]:
    """Keys of one of the two only, and values that should be the same."""
    ours, theirs = ({path: value for path, value in leaves(tree) if path[-1] != "trace"} for tree in (found, expected))
    one_sided = [(path, ours.get(path), theirs.get(path)) for path in ours.keys() ^ theirs.keys()]
    both = [(path, value, theirs[path]) for path, value in ours.items() if path in theirs]
    return one_sided + [difference for difference in both if not same(*difference)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(SMALL, tmp_path_factory.mktemp("serve")) as board:
        yield board


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Most of its cycles come after its first block, while a picture may be sent; some tensors go through external memory."""
    path = tmp_path_factory.mktemp("model") / "net.tflite"
    path.write_bytes(random_mobilenet(np.random.default_rng(6), height=80, width=76, blocks=5, **OPTIONS))
    return path


@pytest.mark.parametrize("ways", [{}, {"batch": 2, "stream": True}], ids=["alone", "stream"])
def test_every_figure_of_a_report_is_the_same_on_every_device(served: Served, model: Path, tmp_path: Path, ways: dict[str, Any]):
    """In this process and over a line, for one picture and for several: what the host does is in none of them."""
    images = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(images):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (80, 76, 3)).astype(np.uint8)).save(path)
    found = {
        (on[:3], count): run_model(model, images[:count], on=on, config=SMALL, report=tmp_path / f"{on[:3]} {count}", **ways)
        for on in ("sim", served.url) for count in (1, len(images))
    }
    expected = found["sim", len(images)]
    assert expected["interior_bytes_to_dram"] == 0 and expected["dram_write_bytes"] > 16_384 and expected["stream"] == bool(ways)
    for (on, count), result in found.items():
        assert differences(result, expected | {"images": expected["images"][:count]}) == [], f"{count} pictures on {on}"
        assert json.loads((tmp_path / f"{on} {count}" / "report.json").read_text()) == result


def test_a_frame_says_whether_its_counters_are_its_own(served: Served, model: Path):
    """Where the next picture is sent meanwhile they are not, and no report is made of them; the sum of what was counted tells how much."""
    program = build_program(import_network(model), SMALL)
    shape = program.plan.blocks[0].block.input.shape
    pictures = [np.full(shape, value, program.plan.blocks[0].block.input.dtype) for value in (1, 2, 3)]
    with Device.open(served.url, config=SMALL) as device:
        device.load(program)
        alone = [*device.stream(pictures, alone=True), device.run(pictures[0])]
        shared = list(device.stream(pictures))
    assert [frame.sent for frame in alone] == [0] * 4 and shared[0].sent and shared[1].sent and not shared[2].sent
    assert len({total(frame, "write_words") for frame in (*alone, shared[2])}) == 1
    for frame in shared[:2]:
        assert 0 < 2 * (total(frame, "write_words") - total(alone[0], "write_words")) <= frame.sent
        with pytest.raises(AssertionError, match="the host's own transfers"):
            engine_rows(program.plan, frame, predict(program.plan))


def total(frame: Any, name: str) -> int:
    return sum(block[name] for block in frame.blocks)
