"""The line to the simulated board, as the port that :class:`narrows.link.client.Link` talks through."""

from __future__ import annotations

from narrows.sim.simulator import Simulator


class LinkPort:
    """``read`` and ``write`` as pyserial's. Time passes in ``read`` alone: ``cycles`` of the board's clock at most."""

    timeout = 0.0
    #: The line takes no time; what a command takes is counted in cycles of the simulation.
    baudrate = 1_000_000_000

    def __init__(self, simulator: Simulator, *, cycles: int = 20_000) -> None:
        self._simulator, self._cycles = simulator, cycles

    def write(self, data: bytes, /) -> int:
        self._simulator.send(data)
        return len(data)

    def read(self, size: int, /) -> bytes:
        return self._simulator.receive(size, max_cycles=self._cycles)
