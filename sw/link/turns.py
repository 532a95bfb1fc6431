"""Turns at something that one thread at a time may use: who comes first is served first."""

from __future__ import annotations

import threading
from collections import deque

from narrows.errors import NarrowsError


class Turns:
    """A lock for a ``with`` block. Threads get it in the order they came, so none that takes turn after turn keeps others away for ever.

    A thread that has it and asks again would wait for itself: it gets a :class:`NarrowsError` about ``what``, which is in use.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()  # of the fields below; held for moments
        self._owner: int | None = None
        self._waiting: deque[tuple[int, threading.Lock]] = deque()

    @property
    def mine(self) -> bool:
        """Whether it is this thread's turn."""
        return self._owner == threading.get_ident()

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._lock:
            if self._owner == me:
                raise NarrowsError(f"{self._what} is in use by this very thread: a function that hears of progress must not use it, too.")
            if self._owner is None:
                self._owner = me
                return
            called = threading.Lock()
            called.acquire()
            self._waiting.append((me, called))
        try:
            called.acquire()  # until the one before hands over
        except BaseException:
            self._give_up(me, called)
            raise

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._hand_over()

    def _hand_over(self) -> None:
        self._owner = None
        if self._waiting:
            self._owner, called = self._waiting.popleft()
            called.release()

    def _give_up(self, me: int, called: threading.Lock) -> None:
        """Ctrl-C while waiting: perhaps the turn has come meanwhile."""
        with self._lock:
            if (me, called) in self._waiting:
                self._waiting.remove((me, called))
            else:
                self._hand_over()
