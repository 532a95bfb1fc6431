"""The runs of a batch: early blocks image by image, late ones once for all images on the same weights.

Early blocks compute, late ones wait for weights, which are used for a few pixels only: so those run for the whole batch. Between
the two the images' tensors are parked in external memory. In a stream the classifier, which waits most, is cut into parts that
run between the blocks of the next batch: their weights come while those compute.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from narrows.background import Background, interleave
from narrows.batch_planner import BatchPlanner
from narrows.blocks import Block, cut_after_depthwise, form_blocks
from narrows.constants import groups_of
from narrows.estimate import array_cycles, weight_bytes
from narrows.hw.config import EngineConfig
from narrows.hw.counters import BLOCKS
from narrows.network import Network, Pool
from narrows.placement import even, tensor_bytes
from narrows.plan import BlockPlan, Output, Plan, Region, Transfer
from narrows.planner import RESIDENT_SHARE, DoesNotFit, Request

#: Pictures and results in external memory lie on multiples of this many bytes.
ALIGNMENT = 1024

#: Cycles between the end of a run and the next one's first product, roughly.
_SWITCH = 400

#: Cycles that a byte less of external traffic is worth. It saves energy, and the bus has time for the host.
_BYTE = 1 / 16

#: Shares of the weight memory that a block may keep to itself in a stream: what it does not, the classifier's weights can use.
_STREAM_SHARES = (RESIDENT_SHARE, 0.3, 0.15)


def plan_network(
    network: Network, config: EngineConfig, *, slices: int | None = None, store_blocks: bool = False, batch: int = 1, stream: bool = False,
) -> Plan:
    """Plans ``network`` on ``config``; raises :class:`DoesNotFit` with the block and what it lacks.

    ``slices``: use plane mode with that many slices, or the next number that fits (None: choose). ``store_blocks``: send every
    run's output to external memory too. ``batch``: images of a batch at most; the plan has as many as pay. ``stream``: the
    classifier runs in the background of the next batch, if it is a layer of its own after a global pool.
    """
    if batch < 1:
        raise ValueError(f"A batch has an image or more, not {batch}.")
    blocks = form_blocks(network)
    make = _Schedule(network, config, blocks, slices=slices, store_blocks=store_blocks)
    *others, (images, split) = reversed(make.splits(batch))
    while True:
        try:
            return (make.stream(images, split) if stream else None) or make.plan(images, split)
        except DoesNotFit:
            # What fits by itself may not fit where the block before left its output.
            if not others:
                raise
            images, split = others.pop()


class _Memory:
    """External memory, from address 0 on."""

    def __init__(self) -> None:
        self.end = 0

    def allocate(self, size: int) -> Transfer:
        region = Transfer(address=self.end, bytes=size)
        self.end += -(-size // ALIGNMENT) * ALIGNMENT
        return region


@dataclass(eq=False)
class _Chain:
    """Blocks planned one after the other: runs, and where the last one's output is. ``held[n]``: what is alive after run ``n``."""

    runs: list[BlockPlan] = field(default_factory=list)
    where: Region | Transfer | None = None


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
        options = [(sum(single), -images, count) for images in {1, min(batch, BLOCKS // count)}]
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
        """Whether a late block can run for ``images`` whose input comes from external memory."""
        request = Request(where=Transfer(address=0, bytes=parked), limit=self._config.bank_words, images=images, slices=self._slices)
        try:
            BatchPlanner(self._config, block, request, _Memory().allocate).plan()
        except DoesNotFit:
            return False
        return True

    # Runs.

    def _run(
        self, chain: _Chain, block: Block, memory: _Memory, *, limit: int, images: int = 1, picture: Transfer | None = None,
        into: Region | None = None, resident: float = RESIDENT_SHARE,
    ) -> None:
        request = Request(
            where=chain.where, limit=limit, images=images, picture=picture, into=into, resident=resident, slices=self._slices,
        )
        runs, chain.where = BatchPlanner(self._config, block, request, memory.allocate).plan()
        chain.runs += runs

    def _early(self, blocks: tuple[Block, ...], picture: Transfer, limit: int, memory: _Memory, resident: float) -> _Chain:
        chain = _Chain()
        for block in blocks:
            self._run(chain, block, memory, limit=limit, picture=picture, resident=resident)
        return chain

    def _late(self, blocks: tuple[Block, ...], images: int, parked: Transfer, limit: int, memory: _Memory) -> _Chain:
        chain = _Chain(where=parked)
        for block in blocks:
            self._run(chain, block, memory, limit=limit, images=images)
        return chain

    def _store(self, run: BlockPlan, memory: _Memory) -> BlockPlan:
        """``run`` with its output in external memory too."""
        if run.store is not None:
            return run
        size = run.images * tensor_bytes(run.block.output, run.output.groups, self._config)
        return dataclasses.replace(run, store=memory.allocate(size))

    def _batch(
        self, images: int, split: int, late: tuple[Block, ...], memory: _Memory, limit: int, resident: float = RESIDENT_SHARE,
    ) -> tuple[tuple[Transfer, ...], list[BlockPlan], Region | Transfer | None]:
        """(pictures, runs, where the last output is): the blocks before ``split`` for each image, then ``late`` for all."""
        height, width, channels = self._network.input.shape
        pictures = tuple(memory.allocate(height * width * channels) for _ in range(images))
        early = self._early(self._blocks[:split], pictures[0], limit, memory, resident)
        last = early.runs[-1]
        size = tensor_bytes(last.block.output, last.output.groups, self._config)
        parked = memory.allocate(images * size)
        runs: list[BlockPlan] = []
        for image in range(images):
            for run in early.runs:
                again = dataclasses.replace(run, first=image, picture=pictures[image] if run.picture is not None else None)
                if run is last and (late or image + 1 < images or not self._store_blocks) or run is last:
                    again = dataclasses.replace(again, store=Transfer(address=parked.address + image * size, bytes=size))
                elif self._store_blocks and run.store is None:
                    again = self._store(again, memory)
                runs.append(again)
        if not late:
            return pictures, runs, early.where
        chain = self._late(late, images, parked, limit, memory)
        runs += [self._store(run, memory) if self._store_blocks else run for run in chain.runs]
        return pictures, runs, chain.where

    def plan(self, images: int, split: int) -> Plan:
        """A batch of ``images`` whose blocks from ``split`` on run for all of them at once."""
        memory = _Memory()
        pictures, runs, _ = self._batch(images, split, self._blocks[split:], memory, self._config.bank_words)
        runs[-1] = self._store(runs[-1], memory)
        last = self._blocks[-1]
        outputs = tuple(
            Output(store=run.store, first=run.first, images=run.images, channels=run.channels)
            for run in runs if run.block.output is last.output and run.store is not None
        )
        return self._plan(images, pictures, runs, outputs, memory, late=False)

    def _plan(
        self, images: int, pictures: tuple[Transfer, ...], runs: list[BlockPlan], outputs: tuple[Output, ...], memory: _Memory, *,
        late: bool,
    ) -> Plan:
        stored = {f"{run.block.name} {run.first} {run.channels.start}": run.store for run in runs if run.store is not None}
        if images == 1 and not late:
            stored = {run.block.name: run.store for run in runs if run.store is not None}
        return Plan(
            config=self._config, blocks=tuple(runs), images=images, pictures=pictures, outputs=outputs, late=late,
            program_address=memory.end, stored=stored,
        )

    def stream(self, images: int, split: int) -> Plan | None:
        """A batch with the classifier of the batch before between its blocks; ``None`` if there is no such classifier, or no room."""
        last = self._blocks[-1]
        if not isinstance(last.depthwise, Pool) or last.project is None or last.add is not None or last.from_picture:
            return None
        config = self._config
        head, classifier = cut_after_depthwise(last)
        groups = groups_of(head.output.shape[2], config)
        words = even(config, images) // config.pixels * groups
        kept = Region(base=config.bank_words - words, size=words, groups=groups)
        late = (*self._blocks[split:-1], head) if split < len(self._blocks) else (head,)
        plans: list[Plan] = []
        for resident in _STREAM_SHARES if self._slices is None else (RESIDENT_SHARE,):
            memory = _Memory()
            try:
                plan = self._streamed(images, min(split, len(self._blocks) - 1), late, classifier, kept, memory, resident)
            except DoesNotFit:
                continue
            if plan is not None:
                plans.append(plan)
        # The cycle model is late to import: it knows plans.
        from narrows.cycles import predict
        return min(plans, key=lambda plan: sum(block.cycles for block in predict(plan)), default=None)

    def _streamed(
        self, images: int, split: int, late: tuple[Block, ...], classifier: Block, kept: Region, memory: _Memory, resident: float,
    ) -> Plan | None:
        config = self._config
        pictures, runs, _ = self._batch(images, split, late[:-1], memory, kept.base, resident)
        # The head's output goes where the classifier finds it in the next batch.
        chain = _Chain(where=self._where_of(runs, images, split, late))
        self._run(chain, late[-1], memory, limit=kept.base, images=images, into=kept)
        runs += [self._store(run, memory) if self._store_blocks else run for run in chain.runs]
        background = Background(config=config, classifier=classifier, images=images, source=kept)
        mixed = interleave(runs, background, memory.allocate, most=BLOCKS - len(runs))
        if mixed is None:
            return None
        outputs = tuple(
            Output(store=run.store, first=0, images=images, channels=run.channels)
            for run in mixed if run.block is classifier and run.store is not None
        )
        return self._plan(images, pictures, mixed, outputs, memory, late=True)

    @staticmethod
    def _where_of(runs: list[BlockPlan], images: int, split: int, late: tuple[Block, ...]) -> Region | Transfer:
        """Where the head's input is: what the last run left, or all images' parked tensors."""
        last = runs[-1]
        if len(late) > 1:
            parts = [run for run in runs if run.block is last.block]
            return Region(base=parts[0].output.base, size=last.output.end - parts[0].output.base, groups=last.output.groups)
        parked = [run.store for run in runs if run.block is last.block]
        assert len(parked) == images and parked[0] is not None
        return Transfer(address=parked[0].address, bytes=sum(store.bytes for store in parked if store is not None))
