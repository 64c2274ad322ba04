"""First estimates and M-steps for families that do not define their own: a few Newton steps.

They increase the expected complete log-likelihood, over values as in `Cells`: exactly, if a column
has at most 4,096 distinct ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pccompiler.errors import CircuitError
from pccompiler.ir import Variable
from pccompiler.torch_backend.leaves.fitting.cells import CellStatistics, SomeWeights
from pccompiler.torch_backend.leaves.fitting.columns import Float
from pccompiler.torch_backend.leaves.fitting.newton import climb
from pccompiler.torch_backend.leaves.fitting.start import Start
from pccompiler.torch_backend.leaves.fitting.statistics import Setting

_STEPS = 5  # of an M-step
_STARTING_STEPS = 30
_AT_ONCE = 2**21  # densities computed at once
_VALUES = 512  # of a column, for a first estimate


class Leaf(Protocol):
    """The methods of `TorchLeaf` that are needed here."""

    has_constants: bool

    def lacks(self, method: str) -> CircuitError:
        """The error for a missing method."""
        ...

    def constants(
        self, variables: Sequence[Variable], device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        """What the density depends on besides the value."""
        ...

    def log_likelihood(
        self, x: Tensor, raw: Tensor, floor: float, constants: tuple[Tensor, ...]
    ) -> Tensor:
        """Log-densities from unconstrained numbers."""
        ...

    def values(self, raw: Tensor, floor: float) -> Tensor:
        """Parameters from unconstrained numbers."""
        ...

    def unconstrain(self, values: Tensor, floor: float) -> Tensor:
        """The inverse of `values`."""
        ...

    def guesses(self, centre: Tensor, spread: Tensor, columns: int) -> Tensor:
        """First parameters to choose from."""
        ...

    def reach(self, like: Tensor) -> Tensor:
        """How far unconstrained numbers may move from the guess."""
        ...


class GenericStatistics(CellStatistics):
    """Any family."""

    def __init__(self, leaf: Leaf, setting: Setting) -> None:
        super().__init__(setting)
        self.leaf, columns = leaf, setting.columns
        facts = torch.cat([setting.fact(of) for of in columns.summary], dim=1)
        self.guess = guessed(leaf, columns.examples(setting.pools), facts, setting.group.columns)

    def solve(self, some: SomeWeights, pseudocount: float) -> tuple[Tensor, Tensor]:
        """A few steps from the old parameters, which are kept if no step improves."""
        if some.constants is None and self.leaf.has_constants:
            raise self.leaf.lacks("statistics")
        mass = some.mass_with_prior(pseudocount)
        size = max(1, _AT_ONCE // max(1, mass[0].numel()))
        constants = some.constants or ()
        parts = [
            climbed(
                self.leaf,
                some.old[part],
                self.guess[some.place[part]],
                some.points[part],
                mass[part],
                tuple(c[part] for c in constants),
                self.setting.plan.floor,
                _STEPS,
            )
            for part in (slice(i, i + size) for i in range(0, len(mass), size))
        ]
        return torch.cat(parts), some.mass.sum(2)


def guessed(leaf: Leaf, variables: Sequence[Variable], facts: Tensor, columns: int) -> Tensor:
    """The first parameters under which the data are likeliest, shape (weights, columns).

    Only typical values count, and of these only the ones that are possible under some guess.

    Args:
        leaf: The family.
        variables: A variable of each weight.
        facts: Shape (weights, 5), as in `Columns.summary`.
        columns: Number of parameters of a unit.
    """
    centre, spread, values = facts[:, :1], facts[:, 1:2], facts[:, 2:].unsqueeze(1)
    guesses = leaf.guesses(centre, spread, columns)
    constants = leaf.constants(variables, facts.device, facts.dtype)
    logs = leaf.log_likelihood(values, leaf.unconstrain(guesses, 0.0), 0.0, constants)
    logs = logs.masked_fill(~logs.isfinite(), -torch.inf)
    never = logs.isneginf().all(1, keepdim=True)
    best = logs.masked_fill(never, 0.0).sum(2).argmax(1)
    return guesses[torch.arange(len(best), device=best.device), best]


def climbed(
    leaf: Leaf,
    old: Tensor,
    guess: Tensor,
    points: Tensor,
    mass: Tensor,
    constants: tuple[Tensor, ...],
    floor: float,
    steps: int,
) -> Tensor:
    """Parameters under which weighted values are at least as likely as under the old ones.

    Args:
        leaf: The family.
        old: Shape (weights, units, columns).
        guess: Positive parameters stay close to this, shape (weights, columns).
        points: Values, shape (weights, cells).
        mass: Shape (weights, units, cells).
        constants: Constants of the weights.
        floor: Floor of probabilities.
        steps: The most steps.
    """
    raw = leaf.unconstrain(old, floor)
    middle, reach = leaf.unconstrain(guess, floor).unsqueeze(1), leaf.reach(old)
    low, high = torch.minimum(middle - reach, raw), torch.maximum(middle + reach, raw)
    share = mass / mass.sum(2, keepdim=True).clamp_min(1e-300)
    values = points.unsqueeze(1)

    def likelihood(place: Tensor) -> Tensor:
        kept = torch.minimum(torch.maximum(place, low), high)
        logs = leaf.log_likelihood(values, kept, floor, constants)
        return (share * logs.masked_fill(share <= 0.0, 0.0)).sum(2)

    found = climb(raw, likelihood, steps)
    stayed = (found == raw).all(-1, keepdim=True)
    kept = leaf.values(torch.minimum(torch.maximum(found, low), high), floor)
    return torch.where(stayed, old, kept)


def started(leaf: Leaf, start: Start, size: int) -> Float:
    """First estimates, shape (weights, units, columns).

    Each unit is fitted to its column, with as much mass again on the quarter of values nearest to
    the unit's own, with noise. Columns with at most one distinct value give the first guess.
    """
    found: list[Tensor] = []
    cpu = torch.device("cpu")
    facts = np.concatenate([start.fact(of) for of in start.columns.summary], axis=1)
    examples = start.columns.examples(start.pools)
    guesses = guessed(leaf, examples, torch.from_numpy(facts), size)
    for weight, pool in enumerate(start.pools.tolist()):
        own = start.values[weight]
        points = _sample(start.columns.observed(pool))
        guess = guesses[weight : weight + 1]
        old = guess.unsqueeze(1).expand(-1, len(own), -1).contiguous()
        if len(np.unique(points)) > 1:
            mass = _near(points, own, float(start.apart[weight, 0]), start.rng)
            variable = start.columns.variables[int(start.variables[weight, 0])]
            constants = leaf.constants([variable], cpu, torch.float64)
            values = torch.from_numpy(points)[None]
            old = climbed(leaf, old, guess, values, mass[None], constants, 0.0, _STARTING_STEPS)
        found.append(old)
    return torch.cat(found).numpy()


def _sample(values: Float) -> Float:
    """An evenly spaced sample of many ascending values."""
    if len(values) <= _VALUES:
        return values
    return values[np.linspace(0, len(values) - 1, _VALUES).astype(np.int64)]


def _near(points: Float, own: Float, apart: float, rng: np.random.Generator) -> Tensor:
    """Mass of each point for each unit, shape (units, points).

    Noise tells units with the same value apart, which counts often have.
    """
    away = np.abs(points - np.where(np.isnan(own), 0.0, own)[:, None])
    reach = np.quantile(away, 0.25, axis=1, keepdims=True)
    near = (away <= reach) & ~np.isnan(own)[:, None]
    noisy = near * rng.uniform(0.5, 1.5, near.shape)
    share = noisy / np.maximum(noisy.sum(1, keepdims=True), 1e-300)
    return torch.from_numpy(1.0 / len(points) + apart * share)
