"""The engine's inputs: states one-hot for tables, log-densities for the other families.

`pccompiler.ir.families.registry` is the definition. A missing value gives 1 in a table, 0 as a
log-density.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir import Family, Variable
from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.leaves.lookup import LEAST_STATES, codes_of
from pccompiler.torch_backend.values import has_table, safe_log

LEAST_LOG_DENSITY = -1e30  # finite in float32: the forms rely on densities above zero
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class LeafLayer:
    """An input layer with what its density needs, on one device.

    Attributes:
        number: The layer's.
        family: Its leaf family.
        states: Columns of the table; 0 for families of log-densities.
        index: Shape ``(rows,)``, the variable of each row; ``None``: all variables, in order.
        constants: Trials of binomial leaves, shape (rows, 1, 1); lower edges, upper edges, each of
            shape (rows, bins, 1), and widths, (rows, 1, bins), of histograms.
        looked_up: Whether the layer has a table of so many states that lookups pay.
    """

    number: int
    family: Family
    states: int
    index: Tensor | None
    constants: tuple[Tensor, ...]
    looked_up: bool

    @property
    def is_real(self) -> bool:
        """Whether the density has derivatives by the data."""
        return self.family in _REAL

    def column(self, columns: Tensor) -> Tensor:
        """The rows' variables of the data, shape (rows, 1, batch), from (variables, batch)."""
        chosen = columns if self.index is None else columns.index_select(0, self.index)
        return chosen.unsqueeze(1) if self.is_real else chosen.unsqueeze(1).detach()

    def one_hot(self, column: Tensor) -> Tensor:
        """States one-hot, shape (rows, states, batch), all ones where missing."""
        if self.states == 2:
            pair = torch.cat([1.0 - column, column], dim=1)
            return pair.masked_fill_(column.isnan(), 1.0)
        values = torch.arange(self.states, dtype=column.dtype, device=column.device)
        return ((column == values.view(1, -1, 1)) | column.isnan()).to(column.dtype)

    def table_input(self, column: Tensor, lookup: bool = True) -> Tensor:
        """States in codes (`codes_of`) where ``lookup`` allows and lookups pay; else one-hot."""
        if lookup and self.looked_up:
            return codes_of(column, self.states)
        return self.one_hot(column)

    def bins(self, column: Tensor) -> Tensor:
        """Of a histogram: bins one-hot, shape (rows, bins, batch), zeros outside and if missing."""
        lower, upper, _ = self.constants
        return ((column >= lower) & (column < upper)).to(column.dtype)

    def log_density(self, column: Tensor, parameters: Tensor, exact: bool) -> Tensor:
        """Log-densities, shape (rows, units, batch); 0 where missing.

        Args:
            column: Shape (rows, 1, batch), NaN where missing.
            parameters: As `pccompiler.torch_backend.weights.weights.constrain` gives them.
            exact: Whether probabilities may be exactly 0, with a logarithm of -inf.
        """
        missing = column.isnan()
        known = column.masked_fill(missing, 0.0)
        out = _DENSITIES[self.family](self, known, parameters)
        if self.family in _EXACT and exact:
            out = out.masked_fill(out < 0.1 * LEAST_LOG_DENSITY, -torch.inf)
        elif self.family != Family.HISTOGRAM:  # which is zero outside its edges
            out = out.clamp_min(LEAST_LOG_DENSITY)
        return out.to(column.dtype).masked_fill(missing, 0.0)


_EXACT = (Family.BINOMIAL, Family.POISSON)
"""Families of log-densities whose parameters may make a state impossible."""
_REAL = (Family.GAUSSIAN, Family.LAPLACE, Family.HISTOGRAM)


