"""A section of the page, as its writer fills it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.page.bars import Bar, Row, chart
from benchmarks.page.contest import Contest, verdict
from benchmarks.page.results import Line, Result, command, unique
from benchmarks.page.words import cell, listed, plural, table, wrapped
from pccompiler.drawing.svg import to_svg

OWN = "pccompiler"
Column = str | Callable[[Line], object]
"""A field of a line, or what computes a value from it."""


@dataclass
class Section:
    """A heading and what stands below it.

    Attributes:
        title: The heading; its words make the anchor.
        blocks: Paragraphs, tables and pictures, in Markdown.
        charts: SVG documents by their file name without ``.svg``.
        contests: Comparisons with peers, for the summary at the top of the page.
    """

    title: str
    blocks: list[str] = field(default_factory=list[str])
    charts: dict[str, str] = field(default_factory=dict[str, str])
    contests: list[Contest] = field(default_factory=list[Contest])

    def part(self, title: str) -> None:
        """Open a part with a heading of its own."""
        self.blocks.append(f"### {title}")

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self.blocks.append(text)

    def measured(self, text: str, *results: Result, where: str = "gpu") -> None:
        """Add a paragraph that says what was measured, and on what, when and with which command.

        Args:
            text: What was measured, in sentences.
            results: The files that hold it.
            where: The header's field with the chip that was measured, ``"gpu"`` or ``"cpu"``.
        """
        self.blocks.append(" ".join([text, *(source(result, where) for result in results)]))

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Add a table."""
        self.blocks.append(table(heads, rows))

    def fields(self, lines: Iterable[Line], columns: Mapping[str, Column]) -> None:
        """Add a table with a row for each line.

        Args:
            lines: Measurements.
            columns: Each column's heading, and its field or what computes it.
        """
        rows = [tuple(cell(_value(line, column)) for column in columns.values()) for line in lines]
        self.table(tuple(columns), rows)

    def chart(
        self, name: str, title: str, rows: Sequence[Row], unit: str = "ms", better: str = "shorter"
    ) -> None:
        """Add a chart of bars on a logarithmic axis."""
        self.charts[name] = to_svg(chart(title, rows, unit, better), title)
        self.blocks.append(f"![{title}](images/benchmarks/{name}.svg)")

    def beside(self, contests: Sequence[Contest]) -> None:
        """Add comparisons with peers: a paragraph that says who is faster where."""
        self.contests += contests
        self.blocks.append(verdict(contests))

    def contest_chart(self, name: str, title: str, contests: Sequence[Contest]) -> None:
        """Add a chart with our bar and the peers' for each case."""
        rows = [
            Row(what, [Bar(OWN, mine[0].ours), *(Bar(c.peer, c.theirs) for c in mine)])
            for what in unique(contest.what for contest in contests)
            if (mine := [contest for contest in contests if contest.what == what])
        ]
        self.chart(name, title, rows)

    @property
    def text(self) -> str:
        """The section in Markdown."""
        return "\n\n".join([f"## {self.title}", *map(wrapped, self.blocks)])


def _value(line: Line, column: Column) -> object:
    return line.get(column) if isinstance(column, str) else column(line)


def source(result: Result, where: str = "gpu") -> str:
    """The chip, the date, the command and the file of a measurement, as a sentence."""
    runs = listed(unique(f"`{command(header)}`" for header in result.headers))
    dates = listed(unique(str(header["date"]) for header in result.headers))
    chips = listed(unique(chip(header, where) for header in result.headers))
    return f"Measured on {chips} on {dates} with {runs} ({result.link})."


def chip(header: dict[str, object], where: str) -> str:
    """The machine of a run: ``one NVIDIA H200``, ``2 cores of an AMD EPYC``."""
    if where == "gpu":
        return f"one {header['gpu']}"
    cores = int(str(header.get("threads") or header["cores"]))
    return f"{plural(cores, 'core')} ({header['cpu']})"
