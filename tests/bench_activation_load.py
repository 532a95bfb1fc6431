"""cocotb tests of the load: places, marks and room."""

import random

import cocotb
from activation_transfers import CONFIG, begin, end, places, prepare, tensor, word_of
from cocotb.triggers import FallingEdge, RisingEdge
from cocotb_bench import Sink, Source, all_patterns, cases, finish

from narrows.hw.activations.ports import activation_write


async def consume(dut, sink: Sink, state: dict, eager: float) -> None:
    """Let go of pixels some time after they came, all at once."""
    rng = random.Random(7)
    while True:
        await RisingEdge(dut.clk)
        if rng.random() < eager:
            await FallingEdge(dut.clk)
            state["consumed"] = state["pixels"] + sum(word.mark for word in sink.words)
            dut.consumed.value = state["consumed"]


async def load(dut, case: dict, source: Source, sink: Sink, state: dict) -> None:
    state.update(consumed=0, pixels=0)
    await begin(dut, case, dut.consumed)
    parts = tensor(case)
    source.send(parts.flatten().tolist())
    for index, (bank, address) in enumerate(places(case)):
        (word,) = await sink.take(1)
        mark = int(index % case["groups"] == case["groups"] - 1)
        assert state["pixels"] + 1 - state["consumed"] <= case["size"] // case["groups"] * CONFIG.pixels
        assert (word.bank, word.address, word.mark) == (bank, address, mark), f"word {index} of {case}"
        assert word.data == word_of(parts[index]), f"word {index} of {case}"
        state["pixels"] += mark
    await end(dut)
    assert not source.words and not sink.words


async def prepare_load(dut, idle: str, pressure: str, eager: float) -> tuple:
    await prepare(dut, dut.consumed)
    source, sink = Source(dut, "i", idle=idle), Sink(dut, "o", shape=activation_write(CONFIG), pressure=pressure)
    state = {"consumed": 0, "pixels": 0}
    cocotb.start_soon(consume(dut, sink, state, eager))
    return source, sink, state


@cocotb.test()
@all_patterns
async def load_patterns(dut, idle: str, pressure: str) -> None:
    source, sink, state = await prepare_load(dut, idle, pressure, 0.1)
    for drawn in cases()[:8]:
        await load(dut, drawn["case"], source, sink, state)
    await finish(dut, [source], [sink])


@cocotb.test()
async def load_shapes(dut) -> None:
    source, sink, state = await prepare_load(dut, "bursts", "bursts", 0.2)
    source.send([])
    for drawn in cases():
        await load(dut, drawn["case"], source, sink, state)
    await finish(dut, [source], [sink])


@cocotb.test()
async def load_speed(dut) -> None:
    source, sink, state = await prepare_load(dut, "always", "always", 1)
    for groups in (1, 2, 3, 7):
        case = {"base": 3, "size": 32 * groups, "groups": groups, "pixels": 40, "seed": 1}
        await load(dut, case, source, sink, state)
        cycles = sink.cycles[-1] - sink.cycles[-40 * groups]
        assert cycles == (40 * groups - 1) * CONFIG.group // 2, f"{cycles} cycles for {groups} words per pixel"


@cocotb.test()
async def load_latency(dut) -> None:
    """A word is offered two cycles after its last part was taken."""
    source, sink, _ = await prepare_load(dut, "always", "always", 1)
    await begin(dut, {"base": 0, "size": 2, "groups": 1, "pixels": 1}, dut.consumed)
    source.send(range(CONFIG.group // 2))
    await source.drained()
    for _ in range(2):
        assert dut.o__valid.value == 0
        await FallingEdge(dut.clk)
    assert dut.o__valid.value == 1
    await sink.take(1)


@cocotb.test()
async def load_takes_no_more(dut) -> None:
    """What follows the tensor in the stream is left to the next one."""
    source, sink, state = await prepare_load(dut, "always", "always", 1)
    case = {"base": 0, "size": 12, "groups": 3, "pixels": 5, "seed": 2}
    source.send([])
    await begin(dut, case, dut.consumed)
    parts = tensor(case).flatten().tolist()
    source.send([*parts, 1, 2, 3])
    await sink.take(15)
    await end(dut)
    assert list(source.words) == [1, 2, 3]
    await begin(dut, {**case, "pixels": 0}, dut.consumed)
    assert dut.done.value == 1
    assert state["pixels"] == 0
