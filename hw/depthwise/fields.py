"""What the depthwise unit is told about a block: the fields, and the arithmetic that makes them.

The hardware only adds and compares; everything that takes a product, a quotient or a remainder is done here.
"""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data

from narrows.errors import Unfit
from narrows.hw.activations.address_generator import WalkFields, walk_fields
from narrows.hw.arithmetic.ports import OutputRange
from narrows.hw.arithmetic.requantise import output_range
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.depthwise.geometry import (
    COORDINATE_BITS,
    GROUP_BITS,
    IMAGE_BITS,
    KERNEL_BITS,
    NO_RING,
    SLICE_BITS,
    DepthwiseGeometry,
    constant_words,
)
from narrows.hw.depthwise.line_buffer import LINE_BITS, SIZE_BITS, line_fields

#: Sums of products are signed numbers of this width.
SUM_BITS = 26

#: A step of some rows through the banks: the bank moves by ``bank`` (modulo 3), the row's first word by ``near`` or, when
#: the bank wraps around, by ``far`` (modulo the ring).
LineStep = data.StructLayout({"bank": 2, "near": LINE_BITS, "far": LINE_BITS})

#: Everything the unit knows of a block. Counts are less one; positions are linear pixels modulo 2**POSITION_BITS;
#: offsets and first words count words in a bank. See :func:`depthwise_fields` for each.
DepthwiseFields = data.StructLayout({
    # Counts: groups, segments, rows, images, slices; outputs in a segment, and in a row's last one.
    "groups": GROUP_BITS,
    "segments": SIZE_BITS,
    "rows": SIZE_BITS,
    "images": IMAGE_BITS,
    "slices": SLICE_BITS,
    "segment": SIZE_BITS,
    "tail": SIZE_BITS,
    # The kernel: columns and triples of rows, cycles added to a result (below two), rows in the last triple.
    "columns": KERNEL_BITS,
    "triples": KERNEL_BITS - 1,
    "idle": 2,
    "last_rows": 2,
    # The plane, and steps of a column's number and of its offset in a bank.
    "in_h": SIZE_BITS,
    "in_w": SIZE_BITS,
    "column_start": signed(COORDINATE_BITS),
    "column_segment": COORDINATE_BITS,
    "column_output": 3,
    "column_tap": 4,
    "offset_start": LINE_BITS,
    "offset_segment": LINE_BITS,
    "offset_output": LINE_BITS,
    "offset_tap": LINE_BITS,
    # The same for rows: a row's number, and its bank and first word.
    "row_start": signed(COORDINATE_BITS),
    "row_output": 3,
    "row_tap": 4,
    "bank_start": 2,
    "word_start": LINE_BITS,
    "step_output": LineStep,
    "step_plane": LineStep,
    "step_second": LineStep,
    "step_third": LineStep,
    "row_triple": 5,
    "word_triple": LINE_BITS,
    "word_triple_back": signed(LINE_BITS + 2),
    "limit": LINE_BITS + 1,
    # Credits. ``bottom_limit``: the last row whose kernel does not reach below the plane; ``reach``: columns the first
    # segment needs, and the last; ``position_*``: of output row 0's first row of the kernel, from one output row to
    # the next, from the kernel's first row to its last, from a plane to its last row, from plane to plane.
    "bottom_limit": signed(COORDINATE_BITS),
    "reach_start": signed(COORDINATE_BITS),
    "reach_tail": signed(COORDINATE_BITS),
    "position_start": POSITION_BITS,
    "position_output": POSITION_BITS,
    "position_bottom": POSITION_BITS,
    "position_last": POSITION_BITS,
    "position_plane": POSITION_BITS,
    "ring": POSITION_BITS,
    # Arithmetic and where results go.
    "weights": 10,
    "ones": 1,
    "signed": 1,
    "zero_in": signed(9),
    "range": OutputRange,
    "walk": WalkFields,
})


def _wrapped(value: int, bits: int) -> int:
    return value & ((1 << bits) - 1)


def _line_step(rows: int, row_words: int, limit: int) -> dict[str, int]:
    """Values of :data:`LineStep` for a step of ``rows`` of ``row_words`` words."""
    near, bank = divmod(rows, 3)
    return {"bank": bank, "near": near * row_words % limit, "far": (near + 1) * row_words % limit}


def _counts(shape: DepthwiseGeometry, config: EngineConfig) -> dict[str, int]:
    (kh, kw), idle = shape.kernel, shape.result_cycles(config) - shape.triples * shape.kernel[1]
    # Only a kernel of one triple can be shorter than its requantisation; it gets columns that count nothing.
    if (idle or kw == 1) and shape.triples > 1:
        raise Unfit(f"A kernel of {kh} x {kw} takes fewer cycles than its rows or requantising its results: pad it to two columns.")
    return {
        "groups": shape.groups - 1,
        "segments": shape.segments - 1,
        "rows": shape.out_h - 1,
        "images": shape.images - 1,
        "slices": shape.slices - 1,
        "segment": shape.segment - 1,
        "tail": shape.out_w - (shape.segments - 1) * shape.segment - 1,
        "columns": kw + idle - 1,
        "triples": shape.triples - 1,
        "idle": idle,
        "last_rows": kh - 3 * (shape.triples - 1),
        "weights": shape.triples * kw,
    }


