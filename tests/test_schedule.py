"""Batches and streams: every run reads what an earlier one left there, and each image's bytes are those it has alone."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from engine_runs import SMALL
from made_network import Made, mobilenet_v1, mobilenet_v2
from rtl_runs import SHARED
from test_planner import check_run

from narrows.api import run_model
from narrows.check import stored_difference
from narrows.compiler.runnable import build_program
from narrows.cycles.predict import predict
from narrows.device.device import Device
from narrows.golden.model import run_network
from narrows.graph.network import Tensor
from narrows.hw.config import EngineConfig
from narrows.hw.control.counters import BLOCKS
from narrows.plan.plan import BlockPlan, Plan, Region, Transfer
from narrows.program.encode import compile_plan
from narrows.schedule.schedule import plan_network

#: MobileNetV2 1.0/224, and what it may take: cycles per image in a batch of four, in a stream, bytes read in the batch.
NAME, BATCH_CYCLES, STREAM_CYCLES, BATCH_READ = "mobilenet_v2_1.0_224_quant", 2.45e6, 2.30e6, 1.7e6


class Contents:
    """Which word of which tensor every word of activation memory holds, and every image's tensor in external memory."""

    def __init__(self, plan: Plan):
        self._config = plan.config
        self._tensors = np.zeros(plan.config.bank_words, np.uint64)
        self._places = np.zeros(plan.config.bank_words, np.int64)
        self._stored: dict[tuple[int, int], tuple[int, int]] = {}

    def _cells(self, tensor: Tensor, run: BlockPlan, region: Region) -> tuple[slice, np.ndarray]:
        """The region's words, and their places in ``tensor`` from the first image's of the batch on."""
        height, width, _ = tensor.shape
        at = run.first * height * width // self._config.pixels * region.groups
        return slice(region.base, region.end), np.arange(at, at + region.size)

    def put(self, tensor: Tensor, run: BlockPlan, region: Region) -> None:
        words, places = self._cells(tensor, run, region)
        self._tensors[words], self._places[words] = id(tensor), places

    def destroy(self, region: Region) -> None:
        self._tensors[region.base : region.end] = 0

    def holds(self, tensor: Tensor, run: BlockPlan, region: Region) -> bool:
        words, places = self._cells(tensor, run, region)
        return bool((self._tensors[words] == id(tensor)).all() and (self._places[words] == places).all())

    @staticmethod
    def _images(run: BlockPlan, region: Transfer) -> list[tuple[int, int, int]]:
        size = region.bytes // run.images
        return [(region.address + image * size, size, run.first + image) for image in range(run.images)]

    def store(self, run: BlockPlan) -> None:
        assert run.store is not None
        for address, size, image in self._images(run, run.store):
            self._stored = {
                place: tensor for place, tensor in self._stored.items() if place[0] + place[1] <= address or place[0] >= address + size
            }
            self._stored[address, size] = id(run.block.output), image

    def stored(self, run: BlockPlan) -> bool:
        assert run.load is not None
        return all(self._stored.get((at, size)) == (id(run.block.input), image) for at, size, image in self._images(run, run.load))


def check_plan(plan: Plan) -> None:
    """Follows every tensor through the memories; every image is computed once."""
    contents, config = Contents(plan), plan.config
    background = [run for run in plan.blocks if run.part is not None]
    for run in background[:1]:
        contents.put(run.block.input, run, run.source)  # left by the batch before
    for run in plan.blocks:
        check_run(run, config)
        if run.load is not None:
            assert contents.stored(run)
            contents.destroy(run.source)
        elif run.picture is not None:
            assert run.picture == plan.pictures[run.first] and run.images == 1
            contents.destroy(run.source)
        else:
            assert contents.holds(run.block.input, run, run.source)
        if run.filtered is not None:
            contents.destroy(run.filtered)
        if run.output.pixels(config) >= run.pixels("output"):
            contents.put(run.block.output, run, run.output)
        else:
            contents.destroy(run.output)
        if run.store is not None:
            contents.store(run)
    for run in background[:1]:
        assert contents.holds(run.block.input, run, run.source)  # for the next batch
    last = background[0] if plan.late else plan.blocks[-1]
    assert plan.tensors[-1] is last.block.output and len(plan.blocks) <= BLOCKS
    for tensor in plan.tensors:
        made = np.zeros((plan.images, tensor.shape[2]), int)
        for part in plan.outputs:
            if part.tensor is tensor:
                made[part.first : part.first + part.images, part.channels.start : part.channels.stop] += 1
        assert (made == 1).all()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 4])
def test_every_mobilenet_v2_has_a_batch(batch, stream):
    for width, resolution in ((0.35, 96), (1.0, 224), (1.4, 224)):
        plan = plan_network(mobilenet_v2(width, resolution).network(), EngineConfig(), batch=batch, stream=stream)
        assert plan.images <= batch and plan.late == stream
        check_plan(plan)
        compile_plan(plan)


@pytest.mark.parametrize("stream", [False, True])
def test_no_classifier_of_its_own_and_small_memories(stream):
    made = Made(28, 28, 3).conv(8, kernel=3, stride=2).block(12).block(16, stride=2)
    for network in (made.network(), mobilenet_v1(0.25, 96).network(), made.pool().network()):
        for config in (EngineConfig(), replace(SMALL, activation_words=4096)):
            plan = plan_network(network, config, batch=3, stream=stream)
            check_plan(plan)


