"""From a ``.tflite`` to a :class:`~narrows.graph.network.Network`: the chain of layers between two lists of host operators.

Import is exact or refused. Every refusal is an :class:`ImportRefused` with one sentence that names the
operator, the tensor, the reason and the way out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from narrows.errors import ImportRefused
from narrows.golden import model as golden
from narrows.golden import quantization
from narrows.golden.operators import BYTES, run_operator, supported
from narrows.graph.network import Add, HostOp, Layer, Network, Tensor
from narrows.importer import pools as lowering_pools
from narrows.importer.channelwise import realise
from narrows.importer.lowering import LAYERS, NO_PAD, Lowering, Value
from narrows.importer.rules import CLAMPS, RULES
from narrows.tflite.advice import OF_TWO, between_layers, unsupported
from narrows.tflite.file import read_model
from narrows.tflite.model import Model, Operator

# What the host may run before and after the engine, in the golden model's arithmetic.
_HOST = {
    "QUANTIZE", "DEQUANTIZE", "MUL", "SUB", "ADD", "DIV", "TRANSPOSE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "MINIMUM",
    "MAXIMUM", "RELU", "RELU6", "RELU_N1_TO_1", "CAST", "PAD", "PADV2",
}  # fmt: skip
PRE = _HOST
POST = _HOST | {"SOFTMAX", "LOGISTIC", "ARG_MAX", "STRIDED_SLICE"}

assert lowering_pools  # imported to enter its layers
_MAX_INPUT = 1 << 24  # elements of the model's input; far above every camera this is for
_MAX_TAIL = 1_000_000  # multiply-adds of the network's end that the host may do: milliseconds
_MAX_FOLDED = 1 << 24  # elements that folding constant subgraphs may make in all


def import_network(path: str | Path) -> Network:
    """Import the ``.tflite`` file at ``path``. Raises :class:`ImportRefused`."""
    return import_model(read_model(path))


def import_model(model: Model) -> Network:
    """Import a parsed ``.tflite``. Raises :class:`ImportRefused`."""
    _check_ends(model)
    constants, ops = fold_constants(model)
    ops = model.live(ops)
    try:
        return _imported(model, constants, ops)
    except ImportRefused as error:
        tail = ops[next((n for n, op in enumerate(ops) if op.index == error.op), len(ops)) :]
        if not tail or not _small_tail(model, constants, tail):
            raise
        try:
            return _imported(model, constants, ops[: -len(tail)], tail)
        except ImportRefused:
            raise error from None


def _small_tail(model: Model, constants: dict[int, np.ndarray], tail: list[Operator]) -> bool:
    """Whether the host may run ``tail``, the end of the network: it begins with what the engine has no unit for, and is little work."""
    first, macs = tail[0], 0
    if first.name not in OF_TWO or any(i in constants or model.tensors[i].data is not None for i in first.inputs):
        return False
    for op in tail:
        if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            output, weights = model.tensors[op.outputs[0]].shape, model.tensors[op.inputs[1]].shape
            macs += int(np.prod(output)) * int(np.prod(weights)) // max(output[-1], 1)
    return macs <= _MAX_TAIL and {op.name for op in tail} <= set(supported())


def _imported(model: Model, constants: dict[int, np.ndarray], ops: list[Operator], tail: Sequence[Operator] = ()) -> Network:
    """The network of ``ops``, in order, with ``tail`` after them on the host."""
    pre, middle, post = split(model, constants, ops)
    post += tail
    ops = [*ops, *tail]
    uses = Counter(i for op in ops for i in op.inputs if i >= 0)
    low = Lowering(model, constants, uses)
    folded = len(model.operators) - len(ops)
    if folded:
        low.notes.append(f"{folded} operator{'s'[: folded > 1]} of constant or unread subgraphs left out")
    if tail:
        low.notes.append(f"{tail[0]}: the engine has no unit for it, so it and what follows run on the host")
    entry = engine_input(model, constants, middle, pre)
    low.values[entry.index] = Value(entry)
    for op in middle:
        lower(low, op)
    while post and post[0].name in CLAMPS and _try(low, post[0]):
        post = post[1:]
    taken = _engine_outputs(low, post)
    outputs = tuple(layer.output for layer in low.layers if any(layer.output is tensor for tensor in taken.values()))
    runnable = realise(low.layers, outputs)
    network = Network(
        model=model,
        input=entry,
        outputs=outputs,
        layers=tuple(layer for layers in runnable for layer in layers),
        pre=tuple(HostOp(op.index, op.name) for op in pre),
        post=tuple(HostOp(op.index, op.name) for op in post),
        notes=tuple(low.notes),
        constants=constants,
        origins=tuple(tuple(ops) for layers, ops in zip(runnable, low.origins, strict=True) for _ in layers),
        taken=taken,
    )
    check_chain(network)
    _check_host(network)
    return network


def _check_ends(model: Model) -> None:
    if len(model.inputs) != 1:
        raise ImportRefused(f"{model.name}: {len(model.inputs)} graph inputs; export the model with one, the image")
    if not model.outputs:
        raise ImportRefused(f"{model.name}: no graph output; export the model again")
    source = model.tensors[model.inputs[0]]
    if source.data is not None:
        raise ImportRefused(f"{model.name}: {source}: the graph input is a constant; copy or export the file again")
    if 0 in source.shape or not 1 <= np.prod(source.shape) <= _MAX_INPUT or source.shape[:1] != (1,):
        raise ImportRefused(
            f"{model.name}: {source}: an input of shape {list(source.shape)}; export the model for one image, batch 1"
        )
    if source.dtype not in (*BYTES, "float32"):
        raise ImportRefused(
            f"{model.name}: {source}: an input of type {source.dtype}; export it as uint8, int8 or float32"
        )


def fold_constants(model: Model) -> tuple[dict[int, np.ndarray], list[Operator]]:
    """Run the operators that depend on no input: their values, and the operators left."""
    constants: dict[int, np.ndarray] = {}
    rest, made = [], 0
    for op in model.operators:
        values = [None if i < 0 else constants.get(i, model.tensors[i].data) for i in op.inputs]
        known = all(v is not None for v, i in zip(values, op.inputs, strict=True) if i >= 0)
        foldable = known and op.inputs and len(op.outputs) == 1 and (op.name not in LAYERS or op.name == "ADD")
        if op.name != "SHAPE" and not foldable:
            rest.append(op)
            continue
        made += sum(int(np.prod(model.tensors[i].shape)) for i in (*op.outputs, *op.inputs) if i >= 0)
        if made > _MAX_FOLDED and op.name != "SHAPE":
            model.refuse(op, "the constant subgraphs are too large to fold; export the model with constants folded")
        constants[op.outputs[0]] = run_operator(model, op, values)
    return constants, rest


def _is_layer(model: Model, constants: dict[int, np.ndarray], op: Operator) -> bool:
    """Whether ``op`` belongs to the engine: a layer's operator, an ADD only of two activations."""
    if op.name != "ADD":
        return op.name in LAYERS
    return all(i >= 0 and i not in constants and model.tensors[i].data is None for i in op.inputs)


