"""cocotb tests of the store, with a plain memory on the other side."""

import random
from collections import deque

import cocotb
from activation_transfers import CONFIG, begin, end, places, prepare, tensor, word_of
from cocotb.triggers import FallingEdge
from cocotb_bench import Sink, all_patterns, cases, finish

from narrows.hw.activations.memory import activation_read


class Memory:
    """Answers each request ``latency`` cycles after it was taken, with what was at its place then."""

    def __init__(self, dut, *, latency: int, pressure: str) -> None:
        self.contents: dict[tuple[int, int], int] = {}
        self._requests = Sink(dut, "read_request", shape=activation_read(CONFIG), pressure=pressure, seed=3)
        self._dut, self._latency = dut, latency
        dut.answer.value = 0
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        answers: deque[int | None] = deque([None] * (self._latency - 1))
        while True:
            await FallingEdge(self._dut.clk)
            taken = [self._requests.words.pop(0)] if self._requests.words else []
            answers.extend([self.contents[word.bank, word.address] for word in taken] or [None])
            answer = answers.popleft()
            self._dut.answer.value = int(answer is not None)
            self._dut.data.value = answer or 0


async def write_pixels(dut, case: dict, memory: Memory, eager: float) -> None:
    """Put pixels into memory where those before have been stored, and destroy the latter."""
    rng, words, at = random.Random(5), tensor(case), places(case)
    groups, slots = case["groups"], case["size"] // case["groups"] * CONFIG.pixels
    written = 0
    while written < case["pixels"]:
        await FallingEdge(dut.clk)
        if rng.random() < eager and written - int(dut.stored.value) < slots:
            for index in range(written * groups, (written + 1) * groups):
                memory.contents[at[index]] = word_of(words[index])
            written += 1
            dut.written.value = written


async def store(dut, case: dict, memory: Memory, sink: Sink, eager: float) -> None:
    await begin(dut, case, dut.written)
    memory.contents.clear()
    assert dut.stored.value == 0
    writer = cocotb.start_soon(write_pixels(dut, case, memory, eager))
    words = tensor(case).flatten().tolist()
    assert await sink.take(len(words)) == words, f"{case}"
    await writer
    await end(dut)
    assert dut.stored.value == case["pixels"]


async def prepare_store(dut, pressure: str, latency: int, requests: str) -> tuple:
    dut.answer.value = 0
    await prepare(dut, dut.written)
    return Memory(dut, latency=latency, pressure=requests), Sink(dut, "o", pressure=pressure)


@cocotb.test()
@all_patterns
async def store_patterns(dut, idle: str, pressure: str) -> None:
    """Here the memory is the one that idles: it takes requests as the pattern says."""
    memory, sink = await prepare_store(dut, pressure, 3, idle)
    for drawn in cases()[:8]:
        await store(dut, drawn["case"], memory, sink, 0.3)
    await finish(dut, [], [sink])


@cocotb.test()
@cocotb.parametrize(latency=[1, 2, 5, 9])
async def store_shapes(dut, latency: int) -> None:
    memory, sink = await prepare_store(dut, "bursts", latency, "bursts")
    for drawn in cases():
        await store(dut, drawn["case"], memory, sink, 0.2)
    await finish(dut, [], [sink])


@cocotb.test()
@cocotb.parametrize(latency=[2, 10])
async def store_speed(dut, latency: int) -> None:
    memory, sink = await prepare_store(dut, "always", latency, "always")
    for groups in (1, 2, 3, 7):
        case = {"base": 3, "size": 40 * groups, "groups": groups, "pixels": 40, "seed": 1}
        await store(dut, case, memory, sink, 1)
        words = 40 * groups * CONFIG.group // 2
        cycles = sink.cycles[-1] - sink.cycles[-words]
        assert cycles == words - 1, f"{cycles} cycles for {words} words, {groups} words per pixel"


@cocotb.test()
async def store_latency(dut) -> None:
    """A request is offered three cycles after ``written`` allows it, a word two cycles after its answer."""
    memory, sink = await prepare_store(dut, "always", 4, "always")
    memory.contents[0, 0] = 0x1234
    await begin(dut, {"base": 0, "size": 2, "groups": 1, "pixels": 1}, dut.written)
    for _ in range(5):
        await FallingEdge(dut.clk)
    dut.written.value = 1
    for _ in range(3):
        assert dut.read_request__valid.value == 0
        await FallingEdge(dut.clk)
    assert dut.read_request__valid.value == 1
    while not dut.answer.value:
        await FallingEdge(dut.clk)
    assert dut.o__valid.value == 0
    await FallingEdge(dut.clk)
    await FallingEdge(dut.clk)
    assert dut.o__valid.value == 1
    assert await sink.take(CONFIG.group // 2) == [0x1234] + [0] * (CONFIG.group // 2 - 1)
