"""What reports in the terminal have in common: how tables and words look, how numbers are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions
from rich.text import Text

from narrows.report.table import GAP, Table, whole, wrapped

#: Characters that a figure's meaning has beside it at least; with less it stands below.
_MEANING = 20


def table(
    *left: str, right: tuple[str, ...] = (), last: tuple[str, ...] = (), least: Sequence[str] | None = None, whole: bool = False
) -> Table:
    """A table with the columns ``left`` of words, then ``right`` of numbers, then ``last`` of words; see :class:`Table`."""
    return Table(left, right, last, least=least, whole=whole)


class Words:
    """A paragraph of Rich's markup, wrapped between words; ``indent``: spaces before its lines."""

    def __init__(self, markup: str, *, indent: int = 0) -> None:
        self._text, self._indent = Text.from_markup(markup, emoji=False), indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        for line in wrapped(console, self._text, options.max_width - self._indent):
            yield whole(Text(" " * self._indent) + line)


class Totals:
    """Lines of a name, a figure and what it means; where that has no room beside them it stands below."""

    def __init__(self, rows: Sequence[tuple[str, str, str]]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = options.max_width
        name, figure, meaning = (max(len(row[index]) for row in self._rows) for index in range(3))
        room = width - name - figure - 2 * GAP
        beside = room >= min(meaning, _MEANING)
        for words, value, means in self._rows:
            line = Text(words, "bold")
            if beside or name + GAP + figure <= width:
                line += Text(" " * (name + GAP - len(words)) + value.rjust(figure))
            elif len(words) + GAP + len(value) <= width:
                line += Text(" " * GAP + value)
            else:
                yield whole(line)
                line = Text(" " * GAP + value)
            lines = wrapped(console, Text(means), room if beside else width - GAP) if means else []
            if beside and lines:
                line += Text(" " * GAP) + lines.pop(0)
            yield whole(line)
            for rest in lines:
                yield whole(Text(" " * (name + figure + 2 * GAP if beside else GAP)) + rest)


def totals(rows: Sequence[tuple[str, str, str]]) -> Totals:
    """Lines of a name, a figure and what it means."""
    return Totals(rows)


def count(value: int) -> str:
    """A number with its thousands apart."""
    return f"{value:,}".replace(",", " ")


def size(value: int) -> str:
    """Bytes in the unit that fits: B, KB of 1000 and MB."""
    for unit, each in (("MB", 1_000_000), ("KB", 1000)):
        if value >= each:
            return f"{value / each:.{2 if unit == 'MB' else 1}f} {unit}"
    return f"{value} B"
