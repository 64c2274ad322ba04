"""The random circuits themselves: varied enough, well-formed, and broken in exactly one way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import find, given, settings

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.passes import findings
from pccompiler.testing.strategies import Broken, broken_circuits, circuits

QUICK = settings(max_examples=500, derandomize=True, database=None)


def shares_a_node(circuit: Circuit) -> bool:
    edges = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    pairs = {(j, i) for i, j in zip(edges.tolist(), circuit.operands.tolist(), strict=True)}
    used = [j for j, _ in pairs]
    return len(used) > len(set(used))


def shares_a_weight(circuit: Circuit) -> bool:
    owned = circuit.weight[circuit.weight >= 0].tolist()
    return len(owned) > len(set(owned))


def sums_two_widths(circuit: Circuit) -> bool:
    return any(
        circuit.kind[i] == Kind.SUM and len(set(circuit.units[circuit.operands_of(i)])) > 1
        for i in range(circuit.num_nodes)
    )


def has_exact_zeros(circuit: Circuit) -> bool:
    return any(bool((table == 0.0).any()) for table in circuit.weights.values.values())


@pytest.mark.parametrize(
    "wanted", [shares_a_node, shares_a_weight, sums_two_widths, has_exact_zeros]
)
def test_circuits_vary(wanted: Callable[[Circuit], bool]) -> None:
    assert wanted(find(circuits(), wanted, settings=QUICK))


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_occurs(kind: Kind) -> None:
    find(circuits(), lambda c: bool((c.kind == kind).any()), settings=QUICK)


@pytest.mark.parametrize("family", list(Family))
def test_only_the_wanted_family_occurs(family: Family) -> None:
    @settings(max_examples=20)
    @given(circuits(families=(family,)))
    def check(circuit: Circuit) -> None:
        assert set(circuit.family[circuit.kind == Kind.INPUT].tolist()) == {family}

    check()


@given(circuits(reals=True))
def test_circuits_are_well_formed(circuit: Circuit) -> None:
    assert findings(circuit) == ()


@given(circuits(values=False))
def test_values_are_left_out_on_request(circuit: Circuit) -> None:
    assert not circuit.weights.values


@settings(max_examples=150)
@given(broken_circuits())
def test_the_only_finding_is_the_planted_one(broken: Broken) -> None:
    (finding,) = findings(broken.circuit)
    assert finding.code == broken.code
    assert f"{broken.circuit.label(broken.culprit)} " in f"{finding.message} "


@pytest.mark.parametrize(
    "code", ["PC101", "PC102", "PC103", "PC104", "PC105", "PC106", "PC107", "PC109"]
)
def test_every_fault_occurs(code: str) -> None:
    find(broken_circuits(), lambda broken: broken.code == code, settings=QUICK)
