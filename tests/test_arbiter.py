"""The arbiter's sizes; what it does is tested with readers and writers (test_dma.py)."""

from __future__ import annotations

import pytest

from narrows.hw.dram.arbiter import MemoryArbiter


@pytest.mark.parametrize(("sizes", "message"), [
    ({"readers": 2, "writers": 0}, "a writer or more, not 2 and 0"),
    ({"readers": 2, "writers": 1, "guests": 2}, "Of 2 readers and 1 writers 2 can't be guests"),
    ({"readers": 3, "writers": 1, "guests": 1, "patient": 3}, "Of 3 readers, 1 of them guests, 3 can't be patient"),
])
def test_refused_sizes(sizes: dict[str, int], message: str):
    with pytest.raises(ValueError, match=message):
        MemoryArbiter(**sizes)
