"""cocotb tests of the line writer with the banks behind it, against the address formula."""

import os
import random

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import PATTERNS, cases, pack, start

from narrows.hw.depthwise.line_buffer import READ_LATENCY, LineFields

BITS = 8 * int(os.environ["GROUP"])


@cocotb.test()
async def drawn(dut) -> None:
    """After every cycle: each pixel that counts as expanded can be read where it belongs, unless one came over it."""
    await start(dut)
    for case in cases():
        rng = random.Random(case["seed"])
        active = PATTERNS[case["idle"]](rng)
        width, groups, limit = (case["tensor"][name] for name in ("width", "groups", "limit"))
        dut.fields.value = pack(LineFields, {"width": width - 1, "groups": groups, "limit": limit})
        words, first = [], 0
        for length in case["segments"]:
            for group in range(groups):
                ends = [at == length - 1 for at in range(length)]
                words += [(first + at, group, end, end and group == groups - 1) for at, end in enumerate(ends)]
            first += length

        await FallingEdge(dut.clk)
        dut.start.value = 1
        await FallingEdge(dut.clk)
        dut.start.value = 0
        complete = [0] * 2  # pixels complete after the words of the cycle before the last, and of the last
        place: dict[tuple[int, int], tuple[int, int]] = {}  # pixel and word last sent to a place
        reads: list[list[tuple[int, int]]] = [[] for _ in range(READ_LATENCY)]  # banks and what their addresses should find
        while words or complete[0] != first:
            assert int(dut.expanded.value) == complete[0]
            for bank, want in reads.pop(0):
                assert int(getattr(dut, f"read__{bank}").value) == want, f"bank {bank} in {case}"

            # Read what is there, preferably the newest pixel.
            asked = []
            for bank in range(3):
                inside = [where for where, (pixel, _) in place.items() if where[0] == bank and pixel < complete[0]]
                if inside:
                    where = max(inside, key=lambda at: place[at][0]) if rng.random() < 0.5 else rng.choice(inside)
                    getattr(dut, f"address__{bank}").value = where[1]
                    asked.append((bank, place[where][1]))
            reads.append(asked)

            done = complete[-1]
            sending = bool(words) and next(active)
            dut.valid.value = int(sending)
            if sending:
                pixel, group, end_group, end_segment = words.pop(0)
                word = rng.getrandbits(BITS)
                row, column = divmod(pixel, width)
                place[row % 3, (row // 3 * width + column) * groups % limit + group] = (pixel, word)
                dut.data.value, dut.end_group.value, dut.end_segment.value = word, int(end_group), int(end_segment)
                done += group == groups - 1
            complete = [*complete[1:], done]
            await FallingEdge(dut.clk)
