"""A cocotb test that makes the input of a single cell high: the simulation should not survive it."""

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import start


@cocotb.test()
async def high(dut) -> None:
    dut.input.value = 0
    await start(dut)
    dut.input.value = 1
    await FallingEdge(dut.clk)
