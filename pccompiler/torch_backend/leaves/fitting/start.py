"""Starting points of units: between the fit of their column and a random row."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.torch_backend.leaves.fitting.columns import Columns, Float


class Start(NamedTuple):
    """What the first estimate of a group of leaves is based on.

    Attributes:
        columns: The data's columns.
        pools: Shape ``(weights,)``, the pool of data for each weight.
        values: Shape ``(weights, units)``, a value from the pool for each unit, NaN without data.
        variables: Shape ``(weights, units)``, the variable that the value comes from.
        apart: Shape ``(weights, 1)``: 1, or 0 if a unit is the only one over its pool.
        rng: Random numbers for noise.
    """

    columns: Columns
    pools: Int
    values: Float
    variables: Int
    apart: Float
    rng: np.random.Generator

    def fact(self, of: Callable[[int], float]) -> Float:
        """``of`` applied to each weight's pool (once a pool), shape ``(weights, 1)``."""
        distinct, inverse = np.unique(self.pools, return_inverse=True)
        return np.array([of(pool) for pool in distinct.tolist()])[inverse.ravel()][:, None]

    def between(self, centre: Float, values: Float, part: float) -> Float:
        """From the centre, shape ``(weights, 1)``, ``part`` of the way to each unit's value."""
        way: Float = np.where(np.isnan(values), 0.0, values - centre)
        return np.asarray(centre + part * self.apart * way)

    def places_and_scales(self, measure: Callable[[int], tuple[float, float]]) -> Float:
        """Locations at the units' values, and scales of at least half the column's.

        Args:
            measure: Returns the centre and scale of a pool.

        Returns:
            Shape ``(weights, units, 2)``.
        """
        centre = self.fact(lambda pool: measure(pool)[0])
        spread = self.fact(lambda pool: measure(pool)[1])
        middle = self.between(centre, self.values, 1.0)
        narrowed = spread * (1.0 - self.apart * self.rng.uniform(0.0, 0.5, middle.shape))
        return np.stack([middle, np.maximum(narrowed, self.fact(self.columns.least))], axis=2)

    def shares(self, states: int) -> Float:
        """Probabilities of states or bins, shape ``(weights, units, states)``.

        A mixture of the column's frequencies, the unit's own state, and noise.
        """
        distinct, inverse = np.unique(self.pools, return_inverse=True)
        known = np.stack([self.columns.frequencies(pool, states) for pool in distinct.tolist()])
        shares = np.broadcast_to(known[inverse.ravel()][:, None], (*self.values.shape, states))
        own = shares.copy()
        for variable in np.unique(self.variables).tolist():
            units = np.argwhere((self.variables == variable) & ~np.isnan(self.values))
            seen = self.columns.states(variable, self.values[units[:, 0], units[:, 1]])
            inside = units[seen >= 0]
            own[inside[:, 0], inside[:, 1]] = np.eye(states)[seen[seen >= 0]]
        noise = self.rng.dirichlet(np.ones(states), self.values.shape)
        apart = self.apart[:, :, None]
        result: Float = (1.0 - 0.5 * apart) * shares + apart * (0.3 * own + 0.2 * noise)
        return result
