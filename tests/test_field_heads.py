"""Heads as other tools write them: dense layers over a plane, pools in several operators, an embedding beside the classes.

The networks are made here for every engine's shapes, and read from files that people use, with what the reference gives for them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from engine_runs import SMALL, differences
from made_network import Made
from rtl_runs import SHARED
from test_schedule import check_plan

from narrows.api import plan_model, run_model
from narrows.check import stored_difference
from narrows.compiler.runnable import build_program
from narrows.device.device import Device
from narrows.errors import DoesNotFit, ImportRefused
from narrows.golden.model import run_network, run_post, run_pre
from narrows.graph.network import Network
from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig
from narrows.importer.importer import import_network
from narrows.inputs.model_input import input_for
from narrows.schedule.schedule import plan_network

FIELD = SHARED / "field"
ENGINES = {"default": EngineConfig(), "small": SMALL, "25F": ECP5_25F, "wide": ECP5_85F_WIDE}

#: Files that must run, and their networks' number of engine outputs.
RUN = (
    "edge_impulse_head", "flatten_fc", "two_single_axis_means", "avg_pool_2x2_mid", "feature_and_class_outputs",
    "ei_openmv_mask_singtown", "mcunet_vww", "mlperf_kws_dscnn_ref", "shift_2_channel", "range_0_1", "range_0_255", "range_-1_1",
)  # fmt: skip

#: Files that must be refused, and what the reason says.
REFUSED = {
    "sum_instead_of_mean": r"operator 3 SUM, .*reference kernel sums int8 as if it were uint8.*; export a mean in its place",
    "max_pool_end": r"operator 3 MAX_POOL_2D, ",
}


def field_file(name: str) -> Path:
    found = sorted(FIELD.glob(f"*/{name}.tflite"))
    if not found:
        pytest.skip("the files from the field are not beside this repository")
    return found[0]


@cache
def recorded() -> dict:
    return json.loads((FIELD / "golden.json").read_text())


def digests(outputs: list[np.ndarray]) -> list[str]:
    return [hashlib.sha256(np.ascontiguousarray(output).tobytes()).hexdigest() for output in outputs]


def outputs_of(network: Network, picture: np.ndarray) -> list[np.ndarray]:
    """The golden model's, in the order of ``network.outputs``."""
    values = {id(layer.output): value for layer, value in zip(network.layers, run_network(network, picture), strict=True)}
    return [values[id(tensor)] for tensor in network.outputs]


@pytest.mark.parametrize("name", RUN)
def test_a_file_from_the_field(name: str):
    """Golden model and gateware give the recorded bytes of two pictures."""
    path = field_file(name)
    network = import_network(path)
    with Device.open(config=EngineConfig()) as device:
        device.load(build_program(network, EngineConfig()))
        for picture, want in recorded()[path.name].items():
            hashes = [output["sha256"] for output in want]
            image = run_pre(network, input_for(network.model, SHARED / "images" / picture))
            assert digests(run_post(network, *outputs_of(network, image))) == hashes
            assert digests(run_post(network, *device.run(image).outputs[0])) == hashes


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_refused(name: str):
    with pytest.raises(ImportRefused, match=REFUSED[name]):
        import_network(field_file(name))


@pytest.mark.parametrize("on", ["golden", "sim"])
def test_two_outputs_in_a_result(on: str, tmp_path: Path):
    """Both tensors of both pictures, in the file's order, also of a batch; the classes of the first, which have no names; a report."""
    path = field_file("feature_and_class_outputs")
    names = list(recorded()[path.name])
    report = tmp_path if on == "sim" else None
    result = run_model(path, [SHARED / "images" / name for name in names], on=on, batch=2 if on == "sim" else 1, top=3, report=report)
    for name, image in zip(names, result["images"], strict=True):
        assert [output["sha256"] for output in image["outputs"]] == [output["sha256"] for output in recorded()[path.name][name]]
        assert [output["shape"] for output in image["outputs"]] == [[1, 5], [1, 16]] and len(image["top"]) == 3
    assert on == "golden" or (result["batch"] == 2 and len(list(tmp_path.iterdir())) > 0)


def test_a_constant_output_is_the_same_everywhere():
    path = field_file("constant_second_output")
    picture, want = next(iter(recorded()[path.name].items()))
    result = run_model(path, [SHARED / "images" / picture], on="golden")
    assert [output["sha256"] for output in result["images"][0]["outputs"]] == [output["sha256"] for output in want]


# --- made here, for every shape of engine --------------------------------------------------------------------------


def stem(height: int, width: int, channels: int = 13, **options) -> Made:
    return Made(height, width, 3, **options).conv(8, kernel=3, stride=2).depthwise().conv(channels)


