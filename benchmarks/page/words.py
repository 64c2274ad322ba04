"""Numbers, lists and tables as Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 140
"""Columns of a line of prose."""


def number(value: float | None) -> str:
    """Three significant digits without an exponent; empty for ``None``."""
    if value is None:
        return ""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{value:.7f}".rstrip("0") if "e" in text else text


def cell(value: object) -> str:
    """A value of a table: numbers as by `number`, anything else as it is; empty for ``None``."""
    if isinstance(value, int | float):
        return number(value)
    return "" if value is None else str(value)


def error(value: float | None) -> str:
    """One significant digit, as ``3e-07``; empty for ``None``."""
    return "" if value is None else f"{value:.0e}".replace("e-0", "e-")


def times(ratio: float) -> str:
    """``2.6 times``."""
    return f"{number(float(f'{ratio:.2g}'))} times"


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def plural(count: int, noun: str) -> str:
    """``1 case``, ``12 cases``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def wrapped(block: str) -> str:
    """A paragraph in lines of `WIDTH` columns; tables, headings and pictures as they are.

    Code keeps its spaces on one line, which may be longer.
    """
    if block.startswith(("|", "#", "!")):
        return block
    kept = re.sub("`[^`]+`", lambda code: code[0].replace(" ", "\0"), block)
    lines = textwrap.fill(kept, WIDTH, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\0", " ")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; columns that are empty in every row are left out."""
    rows = list(rows)
    kept = [i for i, _ in enumerate(heads) if i == 0 or any(row[i] for row in rows)]
    lines = [[row[i] for i in kept] for row in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
