"""cocotb tests of activation memory against dictionaries: arbitration, marks, answers and the array's port, every cycle."""

import itertools
import os
import random

import cocotb
from amaranth.lib import data
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb_bench import PATTERNS, pack, start
from test_activation_memory import CONFIGS

from narrows.hw.activations.memory import ANSWER_LATENCY, READ_LATENCY, activation_read
from narrows.hw.activations.ports import activation_write
from narrows.hw.parts.stream_register import StreamRegister

CONFIG, WRITES, READS = CONFIGS[os.environ["CONFIG"]], int(os.environ["WRITES"]), int(os.environ["READS"])
WRITE, READ = activation_write(CONFIG), activation_read(CONFIG)
WORDS = data.ArrayLayout(8 * CONFIG.group, CONFIG.pixels)
#: Cycles from a write's turn to the first in which reads find its word, and to its mark.
WRITE_LATENCY = 2


class Client:
    """Offers random requests at a pace, each until it is taken. Few addresses, so that clients meet. Two wait for their turn."""

    def __init__(self, dut, name: str, layout, pace: str, rng: random.Random):
        self.port = {part: getattr(dut, f"{name}__{part}") for part in ("valid", "ready", "payload")}
        self.layout, self.active, self.rng, self.now, self.waiting = layout, PATTERNS[pace](rng), rng, None, []
        self.name, self.longest = name, 0

    @property
    def first(self) -> dict | None:
        return self.waiting[0] if self.waiting else None

    def offer(self) -> None:
        if self.now is None and next(self.active):
            bank, address = self.rng.randrange(CONFIG.pixels), self.rng.choice((0, 1, 2, CONFIG.bank_words - 1))
            self.now = {"bank": bank, "address": address}
            if self.layout is WRITE:
                mark = self.rng.choice((0, 0, 1, self.rng.getrandbits(16)))
                self.now |= {"data": self.rng.getrandbits(8 * CONFIG.group), "mark": mark}
        self.port["valid"].value = int(self.now is not None)
        payload = pack(self.layout, self.now) if self.now else self.rng.getrandbits(self.layout.size)
        self.port["payload"].value = payload

    def settle(self, served: bool) -> dict | None:
        """The request whose turn this cycle is, if it is ``served``; the one on offer is taken if there is a place to wait."""
        room = len(self.waiting) < 2
        assert bool(self.port["ready"].value) == room, f"{self.name}: {len(self.waiting)} are waiting"
        turn = self.waiting.pop(0) if served else None
        if self.now and room:
            self.waiting.append(self.now)
            self.now = None
        self.longest = max(self.longest, len(self.waiting))
        return turn


def served(writes: list[Client], reads: list[Client]) -> list[bool]:
    """Whose turn it is: writes before reads, lower index first, one of each bank and one read in all."""
    banks, reading, result = set(), False, []
    for client in [*writes, *reads]:
        wants = client.first["bank"] if client.first else None
        result.append(wants is not None and wants not in banks and not (reading and client in reads))
        banks.add(wants)
        reading |= wants is not None and client in reads
    return result


@cocotb.test()
@cocotb.parametrize(writing=["always", "half", "rare", "bursts"], reading=["always", "half", "bursts"])
async def random_clients(dut, writing: str, reading: str) -> None:
    rng = random.Random(f"{writing} {reading}")
    writes = [Client(dut, f"writes__{n}", WRITE, writing, rng) for n in range(WRITES)]
    reads = [Client(dut, f"reads__{n}", READ, reading, rng) for n in range(READS)]
    for client in (*writes, *reads):
        client.port["valid"].value = 0
    dut.address.value = 0
    await start(dut)
    written: dict[tuple[int, int], int] = {}  # by turns so far
    memory: dict[tuple[int, int], int] = {}  # as the array sees it
    marks, answers, words = {}, {}, {}  # what is due, by cycle: a mark per client; (client, word); the array's words
    landing = [[] for _ in range(WRITE_LATENCY)]  # writes on their way, by the cycles since their turn
    read = 0
    for cycle in range(600):
        for n, mark in enumerate(marks.pop(cycle, [0] * WRITES)):
            assert int(getattr(dut, f"marks__{n}").value) == mark, f"cycle {cycle}: mark {n}"
        answer = answers.pop(cycle, None)
        for n in range(READS):
            assert bool(getattr(dut, f"answers__{n}").value) == (answer is not None and answer[0] == n)
        if answer and answer[1] is not None:
            assert int(dut.data.value) == answer[1], f"cycle {cycle}: {int(dut.data.value):x}, not {answer[1]:x}"
            read += 1
        got = WORDS.from_bits(int(dut.words.value))
        for bank, word in words.pop(cycle, {}).items():
            assert got[bank] == word, f"cycle {cycle}: bank {bank} holds {got[bank]:x}, not {word:x}"

        address = rng.choice((0, 1, 2, CONFIG.bank_words - 1))
        dut.address.value = address
        for client in (*writes, *reads):
            client.offer()
        await ReadOnly()
        everyone = [*writes, *reads]
        turns = [client.settle(ok) for client, ok in zip(everyone, served(writes, reads), strict=True)]
        for n, request in enumerate(turns[WRITES:]):
            if request:
                # Its client's register is behind it.
                answers[cycle + ANSWER_LATENCY - StreamRegister.LATENCY] = n, written.get((request["bank"], request["address"]))
        marks[cycle + WRITE_LATENCY] = [request["mark"] if request else 0 for request in turns[:WRITES]]
        written |= {(r["bank"], r["address"]): r["data"] for r in turns[:WRITES] if r}
        # The array does not ask for a word in the very cycle in which it gets into the memory.
        landing.insert(0, [request for request in turns[:WRITES] if request])
        memory |= {(r["bank"], r["address"]): r["data"] for r in landing.pop()}
        clashes = {request["bank"] for request in landing[-1] if request["address"] == address}
        known = {bank: memory[bank, address] for bank in range(CONFIG.pixels) if (bank, address) in memory}
        words[cycle + READ_LATENCY] = {bank: word for bank, word in known.items() if bank not in clashes}
        await FallingEdge(dut.clk)
    # Who writes often leaves nothing of a single bank.
    assert read > 2 or (CONFIG.pixels == 1 and writing != "rare")
    assert max(client.longest for client in reads) == 2


@cocotb.test()
async def every_word(dut) -> None:
    """All words of all banks are there and are different."""
    for n, group in itertools.chain(((n, "writes") for n in range(WRITES)), ((n, "reads") for n in range(READS))):
        getattr(dut, f"{group}__{n}__valid").value = 0
    await start(dut)
    rng = random.Random(1)
    places = list(itertools.product(range(CONFIG.pixels), range(CONFIG.bank_words)))
    written = {place: rng.getrandbits(8 * CONFIG.group) for place in places}
    dut.writes__0__valid.value = 1
    for (bank, address), word in written.items():
        dut.writes__0__payload.value = pack(WRITE, {"bank": bank, "address": address, "data": word})
        await FallingEdge(dut.clk)
    dut.writes__0__valid.value = 0
    dut.reads__0__valid.value = 1
    for cycle in range(len(places) + ANSWER_LATENCY):
        if cycle >= ANSWER_LATENCY:
            bank, address = places[cycle - ANSWER_LATENCY]
            assert dut.answers__0.value == 1 and int(dut.data.value) == written[bank, address]
        bank, address = places[min(cycle, len(places) - 1)]
        dut.reads__0__payload.value = pack(READ, {"bank": bank, "address": address})
        await FallingEdge(dut.clk)
