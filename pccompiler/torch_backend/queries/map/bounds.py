"""Upper bounds of the most probable completion, in one upward pass over many assignments.

The bound keeps the circuit's sums, but each leaf over an open variable takes its largest density.
*Why it is a bound.* By induction from the leaves, a unit's value U is at least the largest value
f(q) of the unit over completions q of the open variables (in a marginal query, the others are
summed out at the leaves). Leaves: by definition. Products: each factor is at most its own U,
independently of the others. Sums: max over q of sum_i w_i f_i(q) is at most sum_i w_i max over q
of f_i(q). With nothing open, the bound is the value itself.

*Where maxima replace sums.* If a variable of the query decides a sum (for each of its states, at
most one operand is possible), then for each q at most one term counts, and the largest w_i U_i
bounds the sum. The same holds for all sums if the circuit is deterministic and all variables are
in the query; the bound is then the maximum itself.

Source:
    Huang, Chavira and Darwiche (2006), "Solving MAP Exactly by Searching on Compiled Arithmetic
    Circuits"; Mei, Jiang and Tu (2018), "Maximum A Posteriori Inference in Sum-Product Networks".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from pccompiler.torch_backend.data.by_name import numbers_by_name
from pccompiler.torch_backend.engines.arena.program import (
    BagStep,
    DenseStep,
    InputStep,
    Program,
    program_of,
)
from pccompiler.torch_backend.engines.arena.sweeps import Sweep
from pccompiler.torch_backend.engines.arena.tables import Tables, tables_of
from pccompiler.torch_backend.engines.arena.topdown import bag_terms, descend
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.leaves.inputs import LeafLayer
from pccompiler.torch_backend.queries.evaluation import Knowledge
from pccompiler.torch_backend.queries.evidence import Evidence, chunk_rows
from pccompiler.torch_backend.queries.queries import Queries


@numbers_by_name
@torch.no_grad()
def upper_bound(
    model: Queries, rows: Evidence, *, query: Sequence[str | int] | None = None
) -> Tensor:
    """An upper bound of the log-density of every completion of each row, in nats.

    Args:
        model: A compiled circuit.
        rows: Partial assignments, shape (batch, variables), NaN where open.
        query: Names or columns of the variables to complete; other open variables are summed out.
            By default all.

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
        columns: The variables to maximise if they are open.
    """

    def __init__(self, model: Queries, columns: Sequence[int]) -> None:
        self.model = model
        with model.threads(1):
            self.known = Knowledge(model)
        self.program = program_of(model.plan, model.device)
        self.chosen = set(columns)
        everything = len(self.chosen) == len(model.circuit.variables)
        if everything and model.deterministic:
            self.gates: Mapping[int, Tensor] | None = None
        else:
            self.gates = _gates(self.known, sorted(self.chosen))
        self.chunk = chunk_rows(model, Wanted.BEST)

    def __call__(self, rows: Tensor) -> Tensor:
        """Bounds in nats, shape (batch,), of checked rows, shape (batch, variables)."""
        with self.model.threads(len(rows)):
            parts = [self._evaluate(part)[1][-1] for part in rows.split(self.chunk)]
        return torch.cat(parts) + self.model.plan.log_scale

    @cached_property
    def linear(self) -> bool:
        """Whether no sum became a maximum, so that the bound is linear in each leaf."""
        return self.gates is not None and not any(bool(g.any()) for g in self.gates.values())

    def children(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of rows, and of each row with one more variable given, if the bound is `linear`.

        Takes one upward and one downward pass. The bound is linear in the leaves of one variable;
        for a given ``state`` it is the sum over them of flow times density over largest density.

        Returns:
            Shapes (batch,) and (batch, variables, states), in nats; meaningless for variables that
            are given or not in the query.
        """
        with self.model.threads(len(rows)):
            parts = [self._children(part) for part in rows.split(max(1, self.chunk // 2))]
        roots, masses = (torch.cat(part) for part in zip(*parts, strict=True))
        return roots, masses

    def _children(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        known = self.known
        tables, values = self._evaluate(rows)
        flows = descend(self.program, tables, values, torch.ones_like(values[-1]), Wanted.POSTERIOR)
        out = flows.new_zeros(len(known.variables), known.states, len(rows))
        for layer in self.model.leaf_inputs.layers:
            step = self.program.steps[layer.number]
            mass = flows[step.start : step.stop].view(len(layer.place), -1, len(rows))
            leaf_units = known.units.get(layer.number)  # None: indicators
            table = None if leaf_units is None else leaf_units.table
            if leaf_units is not None and table is None:
                continue
            if table is not None:
                tiny = torch.finfo(table.dtype).tiny
                ratio = table / table.amax(2, keepdim=True).clamp_min(tiny)
                mass = torch.bmm(ratio.transpose(1, 2), mass)
            out[:, : mass.shape[1]].index_add_(0, layer.place, mass)
        root = values[-1] + self.model.plan.log_scale
        # flows may underflow; adding tiny keeps this a bound
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
        tables = tables_of(known.plan, self.program, inputs, known.weights)
        arena = rows.new_empty(self.program.rows, len(rows))
        _BoundSweep(self.program, tables, arena, best, self.gates).up()
        return tables, arena

    def _maximised(self, layer: LeafLayer) -> Tensor:
        """Whether each node of a layer is maximised, shape (nodes, 1, 1)."""
        flags = [v in self.chosen for v in self.known.rows_of(layer)]
        return torch.tensor(flags, device=self.model.device).view(-1, 1, 1)


class _BoundSweep(Sweep):
    """The upward pass with maxima at leaves of the query, and at sums that it decides."""

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

    Positive weights and densities are replaced by 1, so that nothing underflows.
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
    """For each step, which sums are decided by a single variable of the query, shape (units,)."""
    program = program_of(known.plan, known.model.device)
    sums = [s for s in program.steps if isinstance(s, (BagStep, DenseStep))]
    device = known.model.device
    found = {s.number: torch.zeros(s.stop - s.start, dtype=torch.bool, device=device) for s in sums}
    for column in columns:
        if not known.variables[column].discrete:
            continue
        rows = known.model.nothing(known.variables[column].cardinality)
        rows[:, column] = torch.arange(len(rows), dtype=rows.dtype, device=device)
        for number, single in _single(known, program, rows).items():
            found[number] |= single
    return found


def _single(known: Knowledge, program: Program, rows: Tensor) -> dict[int, Tensor]:
    """For each step and sum, whether at most one operand is possible in every row."""
    layers = known.model.leaf_inputs.layers
    inputs = known.model.leaf_inputs(rows, known.leaves)
    flags = [
        (x > (-torch.inf if layer.number in known.leaves else 0.0)).to(x)
        for layer, x in zip(layers, inputs, strict=True)
    ]
    positive = [(w > 0.0).to(w) for w in known.weights]
    tables = tables_of(known.plan, program, flags, positive)
    arena = rows.new_empty(program.rows, len(rows))
    sweep = _Support(program, tables, arena)
    sweep.up()
    return sweep.single