HEADS: dict[str, Callable[[], Made]] = {
    "flatten": lambda: stem(9, 11).dense(7),
    "flatten, dense, dense": lambda: stem(9, 11, dtype="uint8").dense(21).conv(9).conv(3),
    "dense, flatten": lambda: stem(12, 10).conv(6).dense(5),
    "after a depthwise layer": lambda: stem(10, 10).conv(18).depthwise(stride=2).dense(4),
    "parts of rows, rows, all": lambda: stem(16, 12).dense(9, (1, 3)).dense(10, (4, 2)).dense(3),
    "then a depthwise layer": lambda: stem(13, 13).dense(10, (7, 7)).depthwise(kernel=1).conv(3),
    "one pixel": lambda: stem(2, 1).dense(3),
}


@pytest.mark.parametrize("engine", ["default", "small", "25F", pytest.param("wide", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", HEADS)
def test_dense_layers_over_a_plane(name: str, engine: str):
    """Every byte of every block."""
    made = HEADS[name]()
    plan, wrong = differences(made.network(), ENGINES[engine], *(made.picture() for _ in range(2)))
    assert not wrong
    check_plan(plan)
    joined = [run for run in plan.blocks if run.block.joined > 1]
    assert all(run.load is not None for run in joined) and bool(joined) == (name != "one pixel")


PICTURES: dict[str, Callable[[], Made]] = {
    "10x4 on one channel": lambda: Made(31, 10, 1).conv(12, kernel=(10, 4), stride=2),
    "15 rows": lambda: Made(17, 9, 1).conv(8, kernel=(15, 1)),
    "11x11": lambda: Made(20, 20, 2).conv(8, kernel=11, stride=4),
    "5 channels": lambda: Made(12, 11, 5).conv(8, kernel=3, stride=2),
    "16 channels": lambda: Made(12, 11, 16).conv(8, kernel=3),
}


@pytest.mark.parametrize("engine", ["default", "small", "25F"])
@pytest.mark.parametrize("name", PICTURES)
def test_kernels_and_channels_of_the_picture(name: str, engine: str):
    made = PICTURES[name]().depthwise().conv(9).pool().conv(3)
    assert not differences(made.network(), ENGINES[engine], made.picture())[1]


def test_a_kernel_that_is_too_large_says_so():
    made = Made(40, 40, 1).conv(8, kernel=16).depthwise().conv(4)
    with pytest.raises(DoesNotFit, match="1 to 15 rows of 1 to 120 bytes, not 16 rows of 16 pixels of 1 channels"):
        plan_network(made.network(), EngineConfig())


def two_outputs(seed: int = 0) -> tuple[Made, Network]:
    """The plane before a block, and an embedding that two dense layers over a plane read, beside their result."""
    made = stem(17, 15, 12, seed=seed)
    plane = made.at
    made.block(12, stride=2).conv(10)
    made.dense(20)
    return made, made.conv(6).network(plane, made.layers[-2].output)


def plane_and_classes() -> tuple[Made, Network]:
    """The classifier could be a stream's, were it the only output."""
    made = stem(17, 15, 12)
    plane = made.at
    return made, made.block(12, stride=2).conv(40).pool().conv(9).network(plane)


BATCHED: dict[str, Callable[[], tuple[Made, Network]]] = {
    "several outputs": two_outputs,
    "a plane and classes": plane_and_classes,
    "flatten": lambda: ((made := stem(17, 15).block(16, stride=2).conv(30).dense(40).conv(9)), made.network()),
    "a pool that is read": lambda: ((made := stem(17, 15).conv(40).pool()), made.conv(9).network(made.layers[-2].output)),
}


@pytest.mark.parametrize("engine", ["default", "small"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("name", BATCHED)
def test_batches(name: str, batch: int, stream: bool, engine: str):
    """Every image's outputs, and with all blocks stored every byte. None of these can be a stream: the program is a batch then."""
    made, network = BATCHED[name]()
    for store_blocks in (False, True):
        plan = plan_network(network, ENGINES[engine], batch=batch, stream=stream, store_blocks=store_blocks)
        check_plan(plan)
        assert not plan.late and plan.tensors == network.outputs
    program = build_program(network, ENGINES[engine], batch=batch, stream=stream, store_blocks=stream)
    plan = program.plan
    pictures = [made.picture() for _ in range(plan.images)]
    with Device.open(config=ENGINES[engine]) as device:
        device.load(program)
        frame = device.run(*pictures)
        for number, picture in enumerate(pictures):
            for found, want in zip(frame.outputs[number], outputs_of(network, picture), strict=True):
                np.testing.assert_array_equal(found, want)
            golden = {id(layer.output): value for layer, value in zip(network.layers, run_network(network, picture), strict=True)}
            runs = [run for run in plan.blocks if run.store is not None and run.first <= number < run.first + run.images and run.completes]
            if stream:
                assert not [run.block.name for run in runs if stored_difference(device, frame, run, golden, number) is not None]


def test_a_plan_names_what_is_loaded():
    plan = plan_model(field_file("flatten_fc"))
    assert [block["external"] for block in plan["blocks"]][-2:] == [["picture", "store"], ["load", "store"]]
