"""cocotb tests of the program reader: what every memory holds, when it may be read, and that nothing in use is lost."""

import os
import random

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb_bench import PATTERNS, cases, start
from test_program import CONFIGS

from narrows.hw.array.pass_fields import COUNT_BITS
from narrows.hw.array.ports import constant_load, weight_load
from narrows.hw.control.program_reader import (
    RINGS,
    WIDE,
    Kind,
    depthwise_constant_load,
    depthwise_weight_load,
    header,
    lane_bytes,
    lanes,
    ring_of,
)

CONFIG = CONFIGS[os.environ["CONFIG"]]
LOADS = ("load_weight", "load_constant", "load_depthwise_weight", "load_depthwise_constant")
LAYOUTS = (weight_load(CONFIG), constant_load(CONFIG), depthwise_weight_load(CONFIG), depthwise_constant_load(CONFIG))
DEPTHS = (CONFIG.weight_words, CONFIG.constant_words, CONFIG.depthwise_words, CONFIG.depthwise_words)
#: Cycles from a word's last load to its being counted: the chain's length and a little more.
COUNTED = CONFIG.outputs + 3
#: Cycles from a load to an address at a lane memory's port that finds it, and from there to the word.
WRITE, READ = 2, 2


def entries(packet: dict, body: bytes) -> list[int]:
    """What a packet's body puts into a memory, one entry after the other."""
    size = lane_bytes(CONFIG, packet["kind"])
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    numbers = [int.from_bytes(piece, "little") for piece in pieces]
    if packet["kind"] in WIDE:  # 32 bits of bias, 31 and 6 of factor, 11 of nothing
        return [number & ((1 << 69) - 1) for number in numbers]
    if packet["kind"] in WIDE.values():  # 27 bits of bias, whose sign fills 32
        return [(number >> 27 << 32) | (number & (1 << 27) - 1) | (31 << 27) * (number >> 26 & 1) for number in numbers]

    def factor(byte: int) -> int:
        return (byte - 256 * (packet["signed"] and byte > 127) - packet["zero_point"]) & 0x1FF

    return [sum(factor(byte) << (9 * n) for n, byte in enumerate(piece)) for piece in pieces]


def program(packets: list[dict], rng: random.Random):
    """(16-bit words, words of descriptors, entries of each ring)."""
    stream_bytes, descriptors, rings = b"", b"", [[] for _ in RINGS]
    for packet in packets:
        kind = Kind(packet["kind"])
        body = rng.randbytes(packet["count"] * lanes(CONFIG, kind) * lane_bytes(CONFIG, kind))
        stream_bytes += header(kind, packet["count"], zero_point=packet["zero_point"], signed=packet["signed"]) + body
        if kind == Kind.DESCRIPTOR:
            descriptors += body
        else:
            rings[ring_of(kind)] += entries(packet, body)
    return halves(stream_bytes), halves(descriptors), rings


def halves(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]


class Ring:
    """Watches one memory's loads and its count, and frees words at some pace."""

    def __init__(self, dut, n: int, expected: list[int], frees, rng: random.Random):
        self.dut, self.n, self.expected, self.frees, self.rng = dut, n, expected, frees, rng
        self.lanes = lanes(CONFIG, RINGS[n])
        self.base = int(dut_loaded(dut, n).value)  # counts go on from program to program
        self.base_freed = self.base
        self.seen, self.freed, self.complete = 0, 0, []

    def cycle(self, cycle: int) -> None:
        """Look at this cycle's outputs, then free some words."""
        load = LAYOUTS[self.n].from_bits(int(getattr(self.dut, LOADS[self.n]).value))
        if load.enable:
            word, lane = divmod(self.seen, self.lanes)
            assert self.seen < len(self.expected), f"{LOADS[self.n]}: more than the program holds"
            where = (self.base + word) % DEPTHS[self.n]
            assert (load.lane, load.address) == (lane, where), f"{LOADS[self.n]}: entry {self.seen} went elsewhere"
            assert load.data == self.expected[self.seen], f"{LOADS[self.n]}: entry {self.seen} is {load.data:x}"
            assert word - self.freed < DEPTHS[self.n], f"{LOADS[self.n]}: word {word} overwrites one that is in use"
            self.seen += 1
            if lane == self.lanes - 1:
                self.complete.append(cycle)
        loaded = sum(cycle >= at + COUNTED for at in self.complete)
        count = int(dut_loaded(self.dut, self.n).value)
        assert count == (self.base + loaded) % (1 << COUNT_BITS), f"{RINGS[self.n].name}: {count - self.base} loaded, not {loaded}"
        self.loaded, self.used = loaded, self.freed  # a word may be read with the cycle that frees it
        if self.freed < loaded and next(self.frees):
            self.freed = self.rng.randint(self.freed + 1, loaded)
        getattr(self.dut, f"freed__{self.n}").value = (self.base + self.freed) % (1 << COUNT_BITS)


def dut_loaded(dut, n: int):
    return getattr(dut, f"loaded__{n}")


