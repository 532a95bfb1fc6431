"""What reports in the terminal have in common: how tables look, how numbers are written."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table


def table(*left: str, right: tuple[str, ...] = (), last: tuple[str, ...] = ()) -> Table:
    """A table with the columns ``left`` of words, then ``right`` of numbers, then ``last`` of words."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in left:
        made.add_column(name, overflow="fold")
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    for name in last:
        made.add_column(name, overflow="fold")
    return made


def totals(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Lines of a name, a figure and what it means."""
    made = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(style="bold")
    made.add_column(justify="right")
    made.add_column()
    for row in rows:
        made.add_row(*map(escape, row))
    return made


def count(value: int) -> str:
    """A number with its thousands apart."""
    return f"{value:,}".replace(",", " ")


def size(value: int) -> str:
    """Bytes in the unit that fits: B, KB of 1000 and MB."""
    for unit, each in (("MB", 1_000_000), ("KB", 1000)):
        if value >= each:
            return f"{value / each:.{2 if unit == 'MB' else 1}f} {unit}"
    return f"{value} B"
