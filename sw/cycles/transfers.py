"""What passes between external and activation memory in the cycle model: the picture's patches, spilled tensors."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from narrows.cycles.dram import Bus, Reader, Writer
from narrows.cycles.latencies import (
    BURST,
    CONSUMED_TO_STEP,
    FIFO_WORDS,
    LOAD_TO_WRITE,
    POSITION_TO_STORE,
    ROW_GAP,
    ROW_TO_POP,
    START_TO_SOURCE,
    STEM_QUEUE,
    STEP_TO_WRITE,
    WORD_TO_STEP,
    WORDS_TO_REQUEST,
    WRITE_TO_POSITION,
)
from narrows.hw.config import EngineConfig
from narrows.hw.parts.queue import AHEAD
from narrows.hw.stem.fields import stem_layout, stem_pixel_cycles


class Positions:
    """A counter of pixels over time: ``add`` in order, ``time`` of a count, ``None`` while it is not known."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.times: list[int] = []

    def add(self, count: int, cycle: int) -> None:
        """``count`` pixels from ``cycle`` on."""
        self.counts.append(count)
        self.times.append(cycle)

    def time(self, count: int) -> int | None:
        """The first cycle with ``count`` pixels or more."""
        if count <= 0:
            return 0
        counts = self.counts
        if not counts or counts[-1] < count:
            return None
        return self.times[bisect_left(counts, count)]


class SourceReader(Reader):
    """The words of a picture or tensor. ``limit()``: (words that may be taken, the cycle from which), the latest known."""

    def __init__(self, start: int, address: int, words: int, limit: Callable[[int], tuple[int, int] | None]):
        super().__init__(start + START_TO_SOURCE, address, words)
        self._limit = limit
        self._allowed, self._taken, self._cycle = 0, 0, 0
        self._runs: list[int] = []  # the first word of every run of words taken without a pause
        self._times: list[int] = []

    def take(self) -> bool:
        """Take one burst, or what is left of it, as far as it may be."""
        if len(self.pops) == len(self.arrivals):
            return False
        before = self._taken
        end = min(BURST * (len(self.pops) + 1), self.words)
        cycle = max(self._cycle, self.arrivals[len(self.pops)])
        while self._taken < end:
            if self._taken >= self._allowed:
                more = self._limit(self._taken)
                if more is None:
                    break
                self._allowed, cycle = more[0], max(cycle, more[1])
            count = min(end, self._allowed) - self._taken
            self._runs.append(self._taken)
            self._times.append(cycle)
            self._taken += count
            cycle += count
        self._cycle = cycle
        if self._taken == end:
            self.pops.append(cycle)
        return self._taken != before

    def time(self, word: int, bus: Bus) -> int | None:
        """The cycle in which ``word`` is taken."""
        while self._taken <= word:
            if not self.take() and not bus.step():
                return None
        at = bisect_left(self._runs, word + 1) - 1
        return self._times[at] + word - self._runs[at]


