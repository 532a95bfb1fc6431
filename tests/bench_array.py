"""cocotb tests of the pointwise array: two layers of one type at a time, their results in turns, against the golden CONV_2D."""

import os
import random

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import FallingEdge
from cocotb_bench import PATTERNS, cases, pack, start
from test_array import CONFIGS

from narrows.golden import kernels
from narrows.graph.network import Requant
from narrows.hw.activations.memory import READ_LATENCY
from narrows.hw.arithmetic.ports import ChannelConstants, OutputRange
from narrows.hw.arithmetic.requantise import MAX_SHIFT, MIN_SHIFT
from narrows.hw.array.ports import array_op, array_result, constant_load, weight_load
from narrows.hw.config import BIAS_BITS

CONFIG, LATENCY = CONFIGS[os.environ["CONFIG"]], int(os.environ["LATENCY"])
GROUP, PIXELS = CONFIG.group, CONFIG.pixels
STAGES = ("expand", "project")
OP, RESULT = array_op(CONFIG), array_result(CONFIG)
WEIGHT, CONSTANT = weight_load(CONFIG), constant_load(CONFIG)
#: Cycles from an op to its words, as activation memory has them.
MEMORY = READ_LATENCY


def numbers(rng: np.random.Generator, shape: tuple, dtype: str, kind: str) -> np.ndarray:
    info = np.iinfo(dtype)
    drawn = rng.integers(info.min, info.max, shape, endpoint=True)
    drawn = {"lowest": np.full(shape, info.min), "highest": np.full(shape, info.max), "ends": np.where(drawn % 2, info.min, info.max)}.get(
        kind, drawn
    )
    return drawn.astype(dtype)


