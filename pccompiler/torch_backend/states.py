"""Values that are states of their variables, and others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.ir import Variable


def impossible(row: int) -> DataError:
    """Of evidence that no world agrees with."""
    return DataError.of(
        "PC406",
        f"the evidence in row {row} has probability 0",
        help="drop such rows: those with log_likelihood(...) == -inf",
    )


_ALLOWED = {"real": "finite numbers", "count": "whole numbers from 0 on"}


def check_values(x: Tensor, variables: tuple[Variable, ...]) -> None:
    """Refuse values that are no state of their variable.

    Raises:
        DataError: Naming the first culprit's row, column and variable.
    """
    states = [v.cardinality if v.discrete else 0 for v in variables]
    limit = torch.tensor(states, dtype=x.dtype, device=x.device)
    whole = torch.tensor([v.domain != "real" for v in variables], device=x.device)
    wrong = ((x < 0) | (x != x.floor())) & whole | (x >= limit) & (limit > 0)
    wrong = (wrong & ~x.isnan()) | x.isinf()
    if not bool(wrong.any()):
        return
    row, column = (int(i) for i in wrong.nonzero()[0])
    variable = variables[column]
    allowed = (
        f"0 ... {variable.cardinality - 1}" if variable.discrete else _ALLOWED[variable.domain]
    )
    raise DataError.of(
        "PC401",
        f"value {float(x[row, column]):g} in row {row}, column {column} is no value of variable "
        f"{variable.name!r}",
        notes=(
            f"{int(wrong.sum())} values are out of range",
            f"allowed: {allowed}, or NaN if missing",
        ),
        help="recode the column, or declare the variable with more states"
        if variable.discrete
        else "recode the column, or declare the variable otherwise",
    )


def wrong_shape(shape: tuple[int, ...], variables: Sequence[Variable]) -> DataError:
    """What to say of data that do not fit the variables."""
    names = ", ".join(v.name for v in variables[:5]) + (", ..." if len(variables) > 5 else "")
    return DataError.of(
        "PC400",
        f"the data have shape {shape}, but the circuit has {len(variables)} variables",
        notes=(f"variables: {names}",),
        help=f"give a table of shape (rows, {len(variables)}), one column a variable, in order",
    )
