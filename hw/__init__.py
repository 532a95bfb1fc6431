"""The gateware: a whole board's logic, described in Amaranth.

Start with :mod:`~narrows.hw.config` (what an engine is made of) and the drawing in ``docs/architecture.md``, then read
:mod:`~narrows.hw.engine`: it holds no logic of its own but how the units are joined. From there, along the data's way:

- :mod:`~narrows.hw.system`: what a board instantiates: the serial line and the host's commands (:mod:`~narrows.hw.link`), and all
  the rest;
- :mod:`~narrows.hw.top`: engine, memory controller, counters and the host's registers;
- :mod:`~narrows.hw.control`: what the engine is told, block by block;
- :mod:`~narrows.hw.stem`, :mod:`~narrows.hw.activations`: the picture and whole tensors in and out, and where thin tensors lie;
- :mod:`~narrows.hw.array`, :mod:`~narrows.hw.arithmetic`: the 1x1 convolutions, expand and project, and requantisation;
- :mod:`~narrows.hw.depthwise`: the wide interior and its filter;
- :mod:`~narrows.hw.writeback`: project's results and the shortcut;
- :mod:`~narrows.hw.dram`: external memory; :mod:`~narrows.hw.parts`: the chip's own parts.

``*fields`` modules check and compute on the host what a unit's registers hold. Every unit has a test of the same name:
``tests/test_array.py`` draws the cases, ``tests/bench_array.py`` runs inside the simulator.
"""
