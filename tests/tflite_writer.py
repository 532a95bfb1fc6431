"""Write small ``.tflite`` files: tensors and operators one by one, as a converter would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

_OPTION_TABLES = {
    "ADD": "AddOptions",
    "ARG_MAX": "ArgMaxOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "PACK": "PackOptions",
    "REDUCE_PROD": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "SHAPE": "ShapeOptions",
    "SOFTMAX": "SoftmaxOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
}
# Versions converters write for 8-bit tensors, where they aren't 1.
_VERSIONS = {
    "ADD": 2, "AVERAGE_POOL_2D": 2, "CONCATENATION": 2, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "DEQUANTIZE": 2,
    "FULLY_CONNECTED": 4, "MAXIMUM": 2, "MEAN": 2, "MINIMUM": 2, "MUL": 2, "PACK": 2, "PAD": 2, "PADV2": 2, "RELU": 2,
    "RELU6": 2, "SOFTMAX": 2, "STRIDED_SLICE": 2, "SUB": 2, "TRANSPOSE": 2, "LOGISTIC": 2,
}  # fmt: skip
_NAMED = {
    "padding": tflite.Padding,
    "fused_activation_function": tflite.ActivationFunctionType,
    "out_type": tflite.TensorType,
    "output_type": tflite.TensorType,
}


@dataclass(eq=False)
class WrittenTensor:
    """A tensor to be written; ``scale`` and ``zero_point`` are one number, or one per channel along ``axis``."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: Any = None
    zero_point: Any = 0
    axis: int = 0
    data: np.ndarray | None = None


@dataclass(eq=False)
class Writer:
    """Collects tensors and operators; :meth:`finish` gives the file's bytes.

    ``code_fields``: which of an operator code's two fields hold its number, "old", "new" or "both".
    """

    tensors: list[WrittenTensor] = field(default_factory=list)
    operators: list[tuple[str, list[int], list[int], dict[str, Any] | None, int]] = field(default_factory=list)
    code_fields: str = "both"

    def tensor(
        self, shape: tuple[int, ...], dtype: str, scale: Any = None, zero_point: Any = 0, *, name: str = "",
        axis: int = 0, data: np.ndarray | None = None,
    ) -> WrittenTensor:  # fmt: skip
        """A new activation, or a constant if ``data`` is given."""
        index = len(self.tensors)
        tensor = WrittenTensor(index, name or f"t{index}", tuple(shape), dtype, scale, zero_point, axis, data)
        self.tensors.append(tensor)
        return tensor

    def constant(self, data: Any, dtype: str, scale: Any = None, zero_point: Any = 0, **keywords: Any) -> WrittenTensor:
        """A new constant of ``data``'s shape."""
        array = np.asarray(data, dtype)
        return self.tensor(array.shape, dtype, scale, zero_point, data=array, **keywords)

    def operator(
        self, name: str, inputs: list[WrittenTensor | None], output: WrittenTensor, *, version: int | None = None,
        table: bool = True, **options: Any,
    ) -> WrittenTensor:  # fmt: skip
        """Append an operator; options are the schema's fields in snake case, enums by name. Returns ``output``.

        ``table``: whether the file gets its option table.
        """
        indices = [-1 if t is None else t.index for t in inputs]
        self.operators.append((name, indices, [output.index], options if table else None, version or _VERSIONS.get(name, 1)))
        return output

    def finish(self, inputs: list[WrittenTensor], outputs: list[WrittenTensor], *, metadata: bytes | None = None) -> bytes:
        """The file with these graph inputs and outputs, and with ``metadata`` as its TFLITE_METADATA."""
        b = flatbuffers.Builder(1 << 16)
        codes = sorted({(name, version) for name, _, _, _, version in self.operators})
        buffers = [_buffer(b, None)] + [_buffer(b, t.data) for t in self.tensors]
        tensors = _offsets(b, [_tensor(b, t) for t in self.tensors])
        operators = _offsets(b, [_operator(b, op, codes.index((op[0], op[4]))) for op in self.operators])
        ins, outs = _vector(b, [t.index for t in inputs], "int32"), _vector(b, [t.index for t in outputs], "int32")
        name = b.CreateString("main")
        fields = {"Tensors": tensors, "Inputs": ins, "Outputs": outs, "Operators": operators, "Name": name}
        graph = _offsets(b, [_table(b, "SubGraph", fields)])
        code_vector = _offsets(b, [_code(b, *code, self.code_fields) for code in codes])
        fields = {"OperatorCodes": code_vector, "Subgraphs": graph, "Buffers": _offsets(b, buffers), "Version": 3}
        if metadata is not None:
            buffers.append(_buffer(b, np.frombuffer(metadata, np.uint8)))
            entry = {"Name": b.CreateString("TFLITE_METADATA"), "Buffer": len(buffers) - 1}
            fields |= {"Buffers": _offsets(b, buffers), "Metadata": _offsets(b, [_table(b, "Metadata", entry)])}
        b.Finish(_table(b, "Model", fields), file_identifier=b"TFL3")
        return bytes(b.Output())


