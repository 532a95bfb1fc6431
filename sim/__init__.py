"""The simulated board: the gateware as it is, compiled to C++ by Verilator, around it a memory chip and a host.

Start with :mod:`~narrows.sim.simulator`; its docstring runs a program in six lines.

- :mod:`~narrows.sim.verilog`: the design as Verilog that simulates fast;
- :mod:`~narrows.sim.build`: compiles it once per content, into ``build/sim/``;
- :mod:`~narrows.sim.link_port`: the host link's line, in place of the register port;
- ``harness.cpp``: the clock, the register port or the line, the chip, a window of cycles as a waveform;
- ``sdram_chip.h``: a strict SDR SDRAM, which stops the simulation when the controller breaks a rule of the data sheet;
- :mod:`~narrows.sim.sdram_chip`: the same model in Python, for tests of the controller alone.

Nothing is left out to be fast: refresh, row misses and bus turnarounds cost what the chip's data sheet says. Only the wait
after power-up is shortened.
"""
