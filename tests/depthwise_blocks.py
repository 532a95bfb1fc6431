"""Blocks for the depthwise unit: drawn shapes, random tensors, and every word that must come out."""

import random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from narrows.golden.kernels import average_pool, depthwise, reduce
from narrows.graph.network import Requant
from narrows.hw.arithmetic.requantise import channel_constants
from narrows.hw.config import EngineConfig
from narrows.hw.depthwise.fields import depthwise_fields
from narrows.hw.depthwise.geometry import NO_RING, DepthwiseGeometry, constant_words
from narrows.hw.depthwise.line_buffer import line_fields

#: Paces of the harness that let a block end soon.
PATTERNS = ("always", "always", "half", "bursts", "alternating")


KERNELS = ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3), (3, 3), (5, 5), (1, 1), (3, 1), (1, 3), (2, 2), (7, 2))


def blocks(config: EngineConfig) -> st.SearchStrategy[dict[str, Any]]:
    """Blocks the unit accepts, as JSON: geometry, arithmetic, destination, and when things arrive."""
    # Only the seed is Hypothesis's: drawn value by value, most blocks would be alike.
    return st.integers(0, 2**64 - 1).map(lambda seed: _accepted(config, random.Random(seed)))


def _accepted(config: EngineConfig, rng: random.Random) -> dict[str, Any]:
    while True:
        case = _case(rng)
        try:
            Block(config, case)
        except ValueError:
            continue
        return case


