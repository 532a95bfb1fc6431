"""cocotb tests of Walker against the order its module describes."""

import os
import random

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import cases, pack, start

from narrows.hw.activations.address_generator import WalkFields, walk_fields

PIXELS = int(os.environ["PIXELS"])


def tensors():
    return [case["tensor"] for case in cases()]


def walk(case):
    """(bank, address, end_group, end_segment, end_slice) of every word, slice by slice."""
    base, stride, size = case["base"], case["stride"], case["places"] * case["stride"]
    groups = case["groups"]
    for part in range(case["slices"]):
        first = 0
        for number, length in enumerate(case["segments"], start=1):
            for group in range(groups):
                for pixel in range(first, first + length):
                    word = pixel // PIXELS * stride % size + part * groups + group
                    end_group = pixel == first + length - 1
                    end_segment = end_group and group == groups - 1
                    end_slice = end_segment and number == len(case["segments"])
                    yield pixel % PIXELS, base + word, end_group, end_segment, end_slice
            first += length


async def follow(dut, case, rng, pause: float, most: int | None = None) -> int:
    """Walk ``case``, or its first ``most`` words; ends at a falling edge. Returns the number of words."""
    fields = walk_fields(base=case["base"], size=case["places"] * case["stride"], stride=case["stride"], groups=case["groups"])
    dut.fields.value = pack(WalkFields, fields)
    await FallingEdge(dut.clk)
    dut.start.value = 1
    await FallingEdge(dut.clk)
    dut.start.value = 0
    dut.step.value = 0
    words = 0
    for bank, address, end_group, end_segment, end_slice in walk(case):
        if words == most:
            break
        while rng.random() < pause:
            # Without a step the ends mean nothing.
            for end in dut.end_group, dut.end_segment, dut.end_slice:
                end.value = rng.getrandbits(1)
            await FallingEdge(dut.clk)
        got = int(dut.bank.value), int(dut.address.value)
        assert got == (bank, address), f"word {words} of {case}: {got}, not {(bank, address)}"
        dut.step.value = 1
        dut.end_group.value, dut.end_segment.value, dut.end_slice.value = int(end_group), int(end_segment), int(end_slice)
        await FallingEdge(dut.clk)
        dut.step.value = 0
        words += 1
    return words


@cocotb.test()
@cocotb.parametrize(pause=[0.0, 0.5])
async def drawn(dut, pause: float) -> None:
    await start(dut)
    dut.step.value = 0
    rng = random.Random(PIXELS)
    assert sum([await follow(dut, case, rng, pause) for case in tensors()]) > 5000


@cocotb.test()
async def restarted(dut) -> None:
    """A start in the middle of a walk begins anew."""
    await start(dut)
    dut.step.value = 0
    rng = random.Random(PIXELS)
    for case in tensors():
        await follow(dut, case, rng, 0, most=rng.randint(1, 40))


@cocotb.test()
async def stepped_at_start(dut) -> None:
    """A step in the cycle of the start is overruled."""
    await start(dut)
    rng = random.Random(PIXELS)
    for case in tensors():
        await follow(dut, case, rng, 0, most=rng.randint(1, 10))
        dut.step.value = 1


@cocotb.test()
async def whole_memory(dut) -> None:
    """A region over all addresses, wrapping at their end."""
    await start(dut)
    dut.step.value = 0
    case = {"base": 0xFFFF - 6 * 9 + 1, "stride": 9, "groups": 3, "slices": 3, "places": 6, "segments": [7, 1, 9, 23]}
    assert max(address for _, address, *_ in walk(case)) == 0xFFFF
    await follow(dut, case, random.Random(1), 0)
