"""Histograms: densities that are constant between edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import Bool, Columns, Family, Variables
from pccompiler.ir.families.supports import Parameter, simplex
from pccompiler.ir.variables import Variable


class Histogram(Family):
    """A real variable with edges; the parameters are the probabilities of the bins."""

    keyword = "histogram"
    domains = ("real",)
    parameters = (Parameter("probabilities", simplex, lambda v: max(len(v.edges) - 1, 0)),)
    in_float64 = True

    def misfit(self, variable: Variable) -> str | None:
        """Real variables with edges."""
        fits = variable.domain == "real" and len(variable.edges) > 1
        return None if fits else "give histogram inputs a real variable with edges"

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """The density of the bin; ``-inf`` outside."""
        edges = np.array([v.edges for v in variables])
        bins = np.stack([bin_of(row[0], e) for row, e in zip(x, edges, strict=True)])[:, None]
        widths = np.diff(edges)[:, None]
        inside = np.take_along_axis(parameters[0] / widths, np.maximum(bins, 0), axis=2)
        return np.log(np.where(bins < 0, 0.0, inside))

    def log_tails(self, x: Float, parameters: Columns, variables: Variables) -> tuple[Float, Float]:
        """The mass of the bins below, and of a part of the value's own bin; the rest likewise."""
        edges = np.array([v.edges for v in variables])[:, :, None]
        lower, upper = edges[:, :-1], edges[:, 1:]
        part = np.clip((x - lower) / (upper - lower), 0.0, 1.0)
        rest = np.clip((upper - x) / (upper - lower), 0.0, 1.0)
        return np.log(parameters[0] @ part), np.log(parameters[0] @ rest)

    def positive(self, table: Float, variable: Variable) -> Bool:
        """Bins with positive probability; 0 outside."""
        return np.concatenate([table > 0.0, np.zeros((len(table), 1), np.bool_)], axis=1)

    def times(self, x: Float, y: Float, variable: Variable) -> tuple[Float, Float]:
        """The normalized product, bin by bin."""
        rows = (x[:, None] * y[None]).reshape(-1, x.shape[1]) / np.diff(np.array(variable.edges))
        return normalized(rows)


def normalized(rows: Float) -> tuple[Float, Float]:
    """Rows divided by their sums, and the logarithms of these; rows of zeros become uniform."""
    total = rows.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = np.where(total > 0.0, rows / total, 1.0 / rows.shape[1])
        return table, np.log(total[:, 0])


def bin_of(values: Float, edges: Float) -> NDArray[np.int64]:
    """The bin of each value, -1 outside; the last bin includes its upper edge."""
    bins = np.searchsorted(edges, values, side="right") - 1
    bins = np.where(values == edges[-1], len(edges) - 2, bins)
    return np.where((values < edges[0]) | (values > edges[-1]), -1, bins)