def test_a_batch_pays_or_is_smaller():
    """More images never cost more per image; what no buffer holds is left to smaller batches."""
    network = mobilenet_v2(1.0, 224).network()
    costs = []
    for batch in (1, 2, 4, 8):
        plan = plan_network(network, EngineConfig(), batch=batch)
        costs.append(sum(block.cycles for block in predict(plan)) / plan.images)
    assert all(after <= before * 1.005 for before, after in pairwise(costs))
    small = plan_network(network, EngineConfig(activation_words=26624), batch=4)
    assert small.images <= 4
    check_plan(small)


@lru_cache
def made() -> Made:
    """Odd planes, shortcuts, more classes than two groups."""
    return (
        Made(30, 27, 3, seed=3).conv(8, kernel=3, stride=2).block(12).block(12, residual=True).block(16, stride=2)
        .block(16, residual=True).block(20, stride=2).conv(40).pool().conv(37)
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["default", "small"])
@pytest.mark.parametrize("batch", [2, 3, 4])
def test_a_batch_on_the_gateware(batch, engine):
    """Every stored byte of every run, the first images' again for fewer pictures than the batch has."""
    config = {"default": EngineConfig(), "small": SMALL}[engine]
    network = made().network()
    program = build_program(network, config, store_blocks=True, batch=batch)
    plan = program.plan
    images = plan.images
    assert 2 <= images <= batch and any(run.images == images for run in plan.blocks)
    pictures = [made().picture() for _ in range(images)]
    with Device.open(config=config) as device:
        device.load(program)
        for count in (images, 1):
            frame = device.run(*pictures[:count])
            for number in range(images):
                values = run_network(network, pictures[number % count])
                golden = dict(zip((id(layer.output) for layer in network.layers), values, strict=True))
                runs = [run for run in plan.blocks if run.first <= number < run.first + run.images]
                assert not [run.block.name for run in runs if stored_difference(device, frame, run, golden, number) is not None]
                assert np.array_equal(frame.outputs[number][-1], values[-1])


@pytest.mark.parametrize("slices", [4, 7])
def test_a_batch_of_a_padded_tensor(slices):
    """Late blocks load a depthwise layer's output with the groups that its last slice was padded by."""
    made = Made(33, 33, 3, seed=1).conv(40, kernel=3, stride=2).depthwise(stride=2).conv(72).depthwise(stride=2).conv(72).depthwise()
    network = made.conv(72).pool().conv(9).network()
    program = build_program(network, EngineConfig(), slices=slices, batch=2)
    pictures = [made.picture() for _ in range(2)]
    assert any(run.load is not None and run.source.groups > 9 for run in program.plan.blocks)
    with Device.open(config=EngineConfig()) as device:
        device.load(program)
        frame = device.run(*pictures)
    for picture, (output,) in zip(pictures, frame.outputs, strict=True):
        assert np.array_equal(output, run_network(network, picture)[-1])


@pytest.mark.parametrize("engine", ["default", "small"])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_stream_on_the_gateware(batch, engine):
    """Outputs are those of the batch before, also after many."""
    config = {"default": EngineConfig(), "small": SMALL}[engine]
    network = made().network()
    program = build_program(network, config, batch=batch, stream=True)
    plan = program.plan
    assert plan.late and plan.images <= batch
    given = [[made().picture() for _ in range(plan.images)] for _ in range(4)]
    with Device.open(config=config) as device:
        device.load(program)
        frames = [device.run(*pictures) for pictures in given]
    for pictures, frame in zip(given, frames[1:], strict=False):
        for picture, (output,) in zip(pictures, frame.outputs, strict=True):
            assert np.array_equal(output, run_network(network, picture)[-1])
    predicted = sum(block.cycles for block in predict(plan))
    assert frames[-1].cycles == pytest.approx(predicted, rel=0.01, abs=100)


def test_a_stream_is_looked_for_where_the_best_batch_cannot_be_one():
    """The head's output of four images has no room beside the blocks that would best be late."""
    network, config = mobilenet_v2(1.0, 128).network(), EngineConfig()
    batch, stream = (plan_network(network, config, batch=4, stream=stream) for stream in (False, True))
    assert stream.late and stream.images == 4
    assert sum(block.cycles for block in predict(stream)) < 0.9 * sum(block.cycles for block in predict(batch))


@pytest.mark.parametrize("stream", [False, True])
def test_a_published_network_in_batches(stream):
    """The recorded bytes for three pictures, one of them twice, within the cycles and the traffic promised."""
    if not SHARED.is_dir():
        pytest.skip("the real models are not beside this repository")
    names = ("cat.png", "grace_hopper.png", "sunflower.png")
    result = run_model(
        SHARED / "models" / f"{NAME}.tflite", [SHARED / "images" / name for name in names], batch=4, stream=stream,
    )  # fmt: skip
    recorded = json.loads((SHARED / "golden.json").read_text())[f"{NAME}.tflite"]
    for name, image in zip(names, result["images"], strict=True):
        assert [output["sha256"] for output in image["outputs"]] == [output["sha256"] for output in recorded[name]["outputs"]]
    assert result["batch"] == 4 and result["multipliers"] <= 156 and result["interior_bytes_to_dram"] == 0
    assert result["cycles_per_image"] <= (STREAM_CYCLES if stream else BATCH_CYCLES)
    assert result["dram_read_bytes"] / 4 <= BATCH_READ
    assert result["utilisation"] >= (0.86 if stream else 0.80)
    assert result["latency_cycles"] >= result["cycles"] == pytest.approx(4 * result["cycles_per_image"])
    assert result["cycles"] == pytest.approx(result["predicted_cycles"], rel=0.005)
    for block in result["blocks"]:
        assert block["cycles"] == pytest.approx(block["predicted_cycles"], rel=0.01)
