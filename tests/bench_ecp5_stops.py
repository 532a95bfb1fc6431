"""cocotb tests that end the simulation: what a block RAM must not be asked."""

import cocotb
from bench_ecp5_cells import idle
from cocotb.triggers import FallingEdge
from cocotb_bench import start
from ecp5_cells import PORT, RAMS

REGISTERED = RAMS.index(("DP16KD", 18, 18, "OUTREG", "NORMAL", True))
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
async def both_write(dut) -> None:
    await ask(dut, REGISTERED, a={"address": WORD | 3, "write": 1}, b={"address": WORD | 1, "write": 1})


@cocotb.test()
async def harmless(dut) -> None:
    """Another word, other bytes of the word, a port that is not enabled."""
    write = {"address": WORD | 3, "write": 1}
    await ask(dut, REGISTERED, a=write, b={**write, "address": (WORD | 3) + 16})
    await ask(dut, REGISTERED, a={**write, "address": WORD | 1}, b={**write, "address": WORD | 2})
    await ask(dut, REGISTERED, a=write, b={**write, "enable": 0})
