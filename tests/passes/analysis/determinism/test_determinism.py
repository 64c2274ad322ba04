"""Determinism: verdicts against the definition for all leaf families, and each method alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.imports.read import read
from pccompiler.ir import Builder, Circuit, Family, Kind, real
from pccompiler.ir.families.classes import classes, representative
from pccompiler.ir.kinds import SUMS
from pccompiler.passes.analysis.determinism.decide import _Open, _Work, determinism
from pccompiler.passes.analysis.determinism.gates import OR, find_gates
from pccompiler.passes.analysis.determinism.witness import log_values
from pccompiler.passes.analysis.determinism.worlds import Evaluator, meet_in
from pccompiler.structures import hmm, rat_spn
from pccompiler.testing import random_weights, with_values
from pccompiler.testing.strategies import circuits
from pccompiler.testing.strategies import unsmooth as drop_operands

EVERY = tuple(Family)


def positive_inputs(circuit: Circuit, node: int, values: dict[int, np.ndarray]) -> int:
    """The most positive inputs of positive weight in any unit of a sum."""
    below = [values[j] > -np.inf for j in circuit.operands_of(node).tolist()]
    columns = (
        np.stack(below, axis=1) if circuit.kind[node] == Kind.MIXTURE else np.concatenate(below)
    )
    table = circuit.weights.values[int(circuit.weight[node])]
    return int(((table > 0) & columns).sum(axis=1).max())


def overlapping(circuit: Circuit) -> set[int]:
    """The sums that are not deterministic by the definition."""
    numbers = [range(classes(v)) for v in circuit.variables]
    found: set[int] = set()
    for chosen in itertools.product(*numbers):
        world = [representative(v, c) for v, c in zip(circuit.variables, chosen, strict=True)]
        values = log_values(circuit, circuit.root, np.array(world))
        sums = [n for n in values if circuit.kind[n] in SUMS]
        found |= {n for n in sums if positive_inputs(circuit, n, values) > 1}
    return found


def zeroed(circuit: Circuit, seed: int) -> Circuit:
    """More zeros: keep only one or two entries in rows of sums and of tables."""
    rng = np.random.default_rng(seed)
    values = dict(circuit.weights.values)
    for node in np.flatnonzero(circuit.weight >= 0).tolist():
        table = values[int(circuit.weight[node])].copy()
        if circuit.kind[node] in SUMS or circuit.family[node] in (
            Family.CATEGORICAL,
            Family.HISTOGRAM,
        ):
            keep = rng.random(table.shape) < 0.5
            keep[np.arange(len(table)), rng.integers(table.shape[1], size=len(table))] = True
            table = np.where(keep, table + 0.1, 0.0)
            table /= table.sum(axis=1, keepdims=True)
        elif circuit.family[node] in (Family.BERNOULLI, Family.BINOMIAL):
            table = rng.choice([0.0, 0.5, 1.0], table.shape)
        values[int(circuit.weight[node])] = table
    return circuit.with_values(values)


@given(circuits(4, families=EVERY, reals=True), st.integers(0, 99))
def test_small_circuits_are_decided_as_the_definition_says(circuit: Circuit, seed: int) -> None:
    for one in (circuit, zeroed(circuit, seed)):
        wrong = overlapping(one)
        found = determinism(one)
        assert found.verdict == ("no" if wrong else "yes")
        assert set(found.sums) <= wrong
        if found.proof is not None:
            values = log_values(one, found.node, np.array(found.proof.world))
            pair = [values[node][unit] for node, unit in found.proof.operands]
            assert pair == list(found.proof.log_values)
            assert min(pair) > -np.inf
            assert len(set(found.proof.operands)) == 2 or one.fan_in[found.node] > 1


@given(circuits(4), st.integers(0, 99))
def test_circuits_that_are_not_smooth_are_decided_too(circuit: Circuit, seed: int) -> None:
    one = drop_operands(zeroed(circuit, seed), seed)
    assert determinism(one).verdict == ("no" if overlapping(one) else "yes")


@pytest.mark.parametrize("method", ["at_random", "by_variable", "by_small", "by_pairs", "by_all"])
@given(circuit=circuits(4), seed=st.integers(0, 99))
def test_each_method_alone_is_sound(method: str, circuit: Circuit, seed: int) -> None:
    one = zeroed(circuit, seed)
    gates, _ = find_gates(one)
    ors = np.flatnonzero(gates.kind == OR)
    if not len(ors):
        return
    outcome = getattr(_Work(one, np.random.default_rng(0), 1000), method)(_Open(gates, ors))
    wrong = overlapping(one)
    if not isinstance(outcome, _Open):
        assert outcome.node in wrong
        return
    left = set(outcome.gates.node[outcome.ors].tolist())
    decided = set(gates.node[ors].tolist()) - left
    assert not decided & wrong


@given(circuits(4), st.integers(0, 99))
def test_projections_to_all_variables_are_supports(circuit: Circuit, seed: int) -> None:
    one = zeroed(circuit, seed)
    gates, gate_of = find_gates(one)
    meets, _ = meet_in(Evaluator.of(gates), np.arange(len(one.variables)))
    assert len(gate_of) == one.units.sum()
    assert set(gates.node[meets].tolist()) <= overlapping(one)


def decision_tree(width: int, blur: bool) -> Circuit:
    """XOR-like primes over ``width`` variables each side; no small region separates them."""
    builder = Builder()
    ids = [builder.binary(f"x{i}") for i in range(2 * width)]
    low = [builder.bernoulli(i, [0.0]) for i in ids]
    high = [builder.bernoulli(i, [0.5 if blur and i == 0 else 1.0]) for i in ids]
    even, odd = low[0], high[0]
    for i in ids[1:]:
        same = builder.sum(
            [builder.product([even, low[i]]), builder.product([odd, high[i]])], weights=[0.5, 0.5]
        )
        odd = builder.sum(
            [builder.product([even, high[i]]), builder.product([odd, low[i]])], weights=[0.5, 0.5]
        )
        even = same
    return builder.build(builder.sum([even, odd], weights=[0.4, 0.6]))


@pytest.mark.parametrize("blur", [False, True])
def test_parity_of_forty_variables_is_told_apart_pair_by_pair(blur: bool) -> None:
    found = determinism(decision_tree(20, blur))
    assert found.verdict == ("no" if blur else "yes")


def test_beyond_the_budget_nothing_is_claimed() -> None:
    circuit = decision_tree(20, False)
    found = determinism(circuit, most_pairs=3)
    assert found.verdict == "unknown"
    assert "no proof was found" in found.reason
    assert found.node in found.sums


def test_rare_overlaps_are_found_by_following_both_operands() -> None:
    builder = Builder()
    ids = [builder.binary(f"x{i}") for i in range(40)]
    ones = builder.product([builder.bernoulli(i, [1.0]) for i in ids])
    also = builder.product([builder.bernoulli(i, [0.5 if i == 7 else 1.0]) for i in ids])
    found = determinism(builder.build(builder.sum([ones, also], weights=[0.5, 0.5])))
    assert found.verdict == "no"
    assert set(found.witness.values()) == {1.0}


def test_bins_and_counts() -> None:
    builder = Builder()
    x = builder.variable(real("x", [0.0, 1.0, 2.0]))
    leaves = builder.inputs([x], Family.HISTOGRAM, 2)
    root = builder.sum(leaves.tolist(), weights=[0.5, 0.5])
    circuit = builder.build(root)
    table = int(circuit.weight[leaves[0]])
    given_root = dict(circuit.weights.values)
    apart = circuit.with_values({**given_root, table: np.eye(2)})
    assert determinism(apart).verdict == "yes"
    shared = circuit.with_values({**given_root, table: np.array([[1.0, 0.0], [0.5, 0.5]])})
    assert determinism(shared).witness == {0: 0.5}
    assert determinism(circuit).verdict == "no"  # without values: positive in every bin


@pytest.mark.parametrize("circuit", [hmm(6, 3), rat_spn(8, 2, 3)], ids=["hmm", "rat"])
def test_weights_without_values_count_as_positive(circuit: Circuit) -> None:
    assert determinism(circuit).verdict == "no"
    assert determinism(with_values(circuit, random_weights(circuit))).verdict == "no"


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("coins.psdd", "yes"),
        ("nltcs.psdd", "yes"),
        ("msnbc.psdd", "yes"),
        ("tretail.psdd", "yes"),
        ("nltcs.clt.psdd", "yes"),
        ("alarm.sdd", "yes"),
        ("asia.bif.gz", "yes"),
        ("nltcs.spn.gz", "no"),
    ],
)
def test_files_of_other_programs(name: str, verdict: str, sample: Callable[[str], Path]) -> None:
    assert determinism(read(sample(name))).verdict == verdict
