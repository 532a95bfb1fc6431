"""A TCP proxy that is a bad line: bytes changed, lost, doubled and put in, and connections that are cut inside of a frame."""

from __future__ import annotations

import random
import socket
import threading
from dataclasses import dataclass

from engine_model import cut

FLAG, ESCAPE, REPLY = 0x7E, 0x7D, 0x80


@dataclass
class Cut:
    """Cut the connection ``inside`` of so many bytes of the ``count``-th frame of command ``number``, or of its reply."""

    number: int
    replies: bool
    count: int = 1
    inside: int = 6
    done: bool = False


class _Scanner:
    """Where in a stream of frames the place of a cut is."""

    def __init__(self, cut: Cut) -> None:
        self.cut, self._content, self._escaped = cut, bytearray(), False

    def find(self, data: bytes) -> int | None:
        """How many of ``data`` come before it."""
        for place, byte in enumerate(data):
            if byte == FLAG:
                self._content.clear()
            elif byte == ESCAPE:
                self._escaped = True
            else:
                self._content.append(byte ^ 0x20 if self._escaped else byte)
                self._escaped = False
            content, wanted = self._content, self.cut.number | (REPLY if self.cut.replies else 0)
            if len(content) == self.cut.inside and content[1] == wanted and byte != FLAG:
                self.cut.count -= 1
                if self.cut.count == 0:
                    self.cut.done = True
                    return place
        return None


class Proxy:
    """Listens at ``port`` and passes on to ``target``. ``faults``: one of so many bytes, each way; ``cut``: where to cut, once."""

    def __init__(self, target: int, *, faults: float = 0.0, seed: int = 1, cut: Cut | None = None) -> None:
        self.target, self.faults, self.cut, self.rng = target, faults, cut, random.Random(seed)
        self.damaged = self.cuts = 0  # bytes, connections
        self._left: int | None = None  # bytes before a cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"socket://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def cut_after(self, count: int) -> None:
        """Cut the connection that is there when ``count`` more bytes, both ways, have passed."""
        self._left = count

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                board = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                board.settimeout(None)
            except OSError:
                client.close()
                continue
            for pair, replies in (((client, board), False), ((board, client), True)):
                threading.Thread(target=self._pass_on, args=(*pair, replies), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        scanner = _Scanner(self.cut) if self.cut and self.cut.replies == replies else None
        try:
            while data := source.recv(4096):
                end = scanner.find(data) if scanner and not scanner.cut.done else None
                if self._left is not None:
                    self._left, end = (None, self._left) if self._left < len(data) else (self._left - len(data), end)
                sink.sendall(self._spoilt(data[:end]))
                if end is not None:
                    self.cuts += 1
                    break
        except OSError:
            pass
        for connection in (source, sink):
            cut(connection)

    def _spoilt(self, data: bytes) -> bytes:
        if not self.faults:
            return data
        result = bytearray()
        for byte in data:
            if self.rng.random() >= self.faults:
                result.append(byte)
                continue
            self.damaged += 1
            other = self.rng.choice((FLAG, ESCAPE, self.rng.getrandbits(8)))
            result += self.rng.choice((bytes([other]), b"", bytes([byte, byte]), bytes([other, byte])))
        return bytes(result)
