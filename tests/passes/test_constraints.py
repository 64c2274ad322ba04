"""Products of circuits and constraints against all worlds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import CircuitError, PCCompilerError
from pccompiler.imports import read_nnf, read_sdd
from pccompiler.ir import Builder, Circuit, binary, categorical, real
from pccompiler.ir.arrays import Float
from pccompiler.ir.expressions.variables import variables
from pccompiler.passes import compatibility, constrain, determinism, multiply
from pccompiler.passes.constraints import Listed, formula
from pccompiler.passes.transforms.keep_worlds import keep_worlds
from pccompiler.testing import density, worlds
from pccompiler.testing.random_circuits import DISCRETE, Maker, RandomChoices
from pccompiler.testing.random_weights import random_weights, with_values
from pccompiler.testing.refusals import refusals
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]
seeds = st.integers(0, 2**32 - 1)


def random_constraint(circuit: Circuit, seed: int) -> Circuit:
    """A random circuit over some of the variables of another one, 0 in many worlds."""
    choices = RandomChoices(seed)
    number = choices.pick(1, len(circuit.variables))
    order = choices.permute(range(len(circuit.variables)))[:number]
    chosen = [circuit.variables[v] for v in order]
    maker = Maker(choices, chosen, DISCRETE)
    root = maker.sum([maker.region(maker.scope, 1)], 1)
    made = maker.builder.build(root)
    return with_values(made, random_weights(made, seed, zeros=True))


def holds(circuit: Circuit, constraint: Circuit) -> Float:
    """1 for each world of the circuit in which the constraint is positive, otherwise 0."""
    names = [variable.name for variable in circuit.variables]
    columns = [names.index(variable.name) for variable in constraint.variables]
    values = [density(constraint, world[columns]) for world in worlds(circuit)]
    return (np.array(values) > 0.0).astype(float)


def values(circuit: Circuit) -> Float:
    return np.array([density(circuit, world) for world in worlds(circuit)])


@given(circuits(4), seeds)
@settings(max_examples=60)
def test_constrained_circuits_are_the_product(circuit: Circuit, seed: int) -> None:
    constraint = random_constraint(circuit, seed)
    want = values(circuit) * holds(circuit, constraint)
    if want.sum() == 0.0:
        with pytest.raises(CircuitError, match="probability 0"):
            constrain(circuit, constraint)
        return
    found = constrain(circuit, constraint)
    np.testing.assert_allclose(values(found), want, rtol=1e-10, atol=1e-300)
    assert np.exp(found.log_scale) == pytest.approx(want.sum(), rel=1e-10)


@given(circuits(4), st.data())
@settings(max_examples=40)
def test_any_set_of_worlds_can_be_kept(circuit: Circuit, data: st.DataObject) -> None:
    shape = [variable.cardinality for variable in circuit.variables]
    size = int(np.prod(shape))
    bits = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    allowed = np.array(bits).reshape(shape)
    want = values(circuit) * allowed.reshape(-1)
    if want.sum() == 0.0:
        return
    found = keep_worlds(circuit, range(len(shape)), allowed)
    np.testing.assert_allclose(values(found), want, rtol=1e-10, atol=1e-300)


def test_keeping_worlds_keeps_determinism() -> None:
    b = Builder([binary(f"x{i}") for i in range(4)])
    leaves = [b.indicator(v) for v in range(4)]
    below = b.sum([leaves[3]], 2, weights=[[0.2, 0.8], [0.7, 0.3]])
    for v in (2, 1, 0):
        above = b.kronecker([leaves[v], below])
        rows = [[0.3, 0.0, 0.0, 0.7], [0.0, 0.6, 0.4, 0.0]]
        below = b.sum([above], 2 if v else 1, weights=rows if v else rows[:1])
    chain = b.build(below)
    assert determinism(chain).verdict == "yes"
    odd = np.indices((2,) * 4).sum(axis=0) % 2 == 1
    found = keep_worlds(chain, range(4), odd)
    assert determinism(found).verdict == "yes"
    np.testing.assert_allclose(values(found), values(chain) * odd.reshape(-1), rtol=1e-12)


NNF = "nnf 7 6 3\nL 1\nL 2\nA 2 0 1\nL -1\nL -2\nA 2 3 4\nO 1 2 2 5\n"
"""x1 = x2, over three variables."""


def same(folder: Path) -> Circuit:
    path = folder / "same.nnf"
    path.write_text(NNF)
    return read_nnf(path)


def test_variables_that_the_circuit_alone_has_are_kept(tmp_path: Path) -> None:
    b = Builder([real("height"), binary("x1"), binary("x2"), binary("x3")])
    heights = b.gaussian(0, [[1.0, 0.5], [2.0, 0.5]])
    rest = [b.bernoulli(v, [0.3, 0.6]) for v in (1, 2, 3)]
    circuit = b.build(b.sum([b.product([heights, *rest])], 1, weights=[[0.4, 0.6]]))
    found = constrain(circuit, same(tmp_path))
    for world in ([1.3, 1, 1, 0], [0.2, 0, 0, 1]):
        assert density(found, world) == pytest.approx(density(circuit, world), rel=1e-12)
    assert density(found, [1.3, 1, 0, 0]) == 0.0


def test_formulas_without_weights(tmp_path: Path) -> None:
    one, two, three = variables("x1", "x2", "x3")
    formula = ((one == 1) * (two == 1) + (one == 0) * (two == 0)) * three.bernoulli()
    b = Builder([binary(f"x{i}") for i in (1, 2, 3)])
    circuit = b.build(b.product([b.bernoulli(v, [0.3 + 0.2 * v]) for v in range(3)]))
    found = constrain(circuit, formula.circuit())
    np.testing.assert_allclose(values(found), values(constrain(circuit, same(tmp_path))))


def test_models_that_cross_the_constraint_list_its_worlds(tmp_path: Path) -> None:
    circuit, constraint = _crossing(), _crossing(swapped=True)
    assert compatibility(circuit, constraint).holds is False
    assert isinstance(formula(circuit, constraint), Listed)
    want = values(circuit) * holds(circuit, constraint)
    np.testing.assert_allclose(values(constrain(circuit, constraint)), want, rtol=1e-12)


def test_states_count_and_not_the_name_of_the_domain(tmp_path: Path) -> None:
    b = Builder([categorical("x1", 2), categorical("x2", 2), categorical("x3", 2)])
    leaves = [b.sum([b.indicator(v)], 1, weights=[[0.25, 0.75]]) for v in range(3)]
    circuit = b.build(b.product(leaves))
    found = constrain(circuit, same(tmp_path))
    assert np.exp(found.log_scale) == pytest.approx(0.25**2 + 0.75**2, rel=1e-12)


def _crossing(number: int = 4, *, swapped: bool = False) -> Circuit:
    """Pairs of neighbours that are equal more often than not; swapped, pairs across, equal."""
    b = Builder([binary(f"x{i + 1}") for i in range(number)])
    half = number // 2
    places = [(i, i + half) if swapped else (2 * i, 2 * i + 1) for i in range(half)]
    pairs = [
        b.sum([b.product([b.sum([b.indicator(v)], 2, weights=np.eye(2)) for v in pair])], 1,
              weights=[[0.5, 0.5]])
        for pair in places
    ]  # fmt: skip
    made = b.build(b.product(pairs, name="root"))
    if swapped:
        return made
    soft = np.array([[0.8, 0.2], [0.3, 0.7]])
    values = {w: soft if len(t) == 2 else t for w, t in made.weights.values.items()}
    return made.with_values(values)


def _refused(folder: Path) -> dict[str, Callable[[], object]]:
    circuit = _crossing()
    first = _one("x1", [0.0, 1.0])
    return {
        "not a circuit": lambda: constrain(circuit, "same.nnf"),  # type: ignore[arg-type]
        "unknown": lambda: constrain(circuit, _one("rain", [0.0, 1.0])),
        "states": lambda: constrain(circuit, _one("x1", [0.0, 0.5, 0.5])),
        "impossible": lambda: constrain(constrain(circuit, first), _one("x1", [1.0, 0.0])),
        "crossing": lambda: constrain(_crossing(20), _crossing(20, swapped=True)),
        "derivations": lambda: constrain(_crossing(20), _twice(20)),
        "no circuits": lambda: multiply("p", circuit),  # type: ignore[arg-type]
        "no such name": lambda: circuit.rename({"rain": "wet"}),
        "taken": lambda: circuit.rename({"x1": "x2"}),
        "invalid": lambda: circuit.rename({"x1": "a b"}),
    }


def _one(name: str, row: list[float]) -> Circuit:
    variable = binary(name) if len(row) == 2 else categorical(name, len(row))
    b = Builder([variable])
    return b.build(b.sum([b.indicator(0)], 1, weights=[row]))


def _twice(number: int) -> Circuit:
    """A disjunction that is not deterministic: x1 or x2 or ..., with all of them smooth."""
    b = Builder([binary(f"x{i + 1}") for i in range(number)])
    true = [b.bernoulli(v, [1.0]) for v in range(number)]
    either = [b.bernoulli(v, [0.5]) for v in range(number)]
    terms = [
        b.product([true[v] if v == w else either[w] for w in range(number)]) for v in range(number)
    ]
    made = b.build(b.sum(terms, 1, weights=[[1.0 / number] * number], name="any"))
    return made.replace(location=None)


def test_refusals(golden: Golden, tmp_path: Path) -> None:
    golden(refusals(_refused(tmp_path).values(), PCCompilerError))


def test_real_formulas_with_renamed_variables(sample: Callable[[str], Path]) -> None:
    constraint = read_sdd(sample("xor-8.sdd"))
    names = {f"x{i + 1}": f"x{i}" for i in range(8)}
    tree = with_values(pc.rat_spn(8, 2, 2, 2), random_weights(pc.rat_spn(8, 2, 2, 2), 3))
    found = constrain(tree, constraint.rename(names))
    odd = worlds(tree).sum(axis=1) % 2
    want = values(tree) * odd
    assert want.sum() > 0.0
    np.testing.assert_allclose(values(found), want, rtol=1e-10, atol=1e-300)


def test_renaming_keeps_everything_else() -> None:
    circuit = _crossing()
    renamed = circuit.rename({"x1": "rain"})
    assert [v.name for v in renamed.variables] == ["rain", "x2", "x3", "x4"]
    assert renamed.variables[0] == replace(circuit.variables[0], name="rain")
    np.testing.assert_array_equal(values(renamed), values(circuit))
