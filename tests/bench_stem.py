"""cocotb tests of the stem: words, addresses, marks and room against the convolution's definition."""

import os
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge
from cocotb_bench import Sink, Source, all_patterns, cases, finish, pack, start

from narrows.hw.activations.ports import activation_write
from narrows.hw.config import EngineConfig
from narrows.hw.stem.fields import StemFields, stem_fields, stem_layout, stem_pixel_cycles

CONFIG = EngineConfig(**eval(os.environ.get("NARROWS_CONFIG", "{}")))


def picture(case: dict) -> np.ndarray:
    rng = np.random.default_rng(case["seed"])
    return rng.integers(0, 256, (case["height"], case["width"], case["channels"]), dtype=np.uint8)


def fields_of(case: dict) -> dict:
    names = ("height", "width", "channels", "kernel", "stride", "padding", "output", "zero", "base", "size")
    return stem_fields(config=CONFIG, **{name: case[name] for name in names})


def halfwords(image: np.ndarray) -> list[int]:
    data = image.tobytes() + b"\0" * (image.size % 2)
    return np.frombuffer(data, "<u2").tolist()


def expected(case: dict) -> list[tuple[int, int, int, list]]:
    """(bank, address, mark, bytes or None) of every word, in order."""
    (top, left), (sh, sw), (rows, columns) = case["padding"], case["stride"], case["output"]
    image, words = picture(case), []
    layout = stem_layout(*case["kernel"], case["channels"], CONFIG.group)
    slots = case["size"] // len(layout)

    def byte(y: int, x: int, c: int) -> int:
        if 0 <= y < case["height"] and 0 <= x < case["width"]:
            return int(image[y, x, c])
        return case["zero"]

    for q in range(rows * columns):
        y, x = q // columns * sh - top, q % columns * sw - left
        address = case["base"] + q // CONFIG.pixels % slots * len(layout)
        for k, word in enumerate(layout):
            values = [None if at is None else byte(y + at[0], x + at[1], at[2]) for at in word]
            words.append((q % CONFIG.pixels, address + k, int(k == len(layout) - 1), values))
    return words


async def consume(dut, sink: Sink, state: dict, rng: random.Random) -> None:
    """Let go of patches some time after they came, all at once."""
    while True:
        await RisingEdge(dut.clk)
        if rng.random() < state["eager"]:
            await FallingEdge(dut.clk)
            state["consumed"] = state["pixels"] + sum(word.mark for word in sink.words)
            dut.consumed.value = state["consumed"]


async def run(dut, case: dict, source: Source, sink: Sink, state: dict) -> None:
    fields, words = fields_of(case), expected(case)
    await FallingEdge(dut.clk)
    dut.fields.value = pack(StemFields, fields)
    await FallingEdge(dut.clk)
    dut.start.value = 1
    assert dut.done.value == 1
    await FallingEdge(dut.clk)
    dut.start.value = 0
    state.update(consumed=0, pixels=0)
    assert dut.done.value == 0
    dut.consumed.value = 3 * fields["ring"]  # still that of the block before
    await FallingEdge(dut.clk)
    dut.consumed.value = 0
    source.send(halfwords(picture(case)))
    for index, (bank, address, mark, values) in enumerate(words):
        (word,) = await sink.take(1, timeout=20_000)
        assert state["pixels"] + 1 - state["consumed"] <= fields["ring"], f"pixel {state['pixels']} overwrites one in use"
        assert (word.bank, word.address, word.mark) == (bank, address, mark), f"word {index} of {case}"
        bytes_ = int(word.data).to_bytes(CONFIG.group, "little")
        for b, value in enumerate(values):
            assert value is None or bytes_[b] == value, f"byte {b} of word {index} of {case}"
        state["pixels"] += mark
    for _ in range(5000):
        await RisingEdge(dut.clk)
        if dut.done.value == 1:
            break
    assert dut.done.value == 1, f"not done: {case}"
    assert not source.words and not sink.words


async def prepare(dut, idle: str, pressure: str, eager: float) -> tuple:
    dut.start.value = 0
    dut.consumed.value = 0
    dut.fields.value = 0
    await start(dut)
    source = Source(dut, "i", idle=idle)
    sink = Sink(dut, "o", shape=activation_write(CONFIG), pressure=pressure)
    state = {"consumed": 0, "pixels": 0, "eager": eager}
    cocotb.start_soon(consume(dut, sink, state, random.Random(7)))
    return source, sink, state


@cocotb.test()
@all_patterns
async def patterns(dut, idle: str, pressure: str) -> None:
    source, sink, state = await prepare(dut, idle, pressure, 0.1)
    for drawn in cases()[:4]:
        await run(dut, drawn["case"], source, sink, state)
    await finish(dut, [source], [sink])


@cocotb.test()
async def shapes(dut) -> None:
    source, sink, state = await prepare(dut, "bursts", "bursts", 0.2)
    for drawn in cases():
        await run(dut, drawn["case"], source, sink, state)
    await finish(dut, [source], [sink])


@cocotb.test()
async def speed(dut) -> None:
    """A patch takes as long as the formula says, and a row of them at most 12 cycles more."""
    source, sink, state = await prepare(dut, "always", "always", 1)
    for channels, kernel in ((3, (3, 3)), (1, (3, 3)), (4, (1, 1))):
        groups = len(stem_layout(*kernel, channels, CONFIG.group))
        width = (CONFIG.image_words - 2) * CONFIG.group // ((kernel[0] + 1) * channels)  # the next line fits as well
        case = {
            "height": 9, "width": width, "channels": channels, "kernel": kernel, "stride": (1, 1), "padding": (0, 0),
            "output": (10 - kernel[0], width + 1 - kernel[1]), "zero": 5, "base": 0, "size": 64 * groups, "seed": 1,
        }  # fmt: skip
        per_pixel = stem_pixel_cycles(kernel=kernel, channels=channels, group=CONFIG.group)
        sink.cycles.clear()
        await run(dut, case, source, sink, state)
        rows, columns = case["output"]
        words = len(sink.cycles) // rows
        firsts = sink.cycles[::words]
        dut._log.info("row of %d patches: %d cycles", columns, firsts[-1] - firsts[-2])
        last = sink.cycles[-words:]
        assert last[-1] - last[0] <= per_pixel * columns - 1
        assert firsts[-1] - firsts[-2] <= per_pixel * columns + 12


@cocotb.test()
async def latency(dut) -> None:
    """A row of patches comes 15 cycles after the last word of the picture that it needs."""
    source, sink, _ = await prepare(dut, "always", "always", 1)
    case = {
        "height": 3, "width": 4, "channels": 3, "kernel": (3, 3), "stride": (1, 1), "padding": (0, 0),
        "output": (1, 1), "zero": 0, "base": 0, "size": 64 - 64 % len(stem_layout(3, 3, 3, CONFIG.group)), "seed": 1,
    }  # fmt: skip
    dut.fields.value = pack(StemFields, fields_of(case))
    await FallingEdge(dut.clk)
    dut.start.value = 1
    await FallingEdge(dut.clk)
    dut.start.value = 0
    source.send(halfwords(picture(case)))
    await source.drained()
    count = 0
    while not dut.o__valid.value:
        await FallingEdge(dut.clk)
        count += 1
        assert count < 100
    assert count == 15
    await sink.take(1)
