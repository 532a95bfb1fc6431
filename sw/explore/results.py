"""The tables of ``docs/results.md``: networks run on the simulated board, block by block, beside what bounds them.

Cycles depend on a network's shapes and on nothing in a picture, so an empty one is run. The bytes that come out are the tests' matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from narrows.api import engine_rows
from narrows.compiler.runnable import runnable
from narrows.cycles.bounds import Bounds, bounds_of, parts, total
from narrows.device.device import Device
from narrows.device.frame import Frame
from narrows.errors import NarrowsError
from narrows.explore import builds as results_builds
from narrows.explore import text as results_text
from narrows.explore.sweep import of_paper, sweep
from narrows.explore.text import Measured, Section
from narrows.graph.network import Network
from narrows.hw.config import EngineConfig
from narrows.output_paths import check_file
from narrows.plan.plan import Plan

Progress = Callable[[str, float], None]

#: How networks are run: words, images of a batch, whether as a stream.
WAYS = (("one image", 1, False), ("batch of 4", 4, False), ("stream of 4", 4, True))

#: The network that comes with the program.
EMBEDDED = Path(__file__).parents[1] / "data" / "digits_mobilenetv2_035_96.tflite"

#: The network whose blocks are shown, by the beginning of its file's name.
YARDSTICK = "mobilenet_v2_1.0_224"
#: The network that CFU-Playground is measured with.
OTHERS = "cfu_mobilenetv2"


def measure(name: str, network: Network, way: tuple[str, int, bool], config: EngineConfig, progress: Progress | None = None) -> Measured:
    """Run ``network`` once. Raises :class:`NarrowsError` if it does not fit the engine."""
    words, batch, stream = way
    able = runnable(network, config, batch=batch, stream=stream)
    program, plan, predicted = able.program, able.program.plan, able.predicted
    picture = np.zeros(network.input.shape, network.input.dtype)
    with Device.open(config=config, progress=progress) as device:
        device.load(program, progress=progress)
        frame = device.run(picture, progress=progress)
    return _measured(name, words, plan, frame, engine_rows(plan, frame, predicted))


def _measured(name: str, way: str, plan: Plan, frame: Frame, result: dict[str, Any]) -> Measured:
    bounds: dict[str, Bounds] = {}
    of_runs: dict[str, list[dict[str, int]]] = {}
    for run, bound, counted in zip(plan.blocks, bounds_of(plan), frame.blocks, strict=True):
        block = run.block.name
        bounds[block] = bounds.get(block, Bounds()) + bound
        of_runs.setdefault(block, []).append(parts(bound, counted, plan.config))
    return Measured(
        name=name, way=way, config=plan.config, result=result, bounds=bounds, parts={block: total(runs) for block, runs in of_runs.items()}
    )


def make_results(
    models: Path | None, *, embedded: bool = True, manifests: Sequence[Path] = (), config: EngineConfig | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Section], list[str]]:
    """The sections of the page by name, and what was left out and why.

    ``models``: a folder of ``.tflite`` files; those that do not run on this engine are left out, without a folder all that
    shows published networks is. ``embedded``: run the network that comes with the program, too. ``manifests``: of builds, on whose
    engines the largest of the networks runs as well. Raises :class:`NarrowsError` for a folder that is not there.
    """
    config = config or EngineConfig()
    left_out: list[str] = []
    if models is None:
        left_out.append("published networks; name the folder with their .tflite files: --models FOLDER, or make results MODELS=FOLDER")
    elif not models.is_dir():
        raise NarrowsError(f"{models}: no folder of models; name one with .tflite files in it")
    networks = {}
    for path in [*(sorted(models.glob("*.tflite")) if models is not None else ()), *([EMBEDDED] if embedded else [])]:
        try:
            networks[path.stem] = runnable(path, config).network
        except NarrowsError as error:
            left_out.append(str(error))
    jobs = [(name, way) for name in networks for way in WAYS]
    known = results_builds.known_builds(manifests) if networks else []

    def part(index: int, about: str) -> Progress:
        def say(words: str, done: float) -> None:
            if progress is not None:
                progress(f"{about}, {words}", (index + done) / (len(jobs) + len(known)))
        return say

    runs = [measure(name, networks[name], way, config, part(index, f"{name} as {way[0]}")) for index, (name, way) in enumerate(jobs)]
    of_builds = [
        results_builds.run_build(manifest, networks, measure, part(len(jobs) + index, f"the engine of {manifest['board']}"))
        for index, manifest in enumerate(known)
    ]
    return sections(runs, of_builds), left_out


def sweep_section(config: EngineConfig, progress: Progress | None = None) -> Section:
    """The paper's networks, predicted for one image and for a stream."""
    ways = (WAYS[0], WAYS[-1])
    found = {}
    for index, (words, batch, stream) in enumerate(ways):
        part = progress and (lambda text, done, index=index: progress(text, (index + done) / len(ways)))
        found[words] = sweep(of_paper(), [config], batch=batch, stream=stream, progress=part)
    return results_text.sweep(found)


def check_page(page: Path) -> None:
    """Raises :class:`NarrowsError` if :func:`write` could not put anything into the file ``page``."""
    _read(page)
    check_file(page)


def write(page: Path, sections: dict[str, Section]) -> None:
    """Put the sections into the file ``page``. Raises :class:`NarrowsError` if it can't be read or written, or has no place for one."""
    text = results_text.put(_read(page), sections)
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _no_page(page, error) from None


def _read(page: Path) -> str:
    try:
        return page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _no_page(page, error) from None


def _no_page(page: Path, error: Exception) -> NarrowsError:
    return NarrowsError(f"{page}: can't be read and written ({error}); name a page with places for the sections")


def sections(runs: Sequence[Measured], of_builds: Sequence[results_builds.BoardRun] = ()) -> dict[str, Section]:
    """The sections that ``runs`` and those on engines of builds give; those of the yardstick only if it is among them."""
    found: dict[str, Section] = {}
    if runs:
        found |= {"networks": results_text.networks(runs), "gaps": results_text.gaps(runs)}
    yardstick = [run for run in runs if run.name.startswith(YARDSTICK)]
    for run in yardstick:
        found[f"blocks, {run.way}"] = results_text.blocks(run)
    if yardstick:
        found["published"] = results_text.published(yardstick, [run for run in runs if run.name.startswith(OTHERS)])
    if of_builds:
        found["resources"] = results_builds.builds(of_builds)
    return found
