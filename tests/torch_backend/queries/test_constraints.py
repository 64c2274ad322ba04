"""Models conditioned on constraints, and probabilities of constraints, against all worlds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import pccompiler as pc
from pccompiler.errors import CircuitError
from pccompiler.imports import read, read_nnf
from pccompiler.ir import Builder, Circuit, Hypernetwork, binary, count
from pccompiler.passes import determinism
from pccompiler.passes.constraints import Listed, formula
from pccompiler.testing import density, worlds
from pccompiler.testing.random_weights import random_weights, with_values

Find = Callable[[str], Path]
Float = NDArray[np.float64]


def table_circuit(allowed: NDArray[np.bool_], names: list[str]) -> Circuit:
    """The worlds of a table as a sum of products of literals; the first axis is the first name."""
    b = Builder([binary(name) for name in names])
    literal = cache(lambda v, state: b.bernoulli(v, [float(state)]))
    chosen = np.argwhere(allowed).tolist()
    terms = [b.product([literal(v, s) for v, s in enumerate(world)]) for world in chosen]
    return b.build(b.sum(terms, 1, weights=[[1.0 / len(terms)] * len(terms)]))


def odd(number: int) -> NDArray[np.bool_]:
    return np.asarray(np.indices((2,) * number).sum(axis=0) % 2 == 1)


def model_of(circuit: Circuit) -> pc.CompiledCircuit:
    return pc.compile(circuit, dtype="float64", seed=3)


def masses(model: pc.CompiledCircuit) -> Float:
    found: Float = model.log_likelihood(worlds(model.circuit)).exp().detach().cpu().numpy()
    return found


def holds(model: pc.CompiledCircuit, constraint: Circuit) -> Float:
    columns = [model.names.index(v.name) for v in constraint.variables]
    found = [density(constraint, world[columns]) for world in worlds(model.circuit)]
    return (np.array(found) > 0.0).astype(float)


def check(model: pc.CompiledCircuit, constraint: Circuit) -> None:
    kept = masses(model) * holds(model, constraint)
    found = model.condition_on(constraint)
    np.testing.assert_allclose(masses(found), kept / kept.sum(), rtol=1e-9, atol=1e-15)
    log = model.log_probability(constraint).item()
    assert log == pytest.approx(np.log(kept.sum() / masses(model).sum()), abs=1e-9)


@given(st.data())
@settings(max_examples=10)
def test_any_set_of_worlds(data: st.DataObject) -> None:
    model = model_of(pc.rat_spn(4, 2, 2, 2))
    number = data.draw(st.integers(1, 4))
    names = data.draw(st.permutations(model.names))[:number]
    size = 2**number
    bits = data.draw(st.lists(st.booleans(), min_size=size, max_size=size).filter(any))
    check(model, table_circuit(np.array(bits).reshape((2,) * number), list(names)))


def test_a_constraint_that_crosses_the_model() -> None:
    model = model_of(pc.rat_spn(4, 2, 3, 2))
    found = [_equal(((0, 1), (2, 3))), _equal(((0, 2), (1, 3))), _equal(((0, 3), (1, 2)))]
    kinds = {type(formula(model.circuit, constraint)) for constraint in found}
    assert Listed in kinds
    for constraint in found:
        check(model, constraint)


def _equal(pairs: tuple[tuple[int, int], ...]) -> Circuit:
    """Both variables of each pair are equal."""
    b = Builder([binary(f"x{i}") for i in range(4)])
    literal = cache(lambda v, state: b.bernoulli(v, [float(state)]))
    sums = [
        b.sum([b.product([literal(v, s), literal(w, s)]) for s in (0, 1)], 1, weights=[[0.5, 0.5]])
        for v, w in pairs
    ]
    return b.build(b.product(sums))


def test_generated_weights_are_copied() -> None:
    model = pc.compile(pc.rat_spn(6, 1, 2, 2), Hypernetwork(), dtype="float64")
    check(model, table_circuit(odd(3), ["x1", "x3", "x5"]))


def test_other_variables_may_have_any_domain() -> None:
    b = Builder([count("n"), binary("a"), binary("b")])
    rate, a, c = (
        b.poisson(0, [[1.0], [4.0]]),
        b.bernoulli(1, [0.2, 0.7]),
        b.bernoulli(2, [0.9, 0.4]),
    )
    model = model_of(b.build(b.sum([b.product([rate, a, c])], 1, weights=[[0.5, 0.5]])))
    constraint = table_circuit(odd(2), ["a", "b"])
    found = model.condition_on(constraint)
    want = sum(model.log_likelihood([[np.nan, x, 1 - x]]).exp().item() for x in (0, 1))
    assert model.log_probability(constraint).item() == pytest.approx(np.log(want), abs=1e-12)
    row = [[3, 1, 0]]
    expected = model.log_likelihood(row).item() - np.log(want)
    assert found.log_likelihood(row).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("names", [["x0", "x1", "x2"], ["x3", "x0", "x2", "x1"]])
def test_gradients_of_the_probability_agree_with_the_sum_over_worlds(names: list[str]) -> None:
    model = model_of(pc.rat_spn(4, 2, 2, 2))
    constraint = table_circuit(odd(len(names)), names)
    kept = torch.as_tensor(worlds(model.circuit)[holds(model, constraint) > 0.0])
    want = torch.autograd.grad(model(kept).logsumexp(0), list(model.parameters()))
    got = torch.autograd.grad(model.log_probability(constraint), list(model.parameters()))
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_the_parameters_are_copies_in_the_same_precision() -> None:
    model = pc.compile(pc.rat_spn(4, 1, 2, 2))
    found = model.condition_on(table_circuit(odd(2), ["x0", "x1"]))
    assert (found.dtype, found.device, type(found)) == (model.dtype, model.device, type(model))
    before = found.log_likelihood([[0, 1, 0, 0]])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    torch.testing.assert_close(found.log_likelihood([[0, 1, 0, 0]]), before, rtol=0.0, atol=0.0)


def test_queries_respect_the_constraint() -> None:
    model = model_of(pc.rat_spn(5, 2, 2, 2)).condition_on(table_circuit(odd(3), ["x0", "x2", "x4"]))
    drawn = model.sample(200, seed=0)[:, [0, 2, 4]].sum(1)
    assert bool((drawn % 2 == 1).all())
    found = model.map({"x0": 1})
    row = found.rows[0, 0].cpu().numpy()
    every = worlds(model.circuit)
    best = np.where(every[:, 0] == 1, masses(model), 0.0)
    np.testing.assert_array_equal(row, every[best.argmax()])
    assert float(model.log_partition()) == pytest.approx(0.0, abs=1e-12)


def test_the_most_probable_world_of_a_deterministic_model_is_exact(sample: Find) -> None:
    model = model_of(read(sample("coins.psdd")))
    found = model.condition_on(table_circuit(odd(2), ["x1", "x2"]))
    best = found.mpe()
    assert best.exact
    np.testing.assert_array_equal(best.rows[0].cpu(), worlds(found.circuit)[masses(found).argmax()])


def test_impossible_constraints() -> None:
    model = model_of(table_circuit(odd(2), ["x1", "x2"]))
    impossible = table_circuit(~odd(2), ["x1", "x2"])
    assert model.log_probability(impossible).item() == -np.inf
    with pytest.raises(CircuitError, match="PC852"):
        model.condition_on(impossible)


D4 = "o 1 0\no 2 0\na 3 0\nt 4 0\n1 2 1 0\n1 3 -1 0\n2 4 2 0\n2 4 -2 3 0\n3 4 4 0\n3 2 0\n"
"""(1 and (2 or 3)) or (not 1 and 4 and (2 or 3))."""


def test_a_formula_of_d4(tmp_path: Path) -> None:
    path = tmp_path / "formula.nnf"
    path.write_text(D4)
    names = {f"x{i + 1}": f"x{i}" for i in range(4)}
    constraint = read_nnf(path, variables=4).rename(names)
    model = model_of(pc.rat_spn(5, 2, 2, 2))
    want = [(a or d) and (b or c) for a, b, c, d in worlds(constraint)]
    assert holds(model, constraint).reshape(-1, 2)[:, 0].astype(bool).tolist() == want
    check(model, constraint)


@pytest.mark.parametrize("name", ["test.sdd", "test.cnf.nnf", "xor-8.sdd", "test.spn"])
def test_real_files(sample: Find, name: str) -> None:
    constraint = read(sample(name))
    circuit = pc.rat_spn(list(constraint.variables), 1, 2, 2)
    check(model_of(with_values(circuit, random_weights(circuit, 1))), constraint)


def test_a_psdd_given_the_parity_of_its_first_eight_variables(sample: Find) -> None:
    model, constraint = model_of(read(sample("nltcs.psdd"))), read(sample("xor-8.sdd"))
    rows = torch.as_tensor(worlds(constraint))
    rows = rows[rows.sum(1) % 2 == 1]
    nothing = torch.full((len(rows), 8), torch.nan, dtype=torch.float64)
    want = model.log_likelihood(torch.cat([rows, nothing], 1)).logsumexp(0)
    torch.testing.assert_close(model.log_probability(constraint), want, rtol=1e-10, atol=0.0)
    found = model.condition_on(constraint)
    best = found.mpe()
    assert best.exact
    assert best.rows[0, :8].sum() % 2 == 1
    assert determinism(found.circuit).verdict == "yes"


def test_counts_of_a_large_formula(sample: Find) -> None:
    """Under fair coins, the probability is the model count divided by the number of worlds."""
    constraint = read(sample("alarm.sdd"))
    number = len(constraint.variables)
    b = Builder(constraint.variables)
    fair = model_of(b.build(b.product([b.bernoulli(v, [0.5]) for v in range(number)])))
    want = constraint.log_scale - number * np.log(2.0)
    assert fair.log_probability(constraint).item() == pytest.approx(want, rel=1e-10)
    assert fair.condition_on(constraint).log_partition().item() == pytest.approx(0.0, abs=1e-9)
