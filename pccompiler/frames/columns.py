"""Columns of a schema: variables with a source, which may get other labels or another domain."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Final, cast, get_args

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir import Variable
from pccompiler.ir.variables import Domain, Label, Source
from pccompiler.options import is_of, shown

DOMAINS: Final[tuple[Domain, ...]] = get_args(Domain)
_CHOSEN: Final = "set by replace"


def source_of(variable: Variable) -> Source:
    """The column that a variable stands for: one with its own name, unless a schema made it."""
    return variable.source or Source(variable.name)


def is_numeric(variable: Variable) -> bool:
    """Whether the column holds the numbers that the circuit sees; booleans are 0 and 1."""
    labels = source_of(variable).labels
    return not labels or labels == tuple(range(len(labels)))


def labelled(
    name: str, source: Source, labels: Collection[Label], domain: Domain | None = None
) -> Variable:
    """The variable of a column with these labels; by default binary if there are two.

    Raises:
        OptionError: If there are too few or repeated labels, or more than two of a binary one.
    """
    given = tuple(_plain(label, source.column) for label in labels)
    chosen = domain or ("binary" if len(given) == 2 else "categorical")
    too_many = chosen == "binary" and len(given) > 2
    if len({str(label) for label in given}) < len(given) or len(given) < 2 or too_many:
        example = source.column if source.column.isidentifier() else "column"
        raise OptionError.of(
            "PC804",
            f"column {source.column!r} cannot be {chosen} with {len(given)} labels"
            + (f": {', '.join(map(repr, given[:5]))}" if given else ""),
            help=f"list {'two' if too_many else 'two or more'} labels, each once: "
            f"schema.replace({example}=[...])",
        )
    numbers = given == tuple(range(len(given))) and not any(isinstance(g, bool) for g in given)
    return Variable(
        name, chosen, len(given), source=replace(source, labels=() if numbers else given)
    )


def changed(variable: Variable, wish: object) -> Variable:
    """A column with another domain, or with other labels.

    Raises:
        OptionError: If ``wish`` is neither a domain nor a list of labels, or is impossible.
    """
    source = replace(source_of(variable), reason=_CHOSEN)
    if not isinstance(wish, str) and is_of(wish, Iterable):
        return labelled(variable.name, source, tuple(cast(Iterable[Label], wish)))
    if wish not in DOMAINS:
        raise OptionError.of(
            "PC804",
            f"column {source.column!r} cannot be {shown(wish)}",
            help=f"use one of {', '.join(map(repr, DOMAINS))}, or a list of labels",
        )
    if wish in ("binary", "categorical"):
        states = tuple(range(variable.cardinality))
        return labelled(variable.name, source, source.labels or states or source.seen, wish)
    if not is_numeric(variable) and any(isinstance(label, str) for label in source.labels):
        raise OptionError.of(
            "PC804",
            f"column {source.column!r} holds text, so it cannot be a {wish} variable",
            help="convert the column to numbers first, or leave it as it is",
        )
    return Variable(variable.name, wish, 0, source=replace(source, labels=()))


def as_values(variable: Variable) -> dict[str, Any]:
    """A column as values that JSON can hold."""
    source = source_of(variable)
    return {
        "column": source.column,
        "variable": variable.name,
        "domain": variable.domain,
        "states": variable.cardinality,
        "labels": list(source.labels),
        "library": source.library,
        "reason": source.reason,
    }


def from_values(each: Any) -> Variable:  # a value of JSON
    """The column that `as_values` wrote.

    Raises:
        KeyError: If an entry is missing.
        TypeError: If one has the wrong type.
        ValueError: If one has an impossible value, also as an `OptionError`.
    """
    name, column, domain, library = (each[k] for k in ("variable", "column", "domain", "library"))
    texts = (name, column, library or "", each["reason"])
    if domain not in DOMAINS or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"column {shown(column)}")
    source = Source(column, library=library, reason=each["reason"])
    if each["labels"]:
        return labelled(name, source, each["labels"], domain)
    return Variable(name, domain, int(each["states"]), source=source)


def _plain(label: object, column: str) -> Label:
    """A label of one of Python's own types, as JSON holds it."""
    value: object = label.item() if isinstance(label, np.generic) else label
    if isinstance(value, bool | int | str) or (isinstance(value, float) and np.isfinite(value)):
        return value
    raise OptionError.of(
        "PC804",
        f"column {column!r} cannot have the label {shown(label)}",
        help="use text, whole numbers, finite numbers or booleans",
    )
