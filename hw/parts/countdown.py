"""A counter down whose end is a register, so that what follows from it begins at once."""

from amaranth.hdl import Module, Signal, Value, ValueLike


class Countdown:
    """``count`` (``bits`` wide) down to ``end`` (0 or 1); ``last`` is high while it is there. No end comes after it without a load."""

    def __init__(self, m: Module, name: str, bits: int, *, end: int = 0):
        self._m, self._end = m, end
        self.count, self.last = Signal(bits, name=f"{name}_left"), Signal(name=f"{name}_last")

    def load(self, value: Value) -> None:
        """Begin at ``value`` in the next cycle, under the conditions the module is in."""
        self._m.d.sync += [self.count.eq(value), self.last.eq(value == self._end)]

    def step(self, by: ValueLike = 1) -> None:
        """One less in the next cycle (if ``by``, a bit), under the conditions the module is in."""
        with self._m.If(by):
            self._m.d.sync += [self.count.eq(self.count - 1), self.last.eq(self.count == self._end + 1)]
