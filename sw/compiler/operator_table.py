"""A row for every operator of a file: where it runs, or why it doesn't and what to do."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from narrows.compiler.runnable import Runnable
from narrows.compiler.survey import survey
from narrows.errors import NarrowsError
from narrows.graph.network import Network
from narrows.hw.config import EngineConfig
from narrows.tflite.model import Model, Operator

#: Where an operator may be, beside a block of the gateware and what it is folded into.
CONSTANT, LEFT_OUT = "constant, computed at import", "left out, nobody reads it"
BEFORE, AFTER = "host before", "host after"
GATEWARE, REFUSED, OPEN = "gateware", "refused", "not known"

Row = dict[str, Any]


def rows_of_runnable(able: Runnable) -> list[Row]:
    """The rows of a network that runs: ``index``, ``name``, ``tensor`` (its output), ``where`` and ``reason``, what an import rule says."""
    network = able.network
    names = list(dict.fromkeys(run.block.name for run in able.program.plan.blocks))
    of_tensor = {
        id(layer.output): f"{GATEWARE} block {names.index(run.block.name) + 1}"
        for run in able.program.plan.blocks for layer in run.block.layers
    }
    blocks = [of_tensor[id(layer.output)] for layer in network.layers]
    model: Model = network.model
    where = _around(model, network) | _inside(network, blocks)
    folded = _folded(network)
    return [_row(model, op, where.get(op.index) or folded[op.index], _note(network, op)) for op in model.operators]


def rows_of_refused(model: Model, config: EngineConfig, error: NarrowsError) -> list[Row]:
    """The rows of a file that ``error`` refuses: ``where`` an operator would run, and the ``reason`` of each that can't.

    All refusals are there that can be found without the operators that are refused.
    """
    found = survey(model, config)
    op, reason = getattr(error, "op", None), getattr(error, "reason", "")
    if op is not None:
        found.refused.setdefault(op, reason)
    where = _not_live(model, found.constants)
    for place, ops in ((BEFORE, found.before), (GATEWARE, found.layers), (AFTER, found.after)):
        where |= dict.fromkeys((op.index for op in ops), place)
    causes = {index: f"it reads what operator {cause} gives" for index, cause in found.open.items()}
    where |= dict.fromkeys(causes, OPEN) | dict.fromkeys(found.refused, REFUSED)
    return [_row(model, op, where.get(op.index, OPEN), (causes | found.refused).get(op.index, "")) for op in model.operators]


def _row(model: Model, op: Operator, where: str, reason: str) -> Row:
    tensor = str(model.tensors[op.outputs[0]]) if op.outputs else None
    return {"index": op.index, "name": op.name, "tensor": tensor, "where": where, "reason": reason}


def _around(model: Model, network: Network) -> dict[int, str]:
    """Operators that are not the engine's."""
    return {op.op: BEFORE for op in network.pre} | {op.op: AFTER for op in network.post} | _not_live(model, network.constants)


def _not_live(model: Model, constants: Container[int]) -> dict[int, str]:
    """Operators whose results are known, or read by nobody."""
    folded = {op.index: CONSTANT for op in model.operators if op.outputs and all(i in constants for i in op.outputs)}
    live = {op.index for op in model.live([op for op in model.operators if op.index not in folded])}
    return folded | {op.index: LEFT_OUT for op in model.operators if op.index not in live and op.index not in folded}


def _inside(network: Network, blocks: list[str]) -> dict[int, str]:
    """Operators that layers were made of: those a layer is of, and those folded into it."""
    where: dict[int, str] = {}
    for block, origin in zip(blocks, network.origins, strict=True):
        own, *others = origin
        where[own] = block
        where |= {op: f"folded into {_named(network, own)}" for op in others if op not in where}
    return where


def _folded(network: Network) -> dict[int, str]:
    """The other operators: the one that takes each into itself, the first reader that is a layer's own, or who gave what it reads."""
    model: Model = network.model
    own = {origin[0] for origin in network.origins}
    writers: Mapping[int, int] = {tensor: op.index for op in model.operators for tensor in op.outputs}
    takes: dict[int, int] = {}
    for op in reversed(model.operators):
        reader = op.index if op.index in own else takes.get(op.index)
        if reader is not None:
            takes |= {writers[i]: reader for i in op.inputs if i in writers and writers[i] not in own}
    gives: dict[int, int] = {}
    for op in model.operators:
        source = next((writers[i] for i in op.inputs if i in writers), None)
        if source is not None:
            gives[op.index] = source if source in own else gives.get(source, source)
    found = {op.index: takes.get(op.index, gives.get(op.index)) for op in model.operators}
    return {op: f"folded into {_named(network, other)}" if other is not None else LEFT_OUT for op, other in found.items()}


def _named(network: Network, index: int) -> str:
    return f"{index} {network.model.operators[index].name}"


def _note(network: Network, op: Operator) -> str:
    """What the import says of ``op``."""
    mark = f"{op}: "
    return "; ".join(note.removeprefix(mark) for note in network.notes if note.startswith(mark))
