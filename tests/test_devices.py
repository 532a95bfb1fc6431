"""`narrows devices`: which serial ports are asked, and what is said of them."""

from __future__ import annotations

import os
import pty
import threading
from types import SimpleNamespace

import pytest
from engine_model import EngineModel
from test_board_device import made
from typer.testing import CliRunner

from narrows.cli import main as cli
from narrows.device import find as devices
from narrows.device.device import Device
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.link.frame import LinkError


def port(device: str, vid: int | None, pid: int | None, product: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(device=device, vid=vid, pid=pid, product=product, description="n/a")


@pytest.fixture
def terminal():
    """A board at a pseudo-terminal: a serial port to pyserial."""
    ours, theirs = pty.openpty()
    program, network = made()
    board = EngineModel((program, network))

    def run() -> None:
        while True:
            try:
                os.write(ours, board.receive(os.read(ours, 4096)))
            except OSError:
                return

    threading.Thread(target=run, daemon=True).start()
    yield SimpleNamespace(path=os.ttyname(theirs), board=board, program=program, network=network)
    os.close(theirs)
    os.close(ours)


def test_what_is_listed(terminal, monkeypatch: pytest.MonkeyPatch):
    """FTDI's converters are asked, other ports are left alone; a port that can't be opened says why."""
    ports = [
        port("/dev/nowhere", 0x0403, 0x6015, "ULX3S FPGA 85K v3.0.8"), port(terminal.path, 0x0403, 0x6010),
        port("/dev/modem", 0x1234, 0x6015), port("/dev/ttyS0", None, None),
    ]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: ports)
    sim, first, second = devices.find_devices()
    assert sim == {"device": "sim", "kind": "the gateware, simulated here", "answers": True}
    assert (first["device"], first["kind"], first["answers"]) == ("/dev/nowhere", "FT231X, ULX3S FPGA 85K v3.0.8", False)
    assert "can't be opened" in first["problem"]
    assert (second["device"], second["answers"], second["engine"]) == (terminal.path, True, terminal.board.digest)
    assert second["memory_bytes"] == 1 << 22 and not second["known"]
    terminal.board.digest = EngineConfig().digest
    assert devices.find_devices([terminal.path])[1]["known"]
    shown = CliRunner(env={"COLUMNS": "140", "NO_COLOR": "1"}).invoke(cli.app, ["devices"]).stdout
    for words in ("sim", "ready", "ULX3S FPGA 85K", "can't be opened", f"engine {EngineConfig().digest} at 133 MHz, 4 MB"):
        assert words in shown


def test_a_port_that_nobody_answers_at(monkeypatch: pytest.MonkeyPatch):
    ours, theirs = pty.openpty()
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [port(os.ttyname(theirs), 0x0403, 0x6001)])
    row = devices.find_devices()[1]
    assert not row["answers"] and "does not answer" in row["problem"]
    os.close(theirs)
    os.close(ours)


def test_the_driver_at_a_serial_port(terminal):
    """As at a socket; and no second program may open it meanwhile."""
    from test_board_device import pictures, right

    with Device.open(terminal.path, config=terminal.program.plan.config) as device:
        device.load(terminal.program)
        for picture in pictures(2, terminal.network):
            assert right(terminal.network, picture, device.run(picture).output)
        with pytest.raises(LinkError, match="can't be opened: the board is busy with another client, for another program has the port"):
            Device.open(terminal.path, config=terminal.program.plan.config)


@pytest.mark.parametrize(("url", "message"), [
    ("socket://localhost:1", "socket://localhost:1 can't be opened"), ("/dev/nowhere", "/dev/nowhere can't be opened"),
    ("nonsense://x", "nonsense://x can't be opened"),
    ("socket://localhost", "localhost can't be opened: it names no port; give it as socket://host:port, socket://localhost:7000 for"),
    ("socket://localhost:0", "socket://localhost:0 can't be opened: it names no port"),
    ("socket://:7000", "socket://:7000 can't be opened: it names no host"),
    ("socket:7000", "socket:7000 can't be opened: it names no host"),
    ("socket://localhost:70000", "socket://localhost:70000 can't be opened: Port out of range 0-65535; give it as socket://host:port"),
    ("socket://localhost:seven", "socket://localhost:seven can't be opened: .*; give it as socket://host:port"),
])  # fmt: skip
def test_what_is_not_there(url: str, message: str):
    with pytest.raises(NarrowsError, match=message):
        Device.open(url)
    with pytest.raises(NarrowsError, match="A waveform is of the simulation in this process"):
        Device.open(url, waveform="out.vcd")
