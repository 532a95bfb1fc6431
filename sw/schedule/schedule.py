"""The runs of a batch: early blocks image by image, late ones once for all images on the same weights.

Early blocks compute, late ones wait for weights, which are used for a few pixels only: so those run for the whole batch. Between
the two the images' tensors are parked in external memory. In a stream the classifier, which waits most, is cut into parts that
run between the blocks of the next batch: their weights come while those compute.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from narrows.cycles.predict import predict
from narrows.errors import DoesNotFit
from narrows.graph.blocks import Block, cut_after_depthwise, form_blocks
from narrows.graph.network import Network, Pool, Tensor
from narrows.hw.config import EngineConfig
from narrows.hw.control.counters import BLOCKS
from narrows.plan.allocation import even, tensor_bytes
from narrows.plan.constants import groups_of
from narrows.plan.cost import array_cycles, weight_bytes
from narrows.plan.plan import BlockPlan, Output, Plan, Region, Transfer
from narrows.schedule.background import Background, interleave
from narrows.schedule.batch_planner import BatchPlanner
from narrows.schedule.request import RESIDENT_SHARE, Request

#: Pictures and results in external memory lie on multiples of this many bytes.
ALIGNMENT = 1024

#: Cycles between the end of a run and the next one's first product, roughly.
_SWITCH = 400

#: Cycles that a byte less of external traffic is worth. It saves energy, and the bus has time for the host.
_BYTE = 1 / 16

#: Shares of the weight memory that a block may keep to itself in a stream: what it does not, the classifier's weights can use.
_STREAM_SHARES = (RESIDENT_SHARE, 0.3, 0.15)

#: How many of the next best batches are tried as a stream where the best can't be one, and of its cycles what one may take to be worth it:
#: outputs come a batch later.
_STREAMS = 4
_WORTH = 0.99


def plan_network(
    network: Network, config: EngineConfig, *, slices: int | None = None, store_blocks: bool = False, batch: int = 1, stream: bool = False,
) -> Plan:
    """Plans ``network`` on ``config``; raises :class:`DoesNotFit` with the block and what it lacks.

    ``slices``: use plane mode with that many slices, or the next number that fits (None: choose). ``store_blocks``: send every
    run's output to external memory too. ``batch``: images of a batch at most; the plan has as many as pay. ``stream``: the
    classifier runs in the background of the next batch, if it is a layer of its own after a global pool and the only output.
    """
    if batch < 1:
        raise ValueError(f"A batch has an image or more, not {batch}.")
    blocks = form_blocks(network)
    make = _Schedule(network, config, blocks, slices=slices, store_blocks=store_blocks)
    *others, (images, split) = reversed(make.splits(batch))
    while True:
        try:
            plan = (make.stream(images, split) if stream else None) or make.plan(images, split)
            break
        except DoesNotFit:
            # What fits by itself may not fit where the block before left its output.
            if not others:
                raise
            images, split = others.pop()
    if stream and not plan.late:
        # The head's output may have its place where other blocks are the late ones.
        streams = [found for images, split in reversed(others[-_STREAMS:]) if (found := make.stream(images, split))]
        best = min(streams, key=_per_image, default=plan)
        plan = best if _per_image(best) < _WORTH * _per_image(plan) else plan
    return plan


def _per_image(plan: Plan) -> float:
    return sum(block.cycles for block in predict(plan)) / plan.images


def _addends(blocks: Sequence[Block]) -> list[Tensor]:
    """Tensors that ``blocks`` add and do not read as their input: they must stay on chip until then."""
    return [block.shortcut for block in blocks if block.shortcut is not None and not block.adds_input]


class _Memory:
    """External memory, from address 0 on."""

    def __init__(self) -> None:
        self.end = 0

    def allocate(self, size: int) -> Transfer:
        region = Transfer(address=self.end, bytes=size)
        self.end += -(-size // ALIGNMENT) * ALIGNMENT
        return region


class _Schedule:
    """Plans the blocks of a network for batches."""

    def __init__(self, network: Network, config: EngineConfig, blocks: tuple[Block, ...], *, slices: int | None, store_blocks: bool):
        self._network, self._config, self._blocks = network, config, blocks
        self._slices, self._store_blocks = slices, store_blocks

    # Where a batch's late blocks begin.

    def splits(self, batch: int) -> list[tuple[int, int]]:
        """(images, at most ``batch``; the first block that runs for all of them at once), what costs least per image first.

        Of images without late blocks in common only ``batch`` itself is one: that is no faster than one, but what was asked for.
        """
        blocks, count = self._blocks, len(self._blocks)
        single = [self._cost(block, 1) for block in blocks]
        options = [(sum(single), -images, count) for images in {1, max(1, min(batch, BLOCKS // count))}]
        for images in range(batch, 1, -1):
            late = 0.0
            for split in range(count - 1, 0, -1):
                block = blocks[split]
                parked = images * self._input_bytes(block)
                if not self._fits(block, images, parked):
                    break
                late += self._cost(block, images) / images
                # A block may take three runs.
                if images * split + 3 * (count - split) <= BLOCKS:
                    options.append((sum(single[:split]) + late + parked / images * (0.5 + 2 * _BYTE), -images, split))
        return [(-images, split) for _, images, split in sorted(options)]

    def _cost(self, block: Block, images: int) -> float:
        """Cycles of a block for ``images`` at once, and what its traffic is worth."""
        weights = weight_bytes(block, self._config)
        return max(images * array_cycles(block, self._config), weights / 2) + _SWITCH + _BYTE * weights

    def _input_bytes(self, block: Block) -> int:
        return tensor_bytes(block.input, groups_of(block.input.shape[2], self._config), self._config)

    def _fits(self, block: Block, images: int, parked: int) -> bool:
        """Whether a late block can run for ``images`` whose input comes from external memory: none that adds another tensor can."""
        request = Request(where=Transfer(address=0, bytes=parked), limit=self._config.bank_words, images=images, slices=self._slices)
        try:
            self._runs(block, request, _Memory())
        except DoesNotFit:
            return False
        return True

    # Runs.

    def _chain(
        self, blocks: tuple[Block, ...], memory: _Memory, *, limit: int, where: Transfer | None = None, images: int = 1,
        picture: Transfer | None = None, into: Region | None = None, resident: float = RESIDENT_SHARE,
    ) -> list[BlockPlan]:
        """Runs of ``blocks`` one after the other, from ``where`` or ``picture`` on; the last one's output goes ``into`` its place."""
        result: list[tuple[BlockPlan, ...]] = []
        at: Region | Transfer | None = where
        asked: list[Request] = []
        places: dict[int, Region] = {}  # of tensors on chip, by identity
        for index, block in enumerate(blocks):
            if isinstance(at, Region):
                places[id(block.input)] = at
            request = Request(
                where=at, limit=limit, images=images, picture=picture, resident=resident, slices=self._slices,
                into=into if block is blocks[-1] else None, addend=None if block.adds_input else places.get(id(block.shortcut)),
                keep=tuple(places[id(later)] for later in _addends(blocks[index + 1 :]) if id(later) in places),
            )
            if block.joined > 1 and isinstance(at, Region):
                result[-1], at = self._parked(result[-1], images, memory)
                request = dataclasses.replace(request, where=at)
            try:
                runs, at = self._runs(block, request, memory)
            except DoesNotFit as problem:
                # It may fit if the block before leaves its output in external memory, and not in the way.
                if not asked or not isinstance(at, Region):
                    raise
                try:
                    asked[-1] = dataclasses.replace(asked[-1], spill=True)
                    result[-1], at = self._runs(blocks[len(asked) - 1], asked[-1], memory)
                    request = dataclasses.replace(request, where=at)
                    runs, at = self._runs(block, request, memory)
                except DoesNotFit:
                    raise problem from None
            result.append(runs)
            asked.append(request)
        return [run for runs in result for run in runs]

    def _parked(self, runs: tuple[BlockPlan, ...], images: int, memory: _Memory) -> tuple[tuple[BlockPlan, ...], Transfer]:
        """A block's ``runs``, which leave its output on chip, with that in external memory too, image after image; and where."""
        last, size = runs[-1], self._output_bytes(runs[-1])
        place = memory.allocate(images * size)
        return tuple(
            dataclasses.replace(run, store=Transfer(address=place.address + run.first * size, bytes=run.images * size))
            if run.block.output is last.block.output and run.completes else run for run in runs
        ), place

    def _runs(self, block: Block, request: Request, memory: _Memory) -> tuple[tuple[BlockPlan, ...], Region | Transfer]:
        return BatchPlanner(self._config, block, request, memory.allocate).plan()

    def _output_bytes(self, run: BlockPlan) -> int:
        """Of one image, in external memory."""
        return tensor_bytes(run.block.output, run.output.groups, self._config)

    def _stored(self, run: BlockPlan, memory: _Memory) -> BlockPlan:
        """``run`` with its output in external memory too."""
        if run.store is not None or not run.completes:
            return run
        return dataclasses.replace(run, store=memory.allocate(run.images * self._output_bytes(run)))

    def _batch(
        self, images: int, split: int, late: tuple[Block, ...], memory: _Memory, *, limit: int, into: Region | None = None,
        resident: float = RESIDENT_SHARE,
    ) -> tuple[tuple[Transfer, ...], list[BlockPlan]]:
        """(pictures, runs): the blocks before ``split`` for each image, then ``late`` for all."""
        height, width, channels = self._network.input.shape
        pictures = tuple(memory.allocate(height * width * channels) for _ in range(images))
        early = self._chain(self._blocks[:split], memory, limit=limit, picture=pictures[0], resident=resident)
        size = self._output_bytes(early[-1])
        parked = memory.allocate(images * size)
        runs: list[BlockPlan] = []
        for image in range(images):
            one = [dataclasses.replace(run, first=image, picture=run.picture and pictures[image]) for run in early]
            one[-1] = dataclasses.replace(one[-1], store=Transfer(address=parked.address + image * size, bytes=size))
            runs += self._own_places(one, memory)
        if late:
            chain = self._chain(late, memory, limit=limit, where=parked, images=images, into=into)
            runs += [self._stored(run, memory) if self._wanted(run) else run for run in chain]
        return pictures, runs

    def _wanted(self, run: BlockPlan) -> bool:
        """Whether what ``run`` forms must be in external memory after the program."""
        return self._store_blocks or any(run.block.output is output for output in self._network.outputs)

    def _own_places(self, runs: list[BlockPlan], memory: _Memory) -> list[BlockPlan]:
        """An image's ``runs`` with every wanted output in a place of its own, from where the next one loads what it loads."""
        result: list[BlockPlan] = []
        for run in runs:
            spilled = bool(result) and run.load is not None and run.block.input is result[-1].block.output
            again = dataclasses.replace(run, load=result[-1].store if spilled else run.load)
            if run.beside and run.channels.start:
                again = dataclasses.replace(run, load=result[-1].load)
            if self._wanted(run):
                again = self._stored(again if run is runs[-1] else dataclasses.replace(again, store=None), memory)
            result.append(again)
        return result

    def plan(self, images: int, split: int) -> Plan:
        """A batch of ``images`` whose blocks from ``split`` on run for all of them at once."""
        memory = _Memory()
        pictures, runs = self._batch(images, split, self._blocks[split:], memory, limit=self._config.bank_words)
        return self._plan(images, pictures, runs, memory, late=False)

    def _plan(self, images: int, pictures: tuple[Transfer, ...], runs: list[BlockPlan], memory: _Memory, *, late: bool) -> Plan:
        if len(runs) > BLOCKS:
            raise DoesNotFit(
                f"The network does not fit this engine: it takes {len(runs)} runs of blocks, the engine counts {BLOCKS}. "
                f"Give the configuration more activation_words or weight_words, or use a smaller network."
            )
        outputs = tuple(
            Output(tensor=run.block.output, store=run.store, first=run.first, images=run.images, channels=run.stored)
            for run in runs if run.store is not None and any(run.block.output is output for output in self._network.outputs)
        )
        return Plan(
            config=self._config, blocks=tuple(runs), images=images, pictures=pictures, outputs=outputs, late=late,
            program_address=memory.end,
        )

    def stream(self, images: int, split: int) -> Plan | None:
        """A batch with the classifier of the batch before between its blocks; ``None`` if there is no such classifier, or no room.

        The outputs are those of the batch before: so there must be no other.
        """
        last = self._blocks[-1]
        if not isinstance(last.depthwise, Pool) or last.project is None or last.add is not None or last.from_picture:
            return None
        if len(self._network.outputs) > 1:
            return None
        config = self._config
        head, classifier = cut_after_depthwise(last)
        groups = groups_of(head.output.shape[2], config)
        words = even(config, images) // config.pixels * groups
        # The head's output goes where the classifier finds it in the next batch.
        kept = Region(base=config.bank_words - words, size=words, groups=groups)
        background = Background(config=config, classifier=classifier, images=images, source=kept)
        split = min(split, len(self._blocks) - 1)
        plans: list[Plan] = []
        for resident in _STREAM_SHARES if self._slices is None else (RESIDENT_SHARE,):
            memory = _Memory()
            try:
                pictures, runs = self._batch(
                    images, split, (*self._blocks[split:-1], head), memory, limit=kept.base, into=kept, resident=resident,
                )
                mixed = interleave(runs, background, memory.allocate, most=BLOCKS - len(runs))
                if mixed is not None:
                    plans.append(self._plan(images, pictures, mixed, memory, late=True))
            except DoesNotFit:
                continue
        return min(plans, key=_per_image, default=None)
