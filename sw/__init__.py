"""Narrows: a streaming, bit-exact int8 MobileNetV2 accelerator for FPGAs.

This package is the host's side; :mod:`narrows.hw` is the gateware, :mod:`narrows.sim` the simulated board. The command line
(``narrows.cli``) is a thin shell over :mod:`narrows.api`: start there, and follow a file through:

1. ``tflite_file``, ``importer``, ``lowering``, ``rules``: from a ``.tflite`` to a ``network`` of a few kinds of layers, or a refusal
   that says why and what to do;
2. ``golden`` with ``arithmetic``, ``kernels``, ``operators``: what every byte has to be, in NumPy; ``oracle``: TensorFlow Lite
   itself, for tests;
3. ``blocks``: which layers the engine runs as one operation;
4. ``planner``, ``plan``: how each block runs and where its tensors lie;
5. ``constants``, ``compiler``: the program, in the order the engine uses it;
6. ``board_device``: the driver, :class:`narrows.Device`, of every board there is; ``simulated_board``: one in this process; ``link``,
   ``link_session``, ``link_frame``, ``board_port``: one at a serial line; ``serve``: a virtual one behind a TCP port; ``interpreter``: a
   network on a device, used like TensorFlow Lite's;
7. ``cycles`` and ``cycles_*``: what those counters will say, without running it.

``docs/exactness.md`` says how they are held to each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.board_device import Device
    from narrows.interpreter import Interpreter

__all__ = ["Device", "Interpreter"]


def __getattr__(name: str) -> Any:
    """The public classes, imported when they are asked for: the gateware's modules need none of this."""
    if name == "Device":
        from narrows.board_device import Device

        return Device
    if name == "Interpreter":
        from narrows.interpreter import Interpreter

        return Interpreter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
