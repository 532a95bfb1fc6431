"""cocotb tests of the models of the ECP5's primitives, each against its own description here."""

import random

import cocotb
from cocotb.triggers import FallingEdge, Timer
from cocotb_bench import start
from ecp5_cells import ADDER, CARRIES, DISTRIBUTED_INIT, FLIP_FLOPS, MULTIPLIERS, PORT, PRODUCTS, RAMS, TABLES, initial_rows

#: Factors at which signs and carries change.
CORNERS = (0, 1, 2, 0x1FFFF, 0x20000, 0x20001, 0x3FFFF, 0x3FFFE, 0x15555, 0x2AAAA)


def idle(dut) -> None:
    """Every input zero, except the resets, which for some flip-flops are active then."""
    for name in ("lut", "mux", "carry", "ce", "lsr", "di", "wad", "rad", "wre", "d", "factor_a", "factor_b", "mult_ce"):
        getattr(dut, name).value = 0
    for index in range(len(RAMS)):
        getattr(dut, f"a__{index}").value = getattr(dut, f"b__{index}").value = 0


@cocotb.test()
async def tables_and_multiplexers(dut) -> None:
    idle(dut)
    for value in range(16):
        dut.lut.value, dut.mux.value = value, value & 7
        await Timer(1, "ns")
        found = int(dut.tables.value)
        assert [found >> n & 1 for n in range(len(TABLES))] == [table >> value & 1 for table in TABLES]
        zero, one, select = value & 1, value >> 1 & 1, value >> 2 & 1
        assert int(dut.pfumx.value) == int(dut.l6mux21.value) == (one if select else zero)


@cocotb.test()
async def carries(dut) -> None:
    idle(dut)
    for value in range(512):
        dut.carry.value = value
        await Timer(1, "ns")
        carry, *inputs = (value >> n & 1 for n in range(9))
        halves = (inputs[:4], inputs[4:])
        for index, (init0, init1, inject0, inject1) in enumerate(CARRIES):
            found = int(getattr(dut, f"carries__{index}").value)
            assert found == described(carry, halves, ((init0, inject0), (init1, inject1))), f"{CARRIES[index]}, inputs {value:09b}"
            if init0 == PRODUCTS:
                assert found == carry + sum((a * b + c * d) << n for n, (a, b, c, d) in enumerate(halves))
            if init0 == ADDER and all(d == 1 for *_, d in halves):
                assert found == carry + sum((a + (b ^ c)) << n for n, (a, b, c, _) in enumerate(halves))


def described(carry: int, halves, settings) -> int:
    """Sums and carry, a bit at a time."""
    result = 0
    for n, ((a, b, c, d), (init, inject)) in enumerate(zip(halves, settings)):
        propagate = init >> (a + 2 * b + 4 * c + 8 * d) & 1
        hidden = inject == "YES"
        result |= (propagate ^ (0 if hidden else carry)) << n
        if not propagate:
            carry = 0 if hidden else init >> (a + 2 * b) & 1
    return result | carry << 2


class FlipFlop:
    """A flip-flop as described in words: told of every change of an input and of every edge."""

    def __init__(self, clkmux: str, cemux: str, lsrmux: str, srmode: str, regset: str):
        self._rising, self._asynchronous, self._value = clkmux == "CLK", srmode == "ASYNC", int(regset == "SET")
        self._enabled = {"CE": lambda ce: ce, "INV": lambda ce: not ce, "1": lambda _: True, "0": lambda _: False}[cemux]
        self._active = int(lsrmux == "LSR")
        self.q = self._value

    def change(self, lsr: int) -> None:
        if self._asynchronous and lsr == self._active:
            self.q = self._value

    def edge(self, rising: bool, ce: int, lsr: int, di: int) -> None:
        if rising == self._rising:
            self.q = self._value if lsr == self._active else di if self._enabled(ce) else self.q


