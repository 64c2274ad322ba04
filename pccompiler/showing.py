"""How objects show themselves: tables as text and as HTML for notebooks, and one-line ``repr``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_LEFT = ' style="text-align:left"'
"""Notebooks align cells to the right, which suits numbers only."""


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


def as_html(headline: str, tables: Sequence[Table], picture: str = "") -> str:
    """The same as HTML, with a picture between the headline and the tables.

    Only the picture has colours of its own, so that light and dark notebooks can be read.

    Args:
        headline: Plain text.
        tables: Of plain text, too.
        picture: An ``<svg>`` element, written as it is.
    """
    parts = [f"<p>{escape(headline)}</p>"]
    if picture:
        parts.append(f'<div style="overflow:auto;max-height:720px">{picture}</div>')
    for table in tables:
        head = "".join(f"<th{_LEFT}>{escape(text)}</th>" for text in table.header)
        body = "".join(
            "<tr>" + "".join(f"<td{_align(text)}>{escape(text)}</td>" for text in row) + "</tr>"
            for row in table.rows
        )
        parts.append(f"<table><tr>{head}</tr>{body}</table>")
        parts += [f"<p>{escape(note)}</p>" for note in table.notes]
    return "<div>\n" + "\n".join(parts) + "\n</div>"


def brief(shown: object, facts: Mapping[str, object]) -> str:
    """``repr`` on one line: the class, and facts; of arrays and tensors, only their shapes."""
    inner = ", ".join(f"{name}={_fact(value)}" for name, value in facts.items())
    return f"{type(shown).__name__}({inner})"


def _fact(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__}{tuple(shape)}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if type(value) is int else repr(value)


def _align(text: str) -> str:
    return "" if _number(text) else _LEFT


def _number(text: str) -> bool:
    return text.replace(",", "").isdigit()
