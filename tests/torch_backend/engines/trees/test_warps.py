"""Trees in warps against the definition: the stages' tables, evaluated row by row in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import pccompiler as pc
from pccompiler.ir import Builder, Circuit
from pccompiler.ir.plan.plan import Plan
from pccompiler.passes import plan
from pccompiler.structures import naive_bayes_mixture
from pccompiler.torch_backend.engines.base import NoMatch
from pccompiler.torch_backend.engines.trees.lanes import OPERAND, WARP, Field
from pccompiler.torch_backend.engines.trees.match import Child
from pccompiler.torch_backend.engines.trees.warps import Arrangement, Stage, arrange

Float = NDArray[np.float64]


def run(trees: Arrangement, weights: dict[int, Float], row: NDArray[np.int64]) -> Float:
    """Values of the roots for one row, using only the tables."""
    lanes = np.zeros((trees.units**2 + 4 * trees.units, trees.lanes))
    for group, (rows, component, lane) in trees.slots().items():
        for r, c, at in zip(rows.tolist(), component.tolist(), lane.tolist(), strict=True):
            entries = weights[group][r].ravel()
            lanes[c : c + len(entries), at] = entries
    pieces: dict[int, Float] = {}
    roots = np.zeros(trees.roots)
    first = 0
    for stage in trees.stages:
        run_stage(trees, stage, lanes[:, first : first + stage.weight.size], row, pieces, roots)
        first += stage.weight.size
    return roots


def run_stage(
    trees: Arrangement,
    stage: Stage,
    lanes: Float,
    row: NDArray[np.int64],
    pieces: dict[int, Float],
    roots: Float,
) -> None:
    k = trees.units
    for warp in range(stage.weight.shape[0]):
        values: dict[int, Float] = {}
        order = np.argsort(stage.table[Field.LEVEL, warp], kind="stable")
        for lane in (int(at) for at in order if stage.table[Field.LEVEL, warp, at] >= 0):
            entry, own = stage.table[:, warp, lane], lanes[:, warp * WARP + lane]
            p = np.ones(k)
            for side in range(2):
                kind, column, source = entry[Field.KIND + OPERAND * side :][:3].tolist()
                if kind == Child.LANE:
                    p = p * values[column]
                elif kind == Child.PIECE:
                    p = p * pieces[source]
                elif kind == Child.LEAF:
                    table = own[k * k + 2 * k * side :][: 2 * k].reshape(k, 2)
                    p = p * table[:, row[source]]
            weight = stage.weight[warp, lane]
            square = own[: k * k].reshape(k, k)
            values[lane] = p if weight == -1 else square @ p
            if entry[Field.ROOT] >= 0:
                roots[entry[Field.ROOT]] = values[lane][0]
            elif entry[Field.PARENT] < 0:
                pieces[int(entry[Field.PIECE])] = values[lane]


def random_weights(plan: Plan, rng: np.random.Generator) -> dict[int, Float]:
    """Group to weights in plan order; groups have one use per layer, in order."""
    return {
        number: rng.dirichlet(np.ones(group.columns), (len(group.weights), group.rows))
        for number, group in enumerate(plan.groups)
    }


def layer_by_layer(plan: Plan, weights: dict[int, Float], row: NDArray[np.int64]) -> Float:
    """Values of the last dense layer's rows, following the plan's layers."""
    seen = dict.fromkeys(weights, 0)
    values: list[Float] = []
    for number, layer in enumerate(plan.layers):
        if layer.variables is not None:
            values.append(np.eye(2)[row[layer.variables]])
            continue
        parts: list[Float] = []
        for operands in layer.operands:
            flat = np.zeros(
                (operands.arity * operands.rows, values[operands.sources[0].layer].shape[1])
            )
            for source in operands.sources:
                flat[source.positions] = values[source.layer][source.rows]
            parts.append(np.prod(flat.reshape(operands.arity, operands.rows, -1), axis=0))
        below = np.concatenate(parts)
        if layer.kind.keyword == "product":
            values.append(below)
        elif layer.kind.keyword == "sum":
            own = weights[layer.group][seen[layer.group] :][: layer.rows]
            seen[layer.group] += layer.rows
            values.append(np.einsum("rij,rj->ri", own, below))
        elif number == len(plan.layers) - 1:
            return values[-1][:, 0]
    return values[-1][:, 0]


@settings(max_examples=25, deadline=None)
@given(
    variables=st.integers(2, 70),
    replicas=st.integers(1, 3),
    units=st.integers(2, 4),
    splits=st.integers(2, 3),
    seed=st.integers(0, 99),
)
def test_stages_compute_what_layers_compute(
    variables: int, replicas: int, units: int, splits: int, seed: int
) -> None:
    made = plan(pc.rat_spn(variables, replicas, units, seed=seed))
    rng = np.random.default_rng(seed + splits)
    weights = random_weights(made, rng)
    trees = arrange(made)
    for row in rng.integers(0, 2, (2, variables)):
        want = layer_by_layer(made, weights, row)
        np.testing.assert_allclose(run(trees, weights, row), want, rtol=1e-12)


def test_tables_keep_what_kernels_rely_on() -> None:
    trees = arrange(plan(pc.rat_spn(300, 4, 5, seed=1)))
    for stage in trees.stages:
        table = stage.table
        busy = table[Field.LEVEL] >= 0
        assert table[Field.LEVEL].max() == stage.depth <= 8
        for warp, lane in np.argwhere(busy & (table[Field.PARENT] >= 0)).tolist():
            parent = table[Field.PARENT, warp, lane]
            assert table[Field.LEVEL, warp, parent] > table[Field.LEVEL, warp, lane]
        entries = table[Field.ENTRY][busy & (table[Field.PARENT] < 0)]
        assert entries.max() + 1 == stage.entries
        for side in (0, 3):  # no two lanes of a warp share a column of leaf tables
            leaf = table[Field.KIND + side] == Child.LEAF
            for columns, of_leaf in zip(table[Field.COLUMN + side], leaf, strict=True):
                assert len(set(columns[of_leaf].tolist())) == of_leaf.sum()


def product_of_sums() -> Circuit:
    b = Builder()
    sums = [b.sum([b.indicator(b.binary(name))], 1) for name in "xy"]
    return b.build(b.product(sums))


@pytest.mark.parametrize(
    ("circuit", "why"),
    [
        (lambda: pc.hmm(5, 3), "differ in units|several readers|not binary"),
        (lambda: naive_bayes_mixture(5, 4), "regions differ in units"),
        (product_of_sums, "the root is not a sum"),
    ],
)
def test_other_plans_are_retrees_with_a_reason(circuit: object, why: str) -> None:
    made: Circuit = circuit()  # type: ignore[operator]
    with pytest.raises(NoMatch, match=why):
        arrange(plan(made))