def _case(rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(["filter"] * 8 + ["average", "mean"])
    size = (rng.randint(1, 20), rng.randint(1, 20))
    kernel, stride, dilation, pad, after = size, (1, 1), (1, 1), (0, 0), (0, 0)
    if kind == "filter":
        kernel = rng.choice(KERNELS)
        stride = (rng.randint(1, 2), rng.randint(1, 2))
        dilation = (rng.choice((1, 1, 2, 4)), rng.choice((1, 1, 2, 4)))
        pad, after = ((rng.randint(0, 3), rng.randint(0, 3)) for _ in range(2))
    out = [(n + b + a - (k - 1) * d - 1) // s + 1 for n, k, s, d, b, a in zip(size, kernel, stride, dilation, pad, after, strict=True)]
    segment = rng.randint(1, max(out[1], 1))
    many = rng.random() < 0.5
    geometry = {
        "slices": rng.randint(1, 3) if many else 1,
        "images": rng.randint(1, 2),
        "groups": rng.randint(1, 3),
        "in_h": size[0],
        "in_w": size[1],
        "out_h": out[0],
        "out_w": out[1],
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
        "pad": pad,
        "segment": segment,
    }
    return {
        "kind": kind,
        "seed": rng.getrandbits(32),
        "geometry": geometry,
        "expand_segment": rng.randint(1, 12),
        "dtype": rng.choice(("int8", "uint8")),
        "ring": None if many or rng.random() < 0.3 else segment + rng.randint(0, 40),
        "base": rng.randint(0, 500),
        "ahead": rng.choice((0, 0, 30, 100)),  # cycles before the start in which the program is already read
        **{name: rng.choice(PATTERNS) for name in ("idle", "loads", "projects", "pressure")},
    }


class Block:
    """A case with its tensors: what goes in (``x``, ``weight_words``, ``constant_words``, ``fields``, ``lines``) and what must
    come out (``words``: data, bank, address, mark; ``pixels`` of the slice up to and with each word's)."""

    def __init__(self, config: EngineConfig, case: dict[str, Any]):
        self.config, self.case = config, case
        shape = self.shape = DepthwiseGeometry(**{k: tuple(v) if isinstance(v, list) else v for k, v in case["geometry"].items()})
        rng = self.rng = np.random.default_rng(case["seed"])
        self.channels = shape.slices * shape.groups * config.group
        low, high = (-128, 127) if case["dtype"] == "int8" else (0, 255)
        self.x = rng.integers(low, high + 1, (shape.images, shape.in_h, shape.in_w, self.channels)).astype(case["dtype"])
        zero_in = 0 if case["kind"] == "average" else int(rng.integers(low, high + 1))
        lo, hi = sorted(int(n) for n in rng.integers(low, high + 1, 2)) if rng.random() < 0.3 else (low, high)
        zero_out = 0 if case["kind"] == "average" else int(rng.integers(low, high + 1))
        self._arithmetic(zero_in, zero_out, lo, hi)
        stride = self.channels // config.group
        self.ring = NO_RING if case["ring"] is None else case["ring"]
        kept = min(self.ring, shape.images * shape.out_h * shape.out_w)
        size = -(-kept // config.pixels) * stride
        self.fields = depthwise_fields(
            config=config,
            geometry=shape,
            base=case["base"],
            size=size,
            pixel_words=stride,
            zero_in=zero_in,
            zero_point=zero_out,
            lo=lo,
            hi=hi,
            is_signed=case["dtype"] == "int8",
            ring=self.ring,
            ones=case["kind"] != "filter",
        )
        self.lines = line_fields(config=config, width=shape.in_w, groups=shape.groups)
        self._words(size, stride)

    def _arithmetic(self, zero_in: int, zero_out: int, lo: int, hi: int) -> None:
        """Weights, constants and the golden result."""
        shape, rng, kind = self.shape, self.rng, self.case["kind"]
        count = shape.in_h * shape.in_w
        bias, multiplier, shift = (np.zeros(self.channels, np.int64) for _ in range(3))
        if kind == "average":
            # Rounding half away from zero is exact with a multiplier just above 1 / count.
            multiplier += min((1 << 31) // count + 1, (1 << 31) - 1)
            self.y = average_pool(self.x, (shape.in_h, shape.in_w), lo=lo, hi=hi)
        elif kind == "mean":
            multiplier += int(rng.integers(1 << 28, 1 << 31)) // count
            self.y = reduce(self.x, (1, 2), zero_in, int(multiplier[0]), 0, zero_out, lo, hi)
        else:
            info = np.iinfo(self.case["dtype"])
            weights = rng.integers(info.min, info.max + 1, (*shape.kernel, self.channels)).astype(self.case["dtype"])
            zero_weight = 0 if info.min else int(rng.integers(17, 242))
            bias += rng.integers(-(1 << 14), 1 << 14, self.channels)
            multiplier += rng.integers(1 << 30, 1 << 31, self.channels)
            shift += rng.integers(-11, -5, self.channels)
            odd = rng.random(self.channels)
            bias[odd < 0.1] = rng.choice([-(1 << 30), (1 << 30) - 1])
            multiplier[odd < 0.05] = 0
            shift[(odd > 0.9) & (odd < 0.95)] = -31
            shift[odd > 0.95] = rng.integers(-3, 2)  # saturates
            requant = Requant(multiplier, shift, zero_out, lo, hi)
            (sh, sw), (dh, dw), (kh, kw), (top, left) = shape.stride, shape.dilation, shape.kernel, shape.pad
            bottom = max((shape.out_h - 1) * sh + (kh - 1) * dh + 1 - shape.in_h - top, 0)
            right = max((shape.out_w - 1) * sw + (kw - 1) * dw + 1 - shape.in_w - left, 0)
            args = {"stride": shape.stride, "dilation": shape.dilation, "pad": (top, left, bottom, right)}
            y = depthwise(self.x, zero_in, weights, zero_weight, bias, requant, **args)
            self.y = y[:, : shape.out_h, : shape.out_w]
            self.factors = weights.astype(int) - zero_weight
        assert self.y.shape == (shape.images, shape.out_h, shape.out_w, self.channels)
        self._memories(bias, multiplier, shift)

    def _memories(self, bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> None:
        config, shape, lanes = self.config, self.shape, self.config.depthwise_requantisers
        self.weight_words: list[list[int]] = []
        self.constant_words: list[list[dict[str, int]]] = []
        for start in range(0, self.channels, config.group):
            if self.case["kind"] == "filter":
                padded = np.zeros((3 * shape.triples, shape.kernel[1], config.group), int)
                padded[: shape.kernel[0]] = self.factors[:, :, start : start + config.group]
                if shape.kernel[0] % 3:
                    padded[shape.kernel[0] :] = 77  # must not matter
                for triple in range(shape.triples):
                    self.weight_words += padded[3 * triple : 3 * triple + 3].transpose(1, 0, 2).reshape(shape.kernel[1], -1).tolist()
            rows = [
                channel_constants(bias=int(bias[c]), multiplier=int(multiplier[c]), shift=int(shift[c]))
                for c in range(start, start + config.group)
            ]
            rows += rows[:1] * (constant_words(config) * lanes - config.group)
            self.constant_words += [rows[at : at + lanes] for at in range(0, len(rows), lanes)]

    def _words(self, size: int, stride: int) -> None:
        config, shape = self.config, self.shape
        self.words, self.pixels = [], []
        for piece in range(shape.slices):
            for image, row in np.ndindex(shape.images, shape.out_h):
                for start in range(0, shape.out_w, shape.segment):
                    columns = range(start, min(start + shape.segment, shape.out_w))
                    for group in range(piece * shape.groups, (piece + 1) * shape.groups):
                        for column in columns:
                            pixel = (image * shape.out_h + row) * shape.out_w + column
                            bank, place = pixel % config.pixels, pixel // config.pixels * stride % size + group
                            data = self.y[image, row, column, group * config.group :][: config.group].tobytes()
                            self.words.append([int.from_bytes(data, "little"), bank, self.case["base"] + place, 0])
                            self.pixels.append(pixel)
                    if piece == shape.slices - 1:
                        self.words[-1][3] = len(columns)

    def input_word(self, piece: int, pixel: int, group: int) -> int:
        """The expanded word of a slice's linear ``pixel``."""
        flat = self.x.reshape(-1, self.channels)
        start = (piece * self.shape.groups + group) * self.config.group
        return int.from_bytes(flat[pixel, start : start + self.config.group].tobytes(), "little")
