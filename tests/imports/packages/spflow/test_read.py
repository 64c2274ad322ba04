"""Circuits of SPFlow 0.0.48 against its own evaluation; skipped if it is not installed.

Run in its environment:

    PYTHONPATH=. spflow-env/bin/python -m pytest tests/imports/packages/spflow/test_read.py
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pccompiler.errors import ImportFormatError
from pccompiler.imports import from_spflow
from pccompiler.ir import Circuit, Kind
from pccompiler.passes import verify
from pccompiler.testing import density, total_mass, worlds

base: Any = pytest.importorskip("spn.structure.Base")
leaves: Any = pytest.importorskip("spn.structure.leaves.parametric.Parametric")
histograms: Any = pytest.importorskip("spn.structure.leaves.histogram.Histograms")
inference: Any = pytest.importorskip("spn.algorithms.Inference")
types: Any = pytest.importorskip("spn.structure.StatisticalTypes")

Float = np.ndarray[Any, np.dtype[np.float64]]


def prepared(root: Any) -> Any:
    base.rebuild_scopes_bottom_up(root)
    base.assign_ids(root)
    return root


def values(circuit: Circuit, x: Float) -> Float:
    return np.array([math.log(density(circuit, row)) for row in x])


def theirs(root: Any, x: Float) -> Float:
    return np.asarray(inference.log_likelihood(root, x))[:, 0]


def random_spn(rng: np.random.Generator, scope: list[int], leaf: Any, depth: int = 3) -> Any:
    """A sum of products over two halves of the scope, down to leaves."""
    if len(scope) == 1:
        return leaf(scope[0])
    products = []
    for _ in range(2):
        cut = int(rng.integers(1, len(scope)))
        mixed = rng.permutation(scope).tolist()
        parts = [random_spn(rng, sorted(p), leaf, depth - 1) for p in (mixed[:cut], mixed[cut:])]
        products.append(base.Product(children=parts))
    weights = rng.dirichlet(np.ones(2)).tolist()
    return base.Sum(weights=weights, children=products)


@pytest.mark.parametrize("seed", range(10))
def test_random_discrete_circuits_equal_spflow_on_all_worlds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states = rng.integers(2, 4, 5).tolist()

    def leaf(v: int) -> Any:
        if states[v] == 2 and rng.random() < 0.5:
            return leaves.Bernoulli(p=float(rng.uniform(0.05, 0.95)), scope=v)
        return leaves.Categorical(p=rng.dirichlet(np.ones(states[v])).tolist(), scope=v)

    root = prepared(random_spn(rng, [0, 1, 2, 3, 4], leaf))
    circuit = from_spflow(root)
    verify(circuit)
    x = worlds(circuit)
    assert len(x) == math.prod(states)
    assert np.abs(values(circuit, x) - theirs(root, x)).max() < 1e-12
    assert total_mass(circuit) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_mixed_leaves_equal_spflow_on_random_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def leaf(v: int) -> Any:
        if v == 0:
            return leaves.Gaussian(mean=float(rng.normal()), stdev=0.5 + rng.random(), scope=v)
        if v == 1:
            return leaves.Poisson(mean=float(rng.uniform(0.5, 4)), scope=v)
        if v == 2:
            return leaves.Bernoulli(p=float(rng.uniform(0.05, 0.95)), scope=v)
        inner = np.sort(rng.uniform(-0.9, 1.9, 3)).tolist()
        breaks = [-1.0, *inner, 2.0]
        density = rng.dirichlet(np.ones(4)) / np.diff(breaks)
        return histograms.Histogram(
            breaks, density.tolist(), breaks[:-1], scope=v, meta_type=types.MetaType.REAL
        )

    root = prepared(random_spn(rng, [0, 1, 2, 3], leaf))
    circuit = from_spflow(root)
    verify(circuit)
    x = np.column_stack(
        [rng.normal(0, 2, 300), rng.poisson(2, 300), rng.random(300) < 0.5, rng.uniform(-1, 2, 300)]
    ).astype(np.float64)
    assert np.abs(values(circuit, x) - theirs(root, x)).max() < 1e-9


def test_weights_that_do_not_sum_to_one_go_to_the_scale() -> None:
    parts = [leaves.Bernoulli(p=p, scope=0) for p in (0.2, 0.9)]
    circuit = from_spflow(prepared_sum([2.0, 3.0], parts))
    verify(circuit)
    assert circuit.log_scale == pytest.approx(math.log(5.0))
    assert density(circuit, [1.0]) == pytest.approx(2.0 * 0.2 + 3.0 * 0.9)


def prepared_sum(weights: list[float], parts: list[Any]) -> Any:
    root = base.Sum(weights=weights, children=parts)
    root.scope = list(parts[0].scope)
    base.assign_ids(root)
    return root


def test_discrete_histograms_become_categorical_and_learnt_ones_are_scaled() -> None:
    one = histograms.Histogram([0, 1, 3], [0.4, 0.3], [0, 1], scope=0)
    two = histograms.Histogram([0, 1, 2, 3], [0.5, 0.25, 0.5], [0, 1, 2], scope=0)  # mass 1.25
    root = prepared_sum([0.5, 0.5], [one, two])
    circuit = from_spflow(root)
    assert circuit.variables[0].cardinality == 3
    x = worlds(circuit)
    assert np.abs(values(circuit, x) - theirs(root, x)).max() < 1e-12
    assert math.exp(circuit.log_scale) == pytest.approx(0.5 + 0.5 * 1.25)


def test_a_shared_node_is_converted_once_and_names_come_with_it() -> None:
    shared = leaves.Gaussian(mean=0.0, stdev=1.0, scope=1)
    sides = [leaves.Bernoulli(p=p, scope=0) for p in (0.1, 0.6)]
    root = base.Sum(
        weights=[0.3, 0.7], children=[base.Product(children=[s, shared]) for s in sides]
    )
    circuit = from_spflow(prepared(root))
    assert int((circuit.kind == Kind.INPUT).sum()) == 3
    assert circuit.where(circuit.root) == f"SPFlow {root.name}"


@pytest.mark.filterwarnings("ignore")  # those of the packages that learn
@pytest.mark.parametrize("parametric", [True, False])
def test_learnt_structures_equal_spflow(parametric: bool) -> None:
    """LearnSPN on generated data of mixed types, with parametric leaves or its histograms."""
    learning: Any = pytest.importorskip("spn.algorithms.LearningWrappers")
    rng = np.random.default_rng(0)
    hidden = rng.random(400) < 0.4
    data = np.column_stack(
        [
            np.where(hidden, rng.normal(0, 1, 400), rng.normal(3, 0.5, 400)),
            rng.poisson(np.where(hidden, 1.0, 5.0)),
            rng.random(400) < np.where(hidden, 0.2, 0.8),
        ]
    ).astype(np.float64)
    kinds = [leaves.Gaussian, leaves.Poisson, leaves.Bernoulli]
    if parametric:
        context = base.Context(parametric_types=kinds).add_domains(data)
        root = learning.learn_parametric(data, context, min_instances_slice=60)
    else:
        meta = [types.MetaType.REAL, types.MetaType.DISCRETE, types.MetaType.DISCRETE]
        context = base.Context(meta_types=meta).add_domains(data)
        root = learning.learn_mspn(data, context, cols="rdc", min_instances_slice=60)
    circuit = from_spflow(root)
    verify(circuit)
    rows = data[data[:, 0] < data[:, 0].max()]  # SPFlow's last bin lacks its upper break
    assert np.abs(values(circuit, rows) - theirs(root, rows)).max() < 1e-9


@pytest.mark.parametrize("name", ["coins.spn", "nltcs.spn.gz"])
def test_an_spn_file_as_spflow_nodes_equals_the_reader_of_files(
    name: str, sample: Callable[[str], Path]
) -> None:
    path = sample(name)
    from benchmarks.structures.spflow_rows import load
    from pccompiler.imports import read

    ours, circuit = read(path), from_spflow(load(str(path)))
    assert circuit.num_nodes <= ours.num_nodes + 100
    x = np.random.default_rng(1).integers(0, 2, (3, len(ours.variables))).astype(np.float64)
    assert np.abs(values(ours, x) - values(circuit, x)).max() < 1e-10


def test_what_has_no_counterpart_is_refused_by_name() -> None:
    parts = [leaves.Gamma(alpha=1.0, beta=2.0, scope=0), leaves.Gaussian(0.0, 1.0, scope=0)]
    with pytest.raises(ImportFormatError, match=r"PC741.*Gamma(.|\n)*Sum, Product, Bernoulli"):
        from_spflow(prepared_sum([0.5, 0.5], parts))
    mixed = [leaves.Poisson(1.0, scope=0), leaves.Gaussian(0.0, 1.0, scope=0)]
    with pytest.raises(ImportFormatError, match=r"PC744.*x1.*gaussian, poisson"):
        from_spflow(prepared_sum([0.5, 0.5], mixed))


def test_wrong_parameters_and_structures_are_refused() -> None:
    good = leaves.Bernoulli(p=0.5, scope=0)
    for broken, code in (
        (leaves.Bernoulli(p=1.5, scope=0), "PC743"),
        (leaves.Bernoulli(scope=0), "PC742"),
        (leaves.Gaussian(mean=0.0, stdev=0.0, scope=0), "PC743"),
        (base.Product(), "PC745"),
        (base.Sum(weights=[0.5], children=[good, good]), "PC743"),
        (base.Sum(weights=[-0.5, 1.5], children=[good, good]), "PC743"),
        (base.Product(children=[good, leaves.Bernoulli(p=0.1, scope=0)]), "PC745"),
        (base.Sum(weights=[0.5, 0.5], children=[good, leaves.Bernoulli(p=0.1, scope=1)]), "PC745"),
    ):
        with pytest.raises(ImportFormatError, match=code):
            from_spflow(broken)
    loop = base.Sum(weights=[1.0])
    loop.children = [base.Product(children=[loop, good])]
    with pytest.raises(ImportFormatError, match=r"PC745.*below itself"):
        from_spflow(loop)
