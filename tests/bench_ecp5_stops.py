"""cocotb tests that end the simulation: what a block RAM must not be asked."""

import cocotb
from bench_ecp5_cells import idle
from cocotb.triggers import FallingEdge
from cocotb_harness import start
from ecp5_cells import PORT, RAMS

REGISTERED = RAMS.index(("DP16KD", 18, 18, "OUTREG", "NORMAL", True))
THROUGH = next(index for index, values in enumerate(RAMS) if values[4] == "WRITETHROUGH" and values[1] == 9)
WORD = 0b101 << 4


async def ask(dut, index: int, **words) -> None:
    """A cycle of RAM ``index``, then a few of nothing; the simulation should not survive it."""
    idle(dut)
    await start(dut, cycles=2)
    for name, word in words.items():
        getattr(dut, f"{name}__{index}").value = PORT.const({"output_enable": 1, "enable": 1, **word}).as_bits()
    await FallingEdge(dut.clk)
    idle(dut)
    for _ in range(3):
        await FallingEdge(dut.clk)


@cocotb.test()
async def a_reads_what_b_writes(dut) -> None:
    await ask(dut, REGISTERED, a={"address": WORD}, b={"address": WORD | 3, "write": 1})


@cocotb.test()
async def b_reads_what_a_writes(dut) -> None:
    await ask(dut, REGISTERED, a={"address": WORD | 2, "write": 1}, b={"address": WORD})


@cocotb.test()
async def both_write(dut) -> None:
    await ask(dut, THROUGH, a={"address": WORD, "write": 1}, b={"address": WORD, "write": 1})


@cocotb.test()
async def harmless(dut) -> None:
    """Another word, no byte of the word, a port that is not enabled."""
    await ask(dut, REGISTERED, a={"address": WORD | 3, "write": 1}, b={"address": WORD + 16})
    await ask(dut, REGISTERED, a={"address": WORD, "write": 1}, b={"address": WORD})
    await ask(dut, REGISTERED, a={"address": WORD | 3, "write": 1}, b={"address": WORD, "enable": 0})
