"""Initialisation from data: each leaf unit is a perturbed maximum-likelihood fit of its column."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.options import seed_of
from pccompiler.torch_backend.leaves.fitting.columns import Columns
from pccompiler.torch_backend.leaves.fitting.start import Start
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.assign import assign
from pccompiler.torch_backend.training.batches.sources import Loaded
from pccompiler.torch_backend.training.checkpointing.keeper import Keeper
from pccompiler.torch_backend.training.course import TrainingData
from pccompiler.torch_backend.training.history import History, trained_parameters, training_rows
from pccompiler.torch_backend.training.leaf_pools import leaf_owners, leaf_pools
from pccompiler.torch_backend.training.loop import refuse_unsound
from pccompiler.torch_backend.weights.untouched import drawn

_SAMPLE = 10_000  # rows of a file, a dataset or a loader


def initialise(model: CompiledCircuit, data: Tensor | ArrayLike, *, seed: int = 0) -> None:
    """Set the leaf parameters of ``model`` from ``data``.

    Unit j of all leaves starts from the same random row, so that units of a product match; further
    leaves of a variable use other rows. Means and locations are that row's values, deviations at
    least half the column's, rates and success probabilities lie between the row and the column's
    mean, and probabilities of states and bins are a mixture of frequencies, the row's state and
    noise. A single unit over a variable gets the fit itself. Sums over indicators of one variable
    are treated as categorical leaves; other sums and generated weights do not change. Columns that
    are constant or wholly missing give finite parameters that can be trained.

    Args:
        model: Changed in place; leaf values given by the circuit are replaced.
        data: Shape ``(rows, variables)``, NaN where missing.
        seed: Seed of the rows and the noise.

    Raises:
        DataError: If the data do not fit the circuit.
    """
    seed = seed_of(seed)
    _set_leaves(model, training_rows(model, data, "train"), seed, None)


def begin(model: CompiledCircuit, rows: TrainingData, seed: int, keeper: Keeper | None) -> History:
    """Initialise leaves that still have random numbers, if training cannot start from those.

    That is the case if some of them have means, rates or scales (`TorchLeaf.starts_anywhere`):
    random parameters are around 0, and the data may not be. Frozen parameters do not change.
    Nothing is done if the training continues from a checkpoint.

    Returns:
        A history that records whether it was done.
    """
    refuse_unsound(model)
    lost = {
        n
        for n, g in enumerate(model.plan.groups)
        if not (g.is_sum or leaf_of(g.owner).starts_anywhere)
    }
    if (keeper is not None and keeper.found) or not lost:
        return History()
    trained = trained_parameters(model)
    fresh = {
        number: mask
        for number, mask in drawn(model.weights).items()
        if parameter_name(model.plan, number) in trained
    }
    if not any(bool(mask.any()) for number, mask in fresh.items() if number in lost):
        return History()
    _set_leaves(model, _sample(rows, seed), seed, fresh)
    return History(initialised=True)


def _sample(rows: TrainingData, seed: int) -> Tensor:
    """Rows of positive weight; from a file, a dataset or a loader, some of them."""
    train, weights = rows.train, rows.weights
    if isinstance(train, Loaded):
        return torch.cat(train.first(_SAMPLE))[:_SAMPLE]
    places = (
        torch.arange(len(train), device="cpu") if weights is None else weights.nonzero().flatten()
    )
    if not isinstance(train, Tensor):
        few = min(len(places), _SAMPLE)
        chosen = np.random.default_rng([seed, 2]).choice(len(places), few, replace=False)
        return train.take(places[torch.from_numpy(chosen)])
    return train if weights is None else train[places.to(train.device)]


def _set_leaves(
    model: CompiledCircuit, rows: Tensor, seed: int, chosen: Mapping[int, Tensor] | None
) -> None:
    """Initialise the ``chosen`` weights of each group of leaves; ``None`` for all."""
    columns = Columns(rows.double().cpu().numpy(), model.circuit.variables)
    rng = np.random.default_rng([seed, 1])  # for the noise
    owners = leaf_owners(model.circuit)
    for number, group in enumerate(model.plan.groups):
        if group.generated:
            continue
        places, pools = leaf_pools(owners, group, columns)
        if len(places):
            start = _start(columns, pools, group.rows, seed, rng)
            values = torch.from_numpy(
                start.shares(group.columns)
                if group.is_sum
                else leaf_of(group.owner).start(start, group.columns)
            )
            where = torch.from_numpy(places)
            if chosen is not None:
                none = torch.zeros(len(group.weights), dtype=torch.bool, device="cpu")
                kept = chosen.get(number, none)[where]
                where, values = where[kept], values[kept]
            assign(model, number, values, where)


def _start(
    columns: Columns, pools: Int, units: int, seed: int, noise: np.random.Generator
) -> Start:
    """A random row for unit j of the first weight of every pool, of the second ones, and so on.

    The generator is reseeded for each group, so that all families use the same rows.
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
    apart = (total > 1)[:, None].astype(np.float64)
    return Start(columns, pools, values, variables, apart, noise)


def _ranks(pools: Int) -> Int:
    """For each entry, the number of equal entries before it."""
    order = np.argsort(pools, kind="stable")
    ordered = pools[order]
    first = np.searchsorted(ordered, ordered)
    ranks = np.empty_like(pools)
    ranks[order] = np.arange(len(pools)) - first
    return ranks
