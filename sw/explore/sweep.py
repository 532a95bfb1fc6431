"""What many networks would do on many engines, by plan and cycle model: nothing is simulated.

A row is a network on an engine. One that does not run there, or a file that can't be imported, is a row, too, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from narrows.bitstream.routed import told_clock
from narrows.compiler.runnable import runnable
from narrows.cycles.bounds import bounds_of, limit, parts, total
from narrows.errors import NarrowsError
from narrows.explore.engines import used_block_rams, used_multipliers
from narrows.explore.mobilenets import CLASSES, RESOLUTIONS, WIDTHS, mobilenet_v2
from narrows.graph.network import Network
from narrows.hw.config import EngineConfig
from narrows.importer.importer import import_network

Progress = Callable[[str, float], None]

#: Where engines are compared, two ends of what runs on small chips will do.
BOARD_WIDTHS, BOARD_RESOLUTIONS = (0.35, 1.0), (224,)

#: Characters of a shortened reason.
_REASON = 110

#: Reasons that are not the last word on a block: there are other ways to run it, and a tensor may go out.
_PASSING = ("can't stay on chip row by row", "has no room on chip")


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network to be swept, or the file it is in, by its ``name``; ``width`` and ``resolution`` if it is one of the paper's."""

    name: str
    network: Network | Path
    width: float | None = None
    resolution: int | None = None


def of_paper(widths: Sequence[float] = WIDTHS, resolutions: Sequence[int] = RESOLUTIONS, *, classes: int = CLASSES) -> list[Subject]:
    """MobileNetV2 of every width and resolution. Raises :class:`NarrowsError` for one that there is not."""
    try:
        return [
            Subject(name=f"{float(width)}/{side}", network=mobilenet_v2(width, side, classes=classes), width=width, resolution=side)
            for width in widths for side in resolutions
        ]
    except ValueError as error:
        raise NarrowsError(str(error)) from None


def sweep_all(
    *, models: Sequence[Path] = (), widths: Sequence[float] | None = None, resolutions: Sequence[int] | None = None,
    classes: int = CLASSES, board: str | None = None, config: EngineConfig | None = None, clock: int | None = None, batch: int = 1,
    stream: bool = False, progress: Progress | None = None,
) -> dict[str, Any]:
    """What ``narrows sweep`` shows: ``rows`` (see :func:`sweep`), ``board`` and its ``device``, or None.

    ``models``: files in place of the paper's networks. ``board``: compare the engines for it, at ``clock`` MHz if given, fastest first,
    instead of one (``config``, else the default). Raises :class:`NarrowsError`.
    """
    if models and (widths or resolutions):
        raise NarrowsError("A width and a resolution are the paper's networks'; the files named have their own.")
    if models:
        subjects = [Subject(name=path.stem, network=path) for path in models]
    else:
        few = board is not None
        subjects = of_paper(
            widths or (BOARD_WIDTHS if few else WIDTHS), resolutions or (BOARD_RESOLUTIONS if few else RESOLUTIONS), classes=classes
        )
    if board is None:
        rows = sweep(subjects, [config or EngineConfig()], batch=batch, stream=stream, progress=progress)
        return {"board": None, "device": None, "rows": rows}
    # amaranth-boards, which knows what board has which chip, may be missing.
    from narrows.boards import load_board
    from narrows.explore.engines import engines_for

    chosen = load_board(board)
    engines = engines_for(chosen, clock_mhz=clock)
    rows = []
    for index, subject in enumerate(subjects):
        part = progress and (lambda words, done, index=index: progress(words, (index + done) / len(subjects)))
        of_subject = sweep([subject], engines, batch=batch, stream=stream, progress=part)
        rows += sorted(of_subject, key=lambda row: -row.get("frames_per_second", 0))
    return {"board": chosen.name, "device": chosen.device, "rows": rows}