class Reads:
    """Reads words of a lane memory that count as loaded and are not freed."""

    def __init__(self, dut, name: str, ring: Ring, rng: random.Random):
        self.dut, self.name, self.ring, self.rng, self.due, self.count = dut, name, ring, rng, [], 0

    def cycle(self, cycle: int) -> None:
        if self.due and self.due[0][0] == cycle:
            _, index, word = self.due.pop(0)
            got = int(getattr(self.dut, f"{self.name}_word").value)
            assert got == word, f"{self.name}: word {index} is {got:x}, not {word:x}"
            self.count += 1
        ring = self.ring
        if ring.used < ring.loaded:
            index = self.rng.choice((ring.used, ring.loaded - 1, self.rng.randrange(ring.used, ring.loaded)))
            width = LAYOUTS[ring.n]["data"].width
            at = ring.expected[index * ring.lanes : (index + 1) * ring.lanes]
            getattr(self.dut, f"{self.name}_address").value = (ring.base + index) % DEPTHS[ring.n]
            self.due.append((cycle + READ, index, sum(entry << (width * lane) for lane, entry in enumerate(at))))


class Feed:
    """A source and a pattern that can be changed between programs."""

    def __init__(self, dut):
        self.dut, self.words, self.offering = dut, [], False

    def offer(self, active: bool) -> None:
        """Offer the next word in this cycle, or keep offering it."""
        self.offering = bool(self.words) and (self.offering or active)
        self.dut.i__valid.value = int(self.offering)
        if self.offering:
            self.dut.i__payload.value = self.words[0]

    def after(self, ready: bool) -> None:
        if self.offering and ready:
            self.words.pop(0)
            self.offering = False


async def run(dut, case: dict) -> int:
    rng = random.Random(case["seed"])
    idle, pressure = (PATTERNS[case[name]](random.Random(name)) for name in ("idle", "pressure"))
    frees = [PATTERNS[case["frees"]](random.Random(n)) for n in range(len(RINGS))]
    words, descriptors, expected = program(case["packets"], rng)
    rings = [Ring(dut, n, expected[n], frees[n], rng) for n in range(len(RINGS))]
    reads = [Reads(dut, "weight", rings[2], rng), Reads(dut, "constant", rings[3], rng)]
    feed, got, quiet, offered = Feed(dut), [], 0, None
    feed.words = words
    for cycle in range(100_000):
        # Outputs of the registers, then this cycle's inputs, then what depends on them.
        for watcher in (*rings, *reads):
            watcher.cycle(cycle)
        feed.offer(next(idle))
        taking = next(pressure)
        dut.descriptor__ready.value = int(taking)
        await ReadOnly()
        ready = bool(dut.i__ready.value)
        if dut.descriptor__valid.value:
            word = int(dut.descriptor__payload.value)
            assert offered is None or word == offered, "an offered word changed"
            offered = None if taking else word
            got += [word] * taking
        else:
            assert offered is None, "an offered word vanished"
        await FallingEdge(dut.clk)
        feed.after(ready)
        done = not feed.words and all(ring.freed * ring.lanes == len(ring.expected) for ring in rings)
        quiet = quiet + 1 if done else 0
        if quiet > COUNTED:
            break
    else:
        raise AssertionError(f"the program was not taken: {case}")
    assert got == descriptors and all(ring.seen == len(ring.expected) for ring in rings), case
    assert not dut.bad.value
    return sum(read.count for read in reads)


async def setup(dut) -> None:
    dut.i__valid.value = dut.descriptor__ready.value = 0
    for n in range(len(RINGS)):
        getattr(dut, f"freed__{n}").value = 0
    await start(dut)


@cocotb.test()
async def drawn(dut) -> None:
    await setup(dut)
    assert sum([await run(dut, case) for case in cases()]) > 100


async def feed_all(dut, words: list[int], cycles: int) -> int:
    """Offer ``words`` back to back for so many cycles; how many were taken."""
    feed = Feed(dut)
    feed.words = list(words)
    for _ in range(cycles):
        feed.offer(True)
        await ReadOnly()
        ready = bool(dut.i__ready.value)
        await FallingEdge(dut.clk)
        feed.after(ready)
    return len(words) - len(feed.words)


@cocotb.test()
@cocotb.parametrize(kind=list(RINGS))
async def full(dut, kind: Kind) -> None:
    """A ring takes as many words as it is deep, at a 16-bit word per cycle, and not one more until one is freed."""
    await setup(dut)
    n, size = RINGS.index(kind), lanes(CONFIG, kind) * lane_bytes(CONFIG, kind) // 2
    words = halves(header(kind, DEPTHS[n] + 3)) + [0] * size * (DEPTHS[n] + 3)
    fits = 2 + size * DEPTHS[n]
    assert await feed_all(dut, words, fits) == fits
    assert await feed_all(dut, words[fits:], 3 * COUNTED) == 0
    assert int(dut_loaded(dut, n).value) == DEPTHS[n]
    for freed in (1, 2):
        getattr(dut, f"freed__{n}").value = freed
        assert await feed_all(dut, words[fits:], size + 40) == size
    assert int(dut_loaded(dut, n).value) == DEPTHS[n] + 2


@cocotb.test()
@cocotb.parametrize(kind=[0, 8])
async def bad_kind(dut, kind: int) -> None:
    """A packet of an unknown kind is the last thing taken, and changes nothing."""
    await setup(dut)
    assert await feed_all(dut, [*halves(header(Kind.CONSTANTS, 0)), kind, *([3] * 500)], 400) == 3
    assert dut.bad.value == 1 and dut.descriptor__valid.value == 0
    assert all(int(dut_loaded(dut, n).value) == 0 for n in range(len(RINGS)))


