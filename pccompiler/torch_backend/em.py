"""Training by expectation maximisation: full batches, or stepwise over mini-batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.ir.generate import materialize
from pccompiler.options import as_float, seed_of, shown, whole
from pccompiler.torch_backend.assign import assign
from pccompiler.torch_backend.columns import Columns
from pccompiler.torch_backend.em_flows import Flows, flows, has_counts
from pccompiler.torch_backend.em_leaves import (
    Setting,
    Statistics,
    as_tensor,
    blend,
    from_counts,
    statistics,
)
from pccompiler.torch_backend.leaf_pools import leaf_owners, leaf_pools
from pccompiler.torch_backend.module import CompiledCircuit
from pccompiler.torch_backend.records import (
    Evaluation,
    History,
    check_loss,
    learn,
    training_rows,
)
from pccompiler.torch_backend.rows_weights import row_weights

_BYTES = 2**30


def fit_em(
    model: CompiledCircuit,
    train: Tensor | ArrayLike,
    valid: Tensor | ArrayLike | None = None,
    *,
    weights: Tensor | ArrayLike | None = None,
    iterations: int = 100,
    batch_size: int | None = None,
    step_size: float = 1.0,
    pseudocount: float = 0.1,
    patience: int | None = None,
    seed: int = 0,
    progress: bool = True,
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> History:
    """Maximize the log-likelihood of ``train`` by expectation maximisation.

    An iteration is one pass over ``train``. With the full batch, a step size of 1 and no
    pseudocounts no iteration lowers the log-likelihood. With ``batch_size``, parameters change
    after each batch, ``step_size`` of the way to what the batch alone asks for (more exactly, each
    unit's statistics are such a running mean). Sums and all leaves learn; shared weights add their
    counts up; a missing value gives leaves no counts. The parameters with the best validation value
    are kept; without ``valid``, the last ones. Start with `initialise`, or from random parameters.

    Args:
        model: Trained in place, on the device where it is.
        train: Shape ``(rows, variables)``, NaN where missing. Copied to the device once; evaluated
            in parts that fit in memory.
        valid: Likewise.
        weights: Of the rows of ``train``, shape ``(rows,)``, 0 or more: a row counts so often. What
            the pseudocounts take from columns (means, deviations) they take from the rows of
            positive weight, each once. ``None``: 1 each.
        iterations: Most passes over ``train``.
        batch_size: Rows between two changes of the parameters; ``None``: all.
        step_size: Above 0, at most 1.
        pseudocount: Rows that each unit has seen beforehand: of sums, states and bins spread
            evenly; of counts at the column's mean; of Gaussian and Laplace leaves about their own
            middle, a tenth as wide as the column. 0: none.
        patience: Stop after this many iterations without improvement on ``valid``; ``None``: never.
        seed: Of the batches.
        progress: Whether to show a progress bar on a terminal.
        on_evaluation: Called with each `Evaluation`; its ``train`` is the mean over the iteration,
            each batch before the step that it makes.

    Returns:
        The history; a step is an iteration.

    Raises:
        OptionError: If an option cannot be used, or a hypernetwork generates the weights.
        DataError: If the data do not fit the circuit, or a row is impossible.

    Source:
        Dempster, Laird and Rubin (1977). Stepwise: Cappé and Moulines (2009), "Online
        Expectation-Maximization Algorithm for Latent Data Models".
    """
    iterations = whole("iterations", iterations)
    batch_size = None if batch_size is None else whole("batch_size", batch_size)
    patience = None if patience is None else whole("patience", patience)
    rng = np.random.default_rng(seed_of(seed))
    step_size, pseudocount = _numbers(step_size, pseudocount)
    _check_generator(model)
    data = training_rows(model, train, "train")
    held_out = None if valid is None else training_rows(model, valid, "valid")
    given = row_weights(weights, len(data))
    counted, shares = _counted(data, given)
    learner = _Learner(model, counted, shares, step_size, pseudocount)

    def work(step: int) -> tuple[int, float]:
        mean = learner.iterate(_batches(rng, counted, shares, batch_size))
        check_loss(mean, model, data, step + 1, given)
        return 1, mean

    return learn(
        model,
        work,
        held_out,
        steps=iterations,
        patience=patience,
        progress=progress,
        on_evaluation=on_evaluation,
    )


class _Learner:
    """Parameters by their meaning, and what the leaves gather."""

    def __init__(
        self,
        model: CompiledCircuit,
        data: Tensor,
        shares: Tensor | None,
        step_size: float,
        pseudocount: float,
    ) -> None:
        self.model, self.step_size, self.pseudocount = model, step_size, pseudocount
        self.total = _mass(data, shares)
        self.complete = not bool(data.isnan().any())
        self.part = _rows_at_once(model)
        known = materialize(model.plan, model.weights.layout, model.parameters_as_numpy())
        self.values = [as_tensor(table).to(model.device) for table in known]
        self.rows: dict[int, Tensor] = {}
        self.leaves = _leaf_statistics(model, data)

    def iterate(self, batches: list[_Batch]) -> float:
        """Learn from each batch; mean log-likelihood a row, each before its step."""
        total = 0.0
        for rows, shares in batches:
            total += self.step(rows, shares)
            if not math.isfinite(total):
                return total
        return total / sum(_mass(*batch) for batch in batches)

    @torch.no_grad()
    def step(self, batch: Tensor, shares: Tensor | None) -> float:
        """One expectation and one maximisation; sum of the log-likelihoods before."""
        for leaf in self.leaves.values():
            leaf.clear()
        weights = {
            number: self.model.weights.constrained(number)
            for number in range(len(self.model.plan.groups))
        }
        counts: dict[int, Tensor] = {}
        total = 0.0
        for start in range(0, len(batch), self.part):
            part = slice(start, start + self.part)
            mine = None if shares is None else shares[part]
            found = flows(self.model, weights, batch[part], self.complete, mine)
            total += found.log_likelihood
            self._gather(counts, found)
        if math.isfinite(total):
            self._maximise(counts, self.total / _mass(batch, shares))
        return total

    def _gather(self, counts: dict[int, Tensor], found: Flows) -> None:
        for number, table in found.counts.items():
            if number in counts:
                counts[number] += table
            else:
                counts[number] = table.double()
        for layer, column, shares in found.shares:
            self.leaves[self.model.plan.layers[layer.number].group].add(layer, column, shares)

    def _maximise(self, counts: dict[int, Tensor], scale: float) -> None:
        for number, group in enumerate(self.model.plan.groups):
            new = (
                from_counts(group, scale * counts[number], self.pseudocount)
                if number in counts
                else self.leaves[number].estimate(scale, self.pseudocount)
            )
            seen = self.step_size * new.rows
            before = self.rows.get(number, new.rows)
            self.rows[number] = (1.0 - self.step_size) * before + seen
            part = torch.where(seen > 0.0, seen / self.rows[number], 0.0)
            self.values[number] = blend(group, self.values[number], new.values, part)
            assign(self.model, number, self.values[number])


def _leaf_statistics(model: CompiledCircuit, data: Tensor) -> dict[int, Statistics]:
    """For each group of leaves that needs more than expected counts."""
    columns = Columns(data.double().cpu().numpy(), model.circuit.variables)
    owners = leaf_owners(model.circuit)
    found: dict[int, Statistics] = {}
    for number, group in enumerate(model.plan.groups):
        if not has_counts(group):
            _, pools = leaf_pools(owners, group, columns)
            found[number] = statistics(Setting(model.plan, group, columns, pools, model.device))
    return found


def _rows_at_once(model: CompiledCircuit) -> int:
    """Rows whose forward and backward pass take about 1 GiB; fewer on a CPU, where caches rule."""
    a_row = 3 * model.plan.cost(1).all_values * model.dtype.itemsize
    most = 500 if model.device.type == "cpu" else 32_768
    return max(1, min(most, _BYTES // max(a_row, 1)))


_Batch: TypeAlias = tuple[Tensor, Tensor | None]
"""Rows, with their weights if they have some."""


def _counted(data: Tensor, weights: Tensor | None) -> _Batch:
    """Rows of positive weight, on their device."""
    if weights is None:
        return data, None
    shares = weights.to(data.device)
    return data[shares > 0.0], shares[shares > 0.0]


def _mass(data: Tensor, shares: Tensor | None) -> float:
    """How many rows these count for."""
    return float(len(data)) if shares is None else float(shares.sum())


def _batches(
    rng: np.random.Generator, data: Tensor, shares: Tensor | None, batch_size: int | None
) -> list[_Batch]:
    """All rows, in random order if there are several batches."""
    if batch_size is None or batch_size >= len(data):
        return [(data, shares)]
    order = torch.from_numpy(rng.permutation(len(data))).to(data.device)
    return [
        (data.index_select(0, rows), None if shares is None else shares.index_select(0, rows))
        for rows in order.split(batch_size)
    ]


def _numbers(step_size: object, pseudocount: object) -> tuple[float, float]:
    """Both, checked."""
    step, count = as_float(step_size), as_float(pseudocount)
    if step is None or count is None or not (0.0 < step <= 1.0 and 0.0 <= count < math.inf):
        raise OptionError.of(
            "PC302",
            f"step_size is {shown(step_size)} and pseudocount {shown(pseudocount)}",
            help="give a step size above 0 and at most 1, and a pseudocount of 0 or more",
        )
    return step, count


def _check_generator(model: CompiledCircuit) -> None:
    generated = [group for group in model.plan.groups if group.generated]
    if generated:
        raise OptionError.of(
            "PC360",
            "expectation maximisation sets each weight by itself, but this circuit generates "
            f"{sum(len(group.weights) for group in generated)} of its weights",
            notes=(f"generator: {type(model.plan.generator).__name__.lower()}",),
            help="train it by gradient: pccompiler.fit(model, ...)",
        )
