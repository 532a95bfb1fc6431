"""The cycle model: what must hold of any plan, plans that never end, and whole networks against the board's counters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from made_network import Made, mobilenet_v1, mobilenet_v2
from random_mobilenet import random_mobilenet
from replay import BATCHES, CLASSIFIERS, model_of
from rtl_runs import SHARED, counted, run_plan

from narrows.compiler.runnable import build_program
from narrows.cycles import predict as cycles
from narrows.cycles.dram import Bus
from narrows.cycles.latencies import Latencies
from narrows.cycles.predict import BlockCycles, Deadlock, predict
from narrows.cycles.program import Program, ProgramStream, Ring
from narrows.device.device import Device
from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig
from narrows.hw.control.program_reader import Kind, lane_bytes, lanes
from narrows.hw.dram.timing import W9825G6KH_6
from narrows.importer.importer import import_model, import_network
from narrows.plan.plan import Plan
from narrows.program.encode import compile_plan
from narrows.schedule.schedule import plan_network
from narrows.tflite.file import parse_model

CONFIG = EngineConfig()

#: What is promised of every classifier: how far a block, and the frame, may be off.
BLOCK, FRAME = 0.01, 0.005

#: Parts of a classifier that runs in the background take a few hundred cycles each. Which of two bursts goes first is decided by a
#: cycle: in runs as short as these that may make up to so many.
A_BURST, SHORT = 140, 2000


@lru_cache
def small_plan(seed: int = 1, *, slices: int | None = None, store_blocks: bool = False) -> Plan:
    """A network of a few blocks on the ordinary engine."""
    content = random_mobilenet(np.random.default_rng(seed), height=33, width=29, blocks=4, last="none")
    return plan_network(import_model(parse_model(content)), CONFIG, slices=slices, store_blocks=store_blocks)


def frame(blocks: list[BlockCycles]) -> int:
    """Cycles of all blocks."""
    return sum(block.cycles for block in blocks)


# Any plan.


@pytest.mark.parametrize("slices", [None, 2, 100])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_prediction_keeps_within_what_the_engine_can_do(seed, slices):
    plan = small_plan(seed, slices=slices, store_blocks=True)
    predicted = predict(plan)
    assert [block.name for block in predicted] == [block.block.name for block in plan.blocks]
    for block, planned in zip(predicted, plan.blocks, strict=True):
        assert max(block.pointwise_busy, block.depthwise_busy) <= block.cycles
        # Two bytes a cycle; a burst may reach over the end of a block by the words in flight.
        assert block.read_bytes + block.write_bytes <= 2 * block.cycles + 32
        assert block.pointwise_busy + block.wait_weights + block.wait_data <= block.cycles
        assert block.pointwise_busy * CONFIG.group * CONFIG.outputs * CONFIG.pixels >= sum(
            layer.macs for layer in planned.block.layers if layer in (planned.block.expand, planned.block.project)
        )
    program = compile_plan(plan)
    assert sum(block.read_bytes for block in predicted) == len(program.image) + plan.picture.bytes + plan.picture.bytes % 2
    assert sum(block.write_bytes for block in predicted) == sum(block.store.bytes for block in plan.blocks if block.store)


@pytest.mark.parametrize("slices", [None, 3, 100])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_packets_are_those_of_the_compiler(seed, slices):
    plan = small_plan(seed, slices=slices)
    image = np.frombuffer(compile_plan(plan).image, np.uint16)
    found, at = [], 0
    while at < len(image):
        kind, count = Kind(int(image[at]) & 7), int(image[at + 1])
        found.append((kind, count))
        at += 2 + count * lanes(CONFIG, kind) * lane_bytes(CONFIG, kind) // 2
    assert found == [packet for block in cycles.packets(plan) for packet in block]


def test_a_prediction_repeats_itself():
    assert predict(small_plan()) == predict(small_plan())


@pytest.mark.parametrize("words", ["weight_words", "constant_words", "depthwise_words"])
def test_larger_rings_never_cost_cycles(words):
    plan = small_plan(1)
    sizes = [64, 128, 256, 512, 1024, 2048]
    frames = []
    for size in sizes:
        try:
            frames.append(frame(predict(replace(plan, config=replace(CONFIG, **{words: size})))))
        except Deadlock:
            assert not frames, "a larger ring deadlocks and a smaller one does not"
    assert len(frames) >= 2
    # Refreshes fall elsewhere: a few dozen cycles.
    assert all(after <= before + 64 for before, after in pairwise(frames))


def test_more_room_in_the_line_buffers_never_costs_cycles():
    plan = small_plan(2)
    blocks = [block if block.room == 0 else replace(block, room=2 * block.room) for block in plan.blocks]
    assert frame(predict(replace(plan, blocks=tuple(blocks)))) <= frame(predict(plan)) + 64


def test_a_slower_memory_costs_cycles(monkeypatch):
    plan = small_plan()
    ordinary = frame(predict(plan))
    of = Latencies.of
    monkeypatch.setattr(Latencies, "of", lambda config, timing: replace(of(config, timing), read_to_word=40))
    assert ordinary < frame(predict(plan)) < 2 * ordinary


# Plans that never end.


def test_too_little_room_in_the_line_buffers_is_a_deadlock():
    plan = small_plan()
    index = next(n for n, block in enumerate(plan.blocks) if block.block.depthwise is not None and block.block.depthwise.kernel[0] == 3)
    blocks = list(plan.blocks)
    blocks[index] = replace(blocks[index], room=blocks[index].block.depthwise.inputs[0].shape[1])
    message = f"Block {re.escape(repr(blocks[index].block.name))} would never end: .*expand waits for pixels or room.*larger memories"
    with pytest.raises(Deadlock, match=message):
        predict(replace(plan, blocks=tuple(blocks)))


def test_weights_that_do_not_stay_on_chip_are_a_deadlock():
    plan = small_plan()
    with pytest.raises(Deadlock, match="waits for weights; .*the program waits for room in ring memory 0"):
        predict(replace(plan, config=replace(CONFIG, weight_words=2)))


# The parts.


LATENCIES = Latencies.of(CONFIG, W9825G6KH_6.at(clock_mhz=133))


def test_a_ring_takes_what_it_has_room_for():
    ring = Ring(8, 4)
    assert ring.room() == (8, 0)
    ring.load(8, 100)
    assert [ring.time(count) for count in (1, 2, 8)] == [100, 104, 128]
    assert ring.room() is None
    ring.free(3, 500)
    assert ring.room() == (3, 500)
    ring.load(2, 510)
    assert ring.time(9) == 510 and ring.room() == (1, 0)


def test_the_program_comes_at_nearly_a_word_per_cycle():
    ring = Ring(1 << 15, 32)
    program = Program(Bus(LATENCIES), ProgramStream(0, 0, [(0, 10_000)], [ring], header=2, latencies=LATENCIES))
    last = program.loaded(0, 10_000)
    assert 0.98 < 320_000 / last < 0.99
    assert program.loaded(0, 10_001) is None


def test_a_full_ring_stops_the_program():
    ring = Ring(16, 32)
    program = Program(Bus(LATENCIES), ProgramStream(0, 0, [(0, 100)], [ring], header=2, latencies=LATENCIES))
    assert program.loaded(0, 17) is None and program.stream.blocked == 0
    ring.free(1, 5000)
    assert program.loaded(0, 17) == 5000 + 32 - 1 + LATENCIES.pop_to_loaded
    assert program.loaded(0, 18) is None


# The board.


@pytest.mark.skipif(not SHARED.exists(), reason="the models lie beside the repository")
@pytest.mark.parametrize(("name", "config"), [
    *((name, CONFIG) for name in CLASSIFIERS), (CLASSIFIERS[0], ECP5_25F), (CLASSIFIERS[0], ECP5_85F_WIDE),
    *(pytest.param(name, ECP5_85F_WIDE, marks=pytest.mark.slow) for name in CLASSIFIERS[1:]),
])  # fmt: skip
def test_every_block_of_a_classifier_takes_what_was_predicted(name, config):
    run = counted(model_of(name), SHARED / "images" / "cat.png", config)
    predicted = predict(run["plan"])
    print(f"{name}: counted {run['cycles']}, predicted {frame(predicted)} cycles")
    check_prediction(predicted, run["blocks"])
    for found, block in zip(run["blocks"], predicted, strict=True):
        assert (block.pointwise_busy, block.depthwise_busy) == (found["pointwise_busy"], found["depthwise_busy"])
        waits = found["wait_weights"] + found["wait_data"]
        assert block.wait_weights + block.wait_data == pytest.approx(waits, abs=BLOCK * found["cycles"])
    for ours, theirs in (("read_bytes", "read_words"), ("write_bytes", "write_words")):
        assert sum(getattr(block, ours) for block in predicted) == 2 * sum(found[theirs] for found in run["blocks"])


def check_prediction(predicted: list[BlockCycles], counters: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> None:
    """Every run of a block within its bound but for the shortest, every block in all its runs, and all of them within the frame's."""
    names = names or [found["name"] for found in counters]
    totals: dict[str, list[int]] = {}
    for name, found, block in zip(names, counters, predicted, strict=True):
        print(f"  {name:32} {found['cycles']:8} {block.cycles:8} {block.cycles / found['cycles'] - 1:+8.3%}")
        assert block.cycles == pytest.approx(found["cycles"], rel=BLOCK, abs=A_BURST if found["cycles"] < SHORT else 0), name
        total = totals.setdefault(name, [0, 0])
        total[0] += found["cycles"]
        total[1] += block.cycles
    for name, (found, expected) in totals.items():
        assert expected == pytest.approx(found, rel=BLOCK), name
    assert frame(predicted) == pytest.approx(sum(found["cycles"] for found in counters), rel=FRAME)


