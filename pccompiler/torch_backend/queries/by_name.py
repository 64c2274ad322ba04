"""How the answers of queries look as data frames; see `pccompiler.torch_backend.data.by_name`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from pccompiler.frames.columns import is_numeric, source_of
from pccompiler.tables import column_of
from pccompiler.torch_backend.data.by_name import Home
from pccompiler.torch_backend.queries.answers import (
    Classes,
    Completion,
    Completions,
    Draws,
    Posterior,
)

# The fields of answers are tensors or, asked by name, frames and series, of libraries that have no
# common type: hence the casts.


def rows(home: Home, found: Tensor) -> Any:
    """Rows as a frame with labels."""
    return home.rows(found)


def completion(home: Home, found: Completion) -> Completion:
    """A frame of rows, and a series."""
    return found._replace(rows=home.rows(found.rows), log_value=_log_value(home, found.log_value))


def completions(home: Home, found: Completions) -> Completions:
    """A frame of all completions, k to each row of evidence, and series."""
    facts = {
        name: home.series(name, getattr(found, name))
        for name in ("log_value", "optimal", "gap", "expanded")
    }
    return replace(found, rows=home.rows(found.rows), **facts)


def draws(home: Home, found: Draws) -> Draws:
    """A frame of rows, and a series."""
    return Draws(home.rows(found.rows), _log_value(home, found.log_value))


def classes(home: Home, found: Classes) -> Classes:
    """A series of labels, and a frame with a column for each label."""
    column = column_of(home.asked["variable"], home.schema.names)
    label = home.series(home.schema.names[column], found.label, column)
    return Classes(label, home.table(_by_label(home, column, found.log_probability)))


def posterior(home: Home, found: Posterior) -> Posterior:
    """Of discrete variables a frame each, with a column for each label; moments of numbers."""
    asked = cast(Sequence[str | int] | None, home.asked.get("variables"))
    names, variables = home.schema.names, home.schema.variables
    columns = range(len(names)) if asked is None else [column_of(v, names) for v in asked]
    states = {
        names[column]: home.table(_by_label(home, column, found.states[:, place]))
        for place, column in enumerate(columns)
        if variables[column].discrete
    }
    places = [(p, names[c]) for p, c in enumerate(columns) if is_numeric(variables[c])]
    return Posterior(
        cast(Any, states),
        home.table({name: found.mean[:, place] for place, name in places}),
        home.table({name: found.variance[:, place] for place, name in places}),
        home.series("log_evidence", found.log_evidence),
    )


def _log_value(home: Home, values: Tensor) -> Any:
    return home.series("log_value", values)


def _by_label(home: Home, column: int, values: Tensor) -> dict[str, Tensor]:
    """The columns of ``values`` by the label of the state."""
    variable = home.schema.variables[column]
    labels = source_of(variable).labels or range(variable.cardinality)
    return {str(label): values[:, state] for state, label in enumerate(labels)}
