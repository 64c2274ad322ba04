"""Initialisation from data: each leaf unit a perturbed maximum-likelihood fit of its column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pccompiler.ir import Family
from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.options import seed_of
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.assign import assign
from pccompiler.torch_backend.training.checkpointing.keeper import Keeper
from pccompiler.torch_backend.training.column_statistics import LEAST_RATE, Columns, Float
from pccompiler.torch_backend.training.course import TrainingData
from pccompiler.torch_backend.training.history import History, trained_parameters, training_rows
from pccompiler.torch_backend.training.leaf_pools import leaf_owners, leaf_pools
from pccompiler.torch_backend.training.loop import refuse_unsound
from pccompiler.torch_backend.training.mapped_rows import MappedRows
from pccompiler.torch_backend.weights.untouched import drawn

_UNBOUNDED = tuple(f.keyword for f in (Family.GAUSSIAN, Family.LAPLACE, Family.POISSON))
_SAMPLE = 10_000  # rows of a mapped file


def initialise(model: CompiledCircuit, data: Tensor | ArrayLike, *, seed: int = 0) -> None:
    """Set the leaf parameters of ``model`` from ``data``.

    Unit j of all leaves starts at one random row, so that units of a product belong together; leaf
    after leaf of one variable takes other rows. Means and locations are that row's values,
    deviations half the column's or more, rates and chances lie between the row and the column's
    mean, and probabilities of states and bins are a blend of frequencies, the row's state and
    noise. A single unit over a variable gets the fit itself. Sums over indicators of one variable
    are categorical leaves in this; other sums stay as they are, and so does what a hypernetwork
    generates. Columns of one value, or wholly missing, give finite parameters that can be trained.

    Args:
        model: Changed in place; values that the circuit gave its leaves are replaced.
        data: Shape ``(rows, variables)``, NaN where missing.
        seed: Of the rows and the noise.

    Raises:
        DataError: If the data do not fit the circuit.
    """
    seed = seed_of(seed)
    _set_leaves(model, training_rows(model, data, "train"), seed, None)


def begin(model: CompiledCircuit, rows: TrainingData, seed: int, keeper: Keeper | None) -> History:
    """Initialise leaves that still have random numbers, where these would make no start.

    That is where there are Gaussian, Laplace or Poisson leaves among them: random parameters lie
    around 0, and data need not. Frozen parameters stay as they are. A training that goes on from a
    checkpoint has begun already.

    Returns:
        A history that tells whether it was done.
    """
    refuse_unsound(model)
    if (keeper is not None and keeper.found) or not _has_unbounded_leaves(model):
        return History()
    trained = trained_parameters(model)
    fresh = {
        number: mask
        for number, mask in drawn(model.weights).items()
        if parameter_name(model.plan, number) in trained
    }
    unbounded = [mask for n, mask in fresh.items() if model.plan.groups[n].owner in _UNBOUNDED]
    if not any(bool(mask.any()) for mask in unbounded):
        return History()
    _set_leaves(model, _sample(rows, seed), seed, fresh)
    return History(initialised=True)


def _has_unbounded_leaves(model: CompiledCircuit) -> bool:
    return any(group.owner in _UNBOUNDED for group in model.plan.groups)


def _sample(rows: TrainingData, seed: int) -> Tensor:
    """Rows of positive weight; of a file that stays on disk, some of them."""
    train, weights = rows.train, rows.weights
    places = (
        torch.arange(len(train), device="cpu") if weights is None else weights.nonzero().flatten()
    )
    if isinstance(train, MappedRows):
        few = min(len(places), _SAMPLE)
        chosen = np.random.default_rng([seed, 2]).choice(len(places), few, replace=False)
        return train.take(places[torch.from_numpy(chosen)])
    return train if weights is None else train[places.to(train.device)]


def _set_leaves(
    model: CompiledCircuit, rows: Tensor, seed: int, chosen: Mapping[int, Tensor] | None
) -> None:
    """Initialise leaves, of each group the ``chosen`` weights; ``None``: all."""
    columns = Columns(rows.double().cpu().numpy(), model.circuit.variables)
    rng = np.random.default_rng([seed, 1])  # of the noise
    owners = leaf_owners(model.circuit)
    for number, group in enumerate(model.plan.groups):
        if group.generated:
            continue
        places, pools = leaf_pools(owners, group, columns)
        if len(places):
            family = Family.CATEGORICAL if group.is_sum else Family[group.owner.upper()]
            draw = _draw(columns, pools, group.rows, seed)
            values = torch.from_numpy(_FITS[family](columns, draw, group.columns, rng))
            where = torch.from_numpy(places)
            if chosen is not None:
                none = torch.zeros(len(group.weights), dtype=torch.bool, device="cpu")
                kept = chosen.get(number, none)[where]
                where, values = where[kept], values[kept]
            assign(model, number, values, where)


class _Draw(NamedTuple):
    """Where units start.

    Attributes:
        pools: Shape ``(weights,)``.
        values: Shape ``(weights, units)``, a value of the pool for each unit, NaN if it has none.
        variables: Shape ``(weights, units)``, the variable that the value is of.
        apart: Shape ``(weights, 1)``: 1, or 0 where one unit is alone over its pool.
    """

    pools: Int
    values: Float
    variables: Int
    apart: Float


def _draw(columns: Columns, pools: Int, units: int, seed: int) -> _Draw:
    """One random row for unit j of every pool's first weight, of every second weight, and so on.

    The generator starts anew for each group, so that all families take the same rows.
    """
    rng = np.random.default_rng(seed)
    rank = _ranks(pools)
    rows = rng.integers(0, len(columns.x), (int(rank.max()) + 1, units))[rank]
    choices = rng.integers(0, 2**31, (len(pools), units))
    members = [np.array(columns.pools[pool]) for pool in pools.tolist()]
    variables = np.stack([m[c % len(m)] for m, c in zip(members, choices, strict=True)])
    values = columns.x[rows, variables]
    for place in np.flatnonzero(np.isnan(values).any(axis=1)).tolist():
        seen = columns.observed(int(pools[place]))
        if len(seen) and len(members[place]) == 1:
            others = rng.choice(seen, units)
            values[place] = np.where(np.isnan(values[place]), others, values[place])
    total = np.bincount(pools)[pools] * units
    return _Draw(pools, values, variables, (total > 1)[:, None].astype(np.float64))


def _ranks(pools: Int) -> Int:
    """How many equal entries come before each entry."""
    order = np.argsort(pools, kind="stable")
    ordered = pools[order]
    first = np.searchsorted(ordered, ordered)
    ranks = np.empty_like(pools)
    ranks[order] = np.arange(len(pools)) - first
    return ranks


def _between(centre: Float, draw: _Draw, values: Float, part: float) -> Float:
    """From the centre, shape ``(weights, 1)``, ``part`` of the way to each unit's value."""
    way: Float = np.where(np.isnan(values), 0.0, values - centre)
    return np.asarray(centre + part * draw.apart * way)