def split(
    model: Model, constants: dict[int, np.ndarray], ops: list[Operator]
) -> tuple[list[Operator], list[Operator], list[Operator]]:
    """The operators before, in and after the engine. Refuses the first one nobody runs."""
    for op in ops:
        if op.name not in LAYERS and op.name not in RULES and op.name not in POST:
            model.refuse(op, unsupported(op.name))
    layers = [i for i, op in enumerate(ops) if _is_layer(model, constants, op)]
    if not layers:
        raise ImportRefused(f"{model.name}: no convolution in the model; give a quantised MobileNet classifier")
    first, last = layers[0], layers[-1]
    ops = [*ops[:first], *_sorted(ops[first : last + 1], layers=[ops[i] for i in layers]), *ops[last + 1 :]]
    last = max(i for i, op in enumerate(ops) if _is_layer(model, constants, op))
    while first and ops[first - 1].name in ("PAD", "PADV2") and _feeds_convolutions(ops, ops[first - 1]):
        first -= 1
    pre, middle, post = ops[:first], ops[first : last + 1], ops[last + 1 :]
    for op in pre:
        if op.name not in PRE:
            model.refuse(op, "can't run before the first convolution; remove it or do its work on the image")
    for op in post:
        if op.name not in POST:
            model.refuse(op, "can't run after the last layer; export the model without it")
    for op in middle:
        if op.name not in RULES and not _is_layer(model, constants, op):
            model.refuse(op, between_layers(op.name, alone=any(i in constants or model.tensors[i].data is not None for i in op.inputs)))
    return pre, middle, post


def _sorted(ops: list[Operator], *, layers: list[Operator]) -> list[Operator]:
    """``ops`` with those that no layer depends on, the host's work on an output before the last one, behind the others."""
    needed = {i for op in layers for i in op.inputs}
    for op in reversed(ops):
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
    before = [op for op in ops if op in layers or needed.intersection(op.outputs)]
    return [*before, *(op for op in ops if op not in before)]


def _feeds_convolutions(ops: list[Operator], pad: Operator) -> bool:
    readers = {op.name for op in ops if set(pad.outputs).intersection(op.inputs)}
    return bool(readers) and readers <= {"CONV_2D", "DEPTHWISE_CONV_2D", "PAD", "PADV2"}


