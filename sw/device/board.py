"""What a driver needs of a board, and how one at a line is found, opened and recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from narrows.errors import NarrowsError
from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig
from narrows.hw.dram.timing import PARTS
from narrows.hw.top import Status
from narrows.link.client import open_link
from narrows.link.frame import Identity, LinkError
from narrows.plan.plan import Plan

#: Looks at a board whose memory is not ready yet: after power-up that takes a fraction of a millisecond.
_LOOKS = 1000


class Board(Protocol):
    """What :class:`narrows.link.client.Link` and :class:`narrows.device.simulated_board.SimulatedBoard` have in common: see there."""

    identity: Identity

    def close(self) -> None: ...
    def pause(self) -> None: ...
    def watch(self, cycles: int, /) -> None: ...
    def read_registers(self, addresses: Sequence[int], /) -> list[int]: ...
    def read_counters(self, numbers: Sequence[int], /) -> list[int]: ...
    def write_memory(self, address: int, data: bytes, /) -> None: ...
    def read_memory(self, address: int, count: int, /) -> bytes: ...
    def upload(self, address: int, data: bytes, /, *, progress: Callable[[int, int], None] | None = None) -> int: ...
    def start(self, address: int, words: int, /) -> None: ...
    def reset(self) -> None: ...


def picture_bytes(plan: Plan, picture: np.ndarray) -> bytes:
    """A picture of the shape and type of the network's input as it lies in memory, which is of words of two bytes."""
    tensor = plan.blocks[0].block.input
    if picture.shape != tensor.shape or picture.dtype.name != tensor.dtype:
        raise NarrowsError(f"The picture is {picture.dtype} {list(picture.shape)}, the network takes {tensor.dtype} {list(tensor.shape)}.")
    data = np.ascontiguousarray(picture).tobytes()
    return data + bytes(len(data) % 2)


def size_words(count: int) -> str:
    """So many bytes for people: KB of 1000 and MB."""
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count / 1e3:.1f} KB"


def looks_like_a_port(name: str) -> bool:
    """Whether ``name`` may be a serial port or the address of one: a mistyped word is not."""
    return "://" in name or "/" in name or name.upper().startswith("COM")


def find_config(identity: Identity) -> EngineConfig:
    """The built-in engine that ``identity`` is of, at whatever clock and with whatever memory part, or :class:`NarrowsError`."""
    mhz = int(identity.clock_hz / 1e6)
    for base in (EngineConfig(), ECP5_85F_WIDE, ECP5_25F):
        for part in PARTS:
            for clock in (mhz, mhz + 1):
                config = replace(base, sdram=part, sdram_mhz=clock)
                if config.digest == identity.digest:
                    return config
    raise NarrowsError(
        f"The board's engine {identity.digest} is none of the built-in ones: name the file of settings it was built from (--config)."
    )


def open_board(url: str, *, baud: int, patience: float | None = None) -> Board:
    """The board at a serial port or behind a TCP port (:func:`narrows.link.client.open_link`).

    Its memory is ready and no program running: one that runs is of somebody who left, and ended.
    """
    link = open_link(url, baud=baud, patience=patience)
    try:
        if link.status() & Status.BUSY:
            link.reset()
        for _ in range(_LOOKS):
            if link.status() & Status.READY:
                return link
            link.pause()
        raise LinkError(f"The memory of the board at {url} does not become ready.")
    except BaseException:
        link.close()
        raise
