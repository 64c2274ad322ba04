"""Properties: verdicts against brute force, and reports."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given

import pccompiler as pc
from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, Kind, parse
from pccompiler.ir.kinds import SUMS
from pccompiler.passes import Square, multiply, properties, require
from pccompiler.passes.analysis.compatibility import compatible
from pccompiler.passes.analysis.determinism.decide import determinism
from pccompiler.passes.analysis.vtrees.find import structure
from pccompiler.testing import random_weights, with_values
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]
XOR = """pcir 1
variable x binary
variable y binary
%x = input x indicator 2
%y = input y indicator 2
%x0 = sum 1 %x @zero
%x1 = sum 1 %x @one
%y0 = sum 1 %y @zero
%y1 = sum 1 %y @one
%same = product %x0 %y0
%other = product %x1 %y1
%root = sum 1 %same %other @root
root %root
weight @zero 1 0
weight @one 0 1
weight @root 0.25 0.75
"""


def overlaps(circuit: Circuit) -> bool:
    """The definition: some row of some sum has two inputs above zero in some world."""
    for world in itertools.product(*(range(v.cardinality) for v in circuit.variables)):
        values: list[list[float]] = []
        for node in range(circuit.num_nodes):
            below = circuit.operands_of(node).tolist()
            table = circuit.weights.values.get(int(circuit.weight[node]), np.zeros((0, 0)))
            units = int(circuit.units[node])
            if circuit.kind[node] == Kind.INPUT:
                state = world[int(circuit.variable[node])]
                values.append(
                    [float(state == u) for u in range(units)]
                    if not table.size
                    else [
                        row[state] if len(row) > 1 else (row[0] if state else 1 - row[0])
                        for row in table.tolist()
                    ]
                )
            elif circuit.kind[node] == Kind.PRODUCT:
                values.append(
                    [float(np.prod(c)) for c in zip(*(values[j] for j in below), strict=True)]
                )
            elif circuit.kind[node] == Kind.KRONECKER:
                values.append(
                    [float(np.prod(c)) for c in itertools.product(*(values[j] for j in below))]
                )
            else:
                rows: list[float] = []
                for unit, row in enumerate(table.tolist()):
                    inputs = (
                        [values[j][unit] for j in below]
                        if circuit.kind[node] == Kind.MIXTURE
                        else [v for j in below for v in values[j]]
                    )
                    terms = [w * v for w, v in zip(row, inputs, strict=True)]
                    if sum(term > 0 for term in terms) > 1:
                        return True
                    rows.append(sum(terms))
                values.append(rows)
    return False


@given(circuits(4))
def test_determinism_is_what_enumeration_says(circuit: Circuit) -> None:
    found = determinism(circuit)
    assert found.verdict == ("no" if overlaps(circuit) else "yes")  # small: never unknown
    if found.verdict == "no":
        assert circuit.kind[found.node] in SUMS
        assert set(found.witness) == set(circuit.scopes.variables(found.node).tolist())


def test_larger_circuits_are_told_apart_by_their_parts() -> None:
    parts = "".join(
        f"variable x{i} binary\n%a{i} = input x{i} bernoulli 1 @zero\n"
        f"%b{i} = input x{i} bernoulli 1 @one\n%f{i} = input x{i} bernoulli 1 @half\n"
        for i in range(14)
    )
    rest = " ".join(f"%f{i}" for i in range(1, 14))
    text = (
        "pcir 1\n" + parts + f"%p = product %a0 {rest}\n%q = product %b0 {rest}\n"
        "%root = sum 1 %p %q @r\nroot %root\n"
        "weight @zero 0\nweight @one 1\nweight @half 0.5\nweight @r 0.5 0.5\n"
    )
    circuit = parse(text.replace("%a0 %f1", "%a0 %f1"))
    circuit = pc.passes.Prune()(circuit)
    assert determinism(circuit).verdict == "yes"
    blurred = pc.passes.Prune()(parse(text.replace("weight @one 1", "weight @one 0.5")))
    assert determinism(blurred).verdict in ("no", "unknown")


@given(circuits(5))
def test_a_vtree_splits_every_product_or_there_are_two_that_differ(circuit: Circuit) -> None:
    found = structure(circuit)
    if found.vtree is None:
        assert len(found.culprits) == 2
        return
    for node in np.flatnonzero(np.isin(circuit.kind, (Kind.PRODUCT, Kind.KRONECKER))).tolist():
        parts = [frozenset(circuit.scopes.variables(j).tolist()) for j in circuit.operands_of(node)]
        if len(parts) > 1:
            whole = frozenset[int]().union(*parts)
            tree = found.vtree
            under = {whole & set(tree.variables_under(n).tolist()) for n in range(len(tree))}
            assert under >= set(parts)
    Square()(circuit)  # structured decomposable circuits can be squared


def test_rat_spns() -> None:
    one, many = pc.rat_spn(6, 1, 2), pc.rat_spn(6, 3, 2)
    assert structure(one).vtree is not None
    assert structure(many).vtree is None
    assert compatible(one, one) is None
    assert compatible(one, pc.rat_spn(6, 1, 2, seed=5)) is not None
    other = pc.rat_spn(6, 1, 2, seed=5)
    with pytest.raises(CircuitError, match="PC161"):
        multiply(*(with_values(c, random_weights(c)) for c in (one, other)))


def test_reports(golden: Golden) -> None:
    texts = [
        str(properties(circuit, other))
        for circuit, other in (
            (parse(XOR), None),
            (parse(XOR).replace(log_scale=1.5), parse(XOR)),
            (pc.rat_spn(6, 3, 2), None),
            (parse(XOR.replace("product %x1 %y1", "product %x1 %x0")), None),
        )
    ]
    golden("\n".join(texts))
    assert properties(parse(XOR)).to_dict()["properties"][0]["name"] == "smooth"


def test_refusals(golden: Golden) -> None:
    require(parse(XOR), "deterministic", "MPE")
    with pytest.raises(CircuitError) as caught:
        require(pc.rat_spn(6, 3, 2), "structured decomposable", "the square")
    golden(str(caught.value))
