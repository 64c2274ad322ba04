"""Pack: scalar circuits become vector circuits with the same function, weights and work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.ir import Builder, Circuit, Direct, Hypernetwork, Kind, Sectors, categorical
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.ir.sectors import partition
from pccompiler.passes import plan, verify
from pccompiler.passes.analysis.equivalence import EQUAL, compare
from pccompiler.passes.transforms.pack.pack import Pack
from pccompiler.structures import naive_bayes_mixture
from pccompiler.testing import random_weights, with_values
from pccompiler.testing.scalars import to_scalars
from pccompiler.testing.strategies import circuits
from pccompiler.testing.strategies import rows as random_rows


def units_edges(circuit: Circuit) -> int:
    """Multiplications of one evaluation, by unit; packing must not increase them."""
    widths = circuit.units[circuit.operands]
    owner = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    dense = circuit.kind[owner] == Kind.SUM
    kronecker = circuit.kind[owner] == Kind.KRONECKER
    factor = np.where(dense, circuit.units[owner], 1)
    return int(np.where(kronecker, circuit.units[owner], factor * widths).sum())


def shuffled(circuit: Circuit, seed: int) -> Circuit:
    """The circuit with the operands of each sum, and their columns, in another order."""
    rng = np.random.default_rng(seed)
    operands = circuit.operands.copy()
    values = dict(circuit.weights.values)
    users = np.bincount(circuit.weight[circuit.weight >= 0], minlength=len(circuit.weights))
    for node in np.flatnonzero(circuit.kind == Kind.SUM).tolist():
        if users[circuit.weight[node]] > 1:
            continue
        order = rng.permutation(int(circuit.fan_in[node]))
        here = slice(circuit.pointer[node], circuit.pointer[node + 1])
        operands[here] = operands[here][order]
        values[int(circuit.weight[node])] = values[int(circuit.weight[node])][:, order]
    return circuit.replace(operands=operands).with_values(values)


@given(circuits(max_variables=4))
def test_the_function_is_the_same(circuit: Circuit) -> None:
    scalar = to_scalars(circuit)
    packed = Pack()(scalar)
    assert compare(circuit, packed, "pack") in (EQUAL,) or not all(
        v.discrete for v in circuit.variables
    )
    assert packed.num_nodes <= scalar.num_nodes
    assert units_edges(packed) <= units_edges(scalar)
    assert Pack()(packed) is packed


@given(circuits(max_variables=4), st.integers(0, 9))
def test_operands_of_sums_may_come_in_any_order(circuit: Circuit, seed: int) -> None:
    scalar = shuffled(to_scalars(circuit), seed)
    packed = Pack()(scalar)
    x = random_rows(circuit, 0)
    values = []
    for each in (scalar, packed):
        lowered = plan(each.replace(generator=Direct(floor=0.0)))
        values.append(log_likelihood(lowered, by_group(lowered, each.weights.values), x))
    np.testing.assert_allclose(values[1], values[0], rtol=1e-10, atol=1e-14)  # log 1 is 0


@given(circuits(max_variables=4))
def test_vector_circuits_keep_their_function(circuit: Circuit) -> None:
    packed = Pack()(circuit)
    assert compare(circuit, packed, "pack").startswith((EQUAL, "skipped"))


def grid() -> Circuit:
    b = Builder()
    x = [b.binary(f"x{i}") for i in range(3)]
    left, right = b.bernoulli(x[0], units=3), b.bernoulli(x[1], units=2)
    pairs = b.sum([b.kronecker([left, right])], 4)
    return b.build(b.sum([b.product([pairs, b.bernoulli(x[2], units=4)])], 1))


def mixing() -> Circuit:
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    parts = [b.product([b.bernoulli(x, units=3), b.bernoulli(y, units=3)]) for _ in range(2)]
    return b.build(b.sum([b.mixture(parts)], 1))


WHOLE: dict[str, Callable[[], Circuit]] = {
    "hmm": lambda: pc.hmm(6, 4),
    "tree": lambda: pc.rat_spn(8, 3, 3),
    "odd": lambda: pc.rat_spn(7, 2, 2),
    "naive-bayes": lambda: naive_bayes_mixture(5, 4),
    "categories": lambda: naive_bayes_mixture([categorical(f"x{i}", 3) for i in range(3)], 4),
    "grid": grid,
    "mixing": mixing,
}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("name", WHOLE)
def test_expanded_structures_come_back(name: str, shuffle: bool) -> None:
    circuit = WHOLE[name]()
    circuit = with_values(circuit, random_weights(circuit, 0))
    scalar = to_scalars(circuit)
    packed = Pack()(shuffled(scalar, 0) if shuffle and name != "mixing" else scalar)
    assert packed.num_nodes == circuit.num_nodes < scalar.num_nodes
    assert len(packed.operands) == len(circuit.operands)
    assert sorted(packed.units.tolist()) == sorted(circuit.units.tolist())
    assert compare(circuit, packed, "pack") == EQUAL


def test_shared_weights_stay_shared() -> None:
    circuit = pc.hmm(5, 3)
    circuit = with_values(circuit, random_weights(circuit, 0))
    packed = Pack()(to_scalars(circuit))
    assert len(packed.weights) == len(circuit.weights)


def test_weights_without_values_stay_without() -> None:
    circuit = with_values(pc.rat_spn(4, 2, 2), {})
    valued = with_values(circuit, random_weights(circuit, 0))
    packed = Pack()(to_scalars(valued).with_values({}))
    assert packed.num_nodes == circuit.num_nodes
    assert not packed.weights.values


def test_what_a_scalar_reads_alone_stays_scalar() -> None:
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    leaves = [b.bernoulli(x, [p]) for p in (0.1, 0.2, 0.3)]
    sums = [b.sum(leaves, weights=row) for row in ([0.2, 0.3, 0.5], [0.5, 0.25, 0.25])]
    other = [b.bernoulli(y, [p]) for p in (0.4, 0.7, 0.9)]
    products = [b.product([s, o]) for s, o in zip([*sums, leaves[0]], other, strict=True)]
    circuit = b.build(b.sum(products, weights=[0.25, 0.25, 0.5]))
    packed = Pack()(circuit)  # a product also reads the first leaf, so it cannot be a unit
    assert compare(circuit, packed, "pack") == EQUAL
    assert packed.units.max() == 2
    assert packed.num_nodes == circuit.num_nodes - 3 - 1  # sums, their factors, products; leaves


def test_the_policy_of_sectors_stays() -> None:
    circuit = with_values(pc.rat_spn(4, 2, 2), random_weights(pc.rat_spn(4, 2, 2), 0))
    scalar = to_scalars(circuit).with_values({})
    scalar = partition(scalar, Sectors(by="rows")).replace(generator=Hypernetwork())
    packed = Pack()(scalar)
    assert packed.sectors == Sectors(by="rows")
    assert packed.generator == Hypernetwork()
    verify(packed)