def sweep(
    subjects: Sequence[Subject], engines: Sequence[EngineConfig], *, batch: int = 1, stream: bool = False, progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """A row for every subject on every engine, in this order.

    What runs is what :func:`narrows.compiler.runnable.runnable` says; ``batch`` and ``stream`` as there. A row has ``network``, ``width``,
    ``resolution``, ``macs`` (None of a file that can't be imported), what the engine takes (``engine``: its digest, ``array``,
    ``configuration``, ``multipliers``, ``block_rams``, ``onchip_bytes``, ``clock_mhz``) and either ``refused``, a whole sentence, with
    ``reason``, the same shortened, or per image ``cycles_per_image``, ``frames_per_second`` (at the engine's clock), ``utilisation``,
    ``read_bytes``, ``write_bytes``, and why no more: ``limit``, the cause of most cycles, and ``shares``, the part of the cycles that
    went into each of :data:`narrows.cycles.bounds.CAUSES`.
    """
    rows = []
    networks = [_imported(subject) for subject in subjects]
    pairs = [(subject, network, config) for subject, network in zip(subjects, networks, strict=True) for config in engines]
    for index, (subject, network, config) in enumerate(pairs):
        if progress is not None:
            progress(f"predicting, {subject.name} on {array_of(config)}", index / len(pairs))
        rows.append(_row(subject, network, config, batch=batch, stream=stream))
    return rows


def _imported(subject: Subject) -> Network | NarrowsError:
    """The network, or why there is none."""
    try:
        return import_network(subject.network) if isinstance(subject.network, Path) else subject.network
    except NarrowsError as error:
        return error


def array_of(config: EngineConfig) -> str:
    """The array as input channels x output channels x pixels."""
    products = "" if config.products == "direct" else f" {config.products}"
    return f"{config.group}x{config.outputs}x{config.pixels}{products}"


def shortened(error: Exception) -> str:
    """Of a refusal the block and the reason that matters most, without the advice."""
    text = " ".join(str(error).split())
    found = re.match(r"Block (?P<block>'[^']*'|[^:]*?) (?:does not fit this engine|would never end): (?P<reasons>.*)", text)
    if found is None:
        # The row says which file it is about.
        text = re.sub(r"^[^:]*\.tflite: ", "", text)
        return _cut(re.sub(r"^(operator \d+ [^,:]*), tensor \d+ \(.*?\): ", r"\1: ", text))
    sentences = re.split(r"(?<=\.) ", found["reasons"])
    reasons = [sentence for sentence in sentences if not sentence.startswith("Give the configuration")] or sentences
    telling = next((reason for reason in reasons if not any(words in reason for words in _PASSING)), reasons[0])
    return _cut(f"{found['block'].strip(chr(39))}: {telling.rstrip('.')}")


def _cut(text: str) -> str:
    return text if len(text) <= _REASON else text[: _REASON - 3].rstrip() + "..."


def _row(subject: Subject, network: Network | NarrowsError, config: EngineConfig, *, batch: int, stream: bool) -> dict[str, Any]:
    macs = sum(layer.macs for layer in network.layers) if isinstance(network, Network) else None
    clock, board = told_clock(config)
    row: dict[str, Any] = {
        "network": subject.name, "width": subject.width, "resolution": subject.resolution, "macs": macs,
        "engine": config.digest, "array": array_of(config), "configuration": asdict(config), "multipliers": used_multipliers(config),
        "block_rams": used_block_rams(config), "onchip_bytes": config.onchip_bytes, "clock_mhz": clock, "clock_of": board,
    }  # fmt: skip
    try:
        if isinstance(network, NarrowsError):
            raise network
        able = runnable(network, config, batch=batch, stream=stream)
    except NarrowsError as error:
        return row | {"refused": " ".join(str(error).split()), "reason": shortened(error)}
    plan, predicted, macs = able.program.plan, able.predicted, sum(layer.macs for layer in able.network.layers)
    cycles = sum(block.cycles for block in predicted)
    causes = total(parts(bounds, block, config) for bounds, block in zip(bounds_of(plan), predicted, strict=True))
    return row | {
        "refused": None, "batch": plan.images, "stream": plan.late, "cycles_per_image": cycles / plan.images,
        "frames_per_second": 1e6 * clock * plan.images / cycles,
        "utilisation": macs * plan.images / (config.multipliers * cycles),
        "read_bytes": sum(block.read_bytes for block in predicted) / plan.images,
        "write_bytes": sum(block.write_bytes for block in predicted) / plan.images,
        "limit": limit(causes), "shares": {cause: count / cycles for cause, count in causes.items()},
    }
