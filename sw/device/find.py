"""What boards there may be: serial ports that look like one, and what is on them if it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from narrows.device.board import find_config
from narrows.errors import NarrowsError
from narrows.hw.system import BAUD
from narrows.link.client import open_link

#: FTDI, and its converters that boards carry: FT232R, FT2232, FT4232, FT232H and FT231X.
_FTDI, _CONVERTERS = 0x0403, {0x6001: "FT232R", 0x6010: "FT2232", 0x6011: "FT4232", 0x6014: "FT232H", 0x6015: "FT231X"}

#: Seconds in which a board answers, many times over.
_PATIENCE = 0.05


def find_devices(urls: Sequence[str] = (), *, baud: int = BAUD) -> list[dict[str, Any]]:
    """What ``narrows run --on`` can be given: "sim", ``urls``, and the serial ports behind converters of the kind boards have.

    Each is asked who it is: ``device``, ``kind``, ``answers``, and then ``engine`` (the digest), ``clock_mhz``, ``memory_bytes`` and
    ``known`` (a built-in engine, so no --config is needed), or ``problem``.
    """
    from serial.tools import list_ports

    rows: list[dict[str, Any]] = [{"device": "sim", "kind": "the gateware, simulated here", "answers": True}]
    rows += [{"device": url, "kind": "as given"} | _ask(url, baud, None) for url in urls]
    for port in sorted(list_ports.comports(), key=lambda port: port.device):
        if port.vid == _FTDI and port.pid in _CONVERTERS:
            kind = f"{_CONVERTERS[port.pid]}, {port.product or 'without a name'}"
            rows.append({"device": port.device, "kind": kind} | _ask(port.device, baud, _PATIENCE))
    return rows


def _ask(url: str, baud: int, patience: float | None) -> dict[str, Any]:
    try:
        with open_link(url, baud=baud, patience=patience) as link:
            identity = link.identity
    except NarrowsError as error:
        return {"answers": False, "problem": str(error)}
    try:
        find_config(identity)
        known = True
    except NarrowsError:
        known = False
    return {
        "answers": True, "engine": identity.digest, "clock_mhz": identity.clock_hz / 1e6, "memory_bytes": identity.memory_bytes,
        "known": known,
    }