def _each(pools: Int, fact: Callable[[int], float]) -> Float:
    """``fact`` of each pool, shape ``(weights, 1)``; asked once a pool."""
    distinct, inverse = np.unique(pools, return_inverse=True)
    return np.array([fact(pool) for pool in distinct.tolist()])[inverse.ravel()][:, None]


def _real(
    draw: _Draw,
    rng: np.random.Generator,
    measure: Callable[[int], tuple[float, float]],
    least: Callable[[int], float],
) -> Float:
    """Means and deviations, or locations and scales, shape ``(weights, units, 2)``."""
    centre = _each(draw.pools, lambda pool: measure(pool)[0])
    spread = _each(draw.pools, lambda pool: measure(pool)[1])
    middle = _between(centre, draw, draw.values, 1.0)
    narrowed = spread * (1.0 - draw.apart * rng.uniform(0.0, 0.5, middle.shape))
    return np.stack([middle, np.maximum(narrowed, _each(draw.pools, least))], axis=2)


def _gaussian(columns: Columns, draw: _Draw, _size: int, rng: np.random.Generator) -> Float:
    return _real(draw, rng, columns.spread, columns.least)


def _laplace(columns: Columns, draw: _Draw, _size: int, rng: np.random.Generator) -> Float:
    return _real(draw, rng, columns.distance, columns.least)


def _poisson(columns: Columns, draw: _Draw, _size: int, rng: np.random.Generator) -> Float:
    rate = _between(_each(draw.pools, columns.rate), draw, draw.values, 0.7)
    noise = np.exp(0.1 * draw.apart * rng.standard_normal(rate.shape))
    return np.maximum(rate * noise, LEAST_RATE)[:, :, None]


def _binomial(columns: Columns, draw: _Draw, _size: int, rng: np.random.Generator) -> Float:
    trials = np.array([v.cardinality - 1.0 for v in columns.variables])[draw.variables]
    own = (draw.values + 0.5) / (trials + 1.0)
    chance = _between(_each(draw.pools, columns.chance), draw, own, 0.7)
    logit = np.log(chance) - np.log1p(-chance)
    logit += 0.1 * draw.apart * rng.standard_normal(logit.shape)
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))[:, :, None]


def _states(columns: Columns, draw: _Draw, states: int, rng: np.random.Generator) -> Float:
    """Probabilities of states or bins, shape ``(weights, units, states)``."""
    distinct, inverse = np.unique(draw.pools, return_inverse=True)
    known = np.stack([columns.frequencies(pool, states) for pool in distinct.tolist()])
    shares = np.broadcast_to(known[inverse.ravel()][:, None], (*draw.values.shape, states))
    own = shares.copy()
    for variable in np.unique(draw.variables).tolist():
        units = np.argwhere((draw.variables == variable) & ~np.isnan(draw.values))
        seen = columns.states(variable, draw.values[units[:, 0], units[:, 1]])
        inside = units[seen >= 0]
        own[inside[:, 0], inside[:, 1]] = np.eye(states)[seen[seen >= 0]]
    noise = rng.dirichlet(np.ones(states), draw.values.shape)
    apart = draw.apart[:, :, None]
    result: Float = (1.0 - 0.5 * apart) * shares + apart * (0.3 * own + 0.2 * noise)
    return result


def _bernoulli(columns: Columns, draw: _Draw, _size: int, rng: np.random.Generator) -> Float:
    return _states(columns, draw, 2, rng)[:, :, 1:]


_FITS: dict[Family, Callable[[Columns, _Draw, int, np.random.Generator], Float]] = {
    Family.BERNOULLI: _bernoulli,
    Family.CATEGORICAL: _states,
    Family.GAUSSIAN: _gaussian,
    Family.BINOMIAL: _binomial,
    Family.POISSON: _poisson,
    Family.LAPLACE: _laplace,
    Family.HISTOGRAM: _states,
}