@pytest.mark.skipif(not SHARED.exists(), reason="the models lie beside the repository")
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * ("_1.0_" in name)) for name in CLASSIFIERS])
def test_every_run_of_a_batch_takes_what_was_predicted(name, batch):
    network = import_network(model_of(name))
    images, stream = BATCHES[batch]
    program = build_program(network, CONFIG, batch=images, stream=stream)
    predicted = predict(program.plan)
    picture = np.zeros(network.input.shape, network.input.dtype)
    with Device.open(config=CONFIG) as device:
        device.load(program)
        run = device.run(picture)
    check_prediction(predicted, run.blocks, [run.block.name for run in program.plan.blocks])
    assert run.cycles == pytest.approx(frame(predicted), rel=FRAME)


@pytest.mark.parametrize("make", [mobilenet_v1, mobilenet_v2])
def test_a_grey_picture_takes_what_was_predicted(make):
    """Patches of three words, one a cycle: the stem has no time to spare."""
    made = make(0.35, 96, channels=1, classes=2)
    plan = plan_network(made.network(), CONFIG)
    check_prediction(predict(plan), run_plan(plan, made.picture())["blocks"])


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 4])
def test_the_widest_mobilenet_v1_takes_what_was_predicted(batch):
    """Its figures are in docs/results.md; random weights take as long as others."""
    made = mobilenet_v1(1.0, 224)
    plan = plan_network(made.network(), CONFIG, batch=batch)
    predicted, found = predict(plan), run_plan(plan, made.picture())["blocks"]
    counted, images = sum(block["cycles"] for block in found), plan.images
    print(f"counted {counted / images:.0f}, predicted {frame(predicted) / images:.0f} cycles per image, {images} images, "
          f"utilisation {plan.macs / CONFIG.multipliers / counted:.1%}")  # fmt: skip
    check_prediction(predicted, found, [run.block.name for run in plan.blocks])


