"""A program's packets as they are put together: see :mod:`narrows.hw.control.program_reader` for what they look like."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from narrows.hw.config import EngineConfig
from narrows.hw.control.program_reader import WIDE, Kind, header, lane_bytes, lanes


@dataclass
class Packets:
    """Packets in order (``parts``), and how many memory words of each kind they bring (``counts``)."""

    config: EngineConfig
    parts: list[bytes] = field(default_factory=list)
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))

    def put(self, kind: Kind, entries: np.ndarray | bytes, *, zero_point: int = 0, signed: bool = False) -> None:
        """A packet (or more, if the count is large) of whole memory words."""
        body = entries if isinstance(entries, bytes) else entries.tobytes()
        size = lanes(self.config, kind) * lane_bytes(self.config, kind)
        count, rest = divmod(len(body), size)
        assert not rest, f"{len(body)} bytes are not whole words of {size}"
        self.counts[WIDE.get(kind, kind)] += count
        for start in range(0, count, 0xFFFF):
            part = min(0xFFFF, count - start)
            self.parts += [header(kind, part, zero_point=zero_point, signed=signed), body[start * size : (start + part) * size]]

    def append(self, other: Packets) -> None:
        """All packets of ``other``."""
        self.parts += other.parts
        for kind, count in other.counts.items():
            self.counts[kind] += count
