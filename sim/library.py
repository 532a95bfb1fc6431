"""The compiled simulation as a library: its functions, called by one thread at a time, and its end."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import Any

from narrows.errors import NarrowsError
from narrows.sim.watch import CInterval

_Handle = ctypes.c_void_p
_Address = ctypes.c_uint64
_SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "create": (_Handle, (ctypes.POINTER(ctypes.c_uint64), ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64)),
    "destroy": (None, (_Handle,)),
    "bus_write": (None, (_Handle, ctypes.c_uint8, ctypes.c_uint32)),
    "bus_read": (ctypes.c_uint32, (_Handle, ctypes.c_uint8)),
    "run": (ctypes.c_uint64, (_Handle, ctypes.c_uint64, ctypes.c_int)),
    "cycle": (ctypes.c_uint64, (_Handle,)),
    "pins": (ctypes.c_uint64, (_Handle,)),
    "send": (None, (_Handle, ctypes.c_char_p, ctypes.c_uint64)),
    "receive": (ctypes.c_uint64, (_Handle, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64)),
    "done": (ctypes.c_int, (_Handle,)),
    "busy": (ctypes.c_int, (_Handle,)),
    "violation": (ctypes.c_char_p, (_Handle,)),
    "stopped": (ctypes.c_char_p, (_Handle,)),
    "blocks": (ctypes.c_uint64, (_Handle, ctypes.POINTER(ctypes.c_uint64), ctypes.c_uint64)),
    "watch": (None, (_Handle, ctypes.POINTER(ctypes.c_uint64), ctypes.c_uint64, ctypes.c_uint64)),
    "watched": (ctypes.c_uint64, (_Handle, ctypes.POINTER(CInterval), ctypes.c_uint64)),
    "memory_size": (ctypes.c_uint64, (_Handle,)),
    "load": (None, (_Handle, _Address, ctypes.c_char_p, ctypes.c_uint64)),
    "read": (None, (_Handle, _Address, ctypes.c_char_p, ctypes.c_uint64)),
}


class SimulationError(NarrowsError):
    """The simulated system did something a board would not survive, or never came to an end."""


class Library:
    """The functions of ``sim/harness.cpp`` in the file ``path``, for one simulation, made with the ``arguments`` of ``create``.

    They know nothing of threads, and Python lets others run while they work: so every call holds ``lock``, which may be held for several.
    """

    def __init__(self, path: Path, *arguments: object) -> None:
        self.lock, self._closing = threading.RLock(), False
        self._library = ctypes.CDLL(str(path))
        for name, (result, types) in _SIGNATURES.items():
            function = getattr(self._library, f"narrows_{name}")
            function.restype, function.argtypes = result, types
        self._handle = self._library.narrows_create(*arguments)

    def call(self, name: str, *arguments: object) -> Any:
        """What function ``name`` says. Raises :class:`SimulationError` after :meth:`close`."""
        with self.lock:
            if self._handle is None or self._closing:
                raise SimulationError("The simulation is closed.")
            return getattr(self._library, f"narrows_{name}")(self._handle, *arguments)

    def close(self) -> None:
        """End the simulation, after the call that is under way."""
        self._closing = True  # a thread that makes call after call would not let this one have the lock
        with self.lock:
            if self._handle is not None:
                self._library.narrows_destroy(self._handle)
                self._handle = None