def _table(b: flatbuffers.Builder, name: str, fields: dict[str, Any]) -> int:
    getattr(tflite, f"{name}Start")(b)
    for key, value in fields.items():
        if value is not None:
            getattr(tflite, f"{name}Add{key}")(b, value)
    return getattr(tflite, f"{name}End")(b)


def _vector(b: flatbuffers.Builder, values: Any, dtype: str) -> int:
    return b.CreateNumpyVector(np.asarray(values, dtype).reshape(-1))


def _offsets(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def _buffer(b: flatbuffers.Builder, data: np.ndarray | None) -> int:
    if data is None:
        return _table(b, "Buffer", {})
    raw = np.ascontiguousarray(data).tobytes()
    b.StartVector(1, len(raw), 16)  # the interpreter wants constants aligned
    b.head = b.head - len(raw)
    b.Bytes[b.head : b.head + len(raw)] = raw
    return _table(b, "Buffer", {"Data": b.EndVector()})


def _tensor(b: flatbuffers.Builder, t: WrittenTensor) -> int:
    quantization = None
    if t.scale is not None:
        scale = np.atleast_1d(np.asarray(t.scale, np.float32))
        zero = np.broadcast_to(np.asarray(t.zero_point, np.int64), scale.shape)
        scales, zeros = _vector(b, scale, "float32"), _vector(b, zero, "int64")
        fields = {"Scale": scales, "ZeroPoint": zeros, "QuantizedDimension": t.axis}
        quantization = _table(b, "QuantizationParameters", fields)
    shape, name = _vector(b, t.shape, "int32"), b.CreateString(t.name)
    kind = getattr(tflite.TensorType, t.dtype.upper())
    fields = {"Shape": shape, "Type": kind, "Buffer": t.index + 1, "Name": name, "Quantization": quantization}
    return _table(b, "Tensor", fields)


def _operator(b: flatbuffers.Builder, op: tuple, code: int) -> int:
    name, inputs, outputs, options, _ = op
    table, kind = None, 0
    if name in _OPTION_TABLES and options is not None:
        fields = {}
        for key, value in options.items():
            if isinstance(value, str):
                value = getattr(_NAMED[key], value)
            elif isinstance(value, tuple | list):
                value = _vector(b, value, "int32")
            fields["".join(word.capitalize() for word in key.split("_"))] = value
        table = _table(b, _OPTION_TABLES[name], fields)
        kind = getattr(tflite.BuiltinOptions, _OPTION_TABLES[name])
    fields = {
        "OpcodeIndex": code,
        "Inputs": _vector(b, inputs, "int32"),
        "Outputs": _vector(b, outputs, "int32"),
        "BuiltinOptionsType": kind,
        "BuiltinOptions": table,
    }
    return _table(b, "Operator", fields)


def _code(b: flatbuffers.Builder, name: str, version: int, filled: str) -> int:
    number = getattr(tflite.BuiltinOperator, name, tflite.BuiltinOperator.CUSTOM)
    custom = b.CreateString(name) if number == tflite.BuiltinOperator.CUSTOM else None
    old, new = (None if filled == "new" else min(number, 127)), (None if filled == "old" else number)
    fields = {"DeprecatedBuiltinCode": old, "BuiltinCode": new, "Version": version, "CustomCode": custom}
    return _table(b, "OperatorCode", fields)
