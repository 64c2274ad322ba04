"""Both directions over an arena for queries: up in log space, down by a rule.

Bottom up, the value of a unit is its log-density given the evidence. Top down, each unit passes its
flow to its operands by a *rule*: in proportion to their terms (posterior marginals and moments), to
one drawn in that proportion (samples), or to the best one (max-product decoding, MPE).

Source:
    Darwiche (2003), "A Differential Approach to Inference in Bayesian Networks"; Poon and Domingos
    (2011), "Sum-Product Networks"; Peharz et al. (2017), "On the Latent Variable Interpretation in
    Sum-Product Networks".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pccompiler.torch_backend.engines.arena.program import (
    BagStep,
    DenseStep,
    InputStep,
    ProductStep,
    Program,
)
from pccompiler.torch_backend.engines.arena.sweeps import Sweep
from pccompiler.torch_backend.engines.arena.tables import Tables
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.values import finite

Share = Callable[[Tensor, Tensor, torch.Generator | None], Tensor]


class MaxSweep(Sweep):
    """Bottom up with the largest term instead of each sum: the value of the best induced tree.

    Leaf tables give their largest entry among the states that the evidence allows; inputs of other
    leaves must hold their largest log-density where evidence is missing.
    """

    def dense(self, step: DenseStep, out: Tensor) -> None:
        """The best operand of every unit."""
        below, weight = self.operands(step), self.tables.dense[step.number].log()
        value = out.view(step.rows, step.units, out.shape[-1])
        for unit in range(weight.shape[1]):
            value[:, unit] = (below + weight[:, unit].unsqueeze(-1)).amax(1)

    def log_bag(self, step: BagStep, out: Tensor) -> None:
        """The best operand of every row."""
        row = 0
        for terms in bag_terms(step, self.tables, self.x):
            out[row : row + len(terms)] = terms.amax(1)
            row += len(terms)

    def input(self, step: InputStep, out: Tensor) -> None:
        """The best state of every unit."""
        weight = self.tables.dense.get(step.number)
        if weight is None:
            super().input(step, out)
            return
        open_states = self.tables.inputs[step.number]
        value = out.view(step.rows, step.units, out.shape[-1])
        for unit in range(weight.shape[1]):
            value[:, unit] = (weight[:, unit].unsqueeze(-1) * open_states).amax(1).log()


def bag_terms(step: BagStep, tables: Tables, values: Tensor) -> Iterator[Tensor]:
    """The terms of a step's sums as logarithms, part by part, shape (rows, fan-in, batch)."""
    logs = tables.log_edges[step.edges]
    edge = 0
    for rows, fan_in in step.parts:
        edges = slice(edge, edge + rows * fan_in)
        terms = values.index_select(0, step.source[edges]).add_(logs[edges].unsqueeze(1))
        yield terms.view(rows, fan_in, -1)
        edge += rows * fan_in


def ascend(program: Program, tables: Tables, *, maximum: bool = False) -> Tensor:
    """Log-values of all units, shape (arena rows, batch).

    Args:
        program: The plan's steps.
        tables: Inputs and weights.
        maximum: Whether to take the largest term instead of each sum, see `MaxSweep`.
    """
    like = next(iter(tables.inputs.values()))
    arena = like.new_empty(program.rows, tables.batch)
    (MaxSweep if maximum else Sweep)(program, tables, log=True, arena=arena).up()
    return arena


