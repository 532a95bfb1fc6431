"""cocotb tests of the writeback: every word where it belongs, with its residual sum and its mark, at any pace."""

import itertools
import os
import random
from collections import deque

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb_bench import PATTERNS, cases, pack, start
from test_writeback import CONFIGS

from narrows.golden import kernels
from narrows.hw.activations.address_generator import WalkFields
from narrows.hw.activations.memory import ANSWER_LATENCY, activation_read
from narrows.hw.activations.ports import activation_write
from narrows.hw.writeback.residual_fields import ResidualFields
from narrows.hw.writeback.writeback import DEPTH, Ends

CONFIG = CONFIGS[os.environ["CONFIG"]]
GROUP, PIXELS = CONFIG.group, CONFIG.pixels
RESULT = data.StructLayout({"data": 8 * GROUP, "ends": Ends})
WRITE, READ = activation_write(CONFIG), activation_read(CONFIG)
ALWAYS = dict.fromkeys(("words", "reads", "answers", "pressure"), "always")


class Block:
    """The words of a block, in and out, and where its shortcut lies."""

    def __init__(self, case: dict):
        rng = np.random.default_rng(case["seed"])
        info = np.iinfo(case["dtype"])
        count = sum(case["segments"]) * case["slices"] * case["groups"]
        words, shortcut = (rng.integers(info.min, info.max, (count, GROUP), endpoint=True).astype(case["dtype"]) for _ in "ab")
        z1, z2, zero = (int(z) for z in rng.integers(info.min, info.max, 3, endpoint=True))
        m1, m2, mo = (int(m) for m in rng.integers(1 << 30, 1 << 31, 3))
        s1, s2, so = int(rng.integers(-3, 1)), int(rng.integers(-3, 1)), int(rng.integers(-19, -15))
        limits = {"zero_point": zero, "lo": int(info.min), "hi": int(info.max)}
        self.fields = {
            "enable": case["residual"], "signed": case["dtype"] == "int8", "z1": z1, "z2": z2, "m1": m1, "m2": m2, "mo": mo,
            "s1": s1, "s2": s2, "so": so, "range": limits,
        }  # fmt: skip
        sums = kernels.add(words, shortcut, (z1, z2), (m1, s1), (m2, s2), (mo, so), **limits) if case["residual"] else words
        self.input, self.reads, self.answers, self.output = [], [], [], []
        for n, (piece, group, pixel, length, ends) in enumerate(self.places(case)):
            self.input.append({"data": number(words[n]), "ends": dict(zip(("end_group", "end_segment", "end_slice"), ends))})
            self.answers.append(number(shortcut[n]))
            for name, places in (("output", self.output), ("shortcut", self.reads)):
                region = case[name]
                at = pixel // PIXELS * region["stride"] % region["size"] + piece * case["groups"] + group
                places.append((pixel % PIXELS, region["base"] + at))
            # A segment's pixels are complete with the last slice's last word of them.
            mark = length if ends[1] and piece == case["slices"] - 1 else 0
            self.output[-1] = (*self.output[-1], number(sums[n]), mark)

    @staticmethod
    def places(case: dict):
        """(slice, group, pixel, segment's pixels, ends) of every word in order."""
        firsts = list(itertools.accumulate(case["segments"], initial=0))
        for piece in range(case["slices"]):
            for first, end in itertools.pairwise(firsts):
                for group in range(case["groups"]):
                    for pixel in range(first, end):
                        ends = [pixel == end - 1]
                        ends.append(ends[0] and group == case["groups"] - 1)
                        ends.append(ends[1] and end == firsts[-1])
                        yield piece, group, pixel, end - first, [int(e) for e in ends]


def number(word: np.ndarray) -> int:
    return int.from_bytes(word.tobytes(), "little")


