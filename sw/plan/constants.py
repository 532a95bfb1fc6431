"""What the engine stores of a layer: channels padded to groups, constants proven to fit, all in the order of use.

Everything here is exact: a channel whose constants the hardware can't hold is rewritten only if its result is the same
byte for every reachable input, and the layer is refused otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from narrows.golden.fixed_point import mbqm
from narrows.golden.quantization import average_multiplier
from narrows.graph.network import Conv, Depthwise, LayerRefused, Pool, Tensor
from narrows.hw.arithmetic.requantise import MAX_SHIFT, MIN_SHIFT
from narrows.hw.config import BIAS_BITS, MULTIPLIER_BITS, NARROW_BIAS_BITS, EngineConfig
from narrows.hw.depthwise.fields import constant_words
from narrows.hw.stem.fields import stem_layout
from narrows.importer.channelwise import MAX_POWER


@dataclass(frozen=True, eq=False)
class Channels:
    """Per output channel: raw ``weights`` (channels first), ``bias``, ``multiplier``, ``shift``; per stage the rest."""

    weights: np.ndarray
    weight_zero_point: int
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray


def groups_of(channels: int, config: EngineConfig) -> int:
    """Groups that ``channels`` take, the last one padded."""
    return -(-channels // config.group)


def tensor_words(tensor: Tensor, config: EngineConfig, images: int = 1) -> int:
    """Words of every bank that ``images`` of ``tensor`` take."""
    height, width, channels = tensor.shape
    return -(-images * height * width // config.pixels) * groups_of(channels, config)


def _fits(values: np.ndarray, bits: int) -> np.ndarray:
    """Which of ``values`` are signed numbers of ``bits``."""
    return (values >= -(1 << (bits - 1))) & (values < 1 << (bits - 1))


def settle(layer: Conv | Depthwise) -> Channels:
    """The layer's channels as the hardware can hold them.

    Dead channels occur in ordinary models: a bias near 2^30, a shift of -31, a result that never changes. Where a bias is wide
    or a shift does not fit, the result at both ends of the accumulator's range (from the type's limits of the input) tells
    whether it always is the same; then the channel is replaced by that constant.
    """
    channels_last = isinstance(layer, Depthwise)
    weights = np.moveaxis(layer.weights, -1, 0) if channels_last else layer.weights
    least, most = layer.reach()
    bias, multiplier, shift = (np.array(a, np.int64) for a in (layer.bias, layer.requant.multiplier, layer.requant.shift))
    weights = np.array(weights)

    misfit = (shift < MIN_SHIFT) | (shift > MAX_SHIFT) | (multiplier >> MULTIPLIER_BITS != 0)
    for channel in np.flatnonzero(misfit | ~_fits(bias, NARROW_BIAS_BITS)):
        requant = layer.requant
        ends = [
            int(np.clip(mbqm(np.asarray(acc, np.int64), multiplier[channel], shift[channel]) + requant.zero_point, requant.lo, requant.hi))
            for acc in (least[channel], most[channel])
        ]
        in_range = max(abs(int(least[channel])), abs(int(most[channel]))) < 1 << (31 - max(0, int(shift[channel])))
        if not in_range or ends[0] != ends[1]:
            if not misfit[channel]:
                continue  # its bias is kept, in the wide form
            raise LayerRefused(
                layer, f"channel {channel} has {_beyond(int(shift[channel]))}, and its result is not always the same; "
                f"quantise the model again with a calibration set that reaches this channel"
            )  # fmt: skip
        # Weights at their zero point add nothing; (2 d * 2^30 + 2^30) >> 31 is d.
        weights[channel] = layer.weight_zero_point
        bias[channel], multiplier[channel], shift[channel] = 2 * (ends[0] - requant.zero_point), 1 << 30, 0
    outside = (np.maximum(np.abs(least), np.abs(most)) >= 1 << 31) & ~misfit
    if outside.any():
        about = f"channel {np.flatnonzero(outside)[0]} can overflow the 32-bit accumulator of the reference"
        raise LayerRefused(layer, f"{about}; quantise the model again")
    return Channels(weights, layer.weight_zero_point, bias, multiplier, shift)


def _beyond(shift: int) -> str:
    """What the engine's constants can't be, in words."""
    most = MAX_SHIFT + MAX_POWER
    if shift > most:
        return f"a multiplier of {1 << most} or more, beyond what the engine can apply"
    if shift > MAX_SHIFT:
        return f"a multiplier of {1 << (shift - 1)} or more, and a sum that overflows 32 bits or a zero point outside of the output's range"
    return f"a multiplier below 2^{MIN_SHIFT}, beyond the engine's constants"


def pool_channels(pool: Pool, count: int) -> Channels:
    """Constants that make the depthwise unit, with weights of one, do ``pool`` over its plane."""
    height, width, _ = pool.inputs[0].shape
    ones = np.ones(count, np.int64)
    if pool.kind == "mean":
        if not MIN_SHIFT <= pool.shift <= MAX_SHIFT:
            raise LayerRefused(pool, f"shift {pool.shift} is beyond the engine's constants; quantise the model again")
        return Channels(ones, 0, 0 * ones, pool.multiplier * ones, pool.shift * ones)
    try:
        multiplier, shift = average_multiplier(height * width)
    except ValueError as error:
        raise LayerRefused(pool, f"{error}; pool a smaller plane") from None
    return Channels(ones, 0, 0 * ones, multiplier * ones, shift * ones)


def _pad(array: np.ndarray, count: int, value: int = 0) -> np.ndarray:
    """``array`` with its first axis filled up to ``count``."""
    filler = np.full((count - array.shape[0], *array.shape[1:]), value, array.dtype)
    return np.concatenate([array, filler])


def pack_constants(channels: Channels, count: int) -> np.ndarray:
    """(count, 8 or 10) bytes of constants, dead ones after the layer's own: bias, multiplier, shift from the lowest bit.

    Ten bytes if a channel's bias needs the wide form.
    """
    bias, multiplier, shift = (_pad(a, count).astype(np.int64) for a in (channels.bias, channels.multiplier, channels.shift))
    bits, size = (NARROW_BIAS_BITS, 8) if _fits(bias, NARROW_BIAS_BITS).all() else (BIAS_BITS, 10)
    words = [
        (int(b) & ((1 << bits) - 1) | int(m) << bits | (int(s) & 63) << (bits + MULTIPLIER_BITS)).to_bytes(size, "little")
        for b, m, s in zip(bias, multiplier, shift, strict=True)
    ]
    return np.frombuffer(b"".join(words), np.uint8).reshape(count, size)


def pointwise_weights(channels: Channels, config: EngineConfig, *, groups: int, depth: int, joined: int = 1) -> np.ndarray:
    """(groups, depth, outputs, group) bytes: the words of each output group in order of input groups, ``joined`` pixels in turn."""
    count, zero = channels.weights.shape[0], channels.weight_zero_point
    pixels = channels.weights.reshape(count * joined, -1)
    # A pixel's channels are padded to whole groups in memory.
    matrix = _pad(pixels.T, depth // joined * config.group, zero).T.reshape(count, -1)
    matrix = _pad(matrix, groups * config.outputs, zero)
    return np.ascontiguousarray(matrix.reshape(groups, config.outputs, depth, config.group).transpose(0, 2, 1, 3)).view(np.uint8)


def weight_pairs(weights: np.ndarray, zero_point: int, *, signed: bool) -> np.ndarray:
    """What fast products add to the sums: (groups, outputs) of ``b0 * b1`` over all pairs of factors of a channel.

    ``weights``: (groups, depth, outputs, group) bytes as :func:`pointwise_weights` lays them out; padding's factors are 0.
    """
    factors = weights.view(np.int8 if signed else np.uint8).astype(np.int64) - zero_point
    return (factors[..., 0::2] * factors[..., 1::2]).sum(axis=(1, 3))


def fold(channels: Channels, sums: np.ndarray) -> Channels:
    """``channels`` whose accumulators come with ``sums`` (groups, outputs) more: taken off the bias, modulo 2^32 as the hardware adds."""
    off = sums.reshape(-1)[: len(channels.bias)]
    half = 1 << (BIAS_BITS - 1)
    return replace(channels, bias=(channels.bias - off + half) % (1 << BIAS_BITS) - half)


def stem_weights(channels: Channels, config: EngineConfig, *, groups: int) -> np.ndarray:
    """The same for a convolution of the picture: input bytes in the order the stem unit lays a patch out."""
    count, kh, kw, depth = channels.weights.shape
    layout = stem_layout(kh, kw, depth, config.group)
    patch = np.full((count, len(layout) * config.group), channels.weight_zero_point, channels.weights.dtype)
    for place, tap in enumerate(tap for word in layout for tap in word):
        if tap is not None:
            patch[:, place] = channels.weights[:, tap[0], tap[1], tap[2]]
    flat = Channels(patch, channels.weight_zero_point, channels.bias, channels.multiplier, channels.shift)
    return pointwise_weights(flat, config, groups=groups, depth=len(layout))


def depthwise_weights(channels: Channels, config: EngineConfig, *, groups: int) -> np.ndarray:
    """(groups, words, 3, group) bytes: kernel columns of three rows, triples of rows outermost."""
    count, kh, kw = channels.weights.shape
    triples = -(-kh // 3)
    taps = np.full((groups * config.group, 3 * triples, kw), channels.weight_zero_point, channels.weights.dtype)
    taps[:count, :kh] = channels.weights
    taps = taps.reshape(groups, config.group, triples, 3, kw).transpose(0, 2, 4, 3, 1)
    return np.ascontiguousarray(taps.reshape(groups, triples * kw, 3, config.group)).view(np.uint8)


def depthwise_constants(channels: Channels, config: EngineConfig, *, groups: int) -> np.ndarray:
    """(groups, words, requantisers, 8 or 10) bytes: the channels of a group in the order they are requantised."""
    words, lanes = constant_words(config), config.depthwise_requantisers
    packed = pack_constants(channels, groups * config.group)
    size = packed.shape[1]
    packed = packed.reshape(groups, config.group, size)
    result = np.zeros((groups, words * lanes, size), np.uint8)
    result[:, : config.group] = packed
    return result.reshape(groups, words, lanes, size)
