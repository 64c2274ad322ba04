"""Sums of low rank and Monarch sums: hidden Markov models against the forward algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import pccompiler as pc
from pccompiler.errors import OptionError
from pccompiler.ir import Builder, categorical, parse, to_text
from pccompiler.passes import findings, plan
from pccompiler.structures import hmm, low_rank_sums, monarch_sums
from pccompiler.testing import random_weights

Float = NDArray[np.float64]
LENGTH, STATES, VALUES = 5, 6, 3
FACTORS: list[dict[str, Any]] = [{"rank": 2}, {"blocks": 2}, {"blocks": 3}, {"blocks": 1}]


def made(homogeneous: bool, **factors: Any) -> pc.Circuit:
    variables = [categorical(f"x{i}", VALUES) for i in range(LENGTH)]
    circuit = hmm(variables, STATES, homogeneous=homogeneous, **factors)
    return circuit.with_values(random_weights(circuit, 0))


def transition(circuit: pc.Circuit, nodes: list[int], blocks: int | None) -> Float:
    """The matrix of a step: from its nodes, those of the second factor first."""
    values = circuit.weights.values
    second = [values[int(circuit.weight[node])] for node in nodes]
    if blocks is None:
        (outer,) = second
        (inner,) = (int(o) for o in circuit.operands_of(nodes[0]))
        return outer @ values[int(circuit.weight[inner])]
    width = STATES // blocks
    first = [values[int(circuit.weight[int(o)])] for o in circuit.operands_of(nodes[0])]
    found = np.zeros((STATES, STATES))
    for i, mixed in enumerate(second):
        for j, block in enumerate(first):
            rows, columns = (slice(n * width, (n + 1) * width) for n in (i, j))
            found[rows, columns] = mixed[:, j, None] * block
    return found


def by_hand(circuit: pc.Circuit, x: Float, blocks: int | None) -> Float:
    """Log-likelihoods by the backward recursion over hidden states."""
    values = circuit.weights.values
    number = blocks or 1
    variable = circuit.variable
    emissions = [
        np.concatenate([values[int(circuit.weight[n])] for n in np.flatnonzero(variable == step)])
        for step in range(LENGTH)
    ]
    root = circuit.root
    start = values[int(circuit.weight[root])][0]
    products = [int(o) for o in circuit.operands_of(root)]
    rest = np.ones((len(x), STATES))
    matrices: list[Float] = []
    for _ in range(LENGTH - 1):
        steps = [int(circuit.operands_of(product)[1]) for product in products]
        matrices.append(transition(circuit, steps, blocks))
        below = [int(o) for o in circuit.operands_of(steps[0])]
        inner = below if blocks is not None else [below[0]]
        products = [int(circuit.operands_of(node)[0]) for node in inner]
    assert len(products) == number
    for step in reversed(range(LENGTH)):
        if step < LENGTH - 1:
            rest = rest @ matrices[step].T
        rest = rest * emissions[step][:, x[:, step].astype(int)].T
    found: Float = np.log(rest @ start)
    return found


@pytest.mark.parametrize("homogeneous", [True, False])
@pytest.mark.parametrize("factors", FACTORS, ids=str)
def test_the_forward_algorithm_agrees(factors: dict[str, Any], homogeneous: bool) -> None:
    circuit = made(homogeneous, **factors)
    assert findings(circuit) == ()
    x = np.random.default_rng(0).integers(0, VALUES, (20, LENGTH)).astype(np.float64)
    model = pc.compile(circuit, dtype="float64")
    found = model.log_likelihood(x).detach().cpu().numpy()
    np.testing.assert_allclose(found, by_hand(circuit, x, factors.get("blocks")), rtol=1e-9)
    assert parse(to_text(circuit)) == circuit


@pytest.mark.parametrize("factors", FACTORS, ids=str)
def test_they_train(factors: dict[str, Any]) -> None:
    variables = [categorical(f"x{i}", VALUES) for i in range(LENGTH)]
    circuit = hmm(variables, STATES, **factors)
    x = torch.from_numpy(np.random.default_rng(0).integers(0, VALUES, (50, LENGTH))).float()
    x[:, 1:] = x[:, :1]
    for number in range(2):
        model = pc.compile(circuit, seed=0)
        before = model.log_likelihood(x).mean().item()
        if number == 0:
            pc.fit(model, x, steps=100, learning_rate=0.1, progress=False)
        else:
            pc.fit_em(model, x, iterations=20, progress=False)
        assert model.log_likelihood(x).mean().item() > before + 0.1
        assert float(model.log_partition().abs()) < 1e-5


def test_they_cost_less() -> None:
    """A multiplication and an addition for each weight of seven steps."""
    options: list[dict[str, Any]] = [{}, {"rank": 4}, {"blocks": 8}]
    dense, low, monarch = (plan(hmm(8, 64, **each)).cost(1).flops for each in options)
    assert dense - low == 2 * 7 * (64 * 64 - 2 * 64 * 4)
    assert dense - monarch == pytest.approx(2 * 7 * (64 * 64 - 64 * (8 + 8)), rel=0.03)


def test_nodes_and_shared_weights() -> None:
    b = Builder([categorical(f"x{i}", 3) for i in range(2)])
    leaves = [b.categorical(0, units=4), b.categorical(0, units=4)]
    low = low_rank_sums(b, [leaves], 5, 2)
    again = low_rank_sums(b, [leaves], 5, 2, weights=low.weights)
    mixed = monarch_sums(b, leaves)
    twice = monarch_sums(b, mixed.nodes, weights=mixed.weights)
    assert b.units_of(low.nodes).tolist() == [5]
    assert b.units_of(mixed.nodes).tolist() == [4, 4]
    for one, other in ((low, again), (mixed, twice)):
        for mine, yours in zip(one.weights, other.weights, strict=True):
            assert mine.tolist() == yours.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 2, "blocks": 2}, "either of low rank or a Monarch matrix"),
        ({"blocks": 4}, "6 states cannot be cut into 4 blocks"),
        ({"blocks": 0}, "blocks"),
        ({"rank": 0}, "rank"),
    ],
)
def test_impossible_factors_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        hmm(4, STATES, **options)
