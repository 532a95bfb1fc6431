"""What TensorFlow Lite's model metadata says of an input's pixels: the flatbuffer that some files carry as their TFLITE_METADATA.

Its schema is metadata_schema.fbs of TensorFlow Lite Support. Nothing here refuses a model: metadata that can't be read isn't there.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table

NAME, IDENTIFIER = b"TFLITE_METADATA", b"M001"

# Fields by their place in the schema's tables, and NormalizationOptions in the union of process units.
_SUBGRAPHS = 3  # ModelMetadata.subgraph_metadata
_INPUTS = 2  # SubGraphMetadata.input_tensor_metadata
_UNITS = 4  # TensorMetadata.process_units
_KIND, _OPTIONS = 0, 1  # ProcessUnit.options_type, .options
_MEAN, _STD = 0, 1  # NormalizationOptions
_NORMALIZATION = 1

_MOST = 1000  # metadata entries, process units
_DAMAGED = (struct.error, ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError, MemoryError)


def metadata_of(root: Any) -> bytes:
    """The metadata buffer of a file, ``root`` being its ``tflite.Model``; empty without, or if it can't be read."""
    try:
        for index in range(min(root.MetadataLength(), _MOST)):
            entry = root.Metadata(index)
            if entry.Name() == NAME and 0 <= entry.Buffer() < root.BuffersLength():
                data = root.Buffers(entry.Buffer()).DataAsNumpy()
                return b"" if isinstance(data, int) else data.tobytes()
    except _DAMAGED:
        pass
    return b""


def normalization(metadata: bytes, channels: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(mean, std) of the first input, float32 with 1 or ``channels`` values each: a pixel p goes in as (p - mean) / std.

    None if the metadata doesn't say, or says what can't be applied.
    """
    if metadata[4:8] != IDENTIFIER:
        return None
    try:
        return _normalization(metadata, channels)
    except _DAMAGED:
        return None


def _normalization(metadata: bytes, channels: int) -> tuple[np.ndarray, np.ndarray] | None:
    (root,) = struct.unpack_from("<I", metadata)
    tensor = Table(metadata, root)
    for field in (_SUBGRAPHS, _INPUTS):
        tensor = next(iter(_tables(tensor, field)), None)
        if tensor is None:
            return None
    for unit in _tables(tensor, _UNITS):
        kind, at = _offset(unit, _KIND), _offset(unit, _OPTIONS)
        if kind and at and unit.Get(number_types.Uint8Flags, unit.Pos + kind) == _NORMALIZATION:
            options = Table(metadata, 0)
            unit.Union(options, at)
            mean, std = _floats(options, _MEAN), _floats(options, _STD)
            usable = mean.size in (1, channels) and std.size in (1, channels) and np.isfinite([*mean, *std]).all() and std.all()
            return (mean, std) if usable else None
    return None


def _offset(table: Table, field: int) -> int:
    """Of a field in its table, 0 if it isn't there."""
    return table.Offset(4 + 2 * field)


def _tables(table: Table, field: int) -> list[Table]:
    """The tables of a field that is a vector of tables."""
    offset = _offset(table, field)
    if not offset:
        return []
    start = table.Vector(offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(min(table.VectorLen(offset), _MOST))]


def _floats(table: Table, field: int) -> np.ndarray:
    """The values of a field that is a vector of floats."""
    offset = _offset(table, field)
    count = table.VectorLen(offset) if offset else 0
    return np.frombuffer(table.Bytes, "<f4", count, table.Vector(offset)).astype(np.float32) if count else np.zeros(0, np.float32)
