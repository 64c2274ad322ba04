"""Upper bounds of the most probable completion: one pass up, many partial assignments at once.

The bound keeps the circuit's sums, but each leaf over an open variable takes its largest density.
*It bounds.* By induction from the leaves, a unit's value U is at least the largest value f(q) that
the unit takes over completions q of the open variables (of a marginal query: with the others
summed out, which leaves do by themselves). Leaves: by definition. Products: each factor is at most
its own U, whatever the others do. Sums: max over q of sum_i w_i f_i(q) is at most
sum_i w_i max over q of f_i(q). With nothing open it is the value itself.

*Where sums are maxima.* If a variable of the query decides a sum - each of its states leaves at
most one operand possible - then for each q one term at most counts, and the largest w_i U_i bounds
the sum. The same holds of all sums if the circuit is deterministic and all variables are in the
query; the bound is then the maximum itself.

Source:
    Huang, Chavira and Darwiche (2006), "Solving MAP Exactly by Searching on Compiled Arithmetic
    Circuits"; Mei, Jiang and Tu (2018), "Maximum A Posteriori Inference in Sum-Product Networks".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from pccompiler.torch_backend.engines.arena.program import BagStep, DenseStep, InputStep, Program
from pccompiler.torch_backend.engines.arena.sweeps import Sweep
from pccompiler.torch_backend.engines.arena.tables import Tables, tables_of
from pccompiler.torch_backend.leaves.inputs import LeafLayer
from pccompiler.torch_backend.queries.evaluation import Knowledge
from pccompiler.torch_backend.queries.evidence import Evidence, chunk_rows
from pccompiler.torch_backend.queries.queries import Queries
from pccompiler.torch_backend.queries.topdown import bag_terms, descend


@torch.no_grad()
def upper_bound(
    model: Queries, rows: Evidence, *, query: Sequence[str | int] | None = None
) -> Tensor:
    """A bound, from above, of the log-density of every completion of each row, in nats.

    Args:
        model: A compiled circuit.
        rows: Partial assignments, shape (batch, variables), NaN where open.
        query: Names or columns of the variables to complete; the others are summed out where they
            are open. By default all.

    Returns:
        Shape ``(batch,)``; -inf only where no completion is possible.

    Raises:
        DataError: If the rows do not fit the variables, or a name is unknown.
    """
    given = model.evidence(rows)
    columns = range(given.shape[1]) if query is None else model.columns(query)
    return Bounds(model, columns)(given)


class Bounds:
    """Bounds of a model for one set of variables to maximise, for any number of batches.

    Args:
        model: A compiled circuit.
        columns: The variables to maximise where they are open.
    """

    def __init__(self, model: Queries, columns: Sequence[int]) -> None:
        self.model = model
        with model.threads(1):
            self.known = Knowledge(model)
        self.chosen = set(columns)
        everything = len(self.chosen) == len(model.circuit.variables)
        if everything and model.deterministic:
            self.gates: Mapping[int, Tensor] | None = None
        else:
            self.gates = _gates(self.known, sorted(self.chosen))
        self.chunk = chunk_rows(model)

    def __call__(self, rows: Tensor) -> Tensor:
        """Bounds in nats, shape (batch,), of checked rows, shape (batch, variables)."""
        with self.model.threads(len(rows)):
            parts = [self._evaluate(part)[1][-1] for part in rows.split(self.chunk)]
        return torch.cat(parts) + self.model.plan.log_scale

    @cached_property
    def linear(self) -> bool:
        """Whether all sums are sums, so that the bound is linear in each leaf."""
        return self.gates is not None and not any(bool(g.any()) for g in self.gates.values())

    def children(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of rows, and of each with one more variable given, if the bound is `linear`.

        One pass up and one down: the bound is linear in the leaves of one variable, so that with
        ``state`` given it is the sum over them of flow times density over largest density.

        Returns:
            Shapes (batch,) and (batch, variables, states), in nats; of variables that are given
            or not in the query they mean nothing.
        """
        with self.model.threads(len(rows)):
            parts = [self._children(part) for part in rows.split(max(1, self.chunk // 2))]
        roots, masses = (torch.cat(part) for part in zip(*parts, strict=True))
        return roots, masses

    def _children(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        known = self.known
        tables, values = self._evaluate(rows)
        flows = descend(known.program, tables, values, "share")
        out = flows.new_zeros(len(known.variables), known.states, len(rows))
        for layer in self.model.leaf_inputs.layers:
            step = known.program.steps[layer.number]
            numbers = known.rows_of(layer)
            units = (step.stop - step.start) // len(numbers)
            mass = flows[step.start : step.stop].view(len(numbers), units, len(rows))
            leaf_units = known.units.get(layer.number)  # None: indicators
            table = None if leaf_units is None else leaf_units.table
            if leaf_units is not None and table is None:
                continue
            if table is not None:
                tiny = torch.finfo(table.dtype).tiny
                ratio = table / table.amax(2, keepdim=True).clamp_min(tiny)
                mass = torch.bmm(ratio.transpose(1, 2), mass)
            index = torch.tensor(numbers, dtype=torch.int64, device=rows.device)
            out[:, : mass.shape[1]].index_add_(0, index, mass)
        root = values[-1] + self.model.plan.log_scale
        # flows may underflow: tiny keeps it a bound
        logs = (out.permute(2, 0, 1) + torch.finfo(out.dtype).tiny).log()
        return root, root.view(-1, 1, 1) + logs

    def _evaluate(self, rows: Tensor) -> tuple[Tables, Tensor]:
        known, layers = self.known, self.model.leaf_inputs.layers
        inputs = self.model.leaf_inputs(rows, known.leaves)
        best = {layer.number: self._maximised(layer) for layer in layers}
        inputs = [
            known.best(layer, given, rows, best[layer.number])
            for layer, given in zip(layers, inputs, strict=True)
        ]
        tables = tables_of(known.plan, known.program, inputs, known.weights)
        arena = rows.new_empty(known.program.rows, len(rows))
        _BoundSweep(known.program, tables, arena, best, self.gates).up()
        return tables, arena

    def _maximised(self, layer: LeafLayer) -> Tensor:
        """Whether each row of a layer is to be maximised, shape (rows, 1, 1)."""
        flags = [v in self.chosen for v in self.known.rows_of(layer)]
        return torch.tensor(flags, device=self.model.device).view(-1, 1, 1)


class _BoundSweep(Sweep):
    """Bottom up with maxima at leaves of the query, and at sums that it decides."""

    def __init__(
        self,
        program: Program,
        tables: Tables,
        arena: Tensor,
        best: Mapping[int, Tensor],
        gates: Mapping[int, Tensor] | None,
    ) -> None:
        super().__init__(program, tables, log=True, arena=arena)
        self.best, self.gates = best, gates

    def input(self, step: InputStep, out: Tensor) -> None:
        super().input(step, out)
        weight, best = self.tables.dense.get(step.number), self.best[step.number]
        if weight is None or not bool(best.any()):
            return
        states = self.tables.inputs[step.number]
        value = out.view(step.rows, step.units, out.shape[-1])
        for unit in range(weight.shape[1]):
            top = (weight[:, unit].unsqueeze(-1) * states).amax(1).log()
            value[:, unit] = torch.where(best[:, 0], top, value[:, unit])

    def log_bag(self, step: BagStep, out: Tensor) -> None:
        gate = self._gate(step, out)
        if not bool(gate.all()):
            super().log_bag(step, out)
        if bool(gate.any()):
            tops = torch.cat([terms.amax(1) for terms in bag_terms(step, self.tables, self.x)])
            out.copy_(torch.where(gate.view(-1, 1), tops, out))

    def dense(self, step: DenseStep, out: Tensor) -> None:
        gate = self._gate(step, out).view(step.rows, -1)
        if not bool(gate.all()):
            super().dense(step, out)
        if not bool(gate.any()):
            return
        below, weight = self.operands(step), self.tables.dense[step.number].log()
        value = out.view(step.rows, step.units, out.shape[-1])
        for unit in range(weight.shape[1]):
            top = (below + weight[:, unit].unsqueeze(-1)).amax(1)
            value[:, unit] = torch.where(gate[:, unit].unsqueeze(-1), top, value[:, unit])

    def _gate(self, step: BagStep | DenseStep, out: Tensor) -> Tensor:
        if self.gates is None:
            return torch.ones(len(out), dtype=torch.bool, device=out.device)
        return self.gates[step.number]


class _Support(Sweep):
    """Which units are possible (1) or not (0), and how many operands of each sum are, at most.

    In place of weights and densities it has 1 where they are positive, so nothing underflows.
    """

    def __init__(self, program: Program, tables: Tables, arena: Tensor) -> None:
        super().__init__(program, tables, log=False, arena=arena)
        self.single: dict[int, Tensor] = {}

    def input(self, step: InputStep, out: Tensor) -> None:
        super().input(step, out)
        out.clamp_max_(1.0)

    def log_bag(self, step: BagStep, out: Tensor) -> None:
        raise AssertionError("linear space only")  # pragma: no cover

    def bag(self, step: BagStep, out: Tensor) -> None:
        super().bag(step, out)
        self._keep(step.number, out)

    def dense(self, step: DenseStep, out: Tensor) -> None:
        super().dense(step, out)
        self._keep(step.number, out)

    def _keep(self, number: int, count: Tensor) -> None:
        self.single[number] = (count <= 1.0).all(1)
        count.clamp_max_(1.0)


def _gates(known: Knowledge, columns: Sequence[int]) -> dict[int, Tensor]:
    """Step to which of its sums some one variable of the query decides, shape (units,)."""
    sums = [s for s in known.program.steps if isinstance(s, (BagStep, DenseStep))]
    device = known.model.device
    found = {s.number: torch.zeros(s.stop - s.start, dtype=torch.bool, device=device) for s in sums}
    for column in columns:
        if not known.variables[column].discrete:
            continue
        rows = known.model.nothing(known.variables[column].cardinality)
        rows[:, column] = torch.arange(len(rows), dtype=rows.dtype, device=device)
        for number, single in _single(known, rows).items():
            found[number] |= single
    return found


def _single(known: Knowledge, rows: Tensor) -> dict[int, Tensor]:
    """Step to whether at most one operand of each of its sums is possible in every row."""
    layers = known.model.leaf_inputs.layers
    inputs = known.model.leaf_inputs(rows, known.leaves)
    flags = [
        (x > (-torch.inf if layer.number in known.leaves else 0.0)).to(x)
        for layer, x in zip(layers, inputs, strict=True)
    ]
    positive = [(w > 0.0).to(w) for w in known.weights]
    tables = tables_of(known.plan, known.program, flags, positive)
    arena = rows.new_empty(known.program.rows, len(rows))
    sweep = _Support(known.program, tables, arena)
    sweep.up()
    return sweep.single