@pytest.mark.parametrize("width", [48, 56, 64])
def test_a_stem_that_is_in_everybodys_way(width):
    """It alone limits the block, and waits wherever others write: who meets whom is decided by a cycle, for row after row."""
    made = Made(97, width, 1).conv(5, kernel=3, stride=2).depthwise().conv(8).block(8).pool().conv(3)
    plan = plan_network(made.network(), CONFIG)
    found, predicted = run_plan(plan, made.picture())["blocks"], predict(plan)
    assert predicted[0].cycles == pytest.approx(found[0]["cycles"], rel=0.04)
    assert frame(predicted) == pytest.approx(sum(block["cycles"] for block in found), rel=0.01)


@pytest.mark.parametrize("slices", [None, 2, 100])
@pytest.mark.parametrize("seed", [1, 3])
def test_random_networks_take_what_was_predicted(seed, slices):
    plan = small_plan(seed, slices=slices)
    height, width, channels = plan.blocks[0].block.input.shape
    found = run_plan(plan, np.zeros((height, width, channels), np.uint8))
    for block, predicted in zip(found["blocks"], predict(plan), strict=True):
        print(f"{block['name']:24} {block['cycles']:6} {predicted.cycles:6}")
        # A block of a few hundred cycles feels every refresh and row that falls elsewhere.
        assert predicted.cycles == pytest.approx(block["cycles"], rel=BLOCK, abs=64), block["name"]
