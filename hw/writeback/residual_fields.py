"""What the residual of a block is set to, and the layers it can add."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import signed
from amaranth.lib import data

from narrows.errors import NarrowsError
from narrows.hw.arithmetic.ports import OutputRange
from narrows.hw.arithmetic.requantise import MAX_SHIFT, MIN_SHIFT, output_range
from narrows.hw.config import MULTIPLIER_BITS, SHIFT_BITS

#: Shifts of the two inputs: the larger input's factor is a half, so never to the left.
MIN_INPUT_SHIFT, MAX_INPUT_SHIFT = -31, 0

#: What the residual of a block needs. ``enable`` 0: projected words pass unchanged. ``signed``: bytes are int8, not
#: uint8. 1: the projected word, 2: the shortcut. ``z1``, ``z2``: zero points in the type's range; ``m1``, ``m2``,
#: ``mo``: 0..2^31-1; ``s1``, ``s2``: -31..0; ``so``: -31..1, TensorFlow Lite's shifts, positive is left.
ResidualFields = data.StructLayout({
    "enable": 1,
    "signed": 1,
    "z1": signed(9),
    "z2": signed(9),
    "m1": MULTIPLIER_BITS,
    "m2": MULTIPLIER_BITS,
    "mo": MULTIPLIER_BITS,
    "s1": signed(SHIFT_BITS),
    "s2": signed(SHIFT_BITS),
    "so": signed(SHIFT_BITS),
    "range": OutputRange,
})


def residual_fields(layer: Any, *, a_index: int = 0) -> dict[str, int | Mapping[str, int]]:
    """The values of :data:`ResidualFields` for ``layer``, a ``narrows.graph.network.Add``; ``layer.inputs[a_index]`` is the projected
    tensor.

    Raises :class:`~narrows.errors.NarrowsError` for what the hardware can't compute exactly.
    """
    if a_index not in (0, 1):
        raise ValueError(f"An addition has inputs 0 and 1, no {a_index}.")
    where = f"Operator {layer.op} ({layer.name})"
    for tensor in (*layer.inputs, layer.output):
        if tensor.dtype != layer.output.dtype:
            raise NarrowsError(f"{where} adds {tensor.dtype} ({tensor.name}) into {layer.output.dtype}; it needs one type.")
        lowest = -128 if tensor.dtype == "int8" else 0
        if not lowest <= tensor.zero_point <= lowest + 255:
            raise NarrowsError(f"{where}: the zero point {tensor.zero_point} of {tensor.name} is no {tensor.dtype}.")
    inputs = ((layer.inputs[0], layer.m1), (layer.inputs[1], layer.m2))
    (a, (m1, s1)), (b, (m2, s2)) = inputs[a_index], inputs[1 - a_index]
    mo, so = layer.mo
    limits = (MIN_INPUT_SHIFT, MAX_INPUT_SHIFT)
    for name, multiplier, shift, (least, most) in (
        (a.name, m1, s1, limits),
        (b.name, m2, s2, limits),
        (layer.output.name, mo, so, (MIN_SHIFT, MAX_SHIFT)),
    ):
        if not 0 <= multiplier < 1 << MULTIPLIER_BITS:
            raise NarrowsError(f"{where}: the multiplier {multiplier} of {name} is not within 0..2^31-1 (a subtraction?).")
        if not least <= shift <= most:
            raise NarrowsError(f"{where}: the shift {shift} of {name} is outside {least}..{most}: its scale is out of proportion.")
    try:
        limit = output_range(zero_point=int(layer.zero_point), lo=int(layer.lo), hi=int(layer.hi))
    except ValueError as error:
        raise NarrowsError(f"{where}: {error}") from error
    return {
        "enable": 1,
        "signed": int(layer.output.dtype == "int8"),
        "z1": int(a.zero_point),
        "z2": int(b.zero_point),
        "m1": int(m1),
        "m2": int(m2),
        "mo": int(mo),
        "s1": int(s1),
        "s2": int(s2),
        "so": int(so),
        "range": limit,
    }
