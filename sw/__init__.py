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
6. ``device``: loads and starts it on the simulated board, reads bytes and counters back; ``link``, ``link_session``, ``link_frame``: the
   same for a board at a serial line;
7. ``cycles`` and ``cycles_*``: what those counters will say, without running it.

``docs/exactness.md`` says how they are held to each other.
"""
