"""Objects of other packages, without these packages: stand-ins, wrong objects, common parts."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pccompiler.errors import ImportFormatError
from pccompiler.imports import from_cirkit, from_pyjuice, from_spflow
from pccompiler.imports.packages.domains import Leaf
from pccompiler.imports.packages.vector_nodes import Objects, class_of
from pccompiler.ir import Family, Kind
from pccompiler.ir.arrays import Float
from pccompiler.passes import verify
from pccompiler.testing import density, total_mass, worlds


def test_importing_loads_none_of_the_packages() -> None:
    code = (
        "import sys, pccompiler.imports\n"
        "print(sorted({'torch', 'spn', 'cirkit', 'pyjuice'} & sys.modules.keys()))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("convert", [from_spflow, from_pyjuice, from_cirkit])
@pytest.mark.parametrize("thing", [None, 3, "circuit.pcir", [1, 2], object(), math])
def test_strangers_are_refused_with_what_to_give(convert: Any, thing: Any) -> None:
    with pytest.raises(ImportFormatError, match=r"PC740.*is not a circuit of(.|\n)*help: give"):
        convert(thing)


def stand_in(package: str, kind: str, **fields: Any) -> Any:
    """An object whose class has this name and claims to be from ``package``."""
    return type(kind, (), {"__module__": package, "__hash__": object.__hash__, **fields})()


def test_a_stand_in_of_spflow_is_read_by_its_fields() -> None:
    where = "spn.structure.Base"
    leaves = [stand_in(where, "Bernoulli", p=p, scope=[3], name=f"leaf {p}") for p in (0.2, 0.6)]
    root = stand_in(where, "Sum", children=leaves, weights=[0.5, 0.5], scope=[3], name="top")
    circuit = from_spflow(root)
    assert [variable.name for variable in circuit.variables] == ["x4"]
    assert density(circuit, [1.0]) == pytest.approx(0.4)
    assert circuit.where(circuit.root) == "SPFlow top"


def test_what_is_unknown_of_a_package_is_named() -> None:
    node = stand_in("spn.structure.leaves", "Wishart", scope=[0])
    with pytest.raises(ImportFormatError, match=r"PC741.*Wishart(.|\n)*Gaussian, Poisson, Hist"):
        from_spflow(node)
    other = stand_in("pyjuice.nodes", "QuantumNodes", chs=[], is_sum=lambda _: False)
    with pytest.raises(ImportFormatError, match=r"PC741.*QuantumNodes(.|\n)*SumNodes"):
        from_pyjuice(other)
    layer = stand_in("cirkit.backend", "TorchWaveLayer")
    entry = stand_in("cirkit.backend", "Entry", module=layer)
    circuit = stand_in("cirkit.backend", "TorchCircuit", address_book=[entry, None])
    with pytest.raises(ImportFormatError, match=r"PC741.*TorchWaveLayer(.|\n)*TorchSumLayer"):
        from_cirkit(circuit)


def test_the_nearest_class_of_the_package_counts() -> None:
    base = type("Sum", (), {"__module__": "spn.structure.Base"})
    assert class_of(type("Mine", (base,), {})(), "spn") == "Sum"
    assert class_of(3, "spn") == ""
    assert class_of(type("Sum", (), {"__module__": "spnx"})(), "spn") == ""


def one_leaf(*leaves: Leaf) -> Any:
    """A mixture of one-unit leaves over one variable with equal weights."""
    objects = Objects("tests")
    made = [objects.input(leaf, f"leaf {i}") for i, leaf in enumerate(leaves)]
    weights = np.full((1, len(made)), 1.0 / len(made))
    circuit = objects.circuit(objects.sum(made, weights, "root"))
    verify(circuit)
    return circuit


def test_leaves_of_different_sizes_share_the_largest_domain() -> None:
    circuit = one_leaf(
        Leaf(Family.BERNOULLI, 0, np.array([[0.3]])),
        Leaf(Family.CATEGORICAL, 0, np.array([[0.2, 0.3, 0.5]])),
        Leaf(Family.BINOMIAL, 0, np.array([[0.5]]), trials=3),
    )
    found = [density(circuit, [s]) for s in range(4)]
    wanted = np.array([0.7, 0.3, 0, 0]) + [0.2, 0.3, 0.5, 0] + np.array([1, 3, 3, 1]) / 8
    assert found == pytest.approx((wanted / 3).tolist(), abs=1e-15)


def test_histograms_of_different_edges_share_all_edges() -> None:
    circuit = one_leaf(
        Leaf(Family.HISTOGRAM, 0, np.array([[0.4, 0.6]]), edges=(0.0, 1.0, 3.0)),
        Leaf(Family.HISTOGRAM, 0, np.array([[0.5, 0.5]]), edges=(-1.0, 0.5, 1.0)),
    )
    assert circuit.variables[0].edges == (-1.0, 0.0, 0.5, 1.0, 3.0)
    for x, wanted in ((-0.5, 0.5 / 1.5), (0.2, 0.4 + 0.5 / 1.5), (0.7, 1.4), (2.0, 0.3)):
        assert density(circuit, [x]) == pytest.approx(wanted / 2)


def test_leaves_that_share_no_domain_are_refused() -> None:
    leaves = [
        Leaf(Family.POISSON, 0, np.ones((1, 1))),
        Leaf(Family.GAUSSIAN, 0, np.ones((1, 2))),
    ]
    with pytest.raises(ImportFormatError, match=r"PC744.*x1.*gaussian, poisson"):
        one_leaf(*leaves)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_vector_nodes_keep_their_function(seed: int) -> None:
    """Any weights and constants: against the same sums and products in NumPy, at all worlds."""
    rng = np.random.default_rng(seed)
    objects = Objects("tests")
    width = int(rng.integers(1, 4))
    tables = [rng.uniform(0, 2, (width, 3)) for _ in range(3)]
    scales = [rng.normal(0, 3, width) for _ in range(3)]
    inputs = [
        objects.input(Leaf(Family.CATEGORICAL, v, tables[v], scales[v]), f"leaf {v}")
        for v in range(3)
    ]
    units = rng.integers(0, width, width)
    pair = objects.kronecker(inputs[:2], "pair")
    first = rng.uniform(0, 2, (width, width * width)) * (rng.random((width, 1)) < 0.8)
    mixed = objects.select(objects.sum([pair], first, "mixed"), units)
    top = objects.product([mixed, objects.select(inputs[2], units)], "top")
    last = rng.uniform(0.1, 2, (1, 2 * width))
    root = objects.sum([top, top], last, "root")
    whole = np.einsum(
        "ua,vb->uvab",
        *[np.exp(s)[:, None] * t for s, t in zip(scales[:2], tables[:2], strict=True)],
    ).reshape(width * width, 3, 3)
    values = np.einsum("uab,uc->uabc", np.einsum("ij,jab->iab", first, whole)[units],
                       (np.exp(scales[2])[:, None] * tables[2])[units])  # fmt: skip
    wanted: Float = np.einsum("u,uabc->abc", last[0, :width] + last[0, width:], values)
    if wanted.sum() == 0.0:
        return
    circuit = objects.circuit(root)
    verify(circuit)
    found = np.array([density(circuit, world) for world in worlds(circuit)])
    np.testing.assert_allclose(found, wanted.ravel(), rtol=1e-11)
    assert total_mass(circuit) == pytest.approx(wanted.sum(), rel=1e-11)


def test_tied_nodes_share_one_weight_where_they_can() -> None:
    objects = Objects("tests")
    tables = [np.full((2, 2), 0.5), np.full((2, 2), 0.5), np.full((2, 3), 1 / 3)]
    made = [
        objects.input(Leaf(Family.CATEGORICAL, v, table), f"leaf {v}", tie=7)
        for v, table in enumerate(tables)
    ]
    root = objects.sum([objects.product(made, "product")], np.full((1, 2), 0.5), "root")
    circuit = objects.circuit(root)
    weights = circuit.weight[circuit.kind == Kind.INPUT].tolist()
    assert weights[0] == weights[1] != weights[2]


def test_what_makes_no_circuit_is_refused() -> None:
    objects = Objects("tests")
    one = objects.input(Leaf(Family.BERNOULLI, 0, np.full((2, 1), 0.5)), "one")
    two = objects.input(Leaf(Family.BERNOULLI, 1, np.full((3, 1), 0.5)), "two")
    with pytest.raises(ImportFormatError, match=r"PC745.*vectors of 2, 3 units"):
        objects.product([one, two], "uneven")
    with pytest.raises(ImportFormatError, match=r"PC743.*shape 1 x 3.*2 units"):
        objects.sum([one], np.ones((1, 3)), "short")
    with pytest.raises(ImportFormatError, match=r"PC746.*2 units"):
        objects.circuit(one)
    for values, what in (
        ([1j], "complex"),
        ([math.nan], "nan"),
        ([-1.0], "-1"),
        (["a"], "not numbers"),
    ):
        with pytest.raises(ImportFormatError, match=what):
            objects.numbers(values, "the weights")
    both = objects.sum([objects.kronecker([one, one], "twice")], np.full((1, 4), 0.25), "root")
    with pytest.raises(ImportFormatError, match=r"PC745(.|\n)*"):
        objects.circuit(both)
