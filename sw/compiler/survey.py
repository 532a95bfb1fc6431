"""All that keeps a network from running, not only the first refusal: each operator is looked at as if those refused before it ran.

Nothing here decides whether a network runs (:func:`narrows.compiler.runnable.runnable` does). What is refused here is refused for certain;
what only follows from another refusal is left open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from narrows.errors import DoesNotFit, ImportRefused, Unfit
from narrows.golden import quantization
from narrows.golden.operators import BYTES
from narrows.graph.blocks import Block, form_blocks
from narrows.graph.network import Conv, Depthwise, Layer, LayerRefused, Network, Pool, Tensor
from narrows.hw.config import EngineConfig
from narrows.importer import importer
from narrows.importer.lowering import Lowering, Value
from narrows.plan.allocation import tensor_bytes
from narrows.plan.constants import groups_of, pool_channels, settle
from narrows.plan.plan import Transfer
from narrows.schedule.batch_planner import BatchPlanner
from narrows.schedule.request import Request
from narrows.tflite.model import Model, Operator

#: Refusals after which no more are looked for.
_MOST = 200


@dataclass(eq=False)
class Survey:
    """What was found of ``model`` for an engine of ``config``.

    ``refused``: operators and why, with what to do. ``open``: operators that read what cannot be known because of a refusal, and
    which. ``before``, ``layers``, ``after``: operators that would run on the host, on the engine, and on the host after it;
    ``constants``: tensors whose values are known.
    """

    model: Model
    config: EngineConfig
    refused: dict[int, str] = field(default_factory=dict)
    open: dict[int, int] = field(default_factory=dict)
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    before: list[Operator] = field(default_factory=list)
    layers: list[Operator] = field(default_factory=list)
    after: list[Operator] = field(default_factory=list)


def survey(model: Model, config: EngineConfig) -> Survey:
    """Look at every operator of ``model``."""
    found = Survey(model, config)
    try:
        constants, ops = importer.fold_constants(model)
    except ImportRefused as error:
        _keep(found, error)
        return found
    found.constants = constants
    ops = model.live(ops)
    if not _places(found, constants, ops):
        return found
    try:
        entry = importer.engine_input(model, constants, found.layers, found.before)
    except ImportRefused as error:
        _keep(found, error)
        return found
    low = Lowering(model, constants, Counter(i for op in ops for i in op.inputs if i >= 0))
    low.values[entry.index] = Value(entry)
    pieces = _lower(found, low)
    for piece in pieces:
        _examine(found, low, piece, entry)
    return found


def _keep(found: Survey, error: ImportRefused) -> None:
    if error.op is not None:
        found.refused.setdefault(error.op, error.reason)


def _places(found: Survey, constants: dict[int, np.ndarray], ops: Sequence[Operator]) -> bool:
    """Find where operators stand, and those that can't stand there; whether there is anything for the engine."""
    kept = list(ops)
    while len(found.refused) < _MOST:
        try:
            before, layers, after = importer.split(found.model, constants, kept)
        except ImportRefused as error:
            if error.op is None:
                return False
            _keep(found, error)
            kept = [op for op in kept if op.index != error.op]
            continue
        found.before, found.after = list(before), list(after)
        # Refused operators between layers stand there as they do in the file.
        first, last = layers[0].index, layers[-1].index
        found.layers = [op for op in ops if first <= op.index <= last]
        return True
    return False


def _lower(found: Survey, low: Lowering) -> list[list[int]]:
    """Lower every operator that can be; the layers' places in pieces between which the chain is broken."""
    pieces: list[list[int]] = [[]]
    unknown: dict[int, int] = {}
    for op in found.layers:
        count = len(low.layers)
        cause = next((unknown[i] for i in op.inputs if i in unknown), None)
        if cause is not None:
            found.open[op.index] = cause
        elif op.index not in found.refused:
            try:
                importer.lower(low, op)
                pieces[-1] += range(count, len(low.layers))
                continue
            except ImportRefused as error:
                _keep(found, error)
        del low.layers[count:]
        pieces.append([])
        for index in op.outputs:
            stand_in = _stand_in(low.model, index)
            if stand_in is None:
                unknown[index] = op.index if cause is None else cause
            else:
                low.values[index] = Value(stand_in)
    return [piece for piece in pieces if piece]


