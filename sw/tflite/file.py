"""Parse a ``.tflite`` file into plain dataclasses, or refuse it with one sentence.

The only module that knows the ``tflite`` package. Nothing read from the file is trusted: every
index, length, type, shape, scale and buffer size is checked here, so what follows may rely on them.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tflite

from narrows.errors import ImportRefused
from narrows.tflite.advice import no_tflite
from narrows.tflite.metadata import metadata_of
from narrows.tflite.model import FileTensor, Model, Operator, check_order
from narrows.tflite.options import ACTIVATIONS, DEFAULTS, OPERATOR_VERSIONS, OPTIONS, PADDINGS, REQUIRED, builtin_code

# Far above every real network; they keep a damaged file from asking for the machine's memory.
MAX_ELEMENTS = 1 << 26
MAX_TENSORS = MAX_OPERATORS = 20_000
MAX_ARITY = 1_000
MAX_BYTES = 1 << 30


def _constants(namespace: type) -> dict[int, str]:
    return {value: name for name, value in vars(namespace).items() if isinstance(value, int)}


_OPERATOR_NAMES = _constants(tflite.BuiltinOperator)
_OPTION_TYPES = {name: value for value, name in _constants(tflite.BuiltinOptions).items()}
_TYPE_NAMES = {value: name.lower() for value, name in _constants(tflite.TensorType).items()}
# Types NumPy has too; a tensor of any other (strings, 4 bits, resources) is carried without data.
_NUMPY_TYPES = {
    "float32", "float16", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"
}  # fmt: skip


def read_model(path: str | Path) -> Model:
    """Read and validate the ``.tflite`` file at ``path``. Raises :class:`ImportRefused`."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MAX_BYTES:
            raise ImportRefused(f"{path}: not a file of at most {MAX_BYTES >> 20} MB; give the path of a .tflite file")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError for a path that can't be one
        reason = getattr(error, "strerror", None) or error
        raise ImportRefused(f"{path}: can't be read ({reason}); give the path of a .tflite file") from None
    return parse_model(content, path.name)


def parse_model(content: bytes, name: str = "model") -> Model:
    """Parse the bytes of a ``.tflite`` file; ``name`` is what messages call it. Raises :class:`ImportRefused`."""
    if len(content) < 16 or content[4:8] != b"TFL3":
        raise ImportRefused(f"{name}: {no_tflite(content)}")
    try:
        return _Parser(content, name).model()
    except (struct.error, ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError, MemoryError):
        # The flatbuffers accessors meet a damaged offset with any of these.
        raise ImportRefused(f"{name}: the file is damaged (an offset leads outside it); copy or export it again") from None


