"""What the cocotb tests of load and store share: tensors, their places, and how a transfer begins and ends."""

import os

import numpy as np
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from cocotb_bench import pack, start

from narrows.hw.activations.stream import TransferFields, transfer_fields
from narrows.hw.config import EngineConfig

CONFIG = EngineConfig(**eval(os.environ["NARROWS_CONFIG"]))


def places(case: dict) -> list[tuple[int, int]]:
    """(bank, address) of every word of the tensor, in order."""
    slots = case["size"] // case["groups"]
    return [
        (q % CONFIG.pixels, case["base"] + q // CONFIG.pixels % slots * case["groups"] + k)
        for q in range(case["pixels"])
        for k in range(case["groups"])
    ]


def tensor(case: dict) -> np.ndarray:
    """The tensor's 16-bit words, a row for every word of activation memory."""
    rng = np.random.default_rng(case["seed"])
    return rng.integers(0, 1 << 16, (case["pixels"] * case["groups"], CONFIG.group // 2), dtype=np.uint16)


def word_of(parts: np.ndarray) -> int:
    return int.from_bytes(parts.astype("<u2").tobytes(), "little")


def fields_of(case: dict) -> dict:
    return transfer_fields(config=CONFIG, **{name: case[name] for name in ("base", "size", "groups", "pixels")})


async def begin(dut, case: dict, position) -> None:
    await FallingEdge(dut.clk)
    assert dut.done.value == 1
    dut.fields.value = pack(TransferFields, fields_of(case))
    await FallingEdge(dut.clk)
    dut.start.value = 1
    await FallingEdge(dut.clk)
    dut.start.value = 0
    if hasattr(dut, "consumed"):
        position.value = 1000  # still that of the block before
        await FallingEdge(dut.clk)
    position.value = 0


async def end(dut) -> None:
    for _ in range(1000):
        await ReadOnly()
        if dut.done.value == 1:
            break
        await RisingEdge(dut.clk)
    assert dut.done.value == 1, "not done"


async def prepare(dut, position) -> None:
    dut.start.value = 0
    dut.fields.value = 0
    position.value = 0
    await start(dut)
