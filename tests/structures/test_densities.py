"""Densities of ready-made structures, against textbook algorithms and total mass."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Direct, Kind, Variable, binary, categorical, real
from pccompiler.ir.arrays import Float
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.passes import findings, plan
from pccompiler.structures import hmm, naive_bayes_mixture, rat_spn
from pccompiler.testing import random_weights, total_mass, with_values, worlds

Golden = Callable[[str], None]


def valued(circuit: Circuit, seed: int = 0, *, zeros: bool = False) -> Circuit:
    return with_values(circuit, random_weights(circuit, seed, zeros=zeros))


def evaluate(circuit: Circuit, x: Float) -> Float:
    lowered = plan(circuit.replace(generator=Direct(floor=0.0)), dtype="float64")
    return np.exp(log_likelihood(lowered, by_group(lowered, circuit.weights.values), x))


def mass(circuit: Circuit) -> float:
    return math.fsum(evaluate(circuit, worlds(circuit)))


@pytest.mark.parametrize("n", range(1, 15))
def test_total_mass_of_region_trees_with_zeros(n: int) -> None:
    for depth, leaf in ((None, "auto"), (0, "categorical"), (2, "bernoulli")):
        circuit = valued(rat_spn(n, 2, 2, seed=n, depth=depth, leaf=leaf), n, zeros=True)
        assert mass(circuit) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_total_mass_of_mixtures_and_chains(n: int) -> None:
    for circuit in (naive_bayes_mixture(n, 3), hmm(n, 2, homogeneous=False), hmm(n, 1)):
        assert mass(valued(circuit, n)) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_total_mass_by_the_definition(n: int) -> None:
    for circuit in (rat_spn(n, 2, 2), hmm(n, 2), naive_bayes_mixture(n, 2)):
        assert total_mass(valued(circuit, n)) == pytest.approx(1.0, rel=1e-14)


def emissions(circuit: Circuit) -> list[int]:
    """Weight ids of the inputs, by variable."""
    inputs = np.flatnonzero(circuit.kind == Kind.INPUT)
    return [
        int(circuit.weight[inputs[circuit.variable[inputs] == v][0]])
        for v in range(len(circuit.variables))
    ]


def transitions(circuit: Circuit) -> list[int]:
    """Weight ids of sums with several units, first step first (the last one is built first)."""
    sums = np.flatnonzero((circuit.kind == Kind.SUM) & (np.arange(len(circuit)) != circuit.root))
    return [int(weight) for weight in circuit.weight[sums][::-1]]


def normal(x: float, table: Float) -> Float:
    mean, deviation = table[:, 0], table[:, 1]
    result: Float = np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (
        deviation * math.sqrt(2 * math.pi)
    )
    return result


def paths(circuit: Circuit, row: Float, states: int) -> float:
    """The sum over all hidden paths: the definition of a hidden Markov model."""
    values = circuit.weights.values
    start = values[int(circuit.weight[circuit.root])][0]
    step = [values[w] for w in transitions(circuit)]
    real_valued = not circuit.variables[0].discrete
    emit = [
        normal(x, values[w]) if real_valued else values[w][:, int(x)]
        for w, x in zip(emissions(circuit), row.tolist(), strict=True)
    ]
    total = 0.0
    for path in itertools.product(range(states), repeat=len(row)):
        weight = start[path[0]] * math.prod(e[s] for e, s in zip(emit, path, strict=True))
        moves = zip(step, itertools.pairwise(path), strict=True)
        total += weight * math.prod(t[i, j] for t, (i, j) in moves)
    return total


@pytest.mark.parametrize("homogeneous", [True, False])
@pytest.mark.parametrize(
    "variables",
    [[categorical(f"t{i}", 3) for i in range(4)], [real(f"t{i}") for i in range(4)]],
    ids=["categorical", "gaussian"],
)
def test_hmm_sums_over_all_paths(variables: Sequence[Variable], homogeneous: bool) -> None:
    circuit = valued(hmm(variables, 3, homogeneous=homogeneous), 5)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (6, 4)).astype(np.float64)
    x += rng.normal(size=x.shape) * (not variables[0].discrete)
    want = [paths(circuit, row, 3) for row in x]
    np.testing.assert_allclose(evaluate(circuit, x), want, rtol=1e-12)


def test_hmm_may_mix_domains_if_inhomogeneous() -> None:
    circuit = hmm([binary("a"), categorical("b", 4), real("c")], 2, homogeneous=False)
    assert findings(circuit) == ()


def test_mixture_of_domains_equals_its_formula() -> None:
    circuit = valued(naive_bayes_mixture([binary("a"), real("h"), categorical("c", 3)], 4), 2)
    tables = circuit.weights.values
    a, h, c = (tables[w] for w in emissions(circuit))
    top = tables[int(circuit.weight[circuit.root])][0]
    x = np.array([[0, 0.5, 2], [1, -1.0, 0], [1, 3.0, 1]])
    want = [float((top * a[:, int(i)] * normal(v, h) * c[:, int(j)]).sum()) for i, v, j in x]
    np.testing.assert_allclose(evaluate(circuit, x), want, rtol=1e-12)


def test_a_missing_real_value_integrates_to_one() -> None:
    circuit = valued(naive_bayes_mixture([real("g"), real("h")], 3), 1)
    grid = np.linspace(-30.0, 30.0, 20_001)
    seen = evaluate(circuit, np.stack([np.full_like(grid, 0.25), grid], axis=1))
    missing = evaluate(circuit, np.array([[0.25, np.nan]]))
    assert np.trapezoid(seen, grid) == pytest.approx(missing[0], rel=1e-10)  # the rule's own error


def test_each_replica_splits_all_variables() -> None:
    circuit = rat_spn(11, 4, 2, seed=3)
    replicas = circuit.operands_of(circuit.root).tolist()
    assert len(set(replicas)) == 4
    assert all(len(circuit.scopes.variables(node)) == 11 for node in replicas)
    below = [circuit.operands_of(int(circuit.operands_of(node)[0])) for node in replicas]
    halves = {tuple(circuit.scopes.variables(int(pair[0])).tolist()) for pair in below}
    assert len(halves) == 4  # each replica has its own order


def test_the_last_region_of_an_odd_level_joins_the_last_pair() -> None:
    circuit = rat_spn(7, 1, 2)
    arity = circuit.fan_in[circuit.kind == Kind.PRODUCT].tolist()
    assert sorted(arity) == [2, 2, 3, 3]  # 7 -> 2 + 2 + 3 -> 3


@pytest.mark.parametrize(("depth", "sizes"), [(0, [8]), (1, [4, 4]), (2, [2] * 4), (3, [2] * 4)])
def test_leaf_regions_factorize(depth: int, sizes: list[int]) -> None:
    circuit = rat_spn(8, 1, 3, depth=depth)
    products = np.flatnonzero(circuit.kind == Kind.PRODUCT)
    lowest = products[circuit.levels[products] == circuit.levels[products].min()]
    assert circuit.fan_in[lowest].tolist() == sizes


def test_errors(golden: Golden) -> None:
    attempts: list[Callable[[], Circuit]] = [
        lambda: rat_spn([]),
        lambda: rat_spn(4, 1, 0),
        lambda: rat_spn(4, -3),
        lambda: hmm(0, 2),
        lambda: hmm(3, 0),
        lambda: hmm([binary("a"), real("b")], 2),
        lambda: naive_bayes_mixture(0, 2),
        lambda: naive_bayes_mixture(3, 0),
        lambda: naive_bayes_mixture(3, 2, leaf="beta"),
        lambda: rat_spn([binary("a"), binary("a")]),
        lambda: rat_spn([binary("a"), real("b")], leaf="indicator"),
        lambda: rat_spn(3, leaf="gaussian"),
        lambda: hmm([categorical("a", 3)], 2, leaf="bernoulli"),
        lambda: hmm(2, 2, leaf="indicator"),
        lambda: naive_bayes_mixture(2, 3, leaf="indicator"),
    ]
    messages: list[str] = []
    for attempt in attempts:
        with pytest.raises(OptionError) as caught:
            attempt()
        (finding,) = caught.value.diagnostics
        messages.append(f"{finding.code}: {finding.message}\n  {finding.help}")
    golden("\n".join(messages))