class LeafInputs:
    """The input layers of a plan, in order, on one device and in one precision."""

    def __init__(self, plan: Plan, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.exact = plan.floor == 0.0
        self.layers = [
            _leaf_layer(plan, number, device, dtype)
            for number, layer in enumerate(plan.layers)
            if layer.kind == Kind.INPUT
        ]

    def __call__(
        self, x: Tensor, parameters: Mapping[int, Tensor], *, lookup: bool = False
    ) -> list[Tensor]:
        """The engine's inputs.

        Args:
            x: Shape ``(batch, variables)``, NaN where missing.
            parameters: Layer number to leaf parameters, of families that are no tables.
            lookup: Whether states of large tables may be codes (`lookup.codes_of`).
        """
        columns = x.t().contiguous()
        inputs: list[Tensor] = []
        for layer in self.layers:
            column = layer.column(columns)
            if layer.number in parameters:
                inputs.append(layer.log_density(column, parameters[layer.number], self.exact))
            else:
                inputs.append(layer.table_input(column, lookup))
        return inputs

    def densities(self, x: Tensor, parameters: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Log-densities of the leaves that have no tables, by layer; arguments as of a call."""
        if not parameters:
            return {}
        columns = x.t().contiguous()
        return {
            layer.number: layer.log_density(
                layer.column(columns), parameters[layer.number], self.exact
            )
            for layer in self.layers
            if layer.number in parameters
        }


def _leaf_layer(plan: Plan, number: int, device: torch.device, dtype: torch.dtype) -> LeafLayer:
    layer = plan.layers[number]
    if layer.variables is None or layer.family is None:
        raise AssertionError("an input layer has a family and variables")  # pragma: no cover
    all_in_order = np.array_equal(layer.variables, np.arange(len(plan.variables)))
    index = None if all_in_order else torch.from_numpy(layer.variables.copy()).to(device)
    variables = [plan.variables[v] for v in layer.variables.tolist()]
    states = variables[0].cardinality if layer.tabular else 0
    constants = _constants(layer.family, variables, device, dtype)
    looked_up = has_table(layer) and states >= LEAST_STATES
    return LeafLayer(number, layer.family, states, index, constants, looked_up)


def _constants(
    family: Family, variables: Sequence[Variable], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    if family == Family.BINOMIAL:
        trials = torch.tensor(
            [v.cardinality - 1.0 for v in variables], dtype=torch.float64, device="cpu"
        )
        return (trials.view(-1, 1, 1).to(device),)
    if family != Family.HISTOGRAM:
        return ()
    edges = torch.tensor([v.edges for v in variables], dtype=torch.float64, device="cpu")
    widths = edges.diff(dim=1).unsqueeze(1).to(device, dtype)
    rounded = edges.to(dtype)  # as the data are, so that a value on an edge stays on it
    lower, upper = rounded[:, :-1], rounded[:, 1:].clone()
    upper[:, -1] = torch.nextafter(upper[:, -1], torch.tensor(torch.inf, dtype=dtype, device="cpu"))
    return (lower.unsqueeze(2).to(device), upper.unsqueeze(2).to(device), widths)


def _gaussian(_layer: LeafLayer, x: Tensor, parameters: Tensor) -> Tensor:
    mean, deviation = parameters[..., :1], parameters[..., 1:]
    scaled = (x - mean) / deviation
    return -0.5 * scaled.square() - deviation.log() - _LOG_SQRT_2PI


def _laplace(_layer: LeafLayer, x: Tensor, parameters: Tensor) -> Tensor:
    location, scale = parameters[..., :1], parameters[..., 1:]
    return -(x - location).abs() / scale - (2.0 * scale).log()


def _poisson(_layer: LeafLayer, x: Tensor, parameters: Tensor) -> Tensor:
    """In float64: three large terms cancel where the count is large."""
    counts, log_rate = x.double(), parameters.double()
    bounded = log_rate.clamp_min(LEAST_LOG_DENSITY)  # 0 times it is 0
    return counts * bounded - log_rate.exp() - torch.lgamma(counts + 1.0)


def _binomial(layer: LeafLayer, x: Tensor, parameters: Tensor) -> Tensor:
    """In float64, as `_poisson`."""
    counts, trials = x.double(), layer.constants[0]
    features = torch.cat([trials - counts, counts], dim=1)
    ways = (trials + 1.0).lgamma() - (features + 1.0).lgamma().sum(1, keepdim=True)
    table = parameters.double().clamp_min(LEAST_LOG_DENSITY)
    return torch.bmm(table, features) + ways


def _histogram(layer: LeafLayer, x: Tensor, parameters: Tensor) -> Tensor:
    bins = layer.bins(x)
    widths = layer.constants[2].to(bins.dtype)
    return safe_log(torch.bmm(parameters, bins)) - torch.bmm(widths.log(), bins)


_DENSITIES: dict[Family, Callable[[LeafLayer, Tensor, Tensor], Tensor]] = {
    Family.GAUSSIAN: _gaussian,
    Family.BINOMIAL: _binomial,
    Family.POISSON: _poisson,
    Family.LAPLACE: _laplace,
    Family.HISTOGRAM: _histogram,
}
