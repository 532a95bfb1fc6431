"""The operators of constant subgraphs, which work out a shape: the importer runs them once and drops them."""

from __future__ import annotations

import numpy as np

from narrows.golden.operators import Call, operator
from narrows.golden.operators_host import BYTES, COPIED, INTEGERS


@operator("SHAPE")
def _shape(call: Call) -> np.ndarray:
    return np.array(call.source(0).shape, call.types(call.output, allowed=INTEGERS))


@operator("STRIDED_SLICE")
def _strided_slice(call: Call) -> np.ndarray:
    options, x = call.op.options, call.value()
    call.types(call.source(0), call.output, allowed=COPIED)
    if options["ellipsis_mask"] or options["new_axis_mask"]:
        call.refuse("ellipsis or new axis masks; export the model without them")
    begin, end, step = (call.value(i).reshape(-1)[:9].tolist() for i in (1, 2, 3))
    index: list[slice | int] = []
    for i, (b, e, s) in enumerate(zip(begin, end, step, strict=True)):
        bit = 1 << i
        if options["shrink_axis_mask"] & bit:
            index.append(b)
        else:
            index.append(slice(None if options["begin_mask"] & bit else b, None if options["end_mask"] & bit else e, s))
    return np.asarray(x[tuple(index)])


@operator("PACK")
def _pack(call: Call) -> np.ndarray:
    values = [call.value(i) for i in range(len(call.op.inputs))]
    call.types(call.output, *(call.source(i) for i in range(len(values))), allowed=COPIED)
    return np.stack(values, axis=call.op.options["axis"])


@operator("TILE")
def _tile(call: Call) -> np.ndarray:
    call.types(call.source(0), call.output, allowed=COPIED)
    times = [int(n) for n in call.value(1).reshape(-1)[:9]]
    if len(times) != len(call.source(0).shape) or min(times, default=1) < 0:
        call.refuse(f"multiples {times} for shape {list(call.source(0).shape)}")
    call.expect([n * t for n, t in zip(call.source(0).shape, times, strict=True)])
    return np.tile(call.value(), times)


@operator("CAST")
def _cast(call: Call) -> np.ndarray:
    whole = call.types(call.source(0), allowed=(*BYTES, *INTEGERS))
    wide = call.types(call.output, allowed=(*INTEGERS, "float32"))
    if (whole, wide) == ("int64", "int32"):
        call.refuse("a cast from int64 to int32")
    return call.value().astype(wide)


@operator("GATHER")
def _gather(call: Call) -> np.ndarray:
    call.types(call.source(0), call.output, allowed=COPIED)
    call.types(call.source(1), allowed=INTEGERS)
    x, at, axis = call.value(0), call.value(1), call.op.options["axis"]
    rank = len(x.shape)
    if call.op.options["batch_dims"] or not -rank <= axis < rank:
        call.refuse(f"gathers along axis {axis} of shape {list(x.shape)} with batch dimensions")
    axis %= rank
    if (at < 0).any() or (at >= x.shape[axis]).any():
        call.refuse(f"an index outside 0..{x.shape[axis] - 1}", call.op.inputs[1])
    call.expect((*x.shape[:axis], *at.shape, *x.shape[axis + 1 :]))
    return np.asarray(np.take(x, at, axis=axis))


@operator("REDUCE_PROD")
def _reduce_prod(call: Call) -> np.ndarray:
    dtype = call.types(call.source(0), call.output, allowed=INTEGERS)
    axes = {int(a) for a in call.value(1).reshape(-1)[:9]}
    return np.asarray(np.prod(call.value(0), axis=tuple(axes), keepdims=bool(call.op.options["keep_dims"]), dtype=dtype))


@operator("FILL")
def _fill(call: Call) -> np.ndarray:
    call.types(call.source(1), call.output, allowed=COPIED)
    shape = [int(n) for n in call.value(0).reshape(-1)[:9]]
    call.expect(shape)
    return np.full(shape, call.value(1).reshape(()), call.output.dtype)
