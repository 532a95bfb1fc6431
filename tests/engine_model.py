"""A board whose engine is the golden model: what the driver talks to, in no time and with every command that came kept."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from link_model import BoardModel

from narrows.golden.model import run_network
from narrows.graph.network import Network
from narrows.program.encode import Program

CONTROL, STATUS, PROGRAM_ADDRESS, PROGRAM_WORDS, CYCLES, BLOCKS, COUNTER_INDEX, COUNTER = range(8)
WATCHDOG = 11
READY, BUSY, DONE, BAD, HUNG = (1 << bit for bit in range(5))


def counter(frame: int, number: int) -> int:
    """What counter ``number`` (block * 8 + name) says after the ``frame``-th start."""
    return zlib.crc32(f"{frame} {number}".encode())


class EngineModel(BoardModel):
    """Runs ``networks``, pairs of a program and its network. A block takes ``looks`` reads of STATUS, and 1000 cycles for each.

    A picture is read when the block that needs it ends, as the engine may; the output is in memory when the last one has ended. A
    program that is not one of those in memory, byte for byte, gives bytes that are wrong. ``hang``: blocks after which nothing more
    happens; ``bad``: blocks after which the program makes no sense.
    """

    def __init__(
        self, *networks: tuple[Program, Network], memory_bytes: int = 1 << 22, looks: int = 1, hang: int | None = None,
        bad: int | None = None,
    ) -> None:
        self.networks, self.looks, self.hang, self.bad = networks, looks, hang, bad
        self.registers: dict[int, int] = {}
        self.starts = self.resets = self._looked = 0
        self._running = self._done = False
        self._pictures: dict[int, bytes] = {}
        self._kept: dict[int, np.ndarray] | None = None  # outputs, by the network's tensor, of the pictures of the run before
        config = networks[0][0].plan.config
        super().__init__(
            memory=bytearray(memory_bytes), read_register=self._read, write_register=self._write, busy=lambda: self._running,
            digest=config.digest, clock_hz=config.sdram_mhz * 1_000_000,
        )

    def _read(self, address: int) -> int:
        if address == STATUS:
            self._look()
            return READY | self._running * BUSY | self._done * DONE | self._at(self.bad) * BAD | self._at(self.hang) * HUNG
        if address == CYCLES:
            return 1000 * self._looked
        if address == BLOCKS:
            return self._blocks
        if address == COUNTER:
            return counter(self.starts, self.registers[COUNTER_INDEX])
        return self.registers.get(address, 0)

    def _write(self, address: int, value: int) -> None:
        self.registers[address] = value
        if address == CONTROL and value & 2:
            self.resets += 1
            self._running, self._done, self._kept = False, False, None
        elif address == CONTROL and value & 1 and not self._running:
            self.starts += 1
            self._running, self._done, self._looked, self._pictures = True, False, 0, {}

    @property
    def _blocks(self) -> int:
        return min(self._looked // self.looks, len(self._run()[0].plan.blocks))

    def _at(self, blocks: int | None) -> bool:
        return self._running and blocks is not None and self._blocks >= blocks

    def _run(self) -> tuple[Program, Network]:
        """The program that the registers name, if memory has it, or the first one."""
        at, words = self.registers.get(PROGRAM_ADDRESS, 0), self.registers.get(PROGRAM_WORDS, 0)
        image = bytes(self.memory[at : at + 2 * words])
        return next((pair for pair in self.networks if pair[0].image == image), self.networks[0])

    def _look(self) -> None:
        if not self._running or self._at(self.hang) or self._at(self.bad):
            return
        self._looked += 1
        program, network = self._run()
        plan = program.plan
        for number, region in enumerate(plan.pictures):
            last = max(n for n, run in enumerate(plan.blocks) if run.picture == region)
            if number not in self._pictures and self._blocks > last:
                self._pictures[number] = bytes(self.memory[region.address : region.address + region.bytes])
        if self._blocks < len(plan.blocks):
            return
        self._running, self._done = False, True
        pixels = [
            np.frombuffer(self._pictures[n], network.input.dtype).reshape(network.input.shape) for n in range(plan.images)
        ]
        each = zip(network.layers, *(run_network(network, picture) for picture in pixels), strict=True)
        tensors = {id(layer.output): np.array(values) for layer, *values in each}
        # A stream's classifier finds what the run before left on chip.
        kept, self._kept = self._kept, tensors
        nothing = {number: np.zeros_like(values) for number, values in tensors.items()}
        self._store(program, (kept or nothing) if plan.late else tensors)

    def _store(self, program: Program, tensors: dict[int, np.ndarray]) -> None:
        at, words = self.registers[PROGRAM_ADDRESS], self.registers[PROGRAM_WORDS]
        wrong = bytes(self.memory[at : at + 2 * words]) != program.image
        for part in program.plan.outputs:
            values = ~tensors[id(part.tensor)] if wrong else tensors[id(part.tensor)]
            images, height, width = part.images, *values.shape[1:3]
            whole = np.zeros((images, height, width, part.store.bytes // (images * height * width)), values.dtype)
            whole[..., : len(part.channels)] = values[part.first : part.first + images, ..., part.channels.start : part.channels.stop]
            self.memory[part.store.address : part.store.address + part.store.bytes] = whole.tobytes()


class Server:
    """``board()`` behind a TCP port, one client after the other, in a thread of its own."""

    def __init__(self, board: Callable[[], BoardModel]) -> None:
        self._make, self.board = board, board()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._client: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def restart(self) -> None:
        """The power goes off and on: memory is empty, the client's connection is cut."""
        self.board = self._make()
        if self._client is not None:
            cut(self._client)

    def close(self) -> None:
        self._listener.close()
        if self._client is not None:
            cut(self._client)

    def _serve(self) -> None:
        while True:
            try:
                self._client, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError):
                while data := self._client.recv(4096):
                    self._client.sendall(self.board.receive(data))
            self._client.close()


def cut(connection: socket.socket) -> None:
    """End a connection that others are reading and writing."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
