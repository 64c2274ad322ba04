"""Tables as text, and as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Table:
    """Cells of text, and lines below them."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def as_text(headline: str, tables: Sequence[Table]) -> str:
    """Tables in columns, for terminals."""
    lines = [headline]
    for table in tables:
        cells = [list(table.header), *(list(row) for row in table.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        right = [_number(column[1]) for column in zip(*cells, strict=True)]
        lines.append("")
        for row in cells:
            padded = [
                text.rjust(width) if number else text.ljust(width)
                for text, width, number in zip(row, widths, right, strict=True)
            ]
            lines.append("  ".join(padded).rstrip())
        lines += table.notes
    return "\n".join(lines) + "\n"


def as_html(headline: str, tables: Sequence[Table]) -> str:
    """The same as HTML."""
    parts = [f"<p>{escape(headline)}</p>"]
    for table in tables:
        head = "".join(f"<th>{escape(text)}</th>" for text in table.header)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>"
            for row in table.rows
        )
        parts.append(f"<table><tr>{head}</tr>{body}</table>")
        parts += [f"<p>{escape(note)}</p>" for note in table.notes]
    return "\n".join(parts)


def _number(text: str) -> bool:
    return text.replace(",", "").isdigit()
