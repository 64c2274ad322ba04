"""One EM step equals its definition, by enumeration of induced trees."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.ir import Builder, Circuit, Family, Kind, Variable
from pccompiler.ir.families.builtin.histogram import bin_of
from pccompiler.testing import random_weights, with_values
from pccompiler.testing.families import FAMILIES, PARAMETRIC
from pccompiler.testing.families import family_mixture as mixture
from pccompiler.testing.scalars import to_scalars
from pccompiler.testing.strategies import circuits, rows
from pccompiler.torch_backend import fit_em
from pccompiler.torch_backend.leaves.families.gamma import most_concentration
from pccompiler.torch_backend.leaves.families.negative_binomial import MOST_SUCCESSES
from pccompiler.torch_backend.leaves.fitting.columns import LEAST_RATE, Columns

Use = tuple[int, int, int]
"""Weight, row, column."""
Tree = tuple[list[Use], list[tuple[int, int]]]
"""One choice at each sum: the weights used, and the leaves, as node and unit."""
Seen = dict[tuple[int, int], list[tuple[float, float, int]]]
"""The share, value and variable of each row, by weight and unit."""
MOST_TREES = 400
GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
UPHILL = (Family.GAMMA, Family.NEGATIVE_BINOMIAL)
"""Families without a closed form: an M-step must be as likely as the maximum."""


def trees(circuit: Circuit) -> list[Tree]:
    """All induced trees of a circuit that has few."""
    known: dict[tuple[int, int], list[Tree]] = {}
    for node in range(circuit.num_nodes):
        for unit in range(int(circuit.units[node])):
            found = list(itertools.islice(_trees(circuit, node, unit, known), MOST_TREES + 1))
            if len(found) > MOST_TREES:
                raise OverflowError
            known[node, unit] = found
    return known[circuit.root, 0]


def few_trees(circuit: Circuit) -> bool:
    try:
        trees(circuit)
    except OverflowError:
        return False
    return True


def _trees(
    circuit: Circuit, node: int, unit: int, known: dict[tuple[int, int], list[Tree]]
) -> Iterator[Tree]:
    operands = circuit.operands_of(node).tolist()
    widths = [int(circuit.units[o]) for o in operands]
    weight, kind = int(circuit.weight[node]), circuit.kind[node]
    if kind == Kind.INPUT:
        yield [], [(node, unit)]
    elif kind in (Kind.PRODUCT, Kind.KRONECKER):
        units = [unit] * len(operands)
        if kind == Kind.KRONECKER:
            units = [int(place) for place in np.unravel_index(unit, widths)]
        parts = [known[o, u] for o, u in zip(operands, units, strict=True)]
        for choice in itertools.product(*parts):
            uses = [use for tree in choice for use in tree[0]]
            yield uses, [leaf for tree in choice for leaf in tree[1]]
    else:
        below = [(o, u) for o, w in zip(operands, widths, strict=True) for u in range(w)]
        if kind == Kind.MIXTURE:
            below = [(o, unit) for o in operands]
        for column, operand in enumerate(below):
            for uses, inputs in known[operand]:
                yield [(weight, unit, column), *uses], inputs


def leaf_log(circuit: Circuit, leaf: tuple[int, int], x: float) -> float:
    node, unit = leaf
    family = circuit.family_of(node)
    if np.isnan(x):
        return 0.0
    if family == Family.INDICATOR:
        return 0.0 if x == unit else -np.inf
    variable = circuit.variables[int(circuit.variable[node])]
    table = circuit.weights.values[int(circuit.weight[node])][None, [unit]]
    return float(family.log_density(table, np.array([[[x]]]), [variable])[0, 0, 0])


def one_step(circuit: Circuit, x: np.ndarray) -> tuple[dict[tuple[int, int], np.ndarray], Seen]:
    """The definition: posteriors of all trees, then weighted maximum likelihood, unit by unit."""
    counts: dict[Use, float] = defaultdict(float)
    seen: Seen = defaultdict(list)
    all_trees, values = trees(circuit), circuit.weights.values
    for row in x:
        with np.errstate(divide="ignore"):
            logs = [
                sum(np.log(values[w][r, c]) for w, r, c in uses)
                + sum(leaf_log(circuit, leaf, row[circuit.variable[leaf[0]]]) for leaf in inputs)
                for uses, inputs in all_trees
            ]
        posterior = np.exp(np.array(logs) - np.logaddexp.reduce(logs))
        for share, (uses, inputs) in zip(posterior.tolist(), all_trees, strict=True):
            for use in uses:
                counts[use] += share
            for node, unit in inputs:
                variable, weight = int(circuit.variable[node]), int(circuit.weight[node])
                if weight >= 0 and not np.isnan(row[variable]):
                    seen[weight, unit].append((share, row[variable], variable))
    return maximised(circuit, x, counts, seen), seen


def maximised(
    circuit: Circuit,
    x: np.ndarray,
    counts: dict[Use, float],
    seen: Seen,
) -> dict[tuple[int, int], np.ndarray]:
    result: dict[tuple[int, int], np.ndarray] = {}
    columns = Columns(x, circuit.variables)
    for node in range(circuit.num_nodes):
        weight = int(circuit.weight[node])
        if weight < 0:
            continue
        for unit, old in enumerate(circuit.weights.values[weight]):
            if circuit.kind[node] != Kind.INPUT:
                new = np.array([counts[weight, unit, c] for c in range(len(old))])
                result[weight, unit] = new / new.sum() if new.sum() > 0 else old
            else:
                family = circuit.family_of(node)
                found = np.array(seen[weight, unit]).reshape(-1, 3)
                pool = tuple(np.unique(circuit.variable[circuit.weight == weight]).tolist())
                number = columns.pool(pool)
                limits = columns.least(number), most_concentration(columns, number)
                result[weight, unit] = (
                    fitted(family, circuit, found, old, *limits) if found[:, 0].sum() > 0 else old
                )
    return result


def uphill(family: Family, circuit: Circuit, found: np.ndarray, most: float) -> np.ndarray:
    """By golden sections over the first parameter; given it, the mean is that of the values."""
    share, value, _ = found.T
    total = share.sum()
    mean = max(share @ value / total, LEAST_RATE if family == Family.NEGATIVE_BINOMIAL else 0.0)

    def unit(log_first: float) -> np.ndarray:
        first = np.exp(log_first)
        return np.array([first, first / mean if family == Family.GAMMA else first / (first + mean)])

    if family == Family.NEGATIVE_BINOMIAL:
        most = MOST_SUCCESSES * max(mean, 1.0)
    low, high = np.log(1e-6), np.log(most)
    for _ in range(100):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if expected(family, circuit, found, unit(left)) < expected(
            family, circuit, found, unit(right)
        ):
            low = left
        else:
            high = right
    return unit(0.5 * (low + high))


def expected(family: Family, circuit: Circuit, found: np.ndarray, unit: np.ndarray) -> float:
    """The mean log-density of weighted values."""
    share, value, variable = found[found[:, 0] > 0.0].T
    some = circuit.variables[int(variable[0])]
    logs = family.log_density(unit[None, None], value[None, None], [some])[0, 0]
    return float(share @ logs / share.sum())


def fitted(
    family: Family,
    circuit: Circuit,
    found: np.ndarray,
    old: np.ndarray,
    least: float,
    most: float,
) -> np.ndarray:
    """Weighted maximum likelihood; ``found`` has the share, value and variable of each row."""
    share, value, variable = found.T
    total = share.sum()
    if family in (Family.BERNOULLI, Family.POISSON):
        mean = share @ value / total
        return np.array([max(mean, LEAST_RATE) if family == Family.POISSON else mean], np.float64)
    if family == Family.GEOMETRIC:
        return np.array([total / (total + max(share @ value, LEAST_RATE * total))])
    if family in UPHILL:
        return uphill(family, circuit, found, most)
    if family == Family.BINOMIAL:
        trials = np.array([circuit.variables[int(v)].cardinality - 1.0 for v in variable])
        return np.array([share @ value / (share @ trials)])
    if family == Family.GAUSSIAN:
        mean = share @ value / total
        deviation = float(np.sqrt(share @ (value - mean) ** 2 / total))
        return np.array([mean, max(deviation, least)])
    if family == Family.LAPLACE:
        costs = [share @ np.abs(value - candidate) / total for candidate in value]
        return np.array([value[int(np.argmin(costs))], max(min(costs), least)])
    states = value
    if family == Family.HISTOGRAM:
        edges = [np.array(circuit.variables[int(v)].edges) for v in variable]
        pairs = zip(value, edges, strict=True)
        states = np.array([bin_of(np.array(v), e) for v, e in pairs])
    result: np.ndarray = np.array([share[states == s].sum() for s in range(len(old))]) / total
    return result


def possible(circuit: Circuit, x: np.ndarray) -> np.ndarray:
    """The rows that have a positive density."""
    model = pc.compile(circuit, dtype="float64")
    with torch.no_grad():
        found: np.ndarray = x[model.log_likelihood(x).isfinite().cpu().numpy()]
    return found


def check_step(circuit: Circuit, x: np.ndarray, batch: int = 3) -> None:
    want, seen = one_step(circuit, x)
    model = pc.compile(circuit, dtype="float64")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pccompiler.torch_backend.training.em.expectation._BYTES", 24 * batch)
        fit_em(model, x, iterations=1, pseudocount=0.0)
    got = model.weight_values()
    owner = {int(w): int(f) for w, f in zip(circuit.weight, circuit.family, strict=True)}
    for (weight, unit), row in want.items():
        found = got[weight][unit]
        if owner[weight] in UPHILL and seen[weight, unit]:
            family = Family(owner[weight])
            data = np.array(seen[weight, unit])
            if data[:, 0].sum() > 0.0:
                best, reached = (expected(family, circuit, data, u) for u in (row, found))
                assert reached == pytest.approx(best, rel=1e-8, abs=1e-8)
                continue
        if owner[weight] == Family.LAPLACE:  # medians need not be unique: their scales are
            found, row = found[1:], row[1:]
        np.testing.assert_allclose(found, row, rtol=1e-10, atol=1e-10)


@settings(max_examples=30)
@given(circuits(max_variables=3, families=tuple(Family)), st.integers(0, 100))
def test_one_step_is_the_definition(circuit: Circuit, seed: int) -> None:
    x = possible(circuit, rows(circuit, seed, 12, missing=0.0))
    assume(len(x) > 0 and few_trees(circuit))
    check_step(circuit, x)


@settings(max_examples=25)
@given(circuits(max_variables=3, families=PARAMETRIC), st.integers(0, 100))
def test_missing_values_give_leaves_no_statistics(circuit: Circuit, seed: int) -> None:
    x = possible(circuit, rows(circuit, seed, 12, missing=0.4))
    assume(len(x) > 0 and few_trees(circuit))
    check_step(circuit, x)


@settings(max_examples=25)
@given(circuits(max_variables=3, families=PARAMETRIC), st.integers(0, 100), st.booleans())
def test_one_step_of_packed_circuits(circuit: Circuit, seed: int, hidden: bool) -> None:
    """Packed circuits are evaluated unit by unit in the arena."""
    scalar = to_scalars(circuit)
    x = possible(scalar, rows(scalar, seed, 12, missing=0.4 if hidden else 0.0))
    assume(len(x) > 0 and few_trees(scalar))
    check_step(scalar, x)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_one_step_of_a_mixture(family: Family, missing: float) -> None:
    circuit = mixture(3, (family,))
    circuit = with_values(circuit, random_weights(circuit, 5))
    check_step(circuit, possible(circuit, rows(circuit, 1, 40, missing)), batch=200)


def test_shared_leaves_add_up() -> None:
    for family, variable in FAMILIES.items():
        same = [
            Variable(f"{variable.name}{i}", variable.domain, variable.cardinality, variable.edges)
            for i in range(3)
        ]
        b = Builder(same)
        first = b.inputs([0], family, 2)
        weight = np.repeat(b.weight_of(first), 2)
        nodes = [int(first[0]), *b.inputs([1, 2], family, 2, weights=weight).tolist()]
        circuit = b.build(b.sum([b.product(nodes)], 1))
        circuit = with_values(circuit, random_weights(circuit, 2))
        check_step(circuit, possible(circuit, rows(circuit, 3, 25, 0.2)), batch=50)
