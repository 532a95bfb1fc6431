"""`pytest --quick`, which `make quick` is: leaves out what takes minutes, for whoever changes a line.

A test is left out when it comes to a simulator, to a bitstream's tools or to a virtual board: no list of such tests has to be kept.
Those that are slow without are marked `long`.
"""

from __future__ import annotations

import cocotb_harness
import pytest
import virtual_board

from narrows import tools
from narrows.sim import build, simulator


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out the tests that simulate, synthesise, or are marked slow or long")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        build.build = simulator.build = _left_out
        cocotb_harness.run_cocotb = _left_out
        tools.Runner.run = _left_out
        virtual_board.Served.start = _left_out


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        items[:] = [item for item in items if not any(map(item.get_closest_marker, ("slow", "long")))]


def _left_out(*_: object, **__: object) -> None:
    pytest.skip("takes longer than --quick allows")
