"""What runs left in external memory, as tensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from narrows.graph.network import Tensor
from narrows.plan.plan import Plan, Transfer

#: Gives so many bytes of external memory from an address on; both are even.
Read = Callable[[int, int], bytes]


def read_stored(read: Read, region: Transfer, tensor: Tensor, images: int, channels: range) -> np.ndarray:
    """``channels`` of ``images`` images of ``tensor`` at ``region``: (images, height, width, channels)."""
    data = read(region.address, region.bytes + region.bytes % 2)[: region.bytes]
    return np.frombuffer(data, tensor.dtype).reshape(images, *tensor.shape[:2], -1)[..., : len(channels)].copy()


def read_outputs(read: Read, plan: Plan) -> tuple[tuple[np.ndarray, ...], ...]:
    """Each image's outputs in their shapes and types, in the order of ``plan.tensors``, put together of what the runs formed."""
    results = {id(tensor): np.zeros((plan.images, *tensor.shape), tensor.dtype) for tensor in plan.tensors}
    for part in plan.outputs:
        images, channels = slice(part.first, part.first + part.images), slice(part.channels.start, part.channels.stop)
        results[id(part.tensor)][images, ..., channels] = read_stored(read, part.store, part.tensor, part.images, part.channels)
    return tuple(zip(*results.values(), strict=True))
