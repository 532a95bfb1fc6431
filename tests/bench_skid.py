"""cocotb tests of the skid buffer in test_cocotb_harness.py."""

import cocotb
from amaranth.hdl import signed
from amaranth.lib import data
from cocotb_bench import Sink, Source, all_patterns, cases, finish, start

PIXEL = data.StructLayout({"x": signed(5), "last": 1})


@cocotb.test()
@all_patterns
async def streams(dut, idle: str, pressure: str) -> None:
    await start(dut)
    source = Source(dut, "i", idle=idle)
    sink = Sink(dut, "o", pressure=pressure)
    words = [(i * 37) & 63 for i in range(50)]
    source.send(words)
    assert await sink.take(len(words)) == words
    await finish(dut, [source], [sink])


@cocotb.test()
async def full_rate(dut) -> None:
    await start(dut)
    source, sink = Source(dut, "i"), Sink(dut, "o")
    source.send(range(40))
    await sink.take(40)
    assert sink.cycles == list(range(1, 41))  # latency 1 cycle, then a word per cycle


@cocotb.test()
async def structured(dut) -> None:
    await start(dut)
    source, sink = Source(dut, "i", shape=PIXEL), Sink(dut, "o", shape=PIXEL)
    for case in cases():
        source.send({"x": x, "last": last} for x, last in case["pixels"])
        taken = await sink.take(len(case["pixels"]))
        assert [[word.x, word.last] for word in taken] == case["pixels"]
    await source.drained()
    await finish(dut, [source], [sink])
