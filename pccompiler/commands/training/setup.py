"""The setup of ``pccompiler train``: recipes, hypernetworks and variables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pccompiler import recipes
from pccompiler.datasets import Splits
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Hypernetwork, Variable, binary, categorical, real

MOST_STATES = 256


def recipe(data: str, hypernetwork: bool) -> recipes.Recipe:
    """The paper's recipe for a named set; for a file, that of the Twenty Datasets."""
    try:
        return recipes.paper(data, hypernetwork=hypernetwork)
    except DataError:
        return recipes.paper("nltcs", hypernetwork=hypernetwork)


def hypernetwork(
    default: Hypernetwork | None, embedding: int, hidden: str | None
) -> Hypernetwork | None:
    """The recipe's hypernetwork with the command line's sizes."""
    if default is None:
        return None
    if hidden is None:
        return replace(default, embedding=embedding)
    if not all(width.isdecimal() and len(width) < 10 for width in hidden.split("x")):
        raise OptionError.of(
            "PC302",
            f"--hidden is {hidden[:40]!r}",
            help="write widths separated by x, such as 20x20",
        )
    widths = tuple(int(width) for width in hidden.split("x"))
    return replace(default, embedding=embedding, hidden=widths)


def variables_of(rows: Splits) -> tuple[Variable, ...]:
    """Binary, categorical or real, inferred from the columns of all parts."""
    parts = [part for part in (rows.train, rows.valid, rows.test) if part is not None]
    table = np.asarray(np.concatenate(parts), np.float64)
    return tuple(_variable(f"x{i}", table[:, i]) for i in range(table.shape[1]))


def _variable(name: str, column: NDArray[np.float64]) -> Variable:
    seen = column[~np.isnan(column)]
    whole = bool((seen == np.floor(seen)).all()) and bool((seen >= 0).all())
    if not whole or seen.max(initial=1) >= MOST_STATES:
        return real(name)
    states = int(seen.max(initial=1)) + 1
    return binary(name) if states == 2 else categorical(name, states)