async def run(dut, case: dict, *, full: bool = False) -> list[int]:
    """A block, all of it checked. Returns the cycles of its words. With ``full``, nothing leaves before ``DEPTH`` are in."""
    block, rng = Block(case), random.Random(case["seed"])
    paces = {name: PATTERNS[pace](random.Random(f"{name} {case['seed']}")) for name, pace in case["paces"].items()}
    dut.residual.value = pack(ResidualFields, block.fields)
    for name in ("output", "shortcut"):
        getattr(dut, name).value = pack(WalkFields, case[name] | {"groups": case["groups"]})
    dut.slices.value = case["slices"]
    await FallingEdge(dut.clk)
    dut.start.value = 1
    await FallingEdge(dut.clk)
    dut.start.value = 0

    sent, took, cycles, asked, asking = 0, 0, [], deque(), None
    answered, offered = 0, None
    for cycle in range(100_000):
        # The array's word, if there is room; a queue that lost count of it would lose it.
        sending = sent < len(block.input) and sent - took < DEPTH and next(paces["words"])
        dut.i_valid.value = int(sending)
        dut.i.value = pack(RESULT, block.input[sent]) if sending else rng.getrandbits(8 * GROUP + 3)
        sent += sending
        answering = bool(asked) and asked[0] <= cycle and (next(paces["answers"]))
        dut.answer.value = int(answering)
        dut.answer_data.value = block.answers[answered] if answering else rng.getrandbits(8 * GROUP)
        if answering:
            asked.popleft()
            answered += 1
        reading = next(paces["reads"])
        dut.read__ready.value = int(reading)
        taking = next(paces["pressure"]) and (not full or sent - took == DEPTH or sent == len(block.input))
        dut.o__ready.value = int(taking)
        await ReadOnly()
        if dut.read__valid.value:
            assert case["residual"], "a shortcut is fetched though there is none"
            request = READ.from_bits(int(dut.read__payload.value))
            index = answered + len(asked)
            assert asking is None or asking == (request.bank, request.address), "a request changed"
            assert (request.bank, request.address) == block.reads[index], f"shortcut {index} of {case}"
            asking = None if reading else (request.bank, request.address)
            if reading:
                asked.append(cycle + ANSWER_LATENCY)
        else:
            assert asking is None, "a request vanished"
        assert bool(dut.written.value) == bool(dut.o__valid.value and taking)
        if dut.o__valid.value:
            bits = int(dut.o__payload.value)
            assert offered is None or bits == offered, "an offered word changed"
            offered = None if taking else bits
            if taking:
                word = WRITE.from_bits(bits)
                got = word.bank, word.address, word.data, word.mark
                assert got == block.output[took], f"word {took}: {got}, not {block.output[took]}: {case}"
                took += 1
                cycles.append(cycle)
        else:
            assert offered is None, "an offered word vanished"
        await FallingEdge(dut.clk)
        if took == len(block.output) and not asked:
            break
    else:
        raise AssertionError(f"{took} of {len(block.output)} words after {cycle} cycles: {case}")
    dut.i_valid.value = dut.answer.value = 0
    for _ in range(8):
        await FallingEdge(dut.clk)
        assert not dut.o__valid.value and not dut.read__valid.value
    return cycles


async def setup(dut) -> None:
    for name in ("start", "i_valid", "answer", "read__ready", "o__ready"):
        getattr(dut, name).value = 0
    await start(dut)


@cocotb.test()
async def drawn(dut) -> None:
    await setup(dut)
    for case in cases():
        await run(dut, case["block"])


LARGE = {
    "slices": 2, "groups": 3, "segments": [16, 16, 16, 7], "dtype": "int8", "paces": ALWAYS, "seed": 3,
    "output": {"base": 7, "size": 6 * 8, "stride": 6}, "shortcut": {"base": 900, "size": 8 * 9, "stride": 8},
}  # fmt: skip


@cocotb.test()
@cocotb.parametrize(residual=[False, True])
async def rate(dut, residual: bool) -> None:
    """Nothing but the residual's lanes limits the pace."""
    await setup(dut)
    cycles = await run(dut, LARGE | {"residual": residual})
    step = CONFIG.sum_cycles if residual else 1
    assert {after - before for before, after in itertools.pairwise(cycles)} == {step}


@cocotb.test()
@cocotb.parametrize(reads=["half", "rare", "alternating"], answers=["half", "rare", "bursts"])
async def requests_stay(dut, reads: str, answers: str) -> None:
    """A request is on offer until it is taken, also where answers are slower than requests and words pile up."""
    await setup(dut)
    await run(dut, LARGE | {"residual": True, "paces": ALWAYS | {"reads": reads, "answers": answers}})


@cocotb.test()
@cocotb.parametrize(residual=[False, True])
async def holds_its_depth(dut, residual: bool) -> None:
    """``DEPTH`` words that nobody takes are kept, whatever the pace of the answers."""
    await setup(dut)
    for pace in PATTERNS:
        await run(dut, LARGE | {"residual": residual, "paces": ALWAYS | {"answers": pace}}, full=True)
