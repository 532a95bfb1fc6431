"""From a chain of layers to blocks: what the engine runs as one operation with a disposable interior.

A block is any of expand, depthwise (or global pool) and project in that order, with a shortcut added to project's result.
The stem's convolution is an expand that reads the picture; the head, global pool and classifier are one block too, so
the head's output never exists as a whole. MobileNetV1's pointwise layers become the expand of the next depthwise layer.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import cast

import numpy as np

from narrows.graph.network import Add, Conv, Depthwise, Layer, LayerRefused, Network, Pool, Requant, Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """One operation of the engine: ``input`` (and ``shortcut``) -> ``output``.

    ``from_picture``: the first stage reads the picture through the stem unit. ``identity``: the expand was put in to bring
    the input to the depthwise unit and counts no work.
    """

    name: str
    input: Tensor
    output: Tensor
    expand: Conv | None
    depthwise: Depthwise | Pool | None
    project: Conv | None
    add: Add | None
    from_picture: bool
    identity: bool = False

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The network's layers in this block, in order."""
        stages = (None if self.identity else self.expand, self.depthwise, self.project, self.add)
        return tuple(stage for stage in stages if stage is not None)

    @property
    def macs(self) -> int:
        """Multiply-adds of the network's layers (an identity counts none)."""
        return sum(layer.macs for layer in self.layers)

    @property
    def joined(self) -> int:
        """Pixels of the input that the first stage takes as one with all their channels; more than one only from external memory."""
        first = self.expand or self.project
        return 1 if first is None or self.from_picture else first.joined or 1

    @property
    def shortcut(self) -> Tensor | None:
        """The tensor added to project's result."""
        if self.add is None or self.project is None:
            return None
        return next(t for t in self.add.inputs if t is not self.project.output)

    @property
    def adds_input(self) -> bool:
        """Whether the shortcut is the block's own input, as in the paper; else it is an earlier block's output."""
        return self.shortcut is not None and self.shortcut is self.input


def cut_after_depthwise(block: Block) -> tuple[Block, Block]:
    """``block`` (without a shortcut) as two: expand and depthwise, and project alone. The interior between them has a place."""
    assert block.depthwise is not None and block.project is not None and block.add is None
    between = block.depthwise.output
    first = dataclasses.replace(block, name=block.depthwise.name, output=between, project=None)
    second = dataclasses.replace(
        block, name=block.project.name, input=between, expand=None, depthwise=None, from_picture=False, identity=False,
    )
    return first, second


def identity_conv(tensor: Tensor) -> Conv:
    """A pointwise convolution that copies ``tensor``: multiplier 2^30 with shift 1 gives back every difference exactly."""
    channels = tensor.shape[2]
    lo, hi = (-128, 127) if tensor.dtype == "int8" else (0, 255)
    weights = np.eye(channels, dtype=tensor.dtype).reshape(channels, 1, 1, channels)
    requant = Requant(np.full(channels, 1 << 30), np.full(channels, 1), tensor.zero_point, lo, hi)
    return Conv(
        f"{tensor.name} (copied)", -1, (tensor,), tensor, 0, weights, 0, np.zeros(channels, np.int64), requant,
        (1, 1), (1, 1), (1, 1), (0, 0, 0, 0),
    )


def _refuse(layer: Layer, reason: str, way_out: str) -> LayerRefused:
    return LayerRefused(layer, f"{reason}; {way_out}")
def _widened(stage: Depthwise | Pool) -> Depthwise | Pool:
    """``stage`` with a second column of zeros where its kernel is one column of more rows than the depthwise unit takes at once."""
    if isinstance(stage, Pool) or stage.kernel[1] > 1 or stage.kernel[0] <= 3:
        return stage
    zeros = np.full_like(stage.weights, stage.weight_zero_point)
    return dataclasses.replace(stage, weights=np.concatenate([stage.weights, zeros], axis=1), kernel=(stage.kernel[0], 2))




def form_blocks(network: Network) -> tuple[Block, ...]:
    """The network's blocks in order of execution; every layer is in exactly one. Refuses what no block can hold."""
    layers = list(network.layers)
    uses = {id(tensor): 0 for layer in layers for tensor in (*layer.inputs, layer.output)}
    for layer in layers:
        for tensor in layer.inputs:
            uses[id(tensor)] += 1
    for tensor in network.outputs:
        uses[id(tensor)] = uses.get(id(tensor), 0) + 1

    def follows(index: int, kinds: type | tuple[type, ...], tensor: Tensor) -> bool:
        """Whether layer ``index`` is one of ``kinds`` and the only user of ``tensor``."""
        return index < len(layers) and isinstance(layers[index], kinds) and tensor in layers[index].inputs and uses[id(tensor)] == 1

    blocks: list[Block] = []
    at = 0
    while at < len(layers):
        first = at
        expand = depthwise = project = add = None
        layer = layers[at]
        tensor = layer.inputs[0]
        identity = False
        if isinstance(layer, Conv) and follows(at + 1, (Depthwise, Pool), layer.output):
            expand, at = layer, at + 1
        elif isinstance(layer, (Depthwise, Pool)):
            expand, identity = identity_conv(tensor), True
        if expand is not None:
            depthwise = _widened(cast(Depthwise | Pool, layers[at]))
            at += 1
        last = depthwise.output if depthwise is not None else tensor
        # A pointwise layer that feeds a depthwise one is left to be that one's expand.
        conv = layers[at] if at < len(layers) else None
        # What takes several pixels as one must begin a block, which loads them so.
        pointwise = isinstance(conv, Conv) and (depthwise is None or conv.kernel == (1, 1))
        if pointwise and (depthwise is None or follows(at, Conv, last)) and not follows(at + 1, (Depthwise, Pool), layers[at].output):
            project, at = cast(Conv, layers[at]), at + 1
            if follows(at, Add, project.output):
                add, at = cast(Add, layers[at]), at + 1
        if at == first:
            raise _refuse(layer, "it is not part of a bottleneck block", "the engine runs expand, depthwise, project and their residual")
        chain = [stage for stage in (expand, depthwise, project, add) if stage is not None]
        block = Block(
            name=chain[-1].name, input=tensor, output=chain[-1].output, expand=expand, depthwise=depthwise, project=project,
            add=add, from_picture=tensor is network.input, identity=identity,
        )
        _check(block, network.input)
        blocks.append(block)
    return tuple(blocks)


def _check(block: Block, picture: Tensor) -> None:
    """Refuses layers no stage can form."""
    first = block.expand or block.project
    for stage in (block.expand, block.project):
        if stage is None or (stage is first and block.from_picture):
            continue
        if stage.joined is None:
            raise _refuse(
                stage, f"a {stage.kernel[0]}x{stage.kernel[1]} convolution with stride {stage.stride} runs only on the picture",
                "inside the network the engine runs 1x1 and depthwise convolutions, and windows of the whole plane",
            )
    if block.from_picture and first is not None and first.dilation != (1, 1):
        raise _refuse(first, "the first convolution is dilated", "train it without dilation")
    if block.add is not None and (block.from_picture or block.shortcut is picture):
        raise _refuse(block.add, "its shortcut is the picture", "start with a convolution without a shortcut")
