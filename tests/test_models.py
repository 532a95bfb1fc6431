"""Published classifiers on the simulated board: the reference's bytes, within the cycles and memory promised for them."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from rtl_runs import SHARED, counted

from narrows.golden.model import run_post
from narrows.graph.network import Network
from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig
from narrows.importer.importer import import_network

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the real models and their recorded hashes are not beside this repository")

V2 = ("mobilenet_v2_1.0_224_quant", "tf2_mobilenet_v2_1.0_224_ptq")
CFU = "cfu_mobilenetv2_160_035"
#: Most cycles a frame may take.
CYCLES = {
    CFU: 450_000, "mobilenet_v1_0.25_128_quant": 400_000, "mobilenet_v2_0.35_224_flowers_uint8": 800_000,
    V2[0]: 3_600_000, V2[1]: 3_600_000, "vww_96_int8": 250_000,
}  # fmt: skip
PICTURES = ("cat.png", "grace_hopper.png", "sunflower.png")
RECORDED = tuple(f"input_{name}.dat" for name in ("00001_18027", "00001_7281", "00001_7425", "00002_2532", "00002_25869", "00004_970"))
#: On the small engine.
SMALL_CYCLES = 1_830_000
#: On the wide engine.
WIDE_CYCLES = {CFU: 375_000, V2[0]: 2_650_000, V2[1]: 2_650_000}
RUNS = [(model, image) for model in CYCLES for image in PICTURES] + [(CFU, image) for image in RECORDED]


@cache
def recorded() -> dict:
    return json.loads((SHARED / "golden.json").read_text())


@cache
def network_named(name: str) -> Network:
    return import_network(file_of(name))


def file_of(name: str) -> Path:
    return SHARED / "models" / f"{name}.tflite"


def run(name: str, image: str, config: EngineConfig = EngineConfig()) -> dict:  # noqa: B008
    return counted(file_of(name), SHARED / ("cfu_inputs" if image.endswith(".dat") else "images") / image, config)


def right(name: str, image: str, frame: dict) -> bool:
    """Whether the outputs are those recorded."""
    network = network_named(name)
    last = frame["plan"].blocks[-1].block
    height, width, channels = last.output.shape
    raw = np.frombuffer(frame["outputs"][last.name], last.output.dtype).reshape(height, width, -1)[:, :, :channels]
    outputs = run_post(network, np.ascontiguousarray(raw))
    wanted = recorded()[f"{name}.tflite"][image]["outputs"]
    return [hashlib.sha256(value.tobytes()).hexdigest() for value in outputs] == [output["sha256"] for output in wanted]


@pytest.mark.parametrize(("name", "image"), RUNS)
def test_outputs_are_those_recorded(name, image):
    """Also in the cycles promised, which depend on nothing but the network."""
    frame = run(name, image)
    assert right(name, image, frame) and frame["cycles"] <= CYCLES[name]


@pytest.mark.parametrize("image", [PICTURES[0], *RECORDED])
def test_the_small_engine_gives_the_same(image):
    frame = run(CFU, image, ECP5_25F)
    assert right(CFU, image, frame) and frame["cycles"] <= SMALL_CYCLES
    # One tensor is larger than its activation memory: it goes out, and comes back.
    stored = [block for block in frame["plan"].blocks if block.store is not None]
    assert [block.store.bytes for block in stored] == [80 * 80 * 8, 4]


@pytest.mark.parametrize(("name", "image"), [
    (CFU, PICTURES[0]), *(pytest.param(*run, marks=pytest.mark.slow) for run in RUNS if run != (CFU, PICTURES[0])),
])  # fmt: skip
def test_the_wide_engine_gives_the_same(name, image):
    """In fewer cycles, where the bus does not set them."""
    frame = run(name, image, ECP5_85F_WIDE)
    assert right(name, image, frame) and frame["cycles"] <= WIDE_CYCLES.get(name, CYCLES[name])


@pytest.mark.parametrize("name", CYCLES)
def test_nothing_of_a_wide_interior_leaves_the_chip(name):
    frame = run(name, PICTURES[0])
    written = 2 * sum(block["write_words"] for block in frame["blocks"])
    assert written == sum(block.store.bytes for block in frame["plan"].blocks if block.store is not None)


@pytest.mark.parametrize("name", V2)
def test_external_memory_is_read_once(name):
    """Weights and picture, once per frame."""
    assert 2 * sum(block["read_words"] for block in run(name, PICTURES[0])["blocks"]) <= 4.0e6


def test_the_engine_is_small():
    assert EngineConfig().multipliers <= 156 and EngineConfig().onchip_bytes <= 416 * 1024
