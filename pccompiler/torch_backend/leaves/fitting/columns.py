"""Statistics of the data's columns for initialisation and EM: centres, spreads, frequencies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Variable
from pccompiler.ir.arrays import Int
from pccompiler.ir.families.builtin.histogram import bin_of

Float = NDArray[np.float64]
LEAST_SPREAD = 1e-3
"""A leaf's smallest deviation or scale, relative to its column's."""
LEAST_RATE = 1e-8
LEAST_CHANCE = 1e-12


class Columns:
    """Observed values of pools of variables; each leaf weight is over one pool.

    Most weights are over one variable, and pool ``v`` is variable ``v``. A weight that leaves of
    several variables share gets an additional pool.
    """

    def __init__(self, x: Float, variables: tuple[Variable, ...]) -> None:
        self.x, self.variables = x, variables
        self.pools: list[tuple[int, ...]] = [(v,) for v in range(len(variables))]
        self._number: dict[tuple[int, ...], int] = {pool: n for n, pool in enumerate(self.pools)}
        self._observed: dict[int, Float] = {}

    def pool(self, members: tuple[int, ...]) -> int:
        """The number of the pool with these variables, ascending."""
        if members not in self._number:
            self._number[members] = len(self.pools)
            self.pools.append(members)
        return self._number[members]

    def observed(self, pool: int) -> Float:
        """The observed values of a pool, ascending."""
        if pool not in self._observed:
            values = self.x[:, list(self.pools[pool])].ravel()
            self._observed[pool] = np.sort(values[~np.isnan(values)])
        return self._observed[pool]

    def spread(self, pool: int) -> tuple[float, float]:
        """Mean and standard deviation; the deviation of a constant column is that of `least`."""
        values = self.observed(pool)
        if len(values) == 0:
            return 0.0, 1.0
        return float(values.mean()), max(float(values.std()), self.least(pool))

    @property
    def summary(self) -> tuple[Callable[[int], float], ...]:
        """Mean, deviation, and three typical values of a pool: at a sixth, a half, five sixths."""
        return (
            lambda pool: self.spread(pool)[0],
            lambda pool: self.spread(pool)[1],
            *(partial(self._typical, part) for part in (1 / 6, 1 / 2, 5 / 6)),
        )

    def examples(self, pools: Int) -> list[Variable]:
        """The first variable of each pool."""
        return [self.variables[self.pools[pool][0]] for pool in pools.tolist()]

    def _typical(self, part: float, pool: int) -> float:
        values = self.observed(pool)
        return float(values[int(part * len(values))]) if len(values) else 0.0

    def distance(self, pool: int) -> tuple[float, float]:
        """Median, and mean absolute distance from it."""
        values = self.observed(pool)
        if len(values) == 0:
            return 0.0, 1.0
        median = float(np.median(values))
        return median, max(float(np.abs(values - median).mean()), self.least(pool))

    def least(self, pool: int) -> float:
        """The smallest deviation or scale: 0.001 of the deviation, or of the value if constant."""
        values = self.observed(pool)
        if len(values) == 0:
            return LEAST_SPREAD
        deviation = float(values.std())
        size = max(1.0, abs(float(values[0])))
        return LEAST_SPREAD * (deviation if deviation > 1e-9 * size else size)

    def rate(self, pool: int) -> float:
        """Mean count, with half an event in one additional row, hence positive."""
        values = self.observed(pool)
        return float((values.sum() + 0.5) / (len(values) + 1.0))

    def chance(self, pool: int) -> float:
        """Success rate, with half a success in one additional trial."""
        successes, trials = 0.5, 1.0
        for variable in self.pools[pool]:
            values = self.observed(variable)
            successes += values.sum()
            trials += len(values) * (self.variables[variable].cardinality - 1.0)
        return float(successes / trials)

    def frequencies(self, pool: int, states: int) -> Float:
        """Relative frequencies of states or bins, with one additional row spread over them."""
        totals = np.zeros(states)
        prior = np.zeros(states)
        for variable in self.pools[pool]:
            seen = self.states(variable, self.observed(variable))
            totals += np.bincount(seen[seen >= 0], minlength=states)[:states]
            prior += self._even(variable, states)
        prior /= len(self.pools[pool])
        result: Float = (totals + prior) / (totals.sum() + 1.0)
        return result

    def states(self, variable: int, values: Float) -> Int:
        """Values as states, or as bins of a variable with edges; -1 outside them."""
        edges = self.variables[variable].edges
        known = np.where(np.isnan(values), 0.0, values)
        return bin_of(known, np.array(edges)) if edges else known.astype(np.int64)

    def _even(self, variable: int, states: int) -> Float:
        """The uniform distribution; over bins, that of uniform density."""
        edges = self.variables[variable].edges
        widths = np.diff(edges) if edges else np.ones(states)
        result: Float = widths / widths.sum()
        return result