class Stem:
    """Patches of a picture of ``shape``, pixel by pixel into a ring of ``ring`` patches.

    Words of others go first to activation memory. ``filtered(cycle)``: cycle and pixel of the depthwise unit's, from ``cycle`` on, which
    are known ahead; ``projected``: project's, in order, which may become known when the stem's of that time are done. Those that wait
    are queued, and delay the stem when they are too many.
    """

    def __init__(
        self, config: EngineConfig, bus: Bus, consumed: Positions, *, start: int, address: int, ring: int, shape: tuple[int, ...],
        kernel: tuple[int, int], stride: tuple[int, int], top: int, output: tuple[int, int],
        filtered: Callable[[int], Iterable[tuple[int, int]]], projected: list[tuple[int, int]],
    ):  # fmt: skip
        height, width, channels = shape
        self._filtered, self._projected, self._seen = filtered, projected, 0
        self._config, self._bus, self._consumed, self._ring = config, bus, consumed, ring
        self._line, self._total = width * channels, height * width * channels
        self._kernel, self._stride, self._top = kernel[0], stride[0], top
        self._rows, self._columns = output
        self._pixel = stem_pixel_cycles(kernel=kernel, channels=channels, group=config.group)
        self._slack = self._pixel - len(stem_layout(*kernel, channels, config.group))  # cycles without a word
        self._room = STEM_QUEUE - STEP_TO_WRITE * (self._pixel - self._slack) // self._pixel
        self._queued, self._idle = 0, start  # words that wait, and since when no others come
        self._steps: list[tuple[int, int, int]] = []  # from which cycle to which words are written, the first of which pixel
        self._group = config.group
        self.reader = SourceReader(start, address, -(-self._total // 2), self._limit)
        self.positions = Positions()
        self._cycle = start  # of the next patch, if its row's lines and room are there
        self._ends: list[int] = []  # of the rows, and of steps
        self._patch = 0

    def _limit(self, word: int) -> tuple[int, int] | None:
        """Picture words that may be taken: lines that are not needed any more make room."""
        ring = self._config.image_words * self._group
        row = max(0, -(-(2 * word + 2 - ring + self._top * self._line) // (self._stride * self._line)))
        base = (row * self._stride - self._top) * self._line if row < self._rows else self._total
        if row > len(self._ends):
            return None
        allowed = (base // self._group * self._group + ring) // 2
        return max(allowed, word + 1), self._ends[row - 1] + ROW_TO_POP if row else 0

    def time(self, pixels: int) -> int | None:
        """The cycle from which so many patches count."""
        while self._patch < pixels:
            row, column = divmod(self._patch, self._columns)
            if not column:
                need = (row * self._stride - self._top + self._kernel) * self._line
                word = -(-min(need, self._total) // self._group) * self._group // 2
                came = self.reader.time(min(word, self.reader.words) - 1, self._bus)
                if came is None:
                    return None
                self._cycle = max(self._cycle, came + WORD_TO_STEP)
            # A piece of a row: up to what was asked for, in room that is known.
            end = min((row + 1) * self._columns, max(pixels, self._patch + 1))
            freed = self._consumed.time(self._patch + 1 - self._ring)
            if freed is None:
                return None
            at = bisect_left(self._consumed.counts, self._patch + 1 - self._ring)
            if self._patch >= self._ring:
                end = min(end, self._consumed.counts[at] + self._ring)
                freed += CONSUMED_TO_STEP + 1
            else:
                end = min(end, self._ring)
            self._cycle = max(self._cycle, freed)
            self._step(end)
            self.positions.add(end, self._cycle - 1 + STEP_TO_WRITE + self._queued + WRITE_TO_POSITION)
            if not end % self._columns:
                self._ends.append(self._cycle - 1)
                self._cycle += ROW_GAP
        return self.positions.time(pixels)

    def _step(self, end: int) -> None:
        """Form the patches before ``end``. The queue drains while no words come, and stops the stem when it is full."""
        self._queued = max(0, self._queued - (self._cycle - self._idle))
        patches, cycles = end - self._patch, (end - self._patch) * self._pixel
        waiting = max(0, self._queued + self._lost(cycles) - patches * self._slack)
        self._cycle += cycles + max(0, waiting - self._room)
        self._queued = min(waiting, self._room)
        self._patch, self._idle = end, self._cycle

    def _lost(self, cycles: int) -> int:
        """How often others write to the bank that the stem wants in its next ``cycles``: pixels take the banks in turn."""
        begin, lost = self._cycle + STEP_TO_WRITE + self._queued, 0
        for cycle, pixel in self._filtered(begin):
            at = cycle - begin - lost
            if at >= cycles:
                break
            lost += self._wants(pixel, self._patch, at)
        self._steps.append((begin, begin + cycles + lost, self._patch))
        # Of project's words also those that were not known before.
        while self._seen < len(self._projected) and self._projected[self._seen][0] < begin + cycles + lost:
            cycle, pixel = self._projected[self._seen]
            self._seen += 1
            since, until, patch = self._steps[bisect_left(self._steps, (cycle + 1,)) - 1]
            if since <= cycle < until:
                lost += self._wants(pixel, patch, cycle - since)
        return lost

    def _wants(self, pixel: int, first: int, at: int) -> bool:
        """Whether ``at`` cycles after the first word of patch ``first`` the stem wants the bank of ``pixel``."""
        return (first + at // self._pixel - pixel) % self._config.pixels == 0

    def done(self) -> int | None:
        """When the last patch and the last word of the picture have left."""
        last = self.time(self._rows * self._columns)
        word = self.reader.time(self.reader.words - 1, self._bus)
        return None if last is None or word is None else max(last, word + 2)


class Load:
    """A tensor of ``pixels`` of ``groups`` words into a ring of ``ring`` pixels."""

    def __init__(
        self, config: EngineConfig, bus: Bus, consumed: Positions, *, start: int, address: int, ring: int, groups: int, pixels: int,
    ):  # fmt: skip
        self._bus, self._consumed, self._ring, self._pixels = bus, consumed, ring, pixels
        self._words = groups * config.group // 2
        self.reader = SourceReader(start, address, pixels * self._words, self._limit)

    def _limit(self, word: int) -> tuple[int, int] | None:
        pixel = word // self._words
        if pixel < self._ring:
            return self._ring * self._words, 0
        freed = self._consumed.time(pixel + 1 - self._ring)
        if freed is None:
            return None
        count = self._consumed.counts[bisect_left(self._consumed.counts, pixel + 1 - self._ring)]
        return (count + self._ring) * self._words, freed + CONSUMED_TO_STEP

    def time(self, pixels: int) -> int | None:
        """The cycle from which so many pixels count."""
        word = self.reader.time(pixels * self._words - 1, self._bus)
        return None if word is None else word + LOAD_TO_WRITE + WRITE_TO_POSITION

    def done(self) -> int | None:
        """When the last word is in activation memory."""
        return self.time(self._pixels)


class Store:
    """A tensor of ``pixels`` of ``groups`` words on its way to external memory; ``time``: of pixels that were fetched."""

    def __init__(self, config: EngineConfig, bus: Bus, *, address: int, groups: int, pixels: int):
        self._bus, self._words, self._total = bus, groups * config.group // 2, pixels * groups * config.group // 2
        self.writer = Writer(address, self._advance)
        self._stored = Positions()
        self._given: list[tuple[int, int]] = []  # what ``written`` told
        self._next, self._word, self._cycle = 0, 0, 0

    def written(self, pixels: int, cycle: int) -> None:
        """So many pixels of the output are there in ``cycle``."""
        self._given.append((pixels, cycle))

    def _advance(self) -> None:
        """Put words into the writer's FIFO as far as its bursts are known to have left."""
        while self._next < len(self._given):
            pixels, written = self._given[self._next]
            cycle, end = max(self._cycle, written + POSITION_TO_STORE), pixels * self._words
            while self._word < end:
                # A burst's last word completes its request; the FIFO holds a few bursts that have not left.
                index, part = divmod(self._word, BURST)
                waited = index - FIFO_WORDS // BURST
                if waited >= len(self.writer.done):
                    return
                if waited >= 0:
                    cycle = max(cycle, self.writer.done[waited] - BURST + part - AHEAD)
                step = min(BURST * (index + 1), end) - self._word
                self._word += step
                cycle += step
                self._cycle = cycle
                if not self._word % BURST or self._word == self._total:
                    self.writer.ready.append((cycle + WORDS_TO_REQUEST, (self._word - 1) % BURST + 1))
            self._stored.add(pixels, cycle)
            self._next += 1

    def time(self, pixels: int) -> int | None:
        """The cycle from which so many pixels have been fetched."""
        while (cycle := self._stored.time(pixels)) is None:
            before = self._word
            self._advance()
            if self._word == before and not self._bus.step():
                return None
        return cycle

    def done(self) -> int | None:
        """When the last word has left."""
        self._advance()
        while self._word < self._total or len(self.writer.done) < len(self.writer.ready):
            if not self._bus.step():
                return None
            self._advance()
        return self.writer.done[-1] + 1
