"""One run of a program: what came out, and what the engine counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: What hears of progress: a line of words and the fraction done, 0 to 1.
Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Frame:
    """One run of a program: the engine's ``outputs``, for each image an array for each of the network's outputs, ``cycles`` from the start
    command to the last byte in external memory, and for each of the plan's runs the gateware's counters by the names of
    :mod:`narrows.hw.control.counters`. A program of a stream gives the outputs of the images of its run before.

    ``sent``: bytes of the next pictures that the host sent meanwhile. Over a line they go through the memory that the engine uses: they
    are among the words written, in whatever block they came, and may cost it cycles. With 0 all counters are the program's own."""

    outputs: tuple[tuple[np.ndarray, ...], ...]
    cycles: int
    blocks: tuple[dict[str, int], ...]
    sent: int = 0

    @property
    def output(self) -> np.ndarray:
        """The first image's last output, which is the only one of most networks."""
        return self.outputs[0][-1]
