"""Tables of a terminal's width: a narrow one drops whole columns, least needed first; no number is ever cut.

A column is as wide as its widest cell where that fits. Else headers go over several lines, then words are wrapped and names shortened
to what tells them apart, then columns are left out, and at last words stand below their row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console, ConsoleOptions
from rich.text import Text

#: Spaces between two columns, and before words that stand below their row.
GAP = 2

#: A name is not made shorter than this, and words below which it is easier to read them below the row.
_SHORTEST_NAME, _NARROWEST_WORDS = 12, 16

#: The space within a number, and before a unit; what stands for it while words are wrapped there.
_WITHIN = re.compile(r"(?<=\d) (?=\d{3}(?!\d)|[KM]?B\b|[MG]Hz\b|ms\b|M\b)")
_GLUE = "\ue000"

Kind = Literal["name", "words", "number"]


@dataclass
class Column:
    """``header`` and cells. ``kind``: "name", shortened; "words", wrapped; "number", always whole and flush right."""

    header: str
    kind: Kind
    cells: list[Text] = field(default_factory=list)

    @property
    def widest(self) -> int:
        """What it takes to show all of it in one line each."""
        return max([len(self.header), *(cell.cell_len for cell in self.cells)])

    @property
    def narrowest(self) -> int:
        """What it takes at least."""
        words = [len(word) for word in self.header.split()]
        if self.kind == "number":
            return max([0, *words, *(cell.cell_len for cell in self.cells)])
        if self.kind == "name":
            return max([*words, shortest({cell.plain for cell in self.cells})])
        parts = [len(word) for cell in self.cells for word in glued(cell).plain.split(" ")]
        return min(max([_NARROWEST_WORDS, *words, *parts]), self.widest)


class Table:
    """Columns ``left`` of words, of which the first is of names, ``right`` of numbers, ``last`` of words.

    ``least``: headers of columns that may be left out where there are such, least needed first; without it the last of ``right``, then
    of the words but for the first. ``whole``: the names can't be shortened. Cells are Rich's markup.
    """

    def __init__(
        self, left: Sequence[str], right: Sequence[str], last: Sequence[str], *, least: Sequence[str] | None = None, whole: bool = False,
        header: bool = True, indent: int = 0,
    ) -> None:
        first: Kind = "number" if whole else "name"
        kinds: list[tuple[str, Kind]] = [
            *((name, "words" if index else first) for index, name in enumerate(left)),
            *((name, "number") for name in right), *((name, "words") for name in last),
        ]  # fmt: skip
        self.columns = [Column(name if header else "", kind) for name, kind in kinds]
        self._flush_right = [*(False for _ in left), *(True for _ in right), *(False for _ in last)]
        names = [name for name, _ in kinds]
        order = [*reversed(right), *reversed(left[1:])] if least is None else least
        self._least = [names.index(name) for name in order if name in names]
        self._header, self._indent = header, indent

    def add_row(self, *cells: str) -> None:
        """A cell for each column."""
        for column, cell in zip(self.columns, cells, strict=True):
            column.cells.append(Text.from_markup(cell, emoji=False))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = options.max_width - self._indent
        shown, widths, below = self.layout(width)
        header = [[Text(line, "bold") for line in folded(self.columns[index].header, widths[index])] for index in shown]
        if self._header:
            depth = max(map(len, header))
            yield from self._lines(shown, widths, [[Text()] * (depth - len(lines)) + lines for lines in header])
        names = {index: self._names(index, widths[index]) for index in shown if self.columns[index].kind == "name"}
        for row in range(len(self.columns[0].cells)):
            cells = []
            for index in shown:
                cell = self.columns[index].cells[row]
                if index in names:
                    cells.append([names[index][row]])
                else:
                    cells.append([cell] if self.columns[index].kind == "number" else wrapped(console, cell, widths[index]))
            yield from self._lines(shown, widths, cells)
            for index in below:
                if words := self.columns[index].cells[row]:
                    for line in wrapped(console, words, width - GAP):
                        yield whole(Text(" " * (self._indent + GAP)) + line)

    def layout(self, width: int) -> tuple[list[int], dict[int, int], list[int]]:
        """Of ``width`` characters: the columns that are shown, how wide each is, and those whose words stand below the row."""
        shown, below, dropped = list(range(len(self.columns))), list[int](), list(self._least)
        widest, narrowest = ([getattr(column, what) for column in self.columns] for what in ("widest", "narrowest"))
        while sum(narrowest[index] + GAP for index in shown) - GAP > width:
            if dropped:
                shown.remove(dropped.pop(0))
            elif len(shown) > 1 and self.columns[shown[-1]].kind == "words":
                below.insert(0, shown.pop())
            else:
                break
        widths = {index: narrowest[index] for index in shown}
        spare = width - sum(widths[index] + GAP for index in shown) + GAP
        # What is left goes to names, then to words, then to headers.
        for index in sorted(shown, key=lambda index: ("name", "words", "number").index(self.columns[index].kind)):
            more = min(max(spare, 0), widest[index] - widths[index])
            widths[index] += more
            spare -= more
        return shown, widths, below

    def _names(self, index: int, width: int) -> list[Text]:
        cells = self.columns[index].cells
        short = shortened({cell.plain for cell in cells}, width)
        return [cell if short[cell.plain] == cell.plain else Text(short[cell.plain]) for cell in cells]

    def _lines(self, shown: Sequence[int], widths: dict[int, int], cells: Sequence[Sequence[Text]]) -> Iterator[Text]:
        """The lines of a row; each of its cells is of lines itself."""
        for number in range(max(map(len, cells))):
            line = Text(" " * self._indent)
            for index, cell in zip(shown, cells, strict=True):
                part = cell[number] if number < len(cell) else Text()
                room = " " * (widths[index] - part.cell_len)
                line += Text(room) + part if self._flush_right[index] else part + Text(room)
                line += Text(" " * GAP)
            yield whole(line)


def whole(line: Text) -> Text:
    """``line`` as it is, without the spaces at its end: Rich is to cut and to wrap nothing of it."""
    line.rstrip()
    line.no_wrap, line.overflow = True, "ignore"
    return line


def glued(text: Text) -> Text:
    """``text`` with no space within a number."""
    result = text.copy()
    result.plain = _WITHIN.sub(_GLUE, text.plain)
    return result


def wrapped(console: Console, text: Text, width: int) -> list[Text]:
    """The lines of ``text``, of ``width`` characters at most, which end between words and never in a number."""
    lines = list(glued(text).wrap(console, max(width, 1), overflow="fold")) or [Text()]
    for line in lines:
        line.rstrip()
        line.plain = line.plain.replace(_GLUE, " ")
    return lines


def folded(header: str, width: int) -> list[str]:
    """A header in as many lines as it needs: no word is longer than ``width``."""
    lines = [""]
    for word in header.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def shortened(names: Iterable[str], width: int) -> dict[str, str]:
    """Each of ``names`` in ``width`` characters, the same part of all replaced by an ellipsis, so that whole words tell them apart.

    Where no part can be, the end is replaced.
    """
    names = set(names)
    for head in range(width - 1, -1, -1):
        tail = width - 1 - head
        keys = {_words(name, head, tail) if len(name) > width else (name, "") for name in names}
        if len(keys) == len(names):
            break
    else:
        head, tail = width - 1, 0
    return {name: name if len(name) <= width else f"{name[:head]}…{name[len(name) - tail:]}" for name in names}


def shortest(names: Iterable[str]) -> int:
    """The least width in which :func:`shortened` can tell ``names`` apart."""
    names = set(names)
    widest = max([0, *map(len, names)])
    for width in range(min(_SHORTEST_NAME, widest), widest):
        for head in range(width):
            if len({_words(name, head, width - 1 - head) if len(name) > width else (name, "") for name in names}) == len(names):
                return width
    return widest


def _words(name: str, head: int, tail: int) -> tuple[str, str]:
    """The whole words in the first ``head`` characters of ``name`` and in the last ``tail``."""
    begin, end = name[:head], name[len(name) - tail :]
    if name[head : head + 1].isalnum():
        begin = re.sub(r"[^\W_]+$", "", begin)
    if name[len(name) - tail - 1 : len(name) - tail].isalnum():
        end = re.sub(r"^[^\W_]+", "", end)
    return begin, end
