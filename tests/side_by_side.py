"""Threads that run at the same time, for tests of what they share."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds after which threads change places: so few that what is not held together comes apart in a few rounds.
SWITCH = 1e-5


@contextmanager
def switching() -> Iterator[None]:
    """Threads change places that often inside."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def together(*works: Callable[[], None]) -> list[BaseException | None]:
    """Run ``works`` in threads that start at once; what each of them raised."""
    ends: list[BaseException | None] = [None] * len(works)
    start = threading.Barrier(len(works))

    def run(number: int) -> None:
        start.wait()
        try:
            works[number]()
        except BaseException as error:  # noqa: BLE001 - it is looked at in the test
            ends[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(works))]
    with switching():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return ends
