"""The queue in block RAM (hw/queue.py), against a list."""

import pytest
from cocotb_harness import run_cocotb

from narrows.hw.queue import Queue


@pytest.mark.parametrize("depth", [4, 16])
def test_queue(depth: int) -> None:
    run_cocotb(Queue(width=11, depth=depth), "bench_queue", env={"DEPTH": depth})


def test_refuses_odd_depths() -> None:
    with pytest.raises(ValueError, match="power of two of words, 4 or more, not 6"):
        Queue(width=8, depth=6)