@cocotb.test()
async def flip_flops(dut) -> None:
    idle(dut)
    rng = random.Random(2)
    models = [FlipFlop(*values) for values in FLIP_FLOPS]
    dut.clk.value, level = 0, 0
    await Timer(1, "ns")
    for step in range(3000):
        if rng.random() < 0.5:
            ce, lsr, di = rng.getrandbits(1), int(rng.random() < (0.5 if step % 2 else 0.1)), rng.getrandbits(1)
            dut.ce.value, dut.lsr.value, dut.di.value = ce, lsr, di
            for model in models:
                model.change(lsr)
        elif step:
            level ^= 1
            dut.clk.value = level
            for model in models:
                model.edge(bool(level), int(dut.ce.value), int(dut.lsr.value), int(dut.di.value))
        await Timer(1, "ns")
        found = int(dut.q.value)
        wrong = [values for n, (values, model) in enumerate(zip(FLIP_FLOPS, models)) if found >> n & 1 != model.q]
        assert not wrong, f"step {step}: {wrong}"


@cocotb.test()
async def distributed_memory(dut) -> None:
    idle(dut)
    await start(dut, cycles=0)
    rng = random.Random(3)
    words = [DISTRIBUTED_INIT >> 4 * n & 15 for n in range(16)]
    for _ in range(1000):
        write, address, value, read = rng.getrandbits(1), rng.randrange(16), rng.randrange(16), rng.randrange(16)
        dut.wre.value, dut.wad.value, dut.d.value, dut.rad.value = write, address, value, read
        await Timer(1, "ns")
        assert int(dut.distributed.value) == words[read]
        await FallingEdge(dut.clk)
        if write:
            words[address] = value
        assert int(dut.distributed.value) == words[read]
    dut.wre.value = 0


@cocotb.test()
async def multipliers(dut) -> None:
    """All pairs of corners, then random factors, with a clock enable that is high most of the time."""
    idle(dut)
    await start(dut, cycles=0)
    rng = random.Random(4)
    pairs = [(a, b) for a in CORNERS for b in CORNERS] + [(rng.getrandbits(18), rng.getrandbits(18)) for _ in range(400)]
    registers = [[0, 0, 0, 0] for _ in MULTIPLIERS]
    for a, b in pairs:
        enable = int(rng.random() < 0.8)
        dut.factor_a.value, dut.factor_b.value, dut.mult_ce.value = a, b, enable
        await Timer(1, "ns")
        for index, (in_a, in_b, pipeline, output, signed_a, signed_b) in enumerate(MULTIPLIERS):
            left = a - (a >> 17 << 18) * signed_a
            right = b - (b >> 17 << 18) * signed_b
            held = registers[index]
            product = (held[0] if in_a else left) * (held[1] if in_b else right)
            staged = held[2] if pipeline else product
            shown = held[3] if output else staged
            assert int(getattr(dut, f"product__{index}").value) == shown & (1 << 36) - 1, f"{MULTIPLIERS[index]}: {left} * {right}"
            if enable:
                registers[index] = [left, right, product, staged]
        await FallingEdge(dut.clk)


