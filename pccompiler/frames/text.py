"""Schemas as text: a table that says what each column is, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pccompiler.frames.columns import source_of
from pccompiler.ir import Variable
from pccompiler.showing import Table

_SHOWN_ROWS = 60
_SHOWN = 5


def headline(variables: Sequence[Variable]) -> str:
    """The number of columns of each domain."""
    counts = Counter(variable.domain for variable in variables)
    return f"schema of {len(variables)} columns: " + ", ".join(
        f"{number} {domain}" for domain, number in counts.items()
    )


def listed(variables: Sequence[Variable]) -> Table:
    """A row for each column."""
    rows: list[tuple[str, str, str, str]] = []
    for variable in variables[:_SHOWN_ROWS]:
        source = source_of(variable)
        rows.append((source.column, variable.domain, _shown(variable), source.reason))
    rest = len(variables) - _SHOWN_ROWS
    notes = [f"... and {rest} more"] if rest > 0 else []
    return Table(("column", "domain", "values", "why"), rows, notes)


def _shown(variable: Variable) -> str:
    labels = source_of(variable).labels
    if labels:
        return ", ".join(map(str, labels[:_SHOWN])) + (", ..." if len(labels) > _SHOWN else "")
    ranges = {"real": "any number", "count": "0, 1, 2, ..."}
    return ranges.get(variable.domain, f"0 to {variable.cardinality - 1}")
