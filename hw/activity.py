"""Taps that only a simulation has: which units do something in a cycle, for traces. No board is built with them."""

from amaranth.hdl import Cat, Value

#: A bit each of what is watched, in the order of the port's bits. Those of a line exclude each other.
ACTIVITY = (
    "expand", "project",  # the array takes an op of the stage that is not an idle one
    "array_waits_weights", "array_waits_data",  # it has work and no op
    "line_buffers",  # a word of the expanded interior is written
    "depthwise",  # the depthwise unit forms products
    "depthwise_waits_weights", "depthwise_waits_data",
    "writeback",  # a word of project's results is written
    "stem", "load",  # a word of the picture's patches, or of a tensor from external memory, is written
    "store",  # a word of an output is on its way to external memory
    "program",  # a word of the program is taken apart
)  # fmt: skip


def activity(units: dict[str, object]) -> Value:
    """The bits of :data:`ACTIVITY` of an engine's ``units``, each of the cycle in which it is so."""
    sequencer, array, depthwise = units["sequencer"], units["array"], units["depthwise"]
    op = sequencer.valid & ~sequencer.op.idle
    moved = {
        name: port.valid & port.ready for name, port in (
            ("writeback", units["writeback"].o), ("stem", units["stem"].o), ("load", units["load"].o), ("store", units["store"].o),
            ("program", units["program"].i),
        )
    }  # fmt: skip
    bits = {
        "expand": op & ~sequencer.op.project, "project": op & sequencer.op.project,
        "array_waits_weights": sequencer.waits_weights, "array_waits_data": sequencer.waits_data,
        "line_buffers": array.o_valid & ~array.o.project, "depthwise": depthwise.forming,
        # Both may hold at once; weights are then what is looked at first.
        "depthwise_waits_weights": depthwise.waiting_weights, "depthwise_waits_data": depthwise.waiting_data & ~depthwise.waiting_weights,
        **moved,
    }  # fmt: skip
    return Cat(bits[name] for name in ACTIVITY)