class _Parser:
    """Walks one flatbuffer. Vector lengths are bounded by the file's size before anything loops over them."""

    def __init__(self, content: bytes, name: str) -> None:
        self.content, self.name = content, name
        self.root: Any = tflite.Model.GetRootAs(content, 0)

    def refuse(self, reason: str) -> NoReturn:
        raise ImportRefused(f"{self.name}: {reason}")

    def length(self, count: int, limit: int, what: str) -> int:
        if count * 4 > len(self.content):
            self.refuse(f"the file is damaged ({count} {what} can't fit in it); copy or export it again")
        if count > limit:
            self.refuse(f"{count} {what}, the limit is {limit}")
        return count

    def text(self, raw: bytes | None) -> str:
        text = (raw or b"")[:300].decode("utf-8", "replace")
        return "".join(c if c.isprintable() else "?" for c in text)

    def model(self) -> Model:
        if self.root.Version() != 3:
            self.refuse(f"schema version {self.root.Version()}, only 3 is known; export the model again")
        if self.length(self.root.SubgraphsLength(), 1000, "subgraphs") < 1:
            self.refuse("no subgraph in the file")
        graph = self.root.Subgraphs(0)
        tensors = tuple(
            self.tensor(i, graph.Tensors(i)) for i in range(self.length(graph.TensorsLength(), MAX_TENSORS, "tensors"))
        )
        operators = tuple(
            self.operator(i, graph.Operators(i), len(tensors))
            for i in range(self.length(graph.OperatorsLength(), MAX_OPERATORS, "operators"))
        )
        model = Model(
            name=self.name, tensors=tensors, operators=operators,
            inputs=self.indices(graph.InputsAsNumpy(), len(tensors), "graph input", optional=False),
            outputs=self.indices(graph.OutputsAsNumpy(), len(tensors), "graph output", optional=False),
            description=self.text(self.root.Description()),
            metadata=metadata_of(self.root),
        )
        check_order(model)
        return model

    def indices(self, vector: Any, tensors: int, what: str, *, optional: bool = True) -> tuple[int, ...]:
        values = () if isinstance(vector, int) else vector
        self.length(len(values), MAX_ARITY, f"tensors of {what}")
        low = -1 if optional else 0
        for value in values:
            if not low <= value < tensors:
                self.refuse(f"{what} names tensor {value}, the file has {tensors}; copy or export it again")
        return tuple(int(v) for v in values)

    def tensor(self, index: int, table: Any) -> FileTensor:
        name, dtype = self.text(table.Name()), _TYPE_NAMES.get(table.Type())
        label = f"tensor {index} ({name})"
        if dtype is None:
            self.refuse(f"{label}: unknown type {table.Type()}; export the model with an older converter")
        shape = table.ShapeAsNumpy()
        shape = () if isinstance(shape, int) else tuple(int(d) for d in shape[:9])
        if len(shape) > 8 or any(d < 0 for d in shape) or prod(shape) > MAX_ELEMENTS:
            self.refuse(f"{label}: shape {list(shape)}; up to 8 dimensions and {MAX_ELEMENTS} elements are taken")
        if table.IsVariable() or table.Sparsity() is not None:
            self.refuse(f"{label}: a variable or sparse tensor; export a dense, stateless model")
        scale, zero_point, axis = self.quantization(label, table.Quantization(), dtype, shape)
        data = self.constant(label, table.Buffer(), dtype, shape)
        return FileTensor(index, name, shape, dtype, scale, zero_point, axis, data)

    def quantization(self, label: str, table: Any, dtype: str, shape: tuple[int, ...]) -> tuple[Any, Any, int]:
        if table is None or table.ScaleLength() == 0:
            return None, None, 0
        scale = np.array(table.ScaleAsNumpy(), dtype=np.float32)
        zero = table.ZeroPointAsNumpy()
        zero = np.zeros(1, np.int64) if isinstance(zero, int) else np.array(zero, dtype=np.int64)
        if not (np.all(np.isfinite(scale)) and np.all(scale > 0)):
            self.refuse(f"{label}: a scale is not a positive number; quantise the model again")
        if zero.size not in (1, scale.size):
            self.refuse(f"{label}: {scale.size} scales but {zero.size} zero points; quantise the model again")
        if dtype in ("int8", "uint8"):
            limits = np.iinfo(dtype)
            if zero.min() < limits.min or zero.max() > limits.max:
                self.refuse(f"{label}: a zero point is outside {dtype}; quantise the model again")
        # quantized_dimension means nothing for one scale or one dimension, and some files hold garbage there.
        axis = table.QuantizedDimension() if scale.size > 1 and len(shape) > 1 else 0
        if scale.size > 1 and (not 0 <= axis < len(shape) or shape[axis] != scale.size):
            self.refuse(f"{label}: {scale.size} scales along dimension {axis} of shape {list(shape)}")
        return scale, np.broadcast_to(zero, scale.shape), axis

    def constant(self, label: str, index: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray | None:
        if not 0 <= index < self.root.BuffersLength():
            self.refuse(f"{label}: buffer {index} isn't in the file; copy or export it again")
        buffer = self.root.Buffers(index)
        if buffer.Offset() > 1:  # data after the flatbuffer, as files above 2 GB have it
            raw = np.frombuffer(self.content, np.uint8, buffer.Size(), buffer.Offset())
        else:
            raw = buffer.DataAsNumpy()
        if isinstance(raw, int) or raw.size == 0 or dtype not in _NUMPY_TYPES:
            return None
        item = np.dtype(dtype)
        if raw.size != prod(shape) * item.itemsize:
            self.refuse(
                f"{label}: {raw.size} bytes of data for shape {list(shape)} of {dtype}; copy or export the file again"
            )
        return raw.view(item.newbyteorder("<")).astype(item, copy=False).reshape(shape)

    def operator(self, index: int, table: Any, tensors: int) -> Operator:
        codes = self.length(self.root.OperatorCodesLength(), MAX_OPERATORS, "operator codes")
        if not 0 <= table.OpcodeIndex() < codes:
            self.refuse(f"operator {index}: operator code {table.OpcodeIndex()} isn't in the file")
        number = builtin_code(code := self.root.OperatorCodes(table.OpcodeIndex()))
        name = _OPERATOR_NAMES.get(number, f"operator code {number}")
        if name == "CUSTOM":
            name = self.text(code.CustomCode()) or "CUSTOM"
        if name in OPERATOR_VERSIONS and not 1 <= code.Version() <= OPERATOR_VERSIONS[name]:
            self.refuse(
                f"operator {index} {name}: version {code.Version()}, known up to {OPERATOR_VERSIONS[name]}; "
                "export the model with an older converter"
            )
        return Operator(
            index=index,
            name=name,
            version=code.Version(),
            inputs=self.indices(table.InputsAsNumpy(), tensors, f"an input of operator {index}"),
            outputs=self.indices(table.OutputsAsNumpy(), tensors, f"an output of operator {index}", optional=False),
            options=self.options(f"operator {index} {name}", name, table),
        )

    def options(self, label: str, name: str, table: Any) -> dict[str, Any]:
        if name not in OPTIONS:
            return {}
        class_name, fields = OPTIONS[name]
        if table.BuiltinOptionsType() == 0 or table.BuiltinOptions() is None:
            if name in REQUIRED:
                self.refuse(f"{label}: its options are missing; export the model again")
            return {field: DEFAULTS.get(field, 0) for field in fields}
        if table.BuiltinOptionsType() != _OPTION_TYPES[class_name]:
            self.refuse(f"{label}: its options are those of another operator; copy or export the file again")
        source = getattr(tflite, class_name)()
        source.Init(table.BuiltinOptions().Bytes, table.BuiltinOptions().Pos)
        options = {field: getattr(source, accessor)() for field, accessor in fields.items()}
        for field, names in (("activation", ACTIVATIONS), ("padding", PADDINGS), ("output_type", _TYPE_NAMES)):
            if field in options and (value := options[field]) not in names:
                self.refuse(f"{label}: {field} {value} isn't supported; use {', '.join(names.values())}")
            elif field in options:
                options[field] = names[options[field]]
        for field in ("new_shape", "squeeze_dims"):
            if field in options:
                value = options[field]
                options[field] = () if isinstance(value, int) else tuple(int(d) for d in value[:9])
        return options
