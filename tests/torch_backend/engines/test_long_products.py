"""Products of many operands: every engine and ONNX against exact sums."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import pccompiler as pc
from pccompiler.ir import Builder, Circuit, Family
from pccompiler.ir.variables import binary, real
from pccompiler.onnx_backend import OnnxModel
from pccompiler.torch_backend.engines.arena.engine import Arena
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.runtime.addition import add_up

Float = NDArray[np.float64]
LIMIT = 5e-7
"""Relative: seven roundings, and one for each operand."""
FAN_INS = (2, 3, 8, 9, 64, 65, 100, 1556, 5000)
KINDS = ("equal", "random")


def chances(fan_in: int, kind: str) -> Float:
    if kind == "equal":
        return np.full(fan_in, 0.5)
    return np.random.default_rng(fan_in).uniform(0.2, 0.7, fan_in)


def product(fan_in: int, kind: str, units: int = 1) -> Circuit:
    """One product of Bernoulli leaves; with several units, a sum on top."""
    b = Builder([binary(f"x{i}") for i in range(fan_in)])
    leaves = b.inputs(np.arange(fan_in), Family.BERNOULLI, units).tolist()
    root = b.product(leaves)
    circuit = b.build(root if units == 1 else b.sum([root], 1))
    values = {
        int(circuit.weight[leaf]): np.full((units, 1), p)
        for leaf, p in zip(leaves, chances(fan_in, kind), strict=True)
    }
    if units > 1:
        values[int(circuit.weight[circuit.root])] = np.full((1, units), 1.0 / units)
    return circuit.with_values(values)


def packed(fan_in: int, kind: str) -> Circuit:
    """Mixtures of equal products that share leaves: their value is that of one product."""
    b = Builder([binary(f"x{i}") for i in range(fan_in)])
    leaves = [b.bernoulli(i, [p]) for i, p in enumerate(chances(fan_in, kind))]
    parts = [b.product(leaves) for _ in range(3)]
    pair = b.sum(parts[:2], weights=[0.5, 0.5])
    other = b.sum([pair, parts[2]], weights=[0.125, 0.875])
    return b.build(b.sum([pair, other], weights=[0.25, 0.75]))


def arena_of(model: pc.CompiledCircuit) -> Arena:
    """The arena, which runs packed circuits without kernels."""
    model.without_kernels()
    engine = model.engines.choose(Wanted.GRADIENT)
    assert isinstance(engine, Arena)
    return engine


def truth(fan_in: int, kind: str) -> float:
    """The log-likelihood of the row of ones."""
    return math.fsum(math.log(p) for p in chances(fan_in, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [1, 2, 3, 7, 63, 64, 65, 129, 1556, 4999, 100_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_are_exact(number: int, kind: str, dtype: torch.dtype) -> None:
    terms = torch.from_numpy(np.log(chances(number, kind))).to(dtype).unsqueeze(1).repeat(1, 3)
    kept = terms.clone()
    want = math.fsum(terms[:, 0].double().tolist())
    limit = 7 * 2.0**-24 if dtype == torch.float32 else 1e-13
    np.testing.assert_allclose(add_up(terms).double().cpu().numpy(), want, rtol=limit)
    assert torch.equal(terms, kept)


def test_impossible_terms_stay_impossible() -> None:
    terms = torch.full((1000, 2), -1.0)
    terms[777, 0] = -torch.inf
    assert add_up(terms).tolist() == [-torch.inf, -1000.0]


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fan_in", FAN_INS)
def test_not_packed(fan_in: int, kind: str, units: int, kernels: bool) -> None:
    model = pc.compile(product(fan_in, kind, units))
    assert not model.plan.packed
    if not kernels:
        model.without_kernels()
    ones = np.ones((2, fan_in))
    np.testing.assert_allclose(
        model.log_likelihood(ones).detach().cpu(), truth(fan_in, kind), rtol=LIMIT
    )


@pytest.mark.parametrize("space", ["kernels", "any", "log"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fan_in", FAN_INS[2:])
def test_packed(fan_in: int, kind: str, space: str) -> None:
    model = pc.compile(packed(fan_in, kind))
    if space != "kernels":
        arena_of(model).linear &= space == "any"
    ones = np.ones((2, fan_in))
    np.testing.assert_allclose(
        model.log_likelihood(ones).detach().cpu(), truth(fan_in, kind), rtol=LIMIT
    )


@pytest.mark.parametrize("numerics", ["auto", "log"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fan_in", FAN_INS[1::2])
@pytest.mark.parametrize("make", [product, packed])
def test_onnx(make: type, fan_in: int, kind: str, numerics: str, tmp_path: Path) -> None:
    model = pc.compile(make(fan_in, kind), numerics=numerics)  # type: ignore[call-overload]
    pc.export_onnx(model, tmp_path / "m.onnx")
    found = OnnxModel(tmp_path / "m.onnx").log_likelihood(np.ones((2, fan_in)))
    np.testing.assert_allclose(found, truth(fan_in, kind), rtol=LIMIT)


@pytest.mark.parametrize("kind", KINDS)
def test_within_a_memory_budget(kind: str) -> None:
    model = pc.compile(product(1556, kind, 3), memory_budget="4 MiB")
    found = model.log_likelihood(np.ones((2, 1556))).detach().cpu()
    np.testing.assert_allclose(found, truth(1556, kind), rtol=LIMIT)


def chain(length: int) -> Circuit:
    """A hidden Markov model whose every step has the likelihood 0.5."""
    b = Builder([binary(f"x{i}") for i in range(length)])
    low = b.bernoulli(0, [0.5, 0.5])
    for i in range(1, length):
        mixed = b.sum([low], 2, weights=[[0.3, 0.7], [0.6, 0.4]])
        low = b.product([mixed, b.bernoulli(i, [0.5, 0.5])])
    return b.build(b.sum([low], 1, weights=[[0.5, 0.5]]))


def test_scales_add_up_along_a_chain(tmp_path: Path) -> None:
    circuit = chain(2000)
    want = 2000 * math.log(0.5)
    model = pc.compile(circuit.replace(generator=pc.ir.Direct()))
    ones = np.ones((2, 2000))
    np.testing.assert_allclose(model.log_likelihood(ones).detach().cpu(), want, rtol=LIMIT)
    model.without_kernels()
    np.testing.assert_allclose(model.log_likelihood(ones).detach().cpu(), want, rtol=LIMIT)
    pc.export_onnx(model, tmp_path / "m.onnx")
    np.testing.assert_allclose(
        OnnxModel(tmp_path / "m.onnx").log_likelihood(ones), want, rtol=LIMIT
    )


def scalar_chain(length: int) -> Circuit:
    """Like `chain`, with single units."""
    b = Builder([binary(f"x{i}") for i in range(length)])
    low = [b.bernoulli(0, [0.5]) for _ in range(2)]
    for i in range(1, length):
        leaves = [b.bernoulli(i, [0.5]) for _ in range(2)]
        products = [b.product(list(pair)) for pair in zip(low, leaves, strict=True)]
        low = [b.sum(products, weights=w) for w in ([0.3, 0.7], [0.6, 0.4])]
    return b.build(b.sum(low, weights=[0.5, 0.5]))


@pytest.mark.parametrize("length", [10, 100, 400])
@pytest.mark.parametrize("kernels", [True, False])
def test_deep_packed_circuits(length: int, kernels: bool) -> None:
    model = pc.compile(scalar_chain(length))
    if not kernels:
        arena_of(model).linear = False
    found = model.log_likelihood(np.ones((2, length))).detach().cpu()
    np.testing.assert_allclose(found, length * math.log(0.5), rtol=1e-6)


def test_queries_add_up_too() -> None:
    """The best completion's value and its bound, for a long product."""
    model = pc.compile(packed(1556, "equal"))
    found = model.mpe(np.ones((1, 1556)))
    np.testing.assert_allclose(found.log_value.detach().cpu(), truth(1556, "equal"), rtol=LIMIT)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fan_in", FAN_INS)
def test_on_a_gpu(fan_in: int, kind: str) -> None:
    ones = np.ones((2, fan_in))
    circuits = [product(fan_in, kind), product(fan_in, kind, 16)]
    circuits += [packed(fan_in, kind)] if fan_in > 3 else []
    for circuit in circuits:
        found = pc.compile(circuit, device="cuda").log_likelihood(ones).detach().cpu()
        np.testing.assert_allclose(found, truth(fan_in, kind), rtol=LIMIT)


def test_a_sum_of_many_equal_terms() -> None:
    """Also sums of many operands: 20,000 equal ones with equal weights."""
    b = Builder([real("x")])
    leaves = b.inputs(np.zeros(20_000, np.int64), Family.GAUSSIAN).tolist()
    circuit = b.build(b.sum(leaves))
    values = {int(circuit.weight[leaf]): np.array([[0.0, 1.0]]) for leaf in leaves}
    values[int(circuit.weight[circuit.root])] = np.full((1, 20_000), 1.0 / 20_000)
    model = pc.compile(circuit.with_values(values))
    want = -0.5 * math.log(2.0 * math.pi)
    np.testing.assert_allclose(model.log_likelihood([[0.0]]).detach().cpu(), want, rtol=LIMIT)
