"""Expectations of functions of single variables, their sums and products, and covariances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.options import is_of, shown
from pccompiler.torch_backend.data.by_name import numbers_by_name
from pccompiler.torch_backend.data.inputs import as_tensor
from pccompiler.torch_backend.queries.evidence import Evidence, sharing_little
from pccompiler.torch_backend.queries.expectations.ascent import Ascent, Known

if TYPE_CHECKING:
    from pccompiler.torch_backend.queries.queries import Queries

Function = Callable[[Tensor], Tensor] | Tensor | ArrayLike
"""A table over states, the coefficients of a polynomial, or a function of a tensor."""
Functions = Mapping[str, Function] | Mapping[int, Function] | Mapping[str | int, Function]
"""Variable, by name or column, to its function."""
_Apply = Callable[[Tensor], Tensor]


@numbers_by_name
@sharing_little
def expectation(
    model: Queries,
    functions: Functions,
    evidence: Evidence | None = None,
    *,
    how: Literal["sum", "product"] = "sum",
) -> Tensor:
    """``E[sum_i f_i(X_i)]`` or ``E[prod_i f_i(X_i)]`` given each row of the evidence.

    One pass up in float64. Functions of a real variable are integrated with 32 points per leaf (64
    for Laplace leaves, 32 per bin for histograms): polynomials exactly, smooth functions mostly to
    all digits, functions with kinks or jumps roughly.

    Args:
        model: A compiled circuit.
        functions: Variable to function, with values of any sign. Numbers are a table over the
            states of a discrete variable; for a real or count variable, the coefficients of
            ``c[0] + c[1] x + c[2] x**2 ...``. A callable maps a float64 tensor of values to one of
            the same shape.
        evidence: By default none, in one row. Known variables count with their values.
        how: Whether functions are added or multiplied.

    Returns:
        Shape (batch,), float64; NaN where the evidence is impossible. Differentiable.

    Raises:
        DataError: If the evidence does not fit, or a variable is unknown.
        OptionError: If a function does not fit its variable, or ``how`` is unknown.

    Source:
        Khosravi et al. (2019), "On Tractable Computation of Expected Predictions".
    """
    if not is_of(how, str) or how not in ("sum", "product"):
        raise OptionError.of(
            "PC427", f"how={shown(how)} is neither 'sum' nor 'product'", help="choose one of them"
        )
    chosen = _functions(model, functions)
    known, rows = Known(model), model.evidence(evidence)
    neutral = 1.0 if how == "product" else 0.0
    parts: list[Tensor] = []
    for some in rows.split(known.chunk(1)):
        values = {
            number: _means(known, number, some, chosen, neutral).unsqueeze(1)
            for number in known.leaves
        }
        logs, mean = Ascent(known, some, values, how).run()
        parts.append(_possible(logs, mean[0]))
    return torch.cat(parts)


@numbers_by_name
@sharing_little
def variance(
    model: Queries,
    functions: Functions,
    evidence: Evidence | None = None,
) -> Tensor:
    """The variance of ``sum_i f_i(X_i)`` given each row of the evidence: two passes up.

    Args:
        model: A compiled circuit.
        functions: As for `expectation`.
        evidence: By default none, in one row.

    Returns:
        Shape (batch,), float64; NaN where the evidence is impossible. Differentiable.

    Raises:
        DataError: If the evidence does not fit, or a variable is unknown.
        OptionError: If a function does not fit its variable.
    """
    chosen = _functions(model, functions)
    known, rows = Known(model), model.evidence(evidence)
    parts: list[Tensor] = []
    for some in rows.split(known.chunk(3)):
        values: dict[int, Tensor] = {}
        for number in known.leaves:
            mean = _means(known, number, some, chosen, 0.0)
            spread = _spreads(known, number, some, chosen)
            values[number] = torch.stack([mean, mean, spread], dim=1)
        logs, found = Ascent(known, some, values, "covariance").run()
        parts.append(_possible(logs, found[2]))
    return torch.cat(parts)


def covariance(model: Queries, evidence: Evidence | None = None) -> Tensor:
    """Covariances of all variables' values given each row of the evidence.

    One pass up for the means, then one for each variable, which carries 2 n + 1 numbers per unit:
    for n variables the cost is ``O(n**2)`` times that of a likelihood. Values are centred first, so
    that large means cost no digits.

    Args:
        model: A compiled circuit.
        evidence: By default none, in one row. Known variables have no variance.

    Returns:
        Shape (batch, variables, variables), float64; NaN where the evidence is impossible.
        Differentiable.

    Raises:
        DataError: If the evidence does not fit.

    Source:
        The law of total covariance at each sum; products join independent parts.
    """
    known, rows = Known(model), model.evidence(evidence)
    number = len(model.circuit.variables)
    parts = [_covariance(known, some) for some in rows.split(known.chunk(2 * number + 1))]
    return torch.cat(parts)


def _covariance(known: Known, rows: Tensor) -> Tensor:
    """The covariances for one chunk of rows."""
    number = rows.shape[1]
    itself: dict[int, _Apply] = dict.fromkeys(range(number), _identity)
    means = {n: _means(known, n, rows, itself, 0.0) for n in known.leaves}
    spreads = {n: _spreads(known, n, rows, itself) for n in known.leaves}
    places = {n: _places(known, n) for n in known.leaves}
    apart = {n: _apart(means[n], places[n], number) for n in known.leaves}
    logs, centre = Ascent(known, rows, apart, "sum").run()
    centred = {n: means[n] - centre.detach()[places[n]] for n in known.leaves}
    apart = {n: _apart(centred[n], places[n], number) for n in known.leaves}
    columns: list[Tensor] = []
    for variable in range(number):
        values: dict[int, Tensor] = {}
        for n in known.leaves:
            mine = (places[n] == variable).unsqueeze(1)
            own = _apart(torch.where(mine, spreads[n], 0.0), places[n], number)
            first = torch.where(mine, centred[n], 0.0).unsqueeze(1)
            values[n] = torch.cat([first, apart[n], own], dim=1)
        _, found = Ascent(known, rows, values, "covariance").run()
        columns.append(_possible(logs, found[1 + number :]))
    return torch.stack(columns).permute(2, 0, 1)


def _apart(values: Tensor, places: Tensor, number: int) -> Tensor:
    """Values of units, (units, batch), each in the channel of its variable."""
    channels = torch.arange(number, device=places.device)
    own = (places.unsqueeze(1) == channels).to(values).unsqueeze(2)
    return values.unsqueeze(1) * own


def _places(known: Known, number: int) -> Tensor:
    """The variable of each unit of an input layer."""
    variables = torch.tensor(known.variables(number), device=known.model.device)
    return variables.repeat_interleave(known.model.plan.layers[number].units)


def _possible(logs: Tensor, values: Tensor) -> Tensor:
    return values.masked_fill(logs == -torch.inf, torch.nan)


def _identity(values: Tensor) -> Tensor:
    return values


def _means(
    known: Known, number: int, rows: Tensor, functions: Mapping[int, _Apply], absent: float
) -> Tensor:
    """Mean of the function at each unit of an input layer, shape (rows * units, batch)."""
    units = known.model.plan.layers[number].units
    points = known.leaves[number].points()
    variables = known.variables(number)
    means = [torch.full((units,), absent, dtype=torch.float64, device=rows.device)] * len(variables)
    there = torch.full((len(variables), len(rows)), absent, dtype=torch.float64).to(rows.device)
    for place, variable in enumerate(variables):
        if variable in functions:
            here = slice(place * units, (place + 1) * units)
            mine = points.pick(here)
            means[place] = mine.mean(functions[variable](mine.points))
            column = rows[:, variable].double().nan_to_num(0.0)
            there[place] = functions[variable](column).detach()
    missing = rows.t()[torch.tensor(variables, device=rows.device)].isnan()
    table = torch.stack(means).unsqueeze(2)
    return torch.where(missing.unsqueeze(1), table, there.unsqueeze(1)).flatten(0, 1)


def _spreads(known: Known, number: int, rows: Tensor, functions: Mapping[int, _Apply]) -> Tensor:
    """Variance of the function at each unit, shape (rows * units, batch); 0 where known."""
    units = known.model.plan.layers[number].units
    points = known.leaves[number].points()
    variables = known.variables(number)
    found = [torch.zeros(units, dtype=torch.float64, device=rows.device)] * len(variables)
    for place, variable in enumerate(variables):
        if variable in functions:
            here = slice(place * units, (place + 1) * units)
            mine = points.pick(here)
            values = functions[variable](mine.points)
            centred = values - mine.mean(values).unsqueeze(1)
            found[place] = mine.mean(centred.square())
    missing = rows.t()[torch.tensor(variables, device=rows.device)].isnan()
    return torch.where(missing.unsqueeze(1), torch.stack(found).unsqueeze(2), 0.0).flatten(0, 1)


def _functions(model: Queries, functions: Functions) -> dict[int, _Apply]:
    """Variable to function, checked."""
    if not is_of(functions, Mapping):
        raise OptionError.of(
            "PC426",
            f"the functions are {shown(functions)}, not a dict",
            help="give a dict from variables, by name or column, to functions",
        )
    found: dict[int, _Apply] = {}
    for name, function in functions.items():
        column = model.column(name)
        found[column] = (
            _applied(model, column, function)
            if callable(function)
            else _of_numbers(model, column, function)
        )
    return found


def _applied(model: Queries, column: int, function: _Apply) -> _Apply:
    """A callable whose results are checked."""

    def apply(values: Tensor) -> Tensor:
        found = function(values)
        if is_of(found, Tensor) and found.shape == values.shape:
            return found
        raise OptionError.of(
            "PC426",
            f"the function of {model.names[column]!r} returns {shown(found)} for a tensor of shape "
            f"{tuple(values.shape)}",
            help="return a tensor of the same shape",
        )

    return apply


def _of_numbers(model: Queries, column: int, numbers: Tensor | ArrayLike) -> _Apply:
    """A table, or a polynomial by Horner's rule."""
    variable = model.circuit.variables[column]
    table = as_tensor(numbers).to(model.device, torch.float64)
    if (
        table.ndim != 1
        or not len(table)
        or (variable.discrete and len(table) < variable.cardinality)
    ):
        raise OptionError.of(
            "PC426",
            f"the function of {variable.name!r} is a table of shape {tuple(table.shape)}",
            help=f"give one number for each of its {variable.cardinality} states"
            if variable.discrete
            else "give the coefficients of a polynomial, or a callable",
        )
    if variable.discrete:
        padding = torch.zeros(1, dtype=table.dtype, device=table.device)
        wide = torch.cat([table, padding])  # for states that only other variables of a layer have
        return lambda values: wide[values.long().clamp(0, len(table))]

    def polynomial(values: Tensor) -> Tensor:
        out = torch.zeros_like(values)
        for coefficient in table.flip(0):
            out = out * values + coefficient
        return out

    return polynomial