class Ram:
    """18 kbit as a plain row of bits: word n of 9, 18 or 36 bits is bits n * width and up; narrower words fill 8 bits of each 9."""

    def __init__(self, index: int):
        _, *self.widths, self.registered, self.mode, _ = RAMS[index]
        rows = initial_rows(index)
        self.bits = [rows[n // 288] >> (n % 288 // 18 * 20 + n % 18) & 1 for n in range(18432)]
        self.latch, self.shown = [0, 0], [0, 0]

    def _bits(self, port: int, address: int) -> range:
        width = self.widths[port]
        if width >= 9:
            first = (address >> {9: 3, 18: 4, 36: 5}[width]) * width
        else:
            place = address >> {1: 0, 2: 1, 4: 2}[width]
            first = place * width // 8 * 9 + place * width % 8
        return range(first, first + width)

    def written(self, port: int, word: dict) -> list[int]:
        """The bits that are written, by number."""
        if not word["enable"] or not word["write"] or (port == 1 and 36 in self.widths):
            return []
        enables = word["address"] if self.widths[port] >= 18 else 0xF
        return [bit for n, bit in enumerate(self._bits(port, word["address"])) if enables >> n // 9 & 1]

    def read(self, port: int, word: dict) -> list[int]:
        """The bits that are read."""
        reads = word["enable"] and not (port == 0 and 36 in self.widths) and not (word["write"] and (port == 0 or 36 not in self.widths))
        return list(self._bits(port, word["address"])) if reads else []

    def unsafe(self, words: list[dict]) -> bool:
        """Whether both ports write a bit, which the model must not be asked."""
        return bool({*self.written(0, words[0])} & {*self.written(1, words[1])})

    def clock(self, words: list[dict]) -> None:
        """A rising edge."""
        writes = [self.written(port, words[port]) for port in (0, 1)]
        places = [list(self._bits(port, words[port]["address"])) for port in (0, 1)]
        before = {bit: self.bits[bit] for bits in places for bit in bits}
        for port in (0, 1):
            if words[port]["output_enable"]:
                self.shown[port] = self.latch[port]
        for port in (0, 1):
            other = set(writes[1 - port])
            cells = places[port]
            writes_itself = words[port]["write"] and words[port]["enable"]
            if self.read(port, words[port]) or (writes_itself and self.mode == "READBEFOREWRITE"):
                self.latch[port] = number(before[bit] ^ (bit in other) for bit in cells)
            elif writes_itself and self.mode == "WRITETHROUGH":
                self.latch[port] = words[port]["data"] & (1 << len(cells)) - 1
        for port in (0, 1):
            first = places[port][0]
            for bit in writes[port]:
                self.bits[bit] = words[port]["data"] >> bit - first & 1

    def output(self) -> tuple[int, int]:
        """What the read ports show: A, then B."""
        return tuple(self.shown if self.registered == "OUTREG" else self.latch)


def number(bits) -> int:
    return sum(bit << n for n, bit in enumerate(bits))


def drawn_port(rng: random.Random, ram: Ram, port: int, near: int) -> dict:
    """A cycle of a port, often close to the other port's address."""
    width = ram.widths[port]
    address = rng.choice((near, near ^ 1 << rng.randrange(14), rng.getrandbits(14), rng.getrandbits(6)))
    if width >= 18 and ram.mode == "WRITETHROUGH":
        address |= 3
    return {
        "address": address, "data": rng.getrandbits(36), "enable": int(rng.random() < 0.9), "write": int(rng.random() < 0.5),
        "output_enable": int(rng.random() < 0.9),
    }  # fmt: skip


@cocotb.test()
async def block_rams(dut) -> None:
    """Random accesses of both ports, to few words and to all."""
    idle(dut)
    await start(dut, cycles=0)
    rng = random.Random(5)
    rams = [Ram(index) for index in range(len(RAMS))]
    collisions = [0] * len(RAMS)
    for cycle in range(2500):
        for index, ram in enumerate(rams):
            near = rng.getrandbits(14) if rng.random() < 0.5 else rng.getrandbits(6)
            words = [drawn_port(rng, ram, port, near) for port in (0, 1)]
            if RAMS[index][0] == "PDPW16KD":
                words[0]["output_enable"] = words[1]["output_enable"]
            while ram.unsafe(words):
                words = [drawn_port(rng, ram, port, rng.getrandbits(14)) for port in (0, 1)]
            collisions[index] += bool({*ram.written(0, words[0])} & {*ram.read(1, words[1])})
            for port, name in enumerate(("a", "b")):
                getattr(dut, f"{name}__{index}").value = PORT.const(words[port]).as_bits()
            ram.clock(words)
        await FallingEdge(dut.clk)
        for index, ram in enumerate(rams):
            kind, _, width_b, *_ = RAMS[index]
            found, (a, b) = int(getattr(dut, f"o__{index}").value), ram.output()
            if kind == "PDPW16KD":
                expected = b >> 18 | (b & 0x3FFFF) << 18 if width_b == 36 else b
                assert found & (1 << width_b) - 1 == expected, f"cycle {cycle}, {RAMS[index]}"
            else:
                expected = b if width_b == 36 else a | b << 18
                assert found == expected, f"cycle {cycle}, {RAMS[index]}"
    assert min(collisions) > 20, collisions
