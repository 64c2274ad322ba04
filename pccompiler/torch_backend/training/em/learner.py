"""The steps of expectation maximisation, and their state between batches."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.log import say_once
from pccompiler.torch_backend.leaves.fitting.columns import Columns
from pccompiler.torch_backend.leaves.fitting.statistics import Setting, Statistics
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.runtime.capture import captured
from pccompiler.torch_backend.training.course import Facts, Look
from pccompiler.torch_backend.training.em.expectation import Expectation, Expected, rows_at_once
from pccompiler.torch_backend.training.em.maximisation import Pace, RowUpdate, Update, ValueUpdate
from pccompiler.torch_backend.training.em.prior import TopDown
from pccompiler.torch_backend.training.history import trained_parameters
from pccompiler.torch_backend.training.leaf_pools import leaf_owners, leaf_pools

_WARM_UP = 3
_WORTH_IT = 20
"""From this many steps on a CUDA graph pays for its capture."""


class Learner:
    """EM's updates and statistics. See `Worker`; a step is a pass over the data.

    On CUDA, steps with full batches are replays of one CUDA graph if no family has to wait for
    results (`Statistics.capturable`).

    Args:
        model: Changed in place, except for its frozen parameters.
        data: Rows of positive weight, as the model expects them.
        shares: Their weights, if any.
        rng: Random numbers for the order of the rows.
        passes: The most passes over the data.
        batch_size: Rows between two updates; ``None`` for all.
        pace: See `fit_em`.
    """

    remedy = "raise the pseudocount, or initialise the model from the data"

    def __init__(
        self,
        model: CompiledCircuit,
        data: Tensor,
        shares: Tensor | None,
        rng: np.random.Generator,
        passes: int,
        batch_size: int | None,
        pace: Pace,
    ) -> None:
        self.model, self.rng = model, rng
        self.data, self.shares = data, shares
        self.batch = len(data) if batch_size is None else min(batch_size, len(data))
        self.before = rng.bit_generator.state  # before the current pass drew its order
        self.done = 0  # batches of the current pass
        self.sum = torch.zeros((), dtype=torch.float64, device=model.device)
        mass = float(len(data)) if shares is None else float(shares.sum())
        self.mass = torch.full_like(self.sum, mass)
        self.complete = not bool(data.isnan().any())
        self.part = rows_at_once(model)
        self.leaves = _leaf_statistics(model, data)
        self.updates = _updates(model, self.leaves, pace)
        self.top_down = TopDown(model.plan, model.weights) if pace.top_down else None
        self.not_captured = self._obstacle(passes)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.chosen = torch.arange(self.batch, device=model.device)  # the rows of a captured step

    @property
    def ahead(self) -> int:
        """See `Worker`; there is an evaluation after each pass."""
        return 0

    def work(self, step: int, most: int, look: Look) -> tuple[int, float]:
        """A pass, or the rest of one; log-likelihoods are those before each update."""
        on_cpu = self.model.device.type == "cpu"  # elsewhere it would have to wait for each sum
        order = self._order()
        if self.done == 0:
            self.sum.zero_()
        for rows in order[self.done :]:
            self.step(rows)
            if on_cpu and not math.isfinite(float(self.sum)):
                break
            self.done += 1
            look(int(self.done == len(order)))
        mean = self.mean()
        self.before, self.done = self.rng.bit_generator.state, 0
        return 1, mean

    def mean(self) -> float:
        """See `Worker`; of a whole pass."""
        return float(self.sum) / float(self.mass)

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """The state of the updates, and the position in the pass."""
        tensors = {
            f"{name}.{number}": tensor
            for number, update in self.updates.items()
            for name, tensor in update.state().items()
        }
        return tensors, {"random": self.before, "done": self.done, "sum": float(self.sum)}

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """See `Worker`."""
        for number, update in self.updates.items():
            update.restore({name: tensors[f"{name}.{number}"] for name in update.state()})
        self.rng.bit_generator.state = self.before = facts["random"]
        self.done = int(facts["done"])
        self.sum.fill_(float(facts["sum"]))

    @torch.no_grad()
    def step(self, rows: Tensor | None) -> None:
        """One E-step and one M-step on some rows of the data, or on all."""
        if self.not_captured is not None or (rows is not None and len(rows) < self.batch):
            self._step(rows)
            return
        if rows is not None:
            self.chosen.copy_(rows)
        if self.graph is None:
            self._capture(None if rows is None else self.chosen)
        if self.graph is None:
            self._step(rows)
            return
        self.graph.replay()
        for parameter in self.model.parameters():  # graphs and kernels do not tell torch
            torch.autograd.graph.increment_version(parameter)

    def _obstacle(self, passes: int) -> str | None:
        """Why steps are not captured."""
        if self.model.device.type != "cuda":
            return f"the model is on {self.model.device.type}"
        if passes * (len(self.data) // max(1, self.batch)) < _WORTH_IT:
            return f"fewer than {_WORTH_IT} steps do not pay for a capture"
        if not all(leaf.capturable for leaf in self.leaves.values()):
            return "the statistics of a leaf family wait for the device"
        return None

    def _capture(self, rows: Tensor | None) -> None:
        """Capture a step. Warm-up steps change parameters and statistics, which are restored."""
        kept = [*self.model.parameters(), self.sum]
        kept += [tensor for update in self.updates.values() for tensor in update.state().values()]
        before = [tensor.detach().clone() for tensor in kept]
        try:
            self.graph, _ = captured(partial(self._step, rows), warm_ups=_WARM_UP)
        except RuntimeError as why:
            self.not_captured = f"the capture failed: {str(why)[:200]}"
            say_once(f"EM runs without a CUDA graph: {self.not_captured}")
        for tensor, value in zip(kept, before, strict=True):
            tensor.detach().copy_(value)

    def _step(self, rows: Tensor | None) -> None:
        for leaf in self.leaves.values():
            leaf.clear()
        batch = self.data if rows is None else self.data.index_select(0, rows)
        shares = self.shares
        if shares is not None and rows is not None:
            shares = shares.index_select(0, rows)
        expectation = Expectation(self.model)
        counts: dict[int, Tensor] = {}
        for start in range(0, len(batch), self.part):
            part = slice(start, start + self.part)
            mine = None if shares is None else shares[part]
            found = expectation.of(batch[part], self.complete, mine)
            self.sum += found.log_likelihood
            self._gather(counts, found)
        if self.model.device.type != "cpu" or bool(self.sum.isfinite()):
            scale = self.mass / (len(batch) if shares is None else shares.sum(dtype=torch.float64))
            if self.top_down is not None:
                for number, used in self.top_down(expectation.tables).items():
                    if number in self.updates:
                        self.updates[number].rows.copy_(self.mass * used)
            for number, update in self.updates.items():
                update(expectation.tables.get(number), counts.get(number), scale)

    def _gather(self, counts: dict[int, Tensor], found: Expected) -> None:
        for number, table in found.counts.items():
            counts[number] = counts[number] + table if number in counts else table
        for layer, column, flows in found.flows:
            leaves = self.leaves[self.model.plan.layers[layer.number].group]
            leaves.add(layer.number, column, flows, layer.constants)

    def _order(self) -> list[Tensor | None]:
        """The rows of each batch, in random order; ``None`` for all."""
        if self.batch >= len(self.data):
            return [None]
        order = torch.from_numpy(self.rng.permutation(len(self.data))).to(self.data.device)
        return list(order.split(self.batch))


def _updates(
    model: CompiledCircuit, leaves: dict[int, Statistics], pace: Pace
) -> dict[int, Update]:
    """The updates of all groups that are trained, by group."""
    trained = trained_parameters(model)
    known = materialize(model.plan, model.weights.layout, model.parameters_as_numpy())
    found: dict[int, Update] = {}
    for number, group in enumerate(model.plan.groups):
        if parameter_name(model.plan, number) not in trained:
            continue
        if group.tabular and group.is_simplex:
            found[number] = RowUpdate(model, number, pace)
        else:
            values = torch.from_numpy(np.array(known[number])).to(model.device)
            found[number] = ValueUpdate(model, number, pace, values, leaves.get(number))
    return found


def _leaf_statistics(model: CompiledCircuit, data: Tensor) -> dict[int, Statistics]:
    """Statistics for each group of leaves that needs more than expected counts."""
    others = [(n, group) for n, group in enumerate(model.plan.groups) if not group.tabular]
    if not others:
        return {}
    owners = leaf_owners(model.circuit)
    columns = Columns(data.double().cpu().numpy(), model.circuit.variables)
    found: dict[int, Statistics] = {}
    for number, group in others:
        _, pools = leaf_pools(owners, group, columns)
        setting = Setting(model.plan, group, columns, pools, model.device)
        found[number] = leaf_of(group.owner).statistics(setting)
    return found


def counted(data: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Rows of positive weight, on their device, with their weights if any."""
    if weights is None:
        return data, None
    shares = weights.to(data.device)
    return data[shares > 0.0], shares[shares > 0.0]