def _columns(shape: DepthwiseGeometry) -> dict[str, int]:
    kw, sw, dw, left = shape.kernel[1], shape.stride[1], shape.dilation[1], shape.pad[1]
    reach = (kw - 1) * dw - left + 1
    return {
        "in_w": shape.in_w,
        "column_start": -left,
        "column_segment": shape.segment * sw,
        "column_output": sw,
        "column_tap": dw,
        "offset_start": _wrapped(-left * shape.groups, LINE_BITS),
        "offset_segment": _wrapped(shape.segment * sw * shape.groups, LINE_BITS),
        "offset_output": _wrapped(sw * shape.groups, LINE_BITS),
        "offset_tap": _wrapped(dw * shape.groups, LINE_BITS),
        "reach_start": (shape.segment - 1) * sw + reach,
        "reach_tail": min((shape.out_w - 1) * sw + reach, shape.in_w),
    }


def _rows(shape: DepthwiseGeometry, limit: int) -> dict:
    kh, sh, dh, top = shape.kernel[0], shape.stride[0], shape.dilation[0] if shape.kernel[0] > 1 else 1, shape.pad[0]
    words, width = shape.in_w * shape.groups, shape.in_w
    bottom = (kh - 1) * dh
    return {
        "in_h": shape.in_h,
        "row_start": -top,
        "row_output": sh,
        "row_tap": dh,
        "bank_start": -top % 3,
        "word_start": (-top // 3) * words % limit,
        "step_output": _line_step(sh, words, limit),
        "step_plane": _line_step(shape.in_h, words, limit),
        "step_second": _line_step(dh, words, limit),
        "step_third": _line_step(2 * dh, words, limit),
        "row_triple": 3 * dh,
        "word_triple": dh * words % limit,
        "word_triple_back": dh * words % limit - limit,
        "limit": limit,
        "bottom_limit": shape.in_h - 1 - bottom,
        "position_start": _wrapped(-top * width, POSITION_BITS),
        "position_output": sh * width,
        "position_bottom": _wrapped(bottom * width, POSITION_BITS),
        "position_last": (shape.in_h - 1) * width,
        "position_plane": shape.in_h * width,
    }


def _check_lines(shape: DepthwiseGeometry, slots: int) -> None:
    """Refuse a shape for which a segment needs pixels that can't be in the banks' rings at one time."""
    width, freed = shape.in_w, 0
    for row in range(shape.out_h):
        for end in [*range(shape.segment, shape.out_w, shape.segment), shape.out_w]:
            needed = shape.needed(row, end)
            for back in range(3):
                # The last pixel in each bank, and the one that was in its place before.
                last = needed - 1 if back == 0 else ((needed - 1) // width - back + 1) * width - 1
                line, column = divmod(last, width)
                turns, column = divmod(column - slots, width)
                if (line + 3 * turns) * width + column >= freed:
                    raise Unfit(
                        f"Line buffers of {slots} pixels per bank do not hold what outputs up to {end} of row {row} need: "
                        f"use more slices or shorter segments."
                    )
            freed = shape.freed(row, end)


def depthwise_fields(
    *,
    config: EngineConfig,
    geometry: DepthwiseGeometry,
    base: int,
    size: int,
    pixel_words: int,
    zero_in: int,
    zero_point: int,
    lo: int,
    hi: int,
    is_signed: bool,
    ring: int = NO_RING,
    ones: bool = False,
) -> dict:
    """Checked values of :data:`DepthwiseFields` (``Unfit`` with a sentence where the hardware is too small).

    ``base``, ``size``: the results' region in words of every bank of activation memory, a ring if it is smaller than the
    tensor; ``pixel_words``: words per pixel there, i.e. groups of all slices. ``ring``: filtered pixels that may be unconsumed
    (``NO_RING``: any number; one slice only otherwise). ``zero_in``: the input's zero point, in the range of its type
    (``is_signed``: int8). ``zero_point``, ``lo``, ``hi``: as in :func:`narrows.hw.arithmetic.requantise.output_range`. ``ones``: all
    weights are 1 and none are read. A kernel of the plane's size without padding makes a global sum.
    """
    lines = line_fields(config=config, width=geometry.in_w, groups=geometry.groups)
    _check_lines(geometry, lines["limit"] // geometry.groups)
    if not 1 <= ring <= NO_RING or geometry.slices > 1 and ring != NO_RING:
        raise Unfit(f"A ring of {ring} filtered pixels can't hold {geometry.slices} slices.")
    if geometry.segment > ring:
        raise Unfit(f"A segment of {geometry.segment} outputs does not fit a ring of {ring} filtered pixels.")
    if not (-128 <= zero_in <= 127 if is_signed else 0 <= zero_in <= 255):
        raise Unfit(f"A zero point of {zero_in} is not a byte of the input's type.")
    kh, kw = geometry.kernel
    if kh * kw * 255 * (1 if ones else 256) >= 1 << (SUM_BITS - 1):
        raise Unfit(f"Sums over a kernel of {kh} x {kw} do not fit {SUM_BITS} bits.")
    counts = _counts(geometry, config)
    if ones:
        counts["weights"] = 0
    for name, words in (("weights", counts["weights"]), ("constants", constant_words(config))):
        if words * geometry.groups > config.depthwise_words:
            raise Unfit(
                f"The {name} of {geometry.groups} groups take {words * geometry.groups} words, the unit's memory has "
                f"{config.depthwise_words}: use more slices."
            )
    return {
        **counts,
        **_columns(geometry),
        **_rows(geometry, lines["limit"]),
        "ring": min(ring, NO_RING - 1),
        "ones": int(ones),
        "signed": int(is_signed),
        "zero_in": zero_in,
        "range": output_range(zero_point=zero_point, lo=lo, hi=hi),
        "walk": walk_fields(base=base, size=size, stride=pixel_words, groups=geometry.groups),
    }
