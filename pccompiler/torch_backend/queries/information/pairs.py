"""Sums over all worlds of functions of two models: inner products and cross-entropies.

Values of pairs of units are ``(l, e)``: a logarithm, and a mean under it. For the inner product
``l`` is the logarithm of the integral of both units' product. For the cross-entropy ``l`` is that
of the mass of ``p``'s unit where ``q``'s is positive, and ``e`` the mean of ``log q`` there: since
``q`` is deterministic, the logarithm of a sum is, in each world, that of its only positive term.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pccompiler.errors import CircuitError
from pccompiler.ir.arrays import Int
from pccompiler.options import whole
from pccompiler.torch_backend.engines.arena.program import (
    BagStep,
    DenseStep,
    InputStep,
    Program,
    program_of,
)
from pccompiler.torch_backend.engines.arena.tables import Tables, tables_of
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.queries.expectations.model_leaves import leaves_of
from pccompiler.torch_backend.queries.expectations.store import Store
from pccompiler.torch_backend.queries.information.factor import Side
from pccompiler.torch_backend.queries.information.pair_graph import Level, PairGraph
from pccompiler.torch_backend.values import finite, ratio, safe_log

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator

LeafPair = Callable[[Units, Units], tuple[Tensor, Tensor]]
MOST_PAIRS = 5_000_000


class Model:
    """A model's weights in one vector, in float64, and its leaves."""

    def __init__(self, model: Evaluator) -> None:
        self.program = program_of(model.plan, model.device)
        weights, given = model.weights()
        self.leaves = leaves_of(model, weights, given)
        nothing = next(model.parameters()).new_full((1, len(model.circuit.variables)), torch.nan)
        inputs = model.leaf_inputs(nothing, given)
        self.weights = _flat(self.program, tables_of(model.plan, self.program, inputs, weights))
        steps = [step for step in self.program.steps if isinstance(step, InputStep)]
        self.numbers = np.array([step.number for step in steps], np.int64)
        self.starts = np.array([step.start for step in steps], np.int64)
        self.stops = np.array([step.stop for step in steps], np.int64)

    def supports(self) -> dict[int, list[int]]:
        """States of positive probability of each leaf, as bit sets, by input layer."""
        found: dict[int, list[int]] = {}
        for number, leaves in self.leaves.items():
            if leaves.table is None:
                found[number] = [-1] * len(leaves.parameters)
                continue
            packed = np.packbits(leaves.table[:, 0].detach().cpu().numpy() > 0.0, 1, "little")
            found[number] = [int.from_bytes(row.tobytes(), "little") for row in packed]
        return found

    def locate(self, units: Int) -> tuple[Int, Int]:
        """The input layer of each leaf, and its position there."""
        step = np.searchsorted(self.stops, units, side="right")
        return self.numbers[step], units - self.starts[step]


def _flat(program: Program, tables: Tables) -> Tensor:
    """Weights of bags, then of dense sums, row by row; float32 rows are normalized again."""
    dense = [tables.dense[s.number] for s in program.steps if isinstance(s, DenseStep)]
    parts = [_bags(program, tables.edges)]
    for table in dense:
        wide = table.double()
        parts.append((wide / wide.sum(-1, keepdim=True)).flatten())
    return torch.cat(parts)


def _bags(program: Program, edges: Tensor) -> Tensor:
    """Weights of bags, each row divided by its sum."""
    wide = edges.double()
    pieces: list[Tensor] = []
    start = 0
    for step in program.steps:
        for rows, fan_in in step.parts if isinstance(step, BagStep) else []:
            table = wide[start : start + rows * fan_in].view(rows, fan_in)
            pieces.append((table / table.sum(1, keepdim=True)).flatten())
            start += rows * fan_in
    return torch.cat(pieces) if pieces else wide


def evaluate(
    p: Evaluator,
    q: Evaluator,
    leaf: LeafPair,
    *,
    logarithm: bool,
    most_pairs: int = MOST_PAIRS,
    some: bool = False,
) -> tuple[Tensor, Tensor]:
    """``(l, e)`` of both roots, scalars without the circuits' scales.

    Args:
        p: The first model.
        q: The second, over the same variables.
        leaf: ``(l, e)`` of pairs of leaves.
        logarithm: Whether sums of ``q`` select one operand in each world and add the logarithm of
            its weight to ``e``; otherwise their weights multiply, as those of ``p`` do.
        most_pairs: The most pairs of units.
        some: Whether ``q`` may be over some variables of ``p`` only; the others are summed out.

    Raises:
        CircuitError: If the variables differ, the circuits are not compatible, or there are too
            many pairs.
    """
    left, right = Model(p), Model(q)
    names = [variable.name for variable in p.circuit.variables]
    bits = _bits(p, q, some)
    graph = PairGraph(
        Side(p, list(range(len(names))), left.weights.detach().cpu().numpy(), left.supports()),
        Side(q, bits, right.weights.detach().cpu().numpy(), right.supports()),
        names,
        whole("most_pairs", most_pairs, 0),
    )
    found_pairs = graph.run((left.program.rows - 1, right.program.rows - 1))
    if found_pairs is None:
        nothing = left.weights.new_full((), -torch.inf)
        return nothing, torch.zeros_like(nothing)
    levels, starts = found_pairs
    store = Store(starts)
    for level in levels:
        found = [
            _leaves(level, left, right, leaf),
            _products(level, store),
            _sums(level, store, left, right, logarithm),
        ]
        logs, values = (torch.cat([x[i] for x in found if x is not None]) for i in (0, 1))
        store.add(logs, values)
    logs, values = store.steps[-1]
    return logs[-1, 0], values[-1, 0, 0]


