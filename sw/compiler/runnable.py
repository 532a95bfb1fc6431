"""Whether a network runs on an engine: the one answer that every command gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from narrows.cycles.predict import BlockCycles, predict
from narrows.errors import DoesNotFit, ImportRefused, Unfit
from narrows.graph.network import LayerRefused, Network
from narrows.hw.config import EngineConfig
from narrows.importer.importer import import_model
from narrows.program.encode import Program, compile_plan
from narrows.schedule.schedule import plan_network
from narrows.tflite.file import read_model
from narrows.tflite.model import Model


@dataclass(frozen=True, kw_only=True, eq=False)
class Runnable:
    """A network that runs: its ``program`` for the engine, and what each run of a block will take."""

    network: Network
    program: Program
    predicted: Sequence[BlockCycles]


def runnable(
    model: Path | Model | Network, config: EngineConfig, *, slices: int | None = None, store_blocks: bool = False, batch: int = 1,
    stream: bool = False,
) -> Runnable:
    """Import, plan, compile and predict ``model``. Raises :class:`NarrowsError` with the first thing that can't be.

    The options are those of :func:`narrows.schedule.schedule.plan_network`.
    """
    if isinstance(model, Path):
        model = read_model(model)
    network = model if isinstance(model, Network) else import_model(model)
    program = build_program(network, config, slices=slices, store_blocks=store_blocks, batch=batch, stream=stream)
    return Runnable(network=network, program=program, predicted=predict(program.plan))


def build_program(
    network: Network, config: EngineConfig, *, slices: int | None = None, store_blocks: bool = False, batch: int = 1, stream: bool = False,
) -> Program:
    """Plan (see :func:`narrows.schedule.schedule.plan_network`) and compile; what does not fit the hardware's registers is refused like
    what does not fit its memories."""
    options = {"store_blocks": store_blocks, "batch": batch, "stream": stream}
    try:
        plan = plan_network(network, config, slices=slices, **options)
        return compile_plan(plan)
    except ImportRefused as error:
        raise of_file(network, error) from None
    except (DoesNotFit, Unfit) as error:
        found = error if isinstance(error, DoesNotFit) else DoesNotFit(f"The network does not fit this engine: {error}", reason=str(error))
    if slices is None:
        raise found
    # Without the option there may be nothing wrong; if there is, that is what to know.
    build_program(network, config, **options)
    about = f"Block {found.block!r}" if found.block else "The network"
    raise DoesNotFit(
        f"{about} does not fit this engine with --slices {slices}: {found.reason} Leave --slices out: then it fits.",
        block=found.block, reason=found.reason,
    )


def of_file(network: Network, error: ImportRefused) -> ImportRefused:
    """``error`` as one about the file's operator that the layer is of, where the network is of a file."""
    if not isinstance(error, LayerRefused) or not network.origins:
        return error
    at = next((at for at, layer in enumerate(network.layers) if layer.output is error.layer.output), None)
    return error if at is None else network.model.refusal(network.model.operators[network.origins[at][0]], error.reason)
