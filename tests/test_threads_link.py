"""Threads that share a link: each command has its own answer, and a port is closed when nobody reads it."""

from __future__ import annotations

import time
import zlib

import numpy as np
import pytest
from link_lines import Board, Line
from side_by_side import together

from narrows.errors import NarrowsError
from narrows.link.client import Link
from narrows.link.frame import LinkError


def test_a_link_of_many_threads():
    board = Board(1 << 16)
    line = Line(board)
    link = Link(line, patience=0.02, baud=10**9, clock=line.clock)

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(30):
            data = rng.bytes(2 * int(rng.integers(1, 800)))
            link.write_memory(8192 * number, data)
            assert link.read_memory(8192 * number, len(data)) == data
            assert link.checksum(8192 * number, len(data)) == zlib.crc32(data)
            link.write_register(100 + number, len(data))
            assert link.read_register(100 + number) == len(data)

    assert together(*(lambda number=number: work(number) for number in range(6))) == [None] * 6
    with pytest.raises(NarrowsError, match="The link is in use by this very thread"):
        link.write_memory(0, bytes(2000), progress=lambda *_: link.status())
    assert link.read_memory(0, 2) == bytes(2)
    link.close()
    for ask in (link.status, link.identify, lambda: link.write_memory(0, b"ab")):
        with pytest.raises(LinkError, match="The link is closed"):
            ask()


@pytest.mark.parametrize("here", [False, True], ids=["elsewhere", "inside"])
def test_a_link_that_is_closed_while_it_is_used(here: bool):
    """Its port is closed when nobody reads it any more."""
    board = Board(1 << 16)
    line, parts, closed = Line(board), [], []
    read = line.read

    def watched(size: int) -> bytes:
        while len(parts) >= 20 and not here and not link._session._closed:
            pass
        for _ in range(1000):  # time for who closes it in the middle of a read
            assert not closed, "closed while it is read"
            time.sleep(0)
        return read(size)

    line.read, line.close = watched, lambda: closed.append(1)
    link = Link(line, patience=0.02, baud=10**9, clock=line.clock)

    def use() -> None:
        while True:
            link.write_memory(0, bytes(4096), progress=lambda done, _: (parts.append(done), here and len(parts) > 20 and link.close()))

    def close() -> None:
        while len(parts) < 20:
            pass
        if not here:
            link.close()
            assert closed

    ends = together(use, close)
    assert isinstance(ends[0], LinkError) and "The link is closed" in str(ends[0]) and ends[1] is None and closed
