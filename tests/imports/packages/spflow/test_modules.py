"""Circuits of SPFlow 1: stand-ins against the definition, and real modules if installed.

Run in its environment, with PYTHONPATH=.: spflow-env/bin/python -m pytest THIS_FILE
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pccompiler as pc
from pccompiler.errors import ImportFormatError
from pccompiler.imports import from_spflow
from pccompiler.passes import verify
from pccompiler.testing import density

Golden = Callable[[str], None]
Float = np.ndarray[Any, np.dtype[np.float64]]
WORLDS = np.array(list(itertools.product([0, 1], repeat=4)), np.float64)


def module(kind: str, **fields: Any) -> Any:
    """An object whose class has a name and a package of SPFlow."""
    cls = type(kind, (SimpleNamespace,), {"__module__": "spflow.modules.stand_in"})
    return cls(**{"scope": SimpleNamespace(query=()), **fields})


RNG = np.random.default_rng(0)


def leaf(variables: list[int], channels: int, repetitions: int = 1) -> Any:
    logits = RNG.normal(size=(len(variables), channels, repetitions))
    return module("Bernoulli", scope=SimpleNamespace(query=tuple(variables)), logits=logits)


def value(m: Any, x: Float) -> list[Float]:
    """The definition in SPFlow: (features, channels, repetitions) for one world."""
    kind = type(m).__name__
    if kind == "Bernoulli":
        p = 1.0 / (1.0 + np.exp(-m.logits))
        seen = x[list(m.scope.query)][:, None, None]
        return [np.where(seen == 1.0, p, 1.0 - p)]
    inputs = m.inputs if isinstance(m.inputs, list) else [m.inputs]
    below = [v for child in inputs for v in value(child, x)]
    if kind.startswith("Split"):
        n = m.num_splits
        if kind == "SplitInterleaved":
            return [below[0][start::n] for start in range(n)]
        return np.split(below[0], n)
    if kind == "Cat":
        return [np.concatenate(below, axis=m.dim - 1)]
    if kind == "Product":
        return [below[0].prod(axis=0, keepdims=True)]
    if kind == "ElementwiseProduct":
        return [np.prod(np.broadcast_arrays(*below), axis=0)]
    if kind == "OuterProduct":
        out = below[0]
        for b in below[1:]:
            pairs = np.einsum("fcr,fdr->fcdr", out, b)
            out = pairs.reshape(len(pairs), -1, pairs.shape[-1])
        return [out]
    if kind == "Factorize":
        return [np.exp(np.einsum("icr,ior->ocr", np.log(below[0]), m.indices))]
    w = np.exp(m.logits)
    if kind == "Sum":
        w /= w.sum(axis=1, keepdims=True)
        return [np.einsum("fir,fior->for", below[0] * np.ones_like(w[:, :, 0]), w)]
    if kind == "RepetitionMixingLayer":
        w /= w.sum(axis=2, keepdims=True)
        return [(below[0] * w).sum(axis=2, keepdims=True)]
    assert kind == "ElementwiseSum"
    w /= w.sum(axis=3, keepdims=True)
    stacked = np.stack(np.broadcast_arrays(*below), axis=2)
    out = np.einsum("fcir,fcoir->fcor", stacked, w)
    return [out.reshape(len(out), -1, out.shape[-1])]


def top(below: Any, channels: int, features: int = 1) -> Any:
    return module("Sum", inputs=below, logits=RNG.normal(size=(features, channels, 1, 1)))


def mixed(*inputs: Any, logits: tuple[int, ...]) -> Any:
    return module("ElementwiseSum", inputs=list(inputs), logits=RNG.normal(size=logits))


def cat(dim: int, *inputs: Any) -> Any:
    return module("Cat", inputs=list(inputs), dim=dim)


def factorized() -> Any:
    indices = np.zeros((4, 2, 2))
    indices[[0, 1, 2, 3], [0, 0, 1, 1], 0] = indices[[0, 1, 2, 3], [0, 1, 0, 1], 1] = 1.0
    layer = module("Factorize", inputs=[leaf([0, 1, 2, 3], 2, 2)], indices=indices)
    product = module("OuterProduct", inputs=[split("SplitConsecutive", layer)])
    sums = module("Sum", inputs=product, logits=RNG.normal(size=(1, 4, 3, 2)))
    mix = module("RepetitionMixingLayer", inputs=sums, logits=RNG.normal(size=(1, 3, 2)))
    return module("RatSPN", root_node=top(mix, 3), inputs=None)


def split(kind: str, below: Any) -> Any:
    return module(kind, inputs=below, num_splits=2)


def times(kind: str, *inputs: Any) -> Any:
    return module(kind, inputs=list(inputs))


def product_of(*inputs: Any) -> Any:
    (first, *rest) = inputs
    return module("Product", inputs=cat(1, *inputs) if rest else first)


MADE: dict[str, Callable[[], Any]] = {
    "product": lambda: top(product_of(leaf([0, 1], 2), leaf([2, 3], 2)), 2),
    "channels-side-by-side": lambda: top(
        cat(2, product_of(leaf([0, 1, 2, 3], 2)), product_of(leaf([3, 1], 3), leaf([2, 0], 3))), 5
    ),
    "two-uses": lambda: top(product_of(cat(2, leaf([0, 1, 2, 3], 2), leaf([0, 1, 2, 3], 1))), 3),
    "elementwise-sum": lambda: top(
        product_of(mixed(leaf([0, 1, 2, 3], 2), leaf([0, 1, 2, 3], 1), logits=(4, 2, 3, 2, 1))), 6
    ),
    "elementwise": lambda: top(
        times("ElementwiseProduct", product_of(leaf([0, 1], 3)), product_of(leaf([2, 3], 1))), 3
    ),
    "outer": lambda: top(
        times("OuterProduct", product_of(leaf([0, 1], 3)), product_of(leaf([2, 3], 2))), 6
    ),
    "interleaved": lambda: top(
        product_of(times("ElementwiseProduct", split("SplitInterleaved", leaf([0, 1, 2, 3], 2)))), 2
    ),
    "consecutive": lambda: top(
        product_of(times("OuterProduct", split("SplitConsecutive", leaf([0, 1, 2, 3], 2)))), 4
    ),
    "rat": factorized,
}


@pytest.mark.parametrize("name", MADE)
def test_stand_ins(name: str) -> None:
    """Stand-ins give the right values on all worlds."""
    made = MADE[name]()
    circuit = from_spflow(made)
    verify(circuit)
    root = made.root_node if hasattr(made, "root_node") else made
    want = [float(value(root, x)[0].item()) for x in WORLDS]
    assert sum(want) == pytest.approx(1.0)
    got = [density(circuit, x) for x in WORLDS]
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_other_leaves() -> None:
    """Parameters have SPFlow's names."""

    def of(kind: str, variable: int, **fields: Any) -> Any:
        return module(kind, scope=SimpleNamespace(query=(variable,)), **fields)

    one = np.ones((1, 1, 1))
    made = product_of(
        of("Categorical", 0, logits=np.log([[[[0.2, 0.3, 0.5]]]])),
        of("Normal", 1, loc=one, log_scale=np.log(2.0) * one),
        of("Poisson", 2, log_rate=np.log(3.0) * one),
        of("Binomial", 3, logits=0.0 * one, total_count=4.0 * one),
    )
    circuit = from_spflow(made)
    x = np.array([2.0, 1.5, 2.0, 1.0])
    normal = np.exp(-0.5 * 0.25**2) / (2.0 * np.sqrt(2.0 * np.pi))
    want = 0.5 * normal * np.exp(-3.0) * 4.5 * 0.25
    assert density(circuit, x) == pytest.approx(want, rel=1e-12)


