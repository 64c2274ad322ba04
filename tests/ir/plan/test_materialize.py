"""Weights from parameters: a plain loop over sectors against the vectorised definition."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.ir import Builder, Circuit, Direct, Generator, Hypernetwork, Sectors, categorical
from pccompiler.ir.arrays import Float
from pccompiler.ir.plan.materialize import by_group, by_weight, materialize
from pccompiler.ir.plan.parameters import Layout, lay_out
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.sectors import partition
from pccompiler.passes import plan
from pccompiler.testing.strategies import circuits

Parameters = dict[str, Float]
SMALL = (4, 3)
NETS = (
    Hypernetwork(hidden=SMALL),
    Hypernetwork(hidden=(), embedding=2),
    Hypernetwork(hidden=SMALL, heads="slice", floor=1e-3),
    Hypernetwork(hidden=SMALL, allocation="reference"),
)


def draw_parameters(layout: Layout, seed: int) -> Parameters:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in layout.shapes.items()}


def softmax(logits: Float, floor: float) -> Float:
    """The documented rule: ``(softmax(z) + floor) / (1 + F floor)``."""
    powers = np.exp(logits)
    rows: Float = powers / powers.sum(axis=1, keepdims=True)
    lifted: Float = (rows + floor) / (1.0 + logits.shape[1] * floor)
    return lifted


def sector_logits(
    lowered: Plan, parameters: Parameters, sector: int, shape: tuple[int, int]
) -> Float:
    """The logits of one sector: its embedding through the perceptron, or its own block."""
    generator, sectors = lowered.generator, lowered.sectors
    assert sectors is not None
    biggest = (int(sectors.rows.max()), int(sectors.columns.max()))
    if isinstance(generator, Direct):
        block: Float = parameters["blocks"][sector]
        return block[: shape[0], : shape[1]]
    assert isinstance(generator, Hypernetwork)
    value = parameters["embedding"][sector]
    for number in range(len(generator.hidden)):
        linear = parameters[f"hidden_{number}_weight"] @ value
        value = np.maximum(linear + parameters[f"hidden_{number}_bias"], 0.0)
    head = "head" if generator.slices else f"head_{shape[0]}x{shape[1]}"
    flat = parameters[f"{head}_weight"] @ value + parameters[f"{head}_bias"]
    whole: Float = flat.reshape(biggest if generator.slices else shape)
    return whole[: shape[0], : shape[1]]


def by_hand(circuit: Circuit, lowered: Plan, parameters: Parameters) -> dict[int, Float]:
    """The generated weights, filled sector by sector."""
    sectors, table = lowered.sectors, circuit.weights
    assert sectors is not None
    flat = {w: np.full(int(table.sizes[w]), np.nan) for w in set(sectors.weight.tolist())}
    for sector, (weight, offset, rows, columns) in enumerate(
        zip(sectors.weight, sectors.offset, sectors.rows, sectors.columns, strict=True)
    ):
        logits = sector_logits(lowered, parameters, sector, (int(rows), int(columns)))
        flat[int(weight)][offset : offset + rows * columns] = logits.ravel()
    return {
        w: softmax(logits.reshape(table.rows[w], table.columns[w]), lowered.floor)
        for w, logits in flat.items()
    }


def lower(circuit: Circuit, policy: Sectors, generator: Generator) -> Plan:
    return plan(partition(circuit, policy).replace(generator=generator))


POLICIES = st.builds(
    Sectors,
    by=st.sampled_from(["block", "rows", "size"]),
    size=st.integers(1, 7),
    mixtures=st.booleans(),
)


@given(
    circuits(max_variables=4, reals=True, values=False),
    POLICIES,
    st.sampled_from([*NETS, Direct(allocation="reference")]),
    st.integers(0, 99),
)
def test_sectors_fill_the_weights(
    circuit: Circuit, policy: Sectors, generator: Generator, seed: int
) -> None:
    lowered = lower(circuit, policy, generator)
    layout = lay_out(lowered)
    parameters = draw_parameters(layout, seed)
    found = by_weight(lowered, materialize(lowered, layout, parameters))
    want = by_hand(circuit, lowered, parameters)
    for weight, table in want.items():
        np.testing.assert_allclose(found[weight], table, rtol=1e-12)
    generated = {int(w) for group in lowered.groups if group.generated for w in group.weights}
    assert generated == set(want)


@given(
    circuits(max_variables=4, reals=True, values=False),
    st.sampled_from([*NETS, Direct(), Direct(floor=1e-3)]),
)
def test_rows_are_distributions_above_the_floor(circuit: Circuit, generator: Generator) -> None:
    lowered = lower(circuit, Sectors(), generator)
    layout = lay_out(lowered)
    weights = materialize(lowered, layout, draw_parameters(layout, 1))
    assert len(weights) == len(lowered.groups)
    for table, group in zip(weights, lowered.groups, strict=True):
        assert table.shape == (len(group.weights), group.rows, group.columns)
        if group.is_simplex:
            np.testing.assert_allclose(table.sum(axis=-1), 1.0, rtol=1e-14)
            assert (table >= lowered.floor / (1.0 + group.columns * lowered.floor)).all()
        elif group.owner == "bernoulli":
            assert ((table > 0.0) & (table < 1.0)).all()
        else:
            assert (table[..., 1] > 0.0).all()


def test_leaf_parameters_by_hand() -> None:
    b = Builder()
    x, y, h = b.binary("x"), b.variable(categorical("y", 3)), b.real("h")
    leaves = [b.bernoulli(x), b.categorical(y), b.gaussian(h)]
    circuit = b.build(b.product(leaves)).replace(generator=Direct(floor=0.0))
    lowered = plan(circuit)
    parameters = {
        "leaf_bernoulli_1x1": np.log([[[3.0]]]),
        "leaf_categorical_1x3": np.log([[[1.0, 2.0, 5.0]]]),
        "leaf_gaussian_1x2": np.array([[[-1.5, np.log(2.0)]]]),
    }
    found = by_weight(lowered, materialize(lowered, lay_out(lowered), parameters))
    np.testing.assert_allclose(found[0], [[0.75]], rtol=1e-15)
    np.testing.assert_allclose(found[1], [[0.125, 0.25, 0.625]], rtol=1e-15)
    np.testing.assert_allclose(found[2], [[-1.5, 2.0]], rtol=1e-15)


def test_huge_logits_do_not_overflow() -> None:
    lowered = plan(pc.rat_spn(2, 1, 2).replace(generator=Direct(floor=0.0)))
    layout = lay_out(lowered)
    huge = {name: np.full(shape, 1e4) for name, shape in layout.shapes.items()}
    for table, group in zip(materialize(lowered, layout, huge), lowered.groups, strict=True):
        np.testing.assert_array_equal(table, np.full(table.shape, 1.0 / group.columns))


@given(circuits())
def test_grouping_and_its_inverse(circuit: Circuit) -> None:
    lowered = plan(circuit)
    given_values = circuit.weights.values
    again = by_weight(lowered, by_group(lowered, given_values))
    assert again.keys() == given_values.keys()
    assert all(np.array_equal(again[w], given_values[w]) for w in again)


PUBLISHED = {  # PAPER.md, table 1: "#par WD" and "#par"
    64: (160_050, 33_115),
    180: (450_050, 91_115),
    500: (1_250_050, 251_115),
    1556: (3_890_050, 779_115),
}


@pytest.mark.parametrize("n", PUBLISHED)
def test_allocated_parameters_equal_the_papers(n: int) -> None:
    circuit = partition(pc.rat_spn(n, 50, 5), Sectors())
    spn, net = (
        lay_out(plan(circuit.replace(generator=generator))).num_parameters
        for generator in (Direct(allocation="reference"), Hypernetwork(allocation="reference"))
    )
    assert (spn, net) == PUBLISHED[n]
    assert spn == 2 * n * 50 * 5**2 + 50
    assert net == 2 * n * 50 * 5 + 1065 + 50


def test_the_amazon_net_is_smaller() -> None:
    circuit = partition(pc.rat_spn(100, 50, 5), Sectors())
    net = Hypernetwork(hidden=(20, 10), allocation="reference")
    assert lay_out(plan(circuit.replace(generator=net))).num_parameters == 50_655  # table 2


def test_used_parameters_are_counted_by_hand() -> None:
    circuit = partition(pc.rat_spn(4, 2, 3), Sectors())
    direct = lay_out(plan(circuit.replace(generator=Direct())))
    # each of 2 replicas: 4 leaves 3x2, 2 inner 3x3, a root 1x3; one mixture 1x2
    assert direct.num_parameters == 2 * (4 * 6 + 2 * 9 + 3) + 2
    net = lay_out(plan(circuit.replace(generator=Hypernetwork())))
    shared = 5 * 20 + 20 + 20 * 20 + 20
    heads = 21 * (3 * 2) + 21 * (3 * 3) + 21 * (1 * 3)
    assert net.num_parameters == 2 * 7 * 5 + shared + heads + 2
    assert sum(prod(shape) for shape in net.shapes.values()) == net.num_parameters
