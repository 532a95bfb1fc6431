"""A ``.tflite`` file as plain dataclasses: tensors, operators, the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from narrows.errors import ImportRefused


@dataclass(frozen=True, eq=False)
class FileTensor:
    """A tensor of the file. ``scale`` (float32) and ``zero_point`` (int64) have shape (1,) or, per channel
    along ``axis``, (channels,); both are None where the tensor isn't quantised. ``data`` is the constant's
    value with shape ``shape``, or None for an activation."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: np.ndarray | None
    zero_point: np.ndarray | None
    axis: int
    data: np.ndarray | None

    def __str__(self) -> str:
        return f"tensor {self.index} ({self.name})"


@dataclass(frozen=True, eq=False)
class Operator:
    """An operator of the file; an absent optional input is -1. ``options`` holds the fields of its option
    table under names of our own (``stride_h``, ``padding`` "SAME" or "VALID", ``activation`` "RELU6" ...)."""

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"operator {self.index} {self.name}"


@dataclass(frozen=True, eq=False)
class Model:
    """The file's first subgraph. ``operators`` are in execution order: each reads constants, graph inputs
    and outputs of earlier operators only, and no tensor is written twice. ``metadata``: see :mod:`narrows.tflite.metadata`."""

    name: str
    tensors: tuple[FileTensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    description: str
    metadata: bytes = b""

    def refuse(self, op: Operator, reason: str, tensor: int | None = None) -> NoReturn:
        """Raise :meth:`refusal`."""
        raise self.refusal(op, reason, tensor)

    def refusal(self, op: Operator, reason: str, tensor: int | None = None) -> ImportRefused:
        """An :class:`ImportRefused` that names ``op`` and ``tensor`` (its output by default)."""
        about = tensor if tensor is not None else (op.outputs[0] if op.outputs else None)
        where = f", {self.tensors[about]}" if about is not None and 0 <= about < len(self.tensors) else ""
        return ImportRefused(f"{self.name}: {op}{where}: {reason}", op=op.index, reason=reason)

    def live(self, operators: Sequence[Operator]) -> list[Operator]:
        """``operators`` without those whose results nobody reads."""
        needed, live = set(self.outputs), []
        for op in reversed(operators):
            if needed.intersection(op.outputs):
                needed.update(op.inputs)
                live.append(op)
        return live[::-1]


def check_order(model: Model) -> None:
    """Raise :class:`ImportRefused` unless every tensor is written at most once and before it is read."""
    known = set(model.inputs) | {t.index for t in model.tensors if t.data is not None}
    for op in model.operators:
        for tensor in op.inputs:
            if tensor >= 0 and tensor not in known:
                model.refuse(op, "reads a tensor that nothing has written yet (a cycle or a dangling tensor)", tensor)
        for tensor in op.outputs:
            if tensor in known:
                model.refuse(op, "writes a tensor that already has a value", tensor)
            known.add(tensor)
    for tensor in model.outputs:
        if tensor not in known:
            raise ImportRefused(f"{model.name}: graph output {model.tensors[tensor]} is written by no operator")
