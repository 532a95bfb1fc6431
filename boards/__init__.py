"""Boards: pins, clocks and programming of real hardware. Empty today: no board has been tried.

The gateware a board will run is :class:`narrows.hw.top.Top`, the one that is simulated. A board file adds what differs:

- the platform (its pins, from amaranth-boards where it is there) and the SDRAM part;
- a PLL for engine and SDRAM, and the phase of the clock that the SDRAM gets;
- a host link that drives ``Top.bus`` and fills external memory;
- a device for :mod:`narrows.device`'s work over that link.

``docs/add-a-board.md`` goes through them.
"""