def engine_input(
    model: Model, constants: dict[int, np.ndarray], middle: list[Operator], pre: list[Operator]
) -> Tensor:
    """The one tensor the engine reads, checked to be an image of bytes."""
    written = {i for op in middle for i in op.outputs}
    read = {i: op for op in reversed(middle) for i in op.inputs if i >= 0 and i not in written}
    activations = sorted(i for i in read if i not in constants and model.tensors[i].data is None)
    if len(activations) != 1:
        names = ", ".join(str(model.tensors[i]) for i in activations[:3])
        reason = f"the layers read {len(activations)} tensors ({names}); only one image is taken"
        raise ImportRefused(f"{model.name}: {reason}")
    tensor, op = model.tensors[activations[0]], read[activations[0]]
    if tensor.dtype not in BYTES:
        model.refuse(op, f"type {tensor.dtype}; quantise the model to 8 bits first", tensor.index)
    if len(tensor.shape) != 4 or tensor.shape[0] != 1 or 0 in tensor.shape:
        model.refuse(op, f"reads shape {list(tensor.shape)}, not (1, height, width, channels); give a network of a picture", tensor.index)
    try:
        scale, zero_point = float(quantization.scale_of(tensor)), quantization.zero_point_of(tensor)
    except ValueError as error:
        model.refuse(op, f"{error}; quantise the model again", tensor.index)
    _, height, width, channels = tensor.shape
    return Tensor(tensor.name, tensor.index, (height, width, channels), tensor.dtype, scale, zero_point)


def lower(low: Lowering, op: Operator) -> None:
    """One operator of the engine's part: a layer, or the first rule that applies."""
    call = low.call(op)
    try:
        with np.errstate(all="ignore"), low.recording(op):
            if op.name in LAYERS:
                LAYERS[op.name](low, call)
            elif not any(rule(low, call) for rule in RULES[op.name]):
                call.refuse("no rule applies; export the model without it")
    except (ValueError, OverflowError, IndexError, TypeError, KeyError, ZeroDivisionError) as error:
        call.refuse(f"{error}; quantise or export the model again")


def _try(low: Lowering, op: Operator) -> bool:
    """Fold a clamp after the last layer if that is exact."""
    try:
        with low.recording(op):
            return CLAMPS[op.name](low, low.call(op))
    except (ImportRefused, ValueError, OverflowError):
        return False


def _engine_outputs(low: Lowering, post: list[Operator]) -> dict[int, Tensor]:
    """The layers' outputs that the host and the caller read: by the index of the tensor that they know."""
    model = low.model
    readers = {i: op for op in reversed(post) for i in op.inputs if i in low.values}
    written = {i for op in post for i in op.outputs}
    for index in model.outputs:
        if index not in written and index not in low.values and low.constant(index) is None:
            raise ImportRefused(f"{model.name}: graph output {model.tensors[index]} is made of the image alone; export it without")
    taken: dict[int, Tensor] = {}
    for index in sorted({*readers, *(i for i in model.outputs if i in low.values)}):
        value = low.values[index]
        reason = (
            "is the image itself" if value.layer is None else "is a padded tensor" if value.pad != NO_PAD
            else "is a transposed tensor" if value.channels_first else None
        )
        if reason is not None and index in readers:
            model.refuse(readers[index], f"reads what {reason}; export the model without it", index)
        if reason is not None:
            raise ImportRefused(f"{model.name}: graph output {model.tensors[index]} {reason}; export the model without it")
        taken[index] = value.tensor
    return taken


def check_chain(network: Network) -> None:
    """Every layer reads the one before it; an ADD also any earlier one."""
    model: Model = network.model
    previous, seen = network.input, {id(network.input)}
    for layer, origin in zip(network.layers, network.origins, strict=True):
        op = model.operators[origin[0]]
        wrong = [t for t in layer.inputs if t is not previous]
        if not any(t is previous for t in layer.inputs) or (wrong and not isinstance(layer, Add)):
            model.refuse(op, _not_a_chain(layer), layer.inputs[0].index if layer.inputs[0].index >= 0 else None)
        if isinstance(layer, Add) and (not wrong or id(wrong[0]) not in seen):
            model.refuse(op, "adds a tensor to itself; fold the factor of 2 into the scale")
        seen.add(id(layer.output))
        previous = layer.output


def _not_a_chain(layer: Layer) -> str:
    return "branches off the chain; only a chain of layers with residual ADDs can be imported"


def _check_host(network: Network) -> None:
    """Run the host's operators once on zeros, so that what they refuse is refused now."""
    model: Model = network.model
    source = model.tensors[model.inputs[0]]
    if network.pre:
        golden.run_pre(network, np.zeros(source.shape, source.dtype))
    if network.post:
        golden.run_post(network, *(np.zeros(tensor.shape, tensor.dtype) for tensor in network.outputs))