def _stand_in(model: Model, index: int) -> Tensor | None:
    """What the file says of a tensor, as if a layer gave it; None for one that no layer gives."""
    tensor = model.tensors[index]
    if tensor.dtype not in BYTES or len(tensor.shape) != 4 or tensor.shape[0] != 1 or 0 in tensor.shape:
        return None
    try:
        scale, zero_point = float(quantization.scale_of(tensor)), quantization.zero_point_of(tensor)
    except ValueError:
        return None
    height, width, channels = tensor.shape[1:]
    return Tensor(tensor.name, index, (height, width, channels), tensor.dtype, scale, zero_point)


def _examine(found: Survey, low: Lowering, piece: Sequence[int], entry: Tensor) -> None:
    """What is wrong with a piece of the chain: its branches, the blocks it makes, its constants, and the blocks' places."""
    places = list(piece)
    for at in places:
        _try(found, low, at, lambda at=at: _settled(low.layers[at]))
    while places:
        network = _network(low, places)
        try:
            importer.check_chain(network)
            # Only what begins at the engine's input begins with the picture.
            blocks = form_blocks(network if network.input is entry else replace(network, input=replace(network.input)))
        except ImportRefused as error:
            at = _place_of(low, places, error)
            if at is None:
                return
            inside = {id(network.input), *(id(low.layers[place].output) for place in places)}
            if all(id(tensor) in inside for tensor in low.layers[at].inputs):
                _refuse(found, low, at, error.reason)
            places = places[places.index(at) + 1 :]
            continue
        for block in blocks:
            at = next(place for place in places if low.layers[place].output is block.layers[0].output)
            _try(found, low, at, lambda block=block: _placed(found.config, block))
        return


def _network(low: Lowering, places: Sequence[int]) -> Network:
    """A piece as a network."""
    layers, origins = tuple(low.layers[at] for at in places), tuple(tuple(low.origins[at]) for at in places)
    return Network(
        model=low.model, input=layers[0].inputs[0], outputs=(layers[-1].output,), layers=layers, pre=(), post=(), origins=origins,
    )


def _place_of(low: Lowering, places: Sequence[int], error: ImportRefused) -> int | None:
    if isinstance(error, LayerRefused):
        return next((at for at in places if low.layers[at].output is error.layer.output), None)
    return next((at for at in places if error.op is not None and low.origins[at][0] == error.op), None)


def _try(found: Survey, low: Lowering, at: int, check: Callable[[], object]) -> None:
    try:
        check()
    except DoesNotFit as error:
        _refuse(found, low, at, str(error))
    except ImportRefused as error:
        _refuse(found, low, at, error.reason)
    except Unfit as error:
        _refuse(found, low, at, str(error))


def _refuse(found: Survey, low: Lowering, at: int, reason: str) -> None:
    found.refused.setdefault(low.origins[at][0], reason)


def _settled(layer: Layer) -> None:
    if isinstance(layer, Conv | Depthwise):
        settle(layer)
    elif isinstance(layer, Pool):
        pool_channels(layer, layer.output.shape[2])


def _placed(config: EngineConfig, block: Block) -> None:
    """Plan a block by itself, from and to external memory as it likes."""
    size = tensor_bytes(block.input, groups_of(block.input.shape[2], config), config)
    here = Transfer(address=0, bytes=size)
    request = Request(where=None if block.from_picture else here, picture=here if block.from_picture else None, limit=config.bank_words)
    BatchPlanner(config, block, request, lambda wanted: Transfer(address=0, bytes=wanted)).plan()
