"""Extreme parameters: float32 agrees with the float64 oracle, or refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import CircuitError
from pccompiler.ir import Builder, Circuit, Direct, Family, Hypernetwork
from pccompiler.ir.families.supports import Nonnegative, Positive, Real, Support, UnitInterval
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.rounding import bounded_log_likelihood
from pccompiler.ir.variables import binary, categorical, count, real
from pccompiler.passes import plan

Golden = Callable[[str], None]

MAGNITUDES = st.floats(-320.0, 320.0).map(lambda e: float(10.0 ** min(e, 308.0)))
POSITIVE = st.one_of(MAGNITUDES, st.floats(1e-3, 1e3))
SHARES = st.one_of(st.floats(-320.0, -0.01).map(lambda e: 10.0**e), st.sampled_from([0.0, 1.0]))
REALS = st.tuples(POSITIVE, st.sampled_from([-1.0, 1.0])).map(lambda pair: pair[0] * pair[1])
STRATEGIES: dict[type[Support], st.SearchStrategy[float]] = {
    Real: REALS,
    Positive: POSITIVE,
    Nonnegative: st.one_of(POSITIVE, st.just(0.0)),
    UnitInterval: SHARES,
}


def variable_of(b: Builder, family: Family, edges: list[float]) -> int:
    some = (real("x"), real("x", edges=edges), count("x"), categorical("x", 3), binary("x"))
    return b.variable(next(variable for variable in some if family.fits(variable)))


def leaf_circuit(family: Family, tables: list[list[float]], shares: list[float]) -> Circuit:
    """A mixture of two leaves."""
    b = Builder()
    variable = variable_of(b, family, [-1.0, 0.0, 2.0, 3.0])
    leaves = b.inputs([variable, variable], family).tolist()
    circuit = b.build(b.sum(leaves, weights=shares))
    values = dict(circuit.weights.values)
    for leaf, table in zip(leaves, tables, strict=True):
        values[int(circuit.weight[leaf])] = np.array([table])
    return circuit.with_values(values).replace(generator=Direct(floor=0.0))


def parameters(family: Family) -> st.SearchStrategy[list[float]]:
    if family.simplex:
        return st.tuples(SHARES, st.floats(0.0, 1.0)).map(
            lambda pair: [pair[0], (1.0 - pair[0]) * pair[1], (1.0 - pair[0]) * (1.0 - pair[1])]
        )
    return st.tuples(*(STRATEGIES[type(p.support)] for p in family.parameters)).map(list)


def points(family: Family) -> list[float]:
    if not family.discrete:
        return [-0.5, 0.0, 1.5, np.nan, 100.0]
    return [0.0, 1.0, np.nan]


FAMILIES = [family for family in Family if family != Family.INDICATOR]


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=150)
@given(data=st.data())
def test_float32_agrees_or_refuses(family: Family, data: st.DataObject) -> None:
    tables = [data.draw(parameters(family)) for _ in range(2)]
    share = data.draw(SHARES)
    circuit = leaf_circuit(family, tables, [share, 1.0 - share])
    try:
        model = pc.compile(circuit)
    except CircuitError as refusal:
        if {finding.code for finding in refusal.diagnostics} <= {"PC111", "PC106"}:
            return
        raise
    x = np.array(points(family))[:, None]
    lowered = plan(circuit)
    want, bounds = bounded_log_likelihood(lowered, by_group(lowered, circuit.weights.values), x)
    far = want < -0.9e29  # log-densities are bounded below by -1e30
    near = ~far
    allowed = np.maximum(1e-5 * np.abs(want), bounds)[near]
    for kernels in (True, False):
        if not kernels:
            model.without_kernels()
        value = model.log_likelihood(x)
        got = value.detach().cpu().numpy().astype(np.float64)
        assert not np.isnan(got).any()
        assert (got[far] < -0.9e29).all()
        with np.errstate(invalid="ignore"):
            error = np.where(got == want, 0.0, np.abs(got - want))[near]  # both may be -inf
        assert (error <= np.maximum(allowed, 1e-6)).all(), (got, want, bounds)
        value[torch.isfinite(value)].sum().backward()
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(CircuitError) as caught:
        attempt()
    return re.sub(rf"{re.escape(__file__)}:\d+", "test_precision.py:LINE", str(caught.value))


def leaf(family: str, *parameters: float) -> Circuit:
    b = Builder()
    kinds = {"bernoulli": b.binary, "gaussian": b.real, "laplace": b.real}
    variable = kinds[family]("x") if family in kinds else b.variable(count("x"))
    node = b.inputs([variable], Family[family.upper()])[0]
    circuit = b.build(int(node))
    return circuit.with_values({int(circuit.weight[node]): np.array([parameters])})


def test_refusals(golden: Golden) -> None:
    b = Builder()
    x = b.binary("x")
    mixed = b.sum([b.bernoulli(x, [0.5]), b.bernoulli(x, [0.25])], weights=[1e-37, 1.0], name="top")
    mixture = b.build(mixed)
    edges = Builder()
    histogram = edges.inputs(
        [edges.variable(real("width", edges=[0.0, 1.0, 1.0 + 1e-12, 2.0]))], Family.HISTOGRAM
    )[0]
    narrow = edges.build(int(histogram))
    plain = pc.rat_spn(4, 1, 2)
    attempts: list[Callable[[], object]] = [
        lambda: pc.compile(leaf("gaussian", 0.0, 1e-46)),
        lambda: pc.compile(leaf("laplace", 0.0, 1e-46)),
        lambda: pc.compile(leaf("gaussian", 1e8 + 3.0, 1.0)),
        lambda: pc.compile(leaf("bernoulli", 1e-46)),
        lambda: pc.compile(leaf("poisson", 1e30)),
        lambda: pc.compile(mixture),
        lambda: pc.compile(narrow),
        lambda: pc.compile(plain.replace(generator=Direct(floor=1e-40))),
    ]
    golden("\n".join(refusal(attempt) for attempt in attempts))
    for circuit in (
        leaf("gaussian", 0.0, 1e-46),
        leaf("gaussian", 1e8 + 3.0, 1.0),
        mixture,
        narrow,
    ):
        assert pc.compile(circuit, dtype="float64").log_likelihood([[1.0]]).isfinite().all()


def test_weights_that_are_set_later_are_checked_too() -> None:
    model = pc.compile(leaf("bernoulli", 0.5))
    before = model.log_likelihood([[1.0]])
    (weight,) = model.weight_values()
    with pytest.raises(CircuitError, match="PC111"):
        model.set_weights({weight: np.array([[1e-46]])})
    assert torch.equal(model.log_likelihood([[1.0]]), before)
    model.set_weights({weight: np.array([[1e-30]])})
    assert model.log_likelihood([[1.0]]).item() == pytest.approx(-30.0 * np.log(10.0), rel=1e-6)


def test_parameters_that_overflow_are_not_loaded(tmp_path: Path) -> None:
    model = pc.compile(pc.rat_spn(4, 2, 2), Hypernetwork())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e30)
    pc.save(model, tmp_path / "m")
    with pytest.raises(CircuitError, match="PC113"):
        pc.load(tmp_path / "m")


def test_a_scale_that_became_zero_is_not_loaded(tmp_path: Path) -> None:
    model = pc.compile(leaf("gaussian", 0.0, 1.0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[..., 1] = -200.0
    pc.save(model, tmp_path / "m")
    with pytest.raises(CircuitError, match="scales of 0"):
        pc.load(tmp_path / "m")
