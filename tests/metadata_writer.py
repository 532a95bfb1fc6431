"""Write the metadata flatbuffer that TensorFlow Lite's model metadata writer puts into a file: one image input, normalised."""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
import numpy as np

_NORMALIZATION, _SCORE_CALIBRATION = 1, 2  # of the union of process units


def metadata(mean: Sequence[float] | None, std: Sequence[float] | None, *, kind: int = _NORMALIZATION, before: bool = False) -> bytes:
    """Metadata whose first input has a process unit of ``kind`` with ``mean`` and ``std``; ``before``: another kind of unit before it."""
    b = flatbuffers.Builder(256)
    units = [_unit(b, _SCORE_CALIBRATION, None, None)] if before else []
    units.append(_unit(b, kind, mean, std))
    tensor = _table(b, {0: b.CreateString("image"), 4: _vector(b, units)}, 7)
    subgraph = _table(b, {2: _vector(b, [tensor])}, 9)
    model = _table(b, {0: b.CreateString("made"), 3: _vector(b, [subgraph])}, 8)
    b.Finish(model, file_identifier=b"M001")
    return bytes(b.Output())


def _unit(b: flatbuffers.Builder, kind: int, mean: Sequence[float] | None, std: Sequence[float] | None) -> int:
    floats = {n: b.CreateNumpyVector(np.array(v, np.float32)) for n, v in enumerate((mean, std)) if v is not None}
    options = _table(b, floats, 2)
    b.StartObject(2)
    b.PrependUint8Slot(0, kind, 0)
    b.PrependUOffsetTRelativeSlot(1, options, 0)
    return b.EndObject()


def _table(b: flatbuffers.Builder, fields: dict[int, int], slots: int) -> int:
    b.StartObject(slots)
    for slot, offset in fields.items():
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return b.EndObject()


def _vector(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()
