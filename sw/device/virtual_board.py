"""A virtual board: a board's gateware, its link included, simulated behind a TCP port that carries the line's bytes.

    with VirtualBoard(config, port=7000) as board:
        board.serve()

The bytes are those of a serial line, one for one; a line's pace is not kept: the board takes and gives bytes as fast as its
gateware can, and what passes on its clock is simulated. Without a client, or with nothing to do, its time stands still.
"""

from __future__ import annotations

import math
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.link.frame import TURNED_AWAY
from narrows.sim.simulator import Simulator, board

#: Cycles simulated between two looks at the network.
_SLICE = 2000

#: Bytes given to the board in a slice: no more than it can take, so that a client that sends too fast waits, and not memory fills.
_TAKEN = _SLICE // 4

#: Cycles after the last byte, with no program running, in which a command may still be carried out (a checksum of 64 KB takes
#: up to 300,000); then time passes slowly: a slice for each so many seconds.
_QUIET, _DOZE = 1_000_000, 0.05

#: Seconds for a client that is turned away to hear why: what it sent meanwhile would have the words thrown away otherwise.
_FAREWELL = 1.0

#: Seconds after which a client that takes no bytes is given up.
_STUCK = 10.0


class VirtualBoard:
    """Listens at ``host``:``port`` (0: any free one) for one client at a time; others hear that it is busy until that one leaves.

    ``config``: the engine, compiled unless it is cached. ``say`` hears of clients that come and go. The board keeps its memory when
    a client leaves, as a real one does. Raises :class:`NarrowsError` where a tool fails or the port can't be had.
    """

    def __init__(
        self, config: EngineConfig, *, host: str = "127.0.0.1", port: int = 0, say: Callable[[str], None] = lambda _words: None,
        progress: Callable[[str, float], None] | None = None,
    ) -> None:
        try:
            self._listener = socket.create_server((host, port))
        except (OSError, OverflowError) as error:
            raise NarrowsError(f"Port {port} of {host} can't be listened at ({error}): name another one with --port.") from None
        self._say = say
        self._client: socket.socket | None = None
        self._turned_away: list[tuple[float, socket.socket]] = []  # and when
        self._outgoing = b""  # what the client has not taken yet
        self._taken_at = 0.0  # when it last took something
        self._quiet = _QUIET
        try:
            self._simulator: Simulator = board(config, link=True, progress=progress)
        except BaseException:
            self._listener.close()
            raise

    @property
    def port(self) -> int:
        """The port it listens at."""
        return self._listener.getsockname()[1]

    @property
    def cycle(self) -> int:
        """Cycles simulated so far."""
        return self._simulator.cycle

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send everybody away and end the simulation."""
        self._leave("the board is switched off")
        self._forget(math.inf)
        self._listener.close()
        self._simulator.close()

    def serve(self) -> None:
        """Serve clients until an exception, that of Ctrl-C for instance."""
        while True:
            self.step()

    def step(self) -> None:
        """Look at the network, and simulate a slice of time if there is anything to do."""
        working = self._simulator.busy or self._quiet < _QUIET or bool(self._outgoing)
        sockets = [self._listener] if self._client is None else [self._client, self._listener]
        ready, _, _ = select.select(sockets, [], [], 0 if working else _DOZE)
        self._forget(time.monotonic())
        # The client first: one that has left makes room for the next when all that it sent has been taken.
        sent = self._client in ready
        if sent:
            self._receive()
        if self._listener in ready and not (sent and self._client is not None and _leaving(self._client)):
            self._accept()
        if working or self._client is not None:
            self._pass_time()

    def _pass_time(self) -> None:
        data = self._simulator.receive(1 << 16, max_cycles=_SLICE)
        self._quiet = 0 if data else min(self._quiet + _SLICE, _QUIET)
        if self._client is None:
            return  # nobody listens to the line
        if not self._outgoing:
            self._taken_at = time.monotonic()
        self._outgoing += data
        try:
            taken = self._client.send(self._outgoing) if self._outgoing else 0
        except BlockingIOError:
            taken = 0
        except OSError:
            self._leave("the client is gone")
            return
        if taken:
            self._outgoing, self._taken_at = self._outgoing[taken:], time.monotonic()
        elif self._outgoing and time.monotonic() - self._taken_at > _STUCK:
            self._leave("the client takes no bytes")

    def _receive(self) -> None:
        assert self._client is not None
        try:
            data = self._client.recv(_TAKEN)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._leave("the client has left")
            return
        self._simulator.send(data)
        self._quiet = 0

    def _accept(self) -> None:
        try:
            client, address = self._listener.accept()
        except OSError:
            return  # gone before it was seen
        if self._client is not None:
            self._say(f"{address[0]} is turned away: there is a client")
            self._turn_away(client)
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._client = client
        self._say(f"a client from {address[0]}")

    def _turn_away(self, client: socket.socket) -> None:
        """Tell ``client`` why; it is not listened to, and closed a little later."""
        client.setblocking(False)
        with suppress(OSError):
            client.send(TURNED_AWAY)
            client.shutdown(socket.SHUT_WR)
        self._turned_away.append((time.monotonic(), client))

    def _forget(self, now: float) -> None:
        """Close the connections of those who were turned away long before ``now``."""
        for since, client in list(self._turned_away):
            if now > since + _FAREWELL:
                client.close()
                self._turned_away.remove((since, client))

    def _leave(self, why: str) -> None:
        if self._client is not None:
            self._client.close()
            self._client, self._outgoing = None, b""
            self._say(why)


def _leaving(client: socket.socket) -> bool:
    """Whether ``client`` will send no more than what has come already; also where the system does not tell."""
    if not hasattr(select, "POLLRDHUP"):
        return True
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))
