"""The gateware: a whole board's logic, described in Amaranth.

Start with :mod:`~narrows.hw.config` (what an engine is made of) and the drawing in ``docs/architecture.md``, then read
:mod:`~narrows.hw.engine`: it holds no logic of its own but how the units are joined. From there, along the data's way:

- :mod:`~narrows.hw.system`: what a board instantiates: the serial line (:mod:`~narrows.hw.uart`), the host's commands
  (:mod:`~narrows.hw.link`) and all the rest;
- :mod:`~narrows.hw.top`: engine, memory controller, counters and the host's registers;
- :mod:`~narrows.hw.program`, :mod:`~narrows.hw.descriptor`, :mod:`~narrows.hw.control`: what the engine is told, block by block;
- :mod:`~narrows.hw.stem`, :mod:`~narrows.hw.activation_stream`: the picture and whole tensors in and out;
- :mod:`~narrows.hw.activation_memory`, :mod:`~narrows.hw.walker`: where thin tensors lie;
- :mod:`~narrows.hw.passes`, :mod:`~narrows.hw.array`, :mod:`~narrows.hw.requantise`: the 1x1 convolutions, expand and project;
- :mod:`~narrows.hw.line_buffer`, :mod:`~narrows.hw.depthwise`: the wide interior and its filter;
- :mod:`~narrows.hw.writeback`, :mod:`~narrows.hw.residual`: project's results and the shortcut;
- :mod:`~narrows.hw.dma`, :mod:`~narrows.hw.sdram`: external memory.

``*_fields`` functions check and compute on the host what a unit's registers hold. Every unit has a test of the same name:
``tests/test_array.py`` draws the cases, ``tests/bench_array.py`` runs inside the simulator.
"""