class Layer:
    """A pointwise layer of random numbers with the golden model's results."""

    def __init__(self, case: dict, name: str, rng: np.random.Generator):
        s, dtype = case[name], case["dtype"]
        info = np.iinfo(dtype)
        self.depth, self.groups, self.plane, self.project = s["depth"], s["groups"], s["plane"], name == "project"
        features, outputs = self.depth * GROUP, self.groups * CONFIG.outputs
        self.zero_point, zero = (int(z) for z in rng.integers(info.min, info.max, 2, endpoint=True))
        self.weight_zero = int(rng.integers(info.min, info.max, endpoint=True)) if dtype == "uint8" else 0
        self.x = numbers(rng, (self.plane, features), dtype, s["bytes"])
        self.weights = numbers(rng, (outputs, features), dtype, s["bytes"])
        # Most results land within the range: the shift follows the size of the sums.
        limit = 1 << (BIAS_BITS - 1)
        spread = 75 * 75 * features**0.5 / 100
        shift = -np.round(np.log2(spread) + rng.uniform(-2, 2, outputs)).astype(np.int64)
        multiplier = rng.integers(1 << 30, 1 << 31, outputs)
        bias = np.round(rng.normal(0, spread * 50, outputs)).astype(np.int64).clip(-limit, limit - 1)
        if s["shifts"] == "extreme":
            shift = rng.choice([MIN_SHIFT, MAX_SHIFT, 0, -1, -5], outputs)
            multiplier = rng.choice([1, 1 << 30, (1 << 31) - 1, 12345], outputs)
            bias = rng.choice([-limit, limit - 1, 0, -1], outputs)
        dead = rng.random(outputs) < 0.1
        self.bias, self.multiplier, self.shift = bias, np.where(dead, 0, multiplier), np.where(dead, 0, shift)
        lo, hi = (info.min, info.max) if s["whole_range"] else sorted(int(v) for v in rng.integers(info.min, info.max, 2, endpoint=True))
        self.range = {"zero_point": zero, "lo": lo, "hi": hi}
        requant = Requant(multiplier=self.multiplier, shift=self.shift, **self.range)
        # Fast products bring those of neighbouring weights with them.
        factors = self.weights.astype(int) - self.weight_zero
        extra = (factors[:, 0::2] * factors[:, 1::2]).sum(axis=1) if CONFIG.products == "fast" else 0
        self.stored_bias = (bias - extra + limit) % (2 * limit) - limit
        self.results = kernels.fully_connected(self.x, self.zero_point, self.weights, self.weight_zero, bias, requant)

    def loads(self, weight: int, constant: int):
        """(group, loads of weights, loads of constants) in the program's order, from those words on."""
        for group in range(self.groups):
            channels = [group * CONFIG.outputs + lane for lane in range(CONFIG.outputs)]
            factors = self.weights.astype(int) - self.weight_zero
            words = []
            for k in range(self.depth):
                for lane, channel in enumerate(channels):
                    row = factors[channel, k * GROUP : (k + 1) * GROUP]
                    value = sum((int(f) & 0x1FF) << (9 * n) for n, f in enumerate(row))
                    address = (weight + group * self.depth + k) % CONFIG.weight_words
                    words.append(pack(WEIGHT, {"enable": 1, "lane": lane, "address": address, "data": value}))
            constants = []
            for lane, channel in enumerate(channels):
                names = {"bias": self.stored_bias, "multiplier": self.multiplier, "shift": self.shift}
                value = pack(ChannelConstants, {name: int(values[channel]) for name, values in names.items()})
                address = (constant + group) % CONFIG.constant_words
                constants.append(pack(CONSTANT, {"enable": 1, "lane": lane, "address": address, "data": value}))
            yield words, constants

    def ops(self, group: int, weight: int, constant: int):
        """(op, words) of the ops of a group's results; idle ones have neither addresses nor words."""
        for first in range(0, self.plane, PIXELS):
            count = min(PIXELS, self.plane - first)
            common = {
                "project": self.project, "pixels": (1 << count) - 1, "end_group": first + count == self.plane,
                "end_segment": first + count == self.plane and group % 2, "end_slice": group == self.groups - 1,
            }  # fmt: skip
            for _ in range(CONFIG.result_spacing - self.depth):
                yield common | {"idle": 1, "first": 1, "last": 1}, None
            for k in range(self.depth):
                rows = self.x[first : first + count, k * GROUP : (k + 1) * GROUP]
                words = [int.from_bytes(row.tobytes(), "little") for row in rows]
                op = {
                    "weight": (weight + group * self.depth + k) % CONFIG.weight_words,
                    "constant": (constant + group) % CONFIG.constant_words,
                    "first": k == 0, "last": k == self.depth - 1, "idle": 0,
                }  # fmt: skip
                yield common | op, words

    def words(self, group: int):
        """(word, flags) of every result of a group."""
        channels = slice(group * CONFIG.outputs, (group + 1) * CONFIG.outputs)
        for pixel in range(self.plane):
            final = pixel == self.plane - 1
            flags = {"end_group": final, "end_segment": final and bool(group % 2)}
            # A flag belongs to the last real pixel of its result.
            flags["end_slice"] = group == self.groups - 1 and (final or pixel % PIXELS == PIXELS - 1)
            yield int.from_bytes(self.results[pixel, channels].tobytes(), "little"), flags | {"project": self.project}


class Bench:
    """Drives ops, the words that follow them and loads; collects every result with its cycle."""

    def __init__(self, dut, rng: random.Random):
        self.dut, self.rng, self.cycle = dut, rng, 0
        self.results: list[tuple[int, int]] = []
        self.coming: dict[int, int] = {}
        self.clear = {"valid": 0, "load_weight": 0, "load_constant": 0}

    async def step(self, **signals: int) -> None:
        dut = self.dut
        for name, value in (self.clear | signals).items():
            getattr(dut, name).value = value
        if "op" not in signals:
            dut.op.value = self.rng.getrandbits(len(dut.op))
        # Nobody promises anything of the memory's words when no op asked for them.
        dut.words.value = self.coming.pop(self.cycle, self.rng.getrandbits(len(dut.words)))
        await FallingEdge(dut.clk)
        self.cycle += 1
        if dut.o_valid.value:
            self.results.append((self.cycle, int(dut.o.value)))

    async def op(self, op: dict, words: list[int] | None, **signals: int) -> None:
        anything = {name: self.rng.getrandbits(OP[name].width) for name in ("address", "weight", "constant")}
        if words is not None:
            filled = words + [self.rng.getrandbits(8 * GROUP) for _ in range(PIXELS - len(words))]
            self.coming[self.cycle + MEMORY] = sum(word << (8 * GROUP * n) for n, word in enumerate(filled))
        fields = {name: int(value) for name, value in (anything | op).items()}
        await self.step(valid=1, op=pack(OP, fields), **signals)


