"""Narrows: a streaming, bit-exact int8 MobileNetV2 accelerator for FPGAs.

This package is the host's side; :mod:`narrows.hw` is the gateware, :mod:`narrows.sim` the simulated board. The command line
(``narrows.cli``) is a thin shell over :mod:`narrows.api`: start there, and follow a file through the rooms:

1. ``tflite``, ``importer``: from a ``.tflite`` to a ``graph`` of a few kinds of layers, or a refusal that says why and what to do;
2. ``golden``: what every byte has to be, in NumPy; its ``oracle`` is TensorFlow Lite itself, for tests;
3. ``graph.blocks``: which layers the engine runs as one operation;
4. ``schedule``, ``plan``: how each block runs and where its tensors lie;
5. ``program``: the bytes of a program, in the order the engine uses them; ``compiler``: all of that in one call, or why not;
6. ``device``: the driver, :class:`narrows.Device`, of every board there is, over a ``link`` or in this process, and a network on it
   that is used like TensorFlow Lite's interpreter;
7. ``cycles``: what the engine's counters will say, without running it; ``report``: what they said.

``docs/architecture.md`` has a map of all folders, ``docs/exactness.md`` says how they are held to each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.device.device import Device
    from narrows.device.interpreter import Interpreter

__all__ = ["Device", "Interpreter", "__version__"]


def __getattr__(name: str) -> Any:
    """The public names, made when they are asked for: the gateware's modules need none of this."""
    if name == "__version__":
        from importlib.metadata import version

        return version("narrows")
    if name == "Device":
        from narrows.device.device import Device

        return Device
    if name == "Interpreter":
        from narrows.device.interpreter import Interpreter

        return Interpreter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
