"""cocotb tests of the depthwise unit with its line buffers: every word against the golden kernels, and every cycle of them."""

import itertools
import os
import random

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import PATTERNS, Sink, cases, finish, pack, start
from depthwise_blocks import Block
from depthwise_system import CONFIGS

from narrows.hw.activations.ports import activation_write
from narrows.hw.arithmetic.ports import ChannelConstants
from narrows.hw.config import CONSTANT_BITS, POSITION_BITS
from narrows.hw.depthwise.addresses import DepthwiseAddresses
from narrows.hw.depthwise.fields import DepthwiseFields
from narrows.hw.depthwise.geometry import DepthwiseGeometry, constant_words
from narrows.hw.depthwise.line_buffer import LineFields
from narrows.hw.depthwise.unit import DepthwiseUnit

CONFIG = CONFIGS[os.environ["CONFIG"]]
CHOICES = dict(PATTERNS)


def difference(a: int, b: int, bits: int = POSITION_BITS) -> int:
    """a - b of two counters modulo ``2**bits``."""
    return (a - b + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


class Expand:
    """Sends a block's pixels through the line writer, as soon as their places in the line buffers are free."""

    def __init__(self, dut, block: Block, rng: random.Random):
        self.dut, self.block, self.active = dut, block, CHOICES[block.case["idle"]](rng)
        shape = block.shape
        self.plane, self.slots = shape.in_h * shape.in_w * shape.images, CONFIG.line_words // shape.groups
        self.total, self.at, self.queue = shape.slices * self.plane, 0, []

    def free(self, pixel: int, freed: int) -> bool:
        width = self.block.shape.in_w
        line, column = divmod(pixel, width)
        turns, column = divmod(column - self.slots, width)
        before = (line + 3 * turns) * width + column
        return before < 0 or difference(freed, before) > 0

    def cycle(self) -> None:
        dut, shape = self.dut, self.block.shape
        if not self.queue and self.at < self.total:
            piece, first = divmod(self.at, self.plane)
            freed, count = int(dut.freed.value), 0
            while count < min(self.block.case["expand_segment"], self.plane - first) and self.free(self.at + count, freed):
                count += 1
            self.queue = [(piece, first + n, g, n == count - 1) for g in range(shape.groups) for n in range(count)]
            self.at += count
        sending = bool(self.queue) and next(self.active)
        dut.word_valid.value = int(sending)
        if sending:
            piece, pixel, group, last = self.queue.pop(0)
            dut.word_data.value = self.block.input_word(piece, pixel, group)
            dut.word_end_group.value = int(last)
            dut.word_end_segment.value = int(last and group == shape.groups - 1)
        else:
            dut.word_data.value = random.getrandbits(8 * CONFIG.group)


class Loader:
    """Keeps one of the unit's memories filled, never overwriting a word before it is released."""

    def __init__(self, dut, name: str, plural: str):
        self.dut, self.name, self.plural, self.loaded, self.words = dut, name, plural, 0, []
        self.active = CHOICES["always"](random.Random(1))

    def cycle(self) -> None:
        # Words count as loaded from the cycle after they are written on.
        getattr(self.dut, f"{self.plural}_ready").value = self.loaded % (1 << 16)
        freed = int(getattr(self.dut, f"{self.plural}_freed").value)
        room = difference(self.loaded, freed, 16) < CONFIG.depthwise_words
        writing = bool(self.words) and room and next(self.active)
        getattr(self.dut, f"{self.name}_en").value = int(writing)
        if writing:
            getattr(self.dut, f"{self.name}_at").value = self.loaded % CONFIG.depthwise_words
            getattr(self.dut, f"{self.name}_word").value = self.words.pop(0)
            self.loaded += 1


def bits(values: list[int], width: int) -> int:
    """``values`` one above the other, ``width`` bits each."""
    return sum((value & ((1 << width) - 1)) << (width * at) for at, value in enumerate(values))


class Bench:
    """Runs blocks one after the other, with everything around the unit coming and going as the case says."""

    def __init__(self, dut):
        self.dut = dut
        self.loaders = [Loader(dut, "weight", "weights"), Loader(dut, "constant", "constants")]
        for name in ("word_valid", "word_end_group", "word_end_segment", "projected", "weight_en", "constant_en"):
            getattr(dut, name).value = 0
        dut.weights_ready.value = dut.constants_ready.value = 0

    async def run(self, block: Block, sink: Sink, *, cycles: int = 100_000) -> None:
        """Until ``done``; checks every word and mark, and that none overwrites what was not consumed."""
        dut, rng = self.dut, random.Random(block.case["seed"])
        expand = Expand(dut, block, rng)
        self.loaders[0].words += [bits(word, 9) for word in block.weight_words]
        self.loaders[1].words += [bits([pack(ChannelConstants, c) for c in word], CONSTANT_BITS) for word in block.constant_words]
        for loader in self.loaders:
            loader.active = CHOICES[block.case["loads"]](rng)
        projects = CHOICES[block.case["projects"]](rng)
        dut.fields.value, dut.lines.value = pack(DepthwiseFields, block.fields), pack(LineFields, block.lines)
        dut.word_valid.value = 0
        ahead = block.case.get("ahead", 0)
        for _ in range(ahead + 1):
            await self.before(ahead)
        dut.start.value, dut.projected.value = 1, rng.getrandbits(12)  # of the block before
        self.seen = {"forming": 0, "waiting_data": 0, "waiting_weights": 0, "o__valid": 0}
        self.first: dict[str, int] = {}
        await self.before(ahead)
        dut.start.value, dut.projected.value = 0, 0
        marked = projected = checked = 0
        for self.cycles in range(cycles):
            assert len(sink.words) <= len(block.words) - checked, f"more words than there should be in {block.case}"
            for word in sink.words:
                got = [word.data, word.bank, word.address, word.mark]
                assert got == block.words[checked], f"word {checked}: {got}, not {block.words[checked]} in {block.case}"
                assert block.pixels[checked] - projected < block.ring, f"word {checked} overwrites a pixel in {block.case}"
                checked, marked = checked + 1, marked + word.mark
            sink.words.clear()
            if dut.done.value:
                break
            expand.cycle()
            for loader in self.loaders:
                loader.cycle()
            for name in self.seen:
                if getattr(dut, name).value:
                    self.seen[name] += 1
                    self.first.setdefault(name, self.cycles)
            if projected < marked and next(projects):
                projected += min(rng.randint(1, 6), marked - projected)
                dut.projected.value = projected
            await FallingEdge(dut.clk)
        else:
            raise AssertionError(f"{checked} of {len(block.words)} words after {cycles} cycles: {block.case}")
        assert checked == len(block.words), f"done after {checked} of {len(block.words)} words: {block.case}"
        # A plane's last rows may have been of no use: let them come.
        while expand.queue or expand.at < expand.total:
            expand.cycle()
            await FallingEdge(dut.clk)
        dut.word_valid.value = 0
        for _ in range(4):
            await FallingEdge(dut.clk)
        total = block.shape.slices * block.shape.images * block.shape.in_h * block.shape.in_w
        assert int(dut.freed.value) == int(dut.expanded.value) == total % (1 << POSITION_BITS)
        for loader in self.loaders:
            assert int(getattr(dut, f"{loader.plural}_freed").value) == loader.loaded % (1 << 16) and not loader.words
        taps = block.shape.triples * block.shape.kernel[1]
        assert self.seen["forming"] == taps * block.shape.words()

    async def before(self, ahead: int) -> None:
        """A cycle up to the start, in which the program may be ahead of the block."""
        for loader in self.loaders:
            if ahead:
                loader.cycle()
        await FallingEdge(self.dut.clk)


class Switch:
    """A pattern for the one sink that changes from block to block."""

    now = itertools.repeat(True)

    def __iter__(self):
        return self

    def __next__(self) -> bool:
        return next(self.now)


PRESSURE = Switch()
PATTERNS["switched"] = lambda rng: PRESSURE


async def setup(dut) -> tuple[Bench, Sink]:
    await start(dut)
    return Bench(dut), Sink(dut, "o", shape=activation_write(CONFIG), pressure="switched")


async def run(bench: Bench, sink: Sink, case: dict) -> Block:
    PRESSURE.now = CHOICES[case["pressure"]](random.Random(case["seed"]))
    block = Block(CONFIG, case)
    await bench.run(block, sink)
    return block


@cocotb.test()
async def drawn(dut) -> None:
    bench, sink = await setup(dut)
    for case in cases():
        await run(bench, sink, case["block"])
    await finish(dut, [], [sink])


@cocotb.test()
async def all_paces(dut) -> None:
    """Pixels, consumers of results and the memory behind each at every pace."""
    bench, sink = await setup(dut)
    (case,) = cases()
    for idle, pressure, projects in itertools.product(CHOICES, CHOICES, CHOICES):
        await run(bench, sink, case | {"idle": idle, "pressure": pressure, "projects": projects})
    await finish(dut, [], [sink])


def result_times(shape: DepthwiseGeometry, cycles: int) -> list[int]:
    """When each result begins if nothing is short: groups are offered some cycles apart, two can wait for their turn."""
    offered, begun, end, times = [], [], 0, []
    for _ in range(shape.slices * shape.images * shape.out_h):
        for first in range(0, shape.out_w, shape.segment):
            for group in range(shape.groups):
                at = offered[-1] + (3 if group else 4) if offered else 0
                at = max([at, *begun[-2:-1]])  # the one before the last has left its place
                end = max(at + 2, end)
                offered.append(at)
                begun.append(end)
                for _ in range(min(shape.segment, shape.out_w - first)):
                    times.append(end)
                    end += cycles
    return times


@cocotb.test()
async def rates(dut) -> None:
    """Words leave at exactly the documented rate, and after exactly the documented latency, when nothing is short."""
    bench, sink = await setup(dut)
    for case in cases():
        sink.cycles.clear()
        block = await run(bench, sink, case["block"])
        begins = result_times(block.shape, case["cycles"])
        assert [cycle - sink.cycles[0] for cycle in sink.cycles] == [cycle - begins[0] for cycle in begins], f"{case}"
        taps = DepthwiseAddresses.LATENCY + 1  # from issue to forming
        last = block.shape.result_cycles(CONFIG) - 1
        assert bench.first["o__valid"] - bench.first["forming"] == last - taps + DepthwiseUnit.latency(CONFIG)
        # The first group's constants come a word a cycle, from the first pixels on: no more than the fourth is waited for.
        assert bench.seen["waiting_weights"] <= max(0, constant_words(CONFIG) - 3)
    await finish(dut, [], [sink])


@cocotb.test()
async def counters(dut) -> None:
    """The counters tell what the unit stands still for."""
    bench, sink = await setup(dut)
    (case,) = cases()
    await run(bench, sink, case | {"loads": "rare", "ring": None, "geometry": case["geometry"] | {"slices": 4, "images": 1}})
    assert bench.seen["waiting_weights"] > 20 + bench.seen["waiting_data"]
    await run(bench, sink, case | {"idle": "rare", "ring": None})
    assert bench.seen["waiting_data"] > 20 + bench.seen["waiting_weights"]
    await run(bench, sink, case | {"projects": "rare"})
    assert bench.seen["waiting_data"] > 20 + bench.seen["waiting_weights"]