async def run(bench: Bench, case: dict) -> None:
    dut, rng = bench.dut, bench.rng
    draws = np.random.default_rng(case["seed"])
    layers = [Layer(case, name, draws) for name in STAGES]
    gaps = PATTERNS[case["gaps"]](rng)
    dut.signed_input.value = case["dtype"] == "int8"
    dut.zero_points.value = pack(data.ArrayLayout(9, 2), [layer.zero_point & 0x1FF for layer in layers])
    dut.ranges.value = pack(data.ArrayLayout(OutputRange, 2), [layer.range for layer in layers])

    # Groups of both layers in turns. Each group's words are loaded while the one before it is formed, the last lane's
    # one cycle before its first op.
    turns = [layer for layer in layers for _ in range(layer.groups)]
    rng.shuffle(turns)
    weight, constant = rng.randrange(CONFIG.weight_words), rng.randrange(CONFIG.constant_words)
    plan, at = [], dict.fromkeys(layers, 0)
    for layer in turns:
        group = at[layer]
        at[layer] += 1
        words, constants = list(layer.loads(weight - group * layer.depth, constant - group))[group]
        plan.append((layer, group, weight - group * layer.depth, constant - group, words, constants))
        weight, constant = weight + layer.depth, constant + 1

    bench.results.clear()
    lasts, expected, forming, formed = [], [], 0, 0
    loading = {"load_weight": list(plan[0][4]), "load_constant": list(plan[0][5])}

    def load() -> dict[str, int]:
        return {name: words.pop(0) for name, words in loading.items() if words}

    for index, (layer, group, weight, constant, *_) in enumerate(plan):
        while any(loading.values()):
            await bench.step(**load())
        after = plan[index + 1] if index + 1 < len(plan) else None
        # A ring that is full must not be written while its words are used.
        early = after and layer.depth + after[0].depth <= CONFIG.weight_words
        if after:
            loading = {"load_weight": list(after[4]) if early else [], "load_constant": list(after[5])}
        for op, words in layer.ops(group, weight, constant):
            while not next(gaps):
                await bench.step(**load())
            await bench.op(op, words, **load())
            formed += int(dut.forming.value)
            forming += words is not None
            if words is not None and op["last"]:
                count = op["pixels"].bit_count()
                lasts += [bench.cycle - 1 + LATENCY + n for n in range(count)]
        expected += layer.words(group)
        if after and not early:
            loading["load_weight"] = list(after[4])
    while bench.cycle <= lasts[-1]:
        await bench.step()
    for _ in range(PIXELS):
        await bench.step()
    assert formed == forming
    assert [cycle for cycle, _ in bench.results] == lasts, f"{case}: words in other cycles than {LATENCY} after their ops"
    for n, ((_, bits), (word, flags)) in enumerate(zip(bench.results, expected, strict=True)):
        got = RESULT.from_bits(bits)
        assert got.data == word, f"word {n}: {got.data:x}, not {word:x}: {case}"
        assert all(got[name] == int(value) for name, value in flags.items()), f"word {n}: {got}, not {flags}: {case}"


@cocotb.test()
async def drawn(dut) -> None:
    await start(dut)
    bench = Bench(dut, random.Random(1))
    for case in cases():
        await run(bench, case)
