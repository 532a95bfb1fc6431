"""The queues, in block RAM and short ones (hw/parts/queue.py), against a list."""

import pytest
from cocotb_harness import run_cocotb

from narrows.hw.parts.queue import Queue, ShortQueue


@pytest.mark.parametrize(("form", "depth"), [(Queue, 4), (Queue, 16), (ShortQueue, 4), (ShortQueue, 32)])
def test_queue(form: type, depth: int) -> None:
    run_cocotb(form(width=11, depth=depth), "bench_queue", env={"FORM": form.__name__, "DEPTH": depth})


def test_refuses_odd_depths() -> None:
    with pytest.raises(ValueError, match="power of two of words, 4 or more, not 6"):
        Queue(width=8, depth=6)
    with pytest.raises(ValueError, match="holds 4, 8, 16 or 32 words, not 64"):
        ShortQueue(width=8, depth=64)
