"""Values some cycles later."""

from amaranth.hdl import Module, Signal


def delayed(m: Module, value, cycles: int, *, name: str | None = None, reset_less: bool = True):
    """``value`` (of any shape) as it was ``cycles`` cycles ago, through registers called ``name``_after1 and on.

    Data needs no reset; flags that start something (``reset_less`` false) must be cleared with the engine.
    """
    for cycle in range(cycles):
        later = Signal.like(value, name=f"{name or 'delayed'}_after{cycle + 1}", reset_less=reset_less)
        m.d.sync += later.eq(value)
        value = later
    return value