def _bits(p: Evaluator, q: Evaluator, some: bool) -> list[int]:
    """The position of each of ``q``'s variables among those of ``p``."""
    mine = {v.name: (i, v) for i, v in enumerate(p.circuit.variables)}
    others = {v.name for v in q.circuit.variables}
    odd = sorted(others - mine.keys() if some else mine.keys() ^ others) + sorted(
        v.name for v in q.circuit.variables if v.name in mine and mine[v.name][1] != v
    )
    if odd:
        raise CircuitError.of(
            "PC422",
            f"the two circuits differ in variable {odd[0]!r}",
            notes=[f"{len(odd)} variables differ"],
            help="give both the same variables with the same states; marginalize extra ones",
        )
    return [mine[v.name][0] for v in q.circuit.variables]


def _leaves(
    level: Level, left: Model, right: Model, leaf: LeafPair
) -> tuple[Tensor, Tensor] | None:
    """Pairs of leaves, by pairs of input layers."""
    if not len(level.leaves):
        return None
    (one, i), (two, j) = left.locate(level.leaves[:, 0]), right.locate(level.leaves[:, 1])
    kinds, which = np.unique(np.stack([one, two]), axis=1, return_inverse=True)
    device = left.weights.device
    logs: list[Tensor] = []
    means: list[Tensor] = []
    order: list[Int] = []
    for kind, (a, b) in enumerate(kinds.T.tolist()):
        mine = np.flatnonzero(which.reshape(-1) == kind)
        units = (torch.from_numpy(x[mine]).to(device) for x in (i, j))
        found = leaf(left.leaves[a].pick(next(units)), right.leaves[b].pick(next(units)))
        logs.append(found[0])
        means.append(found[1])
        order.append(mine)
    back = torch.from_numpy(np.argsort(np.concatenate(order), kind="stable")).to(device)
    return torch.cat(logs)[back].unsqueeze(1), torch.cat(means)[back].view(-1, 1, 1)


def _products(level: Level, store: Store) -> tuple[Tensor, Tensor] | None:
    """Disjoint parts: both values are added."""
    if not level.products:
        return None
    logs, values = store.gather(level.product_operand)
    index = torch.from_numpy(np.ascontiguousarray(level.product)).to(logs.device)
    out = logs.new_zeros(level.products, 1).index_add(0, index, logs)
    return out, values.new_zeros(level.products, 1, 1).index_add(0, index, values)


def _sums(
    level: Level, store: Store, left: Model, right: Model, logarithm: bool
) -> tuple[Tensor, Tensor] | None:
    """Sums over pairs in log space; means are mixed by the shares of the terms."""
    if not level.sums:
        return None
    below, values = store.gather(level.operand)
    terms, values = below[:, 0], values[:, 0, 0]
    mine = _weights(left, level.left)
    others = _weights(right, level.right)
    terms = terms + mine + (0.0 if logarithm else others)
    values = values + others if logarithm else values
    index = torch.from_numpy(np.ascontiguousarray(level.sum)).to(terms.device)
    top = terms.new_full((level.sums,), -torch.inf)
    top = finite(top.scatter_reduce(0, index, terms.detach(), "amax"))
    parts = (terms - top[index]).exp()
    total = parts.new_zeros(level.sums).index_add(0, index, parts)
    shares = ratio(parts, total[index])
    mixed = total.new_zeros(level.sums).index_add(0, index, shares * values)
    return (safe_log(total) + top).unsqueeze(1), mixed.view(-1, 1, 1)


def _weights(model: Model, places: Int) -> Tensor:
    """Logarithms of the weights at ``places``; 0 where a place is -1."""
    index = torch.from_numpy(np.ascontiguousarray(places)).to(model.weights.device)
    if not len(model.weights):
        return model.weights.new_zeros(len(places))
    chosen = model.weights[index.clamp_min(0)]
    return chosen.masked_fill(index < 0, 1.0).log()