def descend(
    program: Program,
    tables: Tables,
    values: Tensor,
    root: Tensor,
    wanted: Wanted,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The flow of each unit, shape (arena rows, batch), given the flow of the root.

    For draws and best trees, only the units of one induced tree have a flow, the root's.

    Args:
        program: The plan's steps.
        tables: The same as for `ascend`.
        values: From `ascend`, shape (arena rows, batch) or (arena rows, 1).
        root: Flow of the root, shape (batch,); with ``values`` of one column, any number of draws
            of that row.
        wanted: Selects the rule that divides a sum's flow among its operands.
        generator: Random numbers for draws.
    """
    flows = values.new_zeros(len(values), len(root))
    flows[-1] = root
    single = wanted is not Wanted.POSTERIOR
    walk = _Descent(tables, values, flows, _RULES[wanted], single, generator)
    for step in reversed(program.steps):
        if isinstance(step, ProductStep):
            walk.product(step)
        elif isinstance(step, BagStep):
            walk.bag(step)
        elif isinstance(step, DenseStep):
            walk.dense(step)
    return flows


@dataclass(frozen=True, eq=False)
class _Descent:
    tables: Tables
    values: Tensor
    flows: Tensor
    share: Share
    single: bool
    """Whether at most one unit of a node has a flow: a tree visits each scope once."""
    generator: torch.Generator | None

    def product(self, step: ProductStep) -> None:
        """All operands get the product's flow."""
        row = step.start
        below = self.flows[: step.start]  # shows torch that it does not overlap with rows
        for rows, factors in step.parts:
            for factor in factors:
                below.index_add_(0, factor, self.flows[row : row + rows])
            row += rows

    def bag(self, step: BagStep) -> None:
        """Divide the flows of rows of one unit."""
        row, edge = step.start, 0
        for terms in bag_terms(step, self.tables, self.values):
            rows, fan_in = terms.shape[:2]
            flow = self.flows[row : row + rows]
            edges = step.source[edge : edge + rows * fan_in]
            self.flows.index_add_(0, edges, self.share(terms, flow, self.generator).flatten(0, 1))
            row, edge = row + rows, edge + rows * fan_in

    def dense(self, step: DenseStep) -> None:
        """Divide the flows of rows of several units over the same operands."""
        below = self.values.index_select(0, step.source).view(step.rows, step.fan_in, -1)
        flow = self.flows[step.start : step.stop].view(step.rows, step.units, self.flows.shape[1])
        weight = self.tables.dense[step.number].log()
        if self.single:
            given = self.share(below + _of_unit(weight, flow), flow.sum(1), self.generator)
        else:
            given = torch.zeros_like(below)
            for unit in range(weight.shape[1]):
                terms = below + weight[:, unit].unsqueeze(-1)
                given += self.share(terms, flow[:, unit], self.generator)
        self.flows.index_add_(0, step.source, given.flatten(0, 1))


def _of_unit(weight: Tensor, flow: Tensor) -> Tensor:
    """The weights of the unit that has the flow, shape (rows, fan-in, batch)."""
    unit = flow.argmax(1)
    rows = torch.arange(len(unit), device=unit.device).unsqueeze(1)
    return weight[rows, unit].transpose(1, 2)


def _in_proportion(terms: Tensor, flow: Tensor, _generator: torch.Generator | None) -> Tensor:
    top = finite(terms.amax(1, keepdim=True))
    parts = (terms - top).exp_()
    total = parts.sum(1)
    return parts.mul_(torch.where(total > 0.0, flow / total, 0.0).unsqueeze(1))


def _drawn(terms: Tensor, flow: Tensor, generator: torch.Generator | None) -> Tensor:
    """One operand by the Gumbel-max trick: the largest logarithm after adding noise."""
    shape = (*terms.shape[:2], flow.shape[-1])
    noise = terms.new_empty(shape).exponential_(generator=generator)
    return _best(terms - noise.clamp_min_(torch.finfo(terms.dtype).tiny).log_(), flow, None)


def _best(terms: Tensor, flow: Tensor, _generator: torch.Generator | None) -> Tensor:
    choice = terms.argmax(1, keepdim=True)
    return torch.zeros_like(terms).scatter_(1, choice, flow.unsqueeze(1))


_RULES: dict[Wanted, Share] = {
    Wanted.POSTERIOR: _in_proportion,
    Wanted.DRAWS: _drawn,
    Wanted.BEST: _best,
}
