"""Leaves of other packages' objects, and their variables.

In pccompiler a variable has one domain: all its leaves share its states or its edges. In other
packages each leaf has its own; `variable` finds a common domain, and `fit` converts a leaf to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pccompiler.errors import ImportFormatError
from pccompiler.ir import Family, Variable, binary, categorical, count, real
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.builtin.histogram import bin_of

_ROUNDING = 1e-5
"""Tolerance of sums of float32 probabilities that count as 1."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """A vector of distributions over one variable, each multiplied by a constant.

    Attributes:
        family: Not `Family.INDICATOR`.
        variable: The number of the variable in the other package, from 0.
        table: The family's parameters, shape (units, columns). Rows of categorical leaves and
            histograms may have any positive sum, which is part of the constant.
        log_scale: Shape (units,), the logarithm of each unit's constant, in nats; by default 0.
        edges: Ascending edges of a histogram, one more than columns.
        trials: Number of trials of a binomial leaf.
    """

    family: Family
    variable: int
    table: Float
    log_scale: Float | None = None
    edges: tuple[float, ...] = ()
    trials: int = 0

    @property
    def states(self) -> int:
        """Number of states of the leaf, at least 2."""
        if self.family == Family.BERNOULLI:
            return 2
        known = self.trials + 1 if self.family == Family.BINOMIAL else self.table.shape[1]
        return max(known, 2)

    def rows(self, units: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Leaf:
        """The leaf with only these units, in this order."""
        scale = None if self.log_scale is None else self.log_scale[units]
        return Leaf(self.family, self.variable, self.table[units], scale, self.edges, self.trials)


def variable(name: str, leaves: Sequence[Leaf]) -> Variable:
    """A variable that fits all ``leaves``.

    Raises:
        ImportFormatError: If there is none, because their domains differ.
    """
    domains = {leaf.family.domains for leaf in leaves}
    if len(domains) > 1:
        families = ", ".join(sorted({leaf.family.keyword for leaf in leaves}))
        raise ImportFormatError.of(
            "PC744",
            f"variable {name} has leaves of families without a common domain: {families}",
            help="make all leaves of a variable discrete, or real, or counts",
        )
    if domains == {("count",)}:
        return count(name)
    if domains == {("real",)}:
        edges = {edge for leaf in leaves for edge in leaf.edges}
        return real(name, sorted(edges))
    states = max(leaf.states for leaf in leaves)
    return binary(name) if states == 2 else categorical(name, states)


def fit(leaf: Leaf, over: Variable) -> tuple[Family, Float, Float]:
    """Convert the leaf to an input over a variable: family, table, log-constants of its units."""
    family, table = leaf.family, leaf.table
    if family == Family.HISTOGRAM:
        table = _refined(leaf, over)
    elif family == Family.BINOMIAL and leaf.trials + 1 != over.cardinality:
        family, table = Family.CATEGORICAL, _padded(_binomial(leaf), over.cardinality)
    elif family == Family.BERNOULLI and over.cardinality > 2:
        both = np.concatenate([1.0 - table, table], axis=1)
        family, table = Family.CATEGORICAL, _padded(both, over.cardinality)
    elif family == Family.CATEGORICAL:
        table = _padded(table, over.cardinality)
    scale = np.zeros(len(table)) if leaf.log_scale is None else leaf.log_scale
    if not family.simplex:
        return family, table, scale
    totals = table.sum(axis=1)
    exact = np.abs(totals - 1.0) <= 1e-12  # these stay exact
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = np.where(totals[:, None] > 0.0, table / totals[:, None], 1.0 / table.shape[1])
        scale = scale + np.where(exact, 0.0, np.log(totals))
    return family, np.where(exact[:, None], table, rows), scale


def rounded(table: Float) -> Float:
    """Divide rows by their sum if only float32 rounding keeps it from 1."""
    totals = table.sum(axis=-1, keepdims=True)
    return np.where(np.abs(totals - 1.0) <= _ROUNDING, table / np.maximum(totals, 0.5), table)


def _padded(table: Float, states: int) -> Float:
    """Append states with probability 0."""
    return np.pad(table, ((0, 0), (0, states - table.shape[1])))


def _binomial(leaf: Leaf) -> Float:
    """Probabilities of 0 ... trials successes, shape (units, trials + 1)."""
    of = Variable("successes", "categorical", leaf.trials + 1)  # possibly a single state
    return leaf.family.probabilities(leaf.table, of)


def _refined(leaf: Leaf, over: Variable) -> Float:
    """Masses of the variable's bins, each inside one of the leaf's bins or outside all."""
    own, edges = np.array(leaf.edges), np.array(over.edges)
    source = bin_of((edges[:-1] + edges[1:]) / 2.0, own)
    density = leaf.table / np.diff(own)
    return np.where(source >= 0, density[:, np.maximum(source, 0)] * np.diff(edges), 0.0)
