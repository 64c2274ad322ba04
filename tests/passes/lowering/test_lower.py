"""Plans: what every backend relies on, for any circuit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import pccompiler as pc
from pccompiler.ir import Builder, Circuit, Direct, Family, Kind
from pccompiler.ir.plan.layers import Form, Layer
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.topology import reachable
from pccompiler.passes import plan
from pccompiler.testing import density, random_weights, with_values, worlds
from pccompiler.testing.strategies import circuits


def operand_nodes(lowered: Plan, layer: Layer) -> list[list[int]]:
    """The circuit nodes that each row reads, in order, out of the index arrays."""
    rows: list[list[int]] = [[] for _ in range(layer.rows)]
    first = 0
    for operands in layer.operands:
        flat = np.full(operands.rows * operands.arity, -1)
        for source in operands.sources:
            flat[source.positions] = lowered.layers[source.layer].nodes[source.rows]
        for row, column in enumerate(flat.reshape(operands.arity, operands.rows).T.tolist()):
            rows[first + row] += column
        if layer.kind == Kind.PRODUCT or layer.ragged:
            first += operands.rows  # one below the other; other kinds lie side by side
    return rows


@given(circuits(reals=True, values=False))
def test_layers_say_what_the_circuit_says(circuit: Circuit) -> None:
    lowered = plan(circuit)
    for layer in lowered.layers:
        assert set(circuit.kind[layer.nodes].tolist()) == {layer.kind}
        assert set(circuit.units[layer.nodes].tolist()) == {layer.units}
        wanted = [circuit.operands_of(node).tolist() for node in layer.nodes.tolist()]
        assert operand_nodes(lowered, layer) == (
            wanted if layer.kind != Kind.INPUT else [[]] * layer.rows
        )
        if layer.variables is not None:
            assert layer.variables.tolist() == circuit.variable[layer.nodes].tolist()
            assert set(circuit.family[layer.nodes].tolist()) == {layer.family}
        if layer.index is None:
            assert (circuit.weight[layer.nodes] < 0).all()
    for number, layer in enumerate(lowered.layers):
        uses = [use for use in lowered.uses if use.layer == number]
        weights = [w for use in uses for w in lowered.groups[use.group].weights[use.index].tolist()]
        assert weights == [w for w in circuit.weight[layer.nodes].tolist() if w >= 0]


@given(circuits(reals=True, values=False))
def test_the_order_of_evaluation(circuit: Circuit) -> None:
    lowered = plan(circuit)
    for number, layer in enumerate(lowered.layers):
        assert all(below < number for below in layer.below)
        assert all(
            o.units == lowered.layers[s.layer].units for o in layer.operands for s in o.sources
        )
    top = lowered.layers[-1]
    assert (top.rows, top.units, top.nodes.tolist()) == (1, 1, [circuit.root])
    placed = np.concatenate([layer.nodes for layer in lowered.layers])
    assert sorted(placed.tolist()) == np.flatnonzero(reachable(circuit)).tolist()  # each once


@given(circuits(reals=True, values=False))
def test_a_view_is_a_run_of_rows(circuit: Circuit) -> None:
    for layer in plan(circuit).layers:
        for operands in layer.operands:
            if operands.start is not None:
                (source,) = operands.sources
                number = operands.rows * operands.arity
                assert source.rows.tolist() == list(range(operands.start, operands.start + number))
                assert source.positions.tolist() == list(range(number))


@given(circuits(reals=True, values=False))
def test_every_weight_has_one_place(circuit: Circuit) -> None:
    groups = plan(circuit).groups
    placed = [weight for group in groups for weight in group.weights.tolist()]
    assert sorted(placed) == list(range(len(circuit.weights)))
    assert len({(group.name, group.generated) for group in groups}) == len(groups)


@given(circuits(reals=True, values=False))
def test_log_form_on_request(circuit: Circuit) -> None:
    for layer in plan(circuit, numerics="log").layers:
        assert layer.form == (Form.LINEAR if layer.family == Family.INDICATOR else Form.LOG)
        assert not layer.normalize


@given(circuits(reals=True, values=False))
def test_without_a_floor_nothing_but_indicators_is_linear(circuit: Circuit) -> None:
    for layer in plan(circuit.replace(generator=Direct(floor=0.0))).layers:
        assert layer.form == Form.LOG or layer.lowest == 0.0


@given(circuits(reals=True, values=False))
def test_memory_is_counted(circuit: Circuit) -> None:
    lowered = plan(circuit)
    cost = lowered.cost(batch=3)
    assert cost.all_values == 3 * int(circuit.units[reachable(circuit)].sum())
    largest = max(layer.rows * layer.units for layer in lowered.layers)
    assert 3 * largest <= cost.peak_values <= cost.all_values


@pytest.mark.parametrize("n", [2, 3, 17, 69, 100, 163])
def test_region_trees_need_no_gather_above_the_leaves(n: int) -> None:
    lowered = plan(pc.rat_spn(n, 3, 2))
    for layer in lowered.layers:
        reads_inputs = any(lowered.layers[b].kind == Kind.INPUT for b in layer.below)
        assert reads_inputs or all(o.start is not None for o in layer.operands)


@pytest.mark.parametrize(("n", "layers"), [(16, 11), (1556, 23)])
def test_a_region_tree_is_a_short_list_of_layers(n: int, layers: int) -> None:
    # inputs, leaf sums, a product and a sum for each of floor(log2 n) levels, the mixture
    assert len(plan(pc.rat_spn(n, 2, 2)).layers) == layers == 3 + 2 * int(np.log2(n))


def assert_exact(circuit: Circuit) -> None:
    """The plan of ``circuit`` gives the enumerated density of every world."""
    valued = with_values(circuit, random_weights(circuit, 0))
    every = worlds(valued)
    lowered = plan(valued)
    found = log_likelihood(lowered, by_group(lowered, valued.weights.values), every)
    want = [density(valued, world) for world in every]
    np.testing.assert_allclose(np.exp(found), want, rtol=1e-12)


def test_nodes_of_swapped_operand_widths_are_not_folded() -> None:
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    narrow = [b.bernoulli(v, units=1) for v in (x, y)]
    wide = [b.bernoulli(v, units=2) for v in (x, y)]
    products = [b.kronecker([narrow[0], wide[1]]), b.kronecker([wide[0], narrow[1]])]
    sums = [b.sum(pair, 3) for pair in ([narrow[0], wide[0]], [wide[0], narrow[0]])]
    circuit = b.build(b.sum([*products, *(b.kronecker([s, narrow[1]]) for s in sums)], 1))
    assert_exact(circuit)
    folded = [layer.rows for layer in plan(circuit).layers if layer.kind == Kind.SUM]
    assert folded == [1, 1, 1]


def test_operands_that_skip_a_row_are_gathered() -> None:
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    over_x = [b.bernoulli(x, units=2) for _ in range(3)]
    over_y = [b.bernoulli(y, units=2) for _ in range(2)]
    second = b.sum([over_x[0], over_x[2]], 2)
    first = b.sum(over_x, 2)  # a run of rows: these are ordered from the last layer down
    products = [b.product(pair) for pair in zip((first, second), over_y, strict=True)]
    circuit = b.build(b.sum(products, 1))
    assert_exact(circuit)
    starts = {
        o.arity: o.start
        for layer in plan(circuit).layers
        for o in layer.operands
        if layer.kind == Kind.SUM and layer.units == 2
    }
    assert starts == {3: 2, 2: None}  # rows 0 and 1 are the leaves over y


def test_dead_nodes_are_not_computed() -> None:
    b = Builder()
    x = b.binary("x")
    live, _dead = b.bernoulli(x, [0.25]), b.bernoulli(x, [0.5])
    lowered = plan(b.build(live))
    assert [layer.nodes.tolist() for layer in lowered.layers] == [[live]]
    value = log_likelihood(lowered, [np.array([[[0.25]]])], [[1.0]])
    assert value == pytest.approx(np.log(0.25), rel=1e-15)


def test_a_batch_of_no_rows() -> None:
    circuit = pc.rat_spn(5, 2, 3)
    lowered = plan(circuit)
    weights = by_group(lowered, random_weights(circuit, 0))
    assert log_likelihood(lowered, weights, np.zeros((0, 5))).shape == (0,)


def test_the_summary_is_for_people() -> None:
    lines = plan(pc.rat_spn(4, 2, 3)).summary().splitlines()
    assert lines[0] == "plan: 7 layers, 4 weight groups"
    assert lines[1].split() == ["0", "indicator", "4", "x", "2", "linear"]
    assert lines[3].endswith("<- view 1 (arity 2)")