REFUSED: dict[str, Callable[[], Any]] = {
    "unknown": lambda: module("EinsumLayer", inputs=[]),
    "unknown-leaf": lambda: module("Uniform"),
    "conditional": lambda: module("Bernoulli", logits=np.zeros((1, 1, 1)), parameter_fn=print),
    "features": lambda: leaf([0, 1], 1),
    "channels": lambda: leaf([0], 2),
    "repetitions": lambda: leaf([0], 1, 2),
    "scope": lambda: module("Bernoulli", logits=np.zeros((2, 1, 1))),
    "weights": lambda: top(leaf([0], 2), 3),
    "weights-features": lambda: top(leaf([0], 2), 2, 2),
    "not-finite": lambda: module(
        "Bernoulli", scope=SimpleNamespace(query=(0,)), logits=np.full((1, 1, 1), np.nan)
    ),
    "not-decomposable": lambda: product_of(leaf([0], 1), leaf([0], 1)),
    "unlike": lambda: module("OuterProduct", inputs=[leaf([0], 1), leaf([1, 2], 1)]),
    "dimension": lambda: cat(0, leaf([0], 1)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, golden: Golden) -> None:
    with pytest.raises(ImportFormatError) as caught:
        from_spflow(REFUSED[name]())
    golden(str(caught.value))


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_real_thing(outer: bool, depth: int) -> None:
    rat: Any = pytest.importorskip("spflow.zoo.rat")
    leaves: Any = pytest.importorskip("spflow.modules.leaves")
    import torch

    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(50, 8))
    x[::3, 1] = np.nan
    below = leaves.Normal(scope=range(8), out_channels=2, num_repetitions=2)
    made = rat.RatSPN([below], 1, 2, 2, depth, outer).double()
    circuit = from_spflow(made)
    with torch.no_grad():
        want = made.log_likelihood(torch.tensor(x)).numpy().ravel()
        got = pc.compile(circuit, dtype="float64").log_likelihood(x).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-10)
