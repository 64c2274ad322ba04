"""Every layer kind, form and weight generator against the oracle, with a strict tolerance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from pccompiler.ir import (
    Builder,
    Circuit,
    Direct,
    Hypernetwork,
    Sectors,
    categorical,
    real,
)
from pccompiler.ir.generators import Generator, SectorPolicy
from pccompiler.ir.plan.layers import Form
from pccompiler.ir.plan.materialize import by_group, materialize, unconstrain
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.ir.plan.parameters import lay_out, parameter_name
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.sectors import partition
from pccompiler.onnx_backend import OnnxModel, export
from pccompiler.passes import plan
from pccompiler.structures import hmm, naive_bayes_mixture, rat_spn

Kind = Literal["compact", "materialized"]
Parameters = dict[str, NDArray[np.float32]]
TOLERANCE = 1e-5  # the promise of an export, relative to max(1, |log-likelihood|)
BOTH = pytest.mark.parametrize("weights", ["compact", "materialized"])


def random_parameters(lowered: Plan, scale: float = 1.0, seed: int = 0) -> Parameters:
    rng = np.random.default_rng(seed)
    shapes = lay_out(lowered).shapes
    return {n: (scale * rng.normal(size=s)).astype(np.float32) for n, s in shapes.items()}


def random_table(lowered: Plan, number: int = 24) -> NDArray[np.float64]:
    """A third complete, a third with 30 % missing, the rest mostly missing and one completely."""
    rng = np.random.default_rng(7)
    columns = [
        rng.integers(0, v.cardinality, number) if v.discrete else 2.0 * rng.normal(size=number)
        for v in lowered.variables
    ]
    x = np.stack(columns, axis=1).astype(np.float32).astype(np.float64)
    rates = np.repeat([0.0, 0.3, 0.9], number // 3)
    x[rng.random(x.shape) < rates[:, None]] = np.nan
    x[-1] = np.nan
    return x


def strict_error(
    lowered: Plan, parameters: Parameters, path: Path, weights: Kind, number: int = 24
) -> float:
    """The file's largest error on separate rows, besides the exporter's check."""
    export(lowered, parameters, path, weights=weights)
    x = random_table(lowered, number)
    want = log_likelihood(lowered, materialize(lowered, lay_out(lowered), parameters), x)
    got = OnnxModel(path).log_likelihood(x)
    both = np.isneginf(got) & np.isneginf(want)
    with np.errstate(invalid="ignore"):
        errors = np.where(both, 0.0, np.abs(got - want) / np.maximum(1.0, np.abs(want)))
    return float(errors.max())


def kronecker() -> Circuit:
    """Kronecker products of two and three operands, of different widths."""
    b = Builder()
    x = [b.binary(f"x{i}") for i in range(5)]
    pair = b.kronecker([b.sum([b.indicator(x[0])], 2), b.sum([b.indicator(x[1])], 3)])
    three = b.kronecker([b.bernoulli(v, units=2) for v in x[2:]])
    return b.build(b.sum([b.product([b.sum([pair], 4), b.sum([three], 4)])], 1))


def mixed_widths() -> Circuit:
    """Dense sums over operands of different widths, from several layers, some of them shared."""
    b = Builder()
    x, y = b.binary("x"), b.variable(categorical("y", 3))
    wide = b.product([b.bernoulli(x, units=4), b.sum([b.indicator(y)], 4)])
    thin = b.product([b.sum([b.indicator(x)], 2), b.sum([b.indicator(y)], 2)])
    return b.build(b.mixture([b.sum([wide, thin], 1), b.sum([b.sum([thin, wide, thin], 3)], 1)]))


def mixed_scales() -> Circuit:
    """A product layer with two arities, where only operands of the larger have a scale."""
    b = Builder()
    x = iter([b.binary(f"x{i}") for i in range(15)])

    def leaf(units: int) -> int:
        return b.sum([b.indicator(next(x))], units)

    def narrow() -> int:
        return b.sum([b.product([leaf(2), leaf(2)])], 2)

    wide = b.sum([b.product([leaf(3) for _ in range(4)])], 2)
    products = [b.product([narrow(), narrow()]), b.product([wide, narrow(), leaf(2)])]
    both = b.product([*(b.sum([p], 2) for p in products), narrow()])
    return b.build(b.sum([both], 1))


def partly_real() -> Circuit:
    return rat_spn([real("a"), categorical("b", 4), real("c"), categorical("d", 3)], 3, 3)


def domains(leaf: str) -> Circuit:
    chosen = [real(f"x{i}") if leaf == "gaussian" else categorical(f"x{i}", 2) for i in range(6)]
    return naive_bayes_mixture(chosen, 4, leaf=leaf)


CIRCUITS: dict[str, Callable[[], Circuit]] = {
    "rat-1": lambda: rat_spn(1, 2, 3),
    "rat-5": lambda: rat_spn(5, 3, 3),
    "rat-16": lambda: rat_spn(16, 5, 4),
    "rat-69": lambda: rat_spn(69, 3, 5),
    "one-unit": lambda: rat_spn(9, 3, 1),
    "shallow": lambda: rat_spn(20, 3, 4, depth=2),
    "flat": lambda: rat_spn(6, 3, 4, depth=0),
    "bernoulli": lambda: rat_spn(9, 3, 3, leaf="bernoulli"),
    "categorical": lambda: rat_spn([categorical(f"x{i}", 5) for i in range(6)], 2, 3),
    "partly-real": partly_real,
    "hmm": lambda: hmm(12, 4),
    "hmm-free": lambda: hmm(7, 3, homogeneous=False),
    "hmm-gaussian": lambda: hmm([real(f"x{i}") for i in range(5)], 3),
    "mixture-bernoulli": lambda: domains("bernoulli"),
    "mixture-categorical": lambda: domains("categorical"),
    "mixture-gaussian": lambda: domains("gaussian"),
    "kronecker": kronecker,
    "mixed-widths": mixed_widths,
}
GENERATORS: dict[str, Generator] = {
    "direct": Direct(),
    "direct-no-floor": Direct(floor=0.0),
    "direct-reference": Direct(allocation="reference"),
    "hypernetwork": Hypernetwork(),
    "no-hidden-layer": Hypernetwork(hidden=()),
    "slice": Hypernetwork(heads="slice"),
    "reference": Hypernetwork(allocation="reference"),
}


@BOTH
@pytest.mark.parametrize("numerics", ["auto", "log"])
@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("name", CIRCUITS)
def test_parity(name: str, generator: str, numerics: str, weights: Kind, tmp_path: Path) -> None:
    circuit = partition(CIRCUITS[name](), Sectors()).replace(generator=GENERATORS[generator])
    lowered = plan(circuit, numerics=numerics)
    parameters = random_parameters(lowered)
    assert strict_error(lowered, parameters, tmp_path / "m.onnx", weights) < TOLERANCE


@BOTH
@pytest.mark.parametrize("heads", ["per-shape", "slice"])
@pytest.mark.parametrize(("by", "size"), [("rows", 1), ("rows", 3), ("size", 1), ("size", 7)])
def test_partitions_that_leave_a_rest(
    by: SectorPolicy, size: int, heads: Literal["per-shape", "slice"], weights: Kind, tmp_path: Path
) -> None:
    policy = Sectors(by=by, size=size, mixtures=True)
    net = Hypernetwork(heads=heads)
    lowered = plan(partition(rat_spn(7, 3, 4), policy).replace(generator=net))
    parameters = random_parameters(lowered)
    assert strict_error(lowered, parameters, tmp_path / "m.onnx", weights) < TOLERANCE


@BOTH
def test_a_scale_on_some_operands_only(weights: Kind, tmp_path: Path) -> None:
    lowered = plan(mixed_scales().replace(generator=Direct(floor=1e-3)))
    two = [layer for layer in lowered.layers if {o.arity for o in layer.operands} == {2, 3}]
    assert [layer.form for layer in two] == [Form.LINEAR]  # otherwise this tests nothing
    error = strict_error(lowered, random_parameters(lowered), tmp_path / "m.onnx", weights)
    assert error < TOLERANCE


@BOTH
@pytest.mark.parametrize("scale", [10.0, 30.0])
@pytest.mark.parametrize("name", ["bernoulli", "categorical", "rat-16", "mixture-bernoulli"])
def test_extreme_logits(name: str, scale: float, weights: Kind, tmp_path: Path) -> None:
    """ONNX Runtime's own Sigmoid gives 0 below -18: probabilities are formed from softmax."""
    lowered = plan(CIRCUITS[name]())
    parameters = random_parameters(lowered, scale)
    assert strict_error(lowered, parameters, tmp_path / "m.onnx", weights) < TOLERANCE


@BOTH
@pytest.mark.parametrize("numerics", ["auto", "log"])
@pytest.mark.parametrize("name", ["bernoulli", "rat-5", "mixture-categorical", "mixed-widths"])
def test_weights_that_are_exactly_zero(
    name: str, numerics: str, weights: Kind, tmp_path: Path
) -> None:
    """Logits of -inf, and +-inf for a Bernoulli: some rows have density 0, none is NaN."""
    lowered = plan(CIRCUITS[name]().replace(generator=Direct(floor=0.0)), numerics=numerics)
    parameters = random_parameters(lowered)
    rng = np.random.default_rng(3)
    for table in parameters.values():
        gone = rng.random(table.shape) < 0.4
        gone[..., 0] &= table.shape[-1] == 1  # a row keeps its first entry
        table[gone] = -np.inf if table.shape[-1] > 1 else np.inf * np.sign(table[gone])
    assert strict_error(lowered, parameters, tmp_path / "m.onnx", weights) < TOLERANCE
    values = OnnxModel(tmp_path / "m.onnx").log_likelihood(random_table(lowered))
    assert not np.isnan(values).any()
    assert values[-1] == pytest.approx(0.0, abs=TOLERANCE)


@BOTH
@pytest.mark.parametrize("mix", ["sum", "mixture"])
def test_one_unit_takes_its_weights_before_the_maximum(
    mix: str, weights: Kind, tmp_path: Path
) -> None:
    """The only operand of positive weight is exp(-345) times the largest: its value survives."""
    b = Builder()
    x = [b.binary(f"x{i}") for i in range(30)]
    likely, unlikely = (b.product([b.bernoulli(v, [p]) for v in x]) for p in (1.0, 1e-5))
    join = b.sum if mix == "sum" else b.mixture
    circuit = b.build(join([likely, unlikely], weights=[0.0, 1.0]))
    lowered = plan(circuit.replace(generator=Direct(floor=0.0)))
    values = by_group(lowered, circuit.weights.values)
    parameters = {
        parameter_name(lowered, number): unconstrain(values[number], group)
        for number, group in enumerate(lowered.groups)
    }
    export(lowered, parameters, tmp_path / "m.onnx", weights=weights)
    got = OnnxModel(tmp_path / "m.onnx").log_likelihood(np.ones((1, 30)))
    np.testing.assert_allclose(got, [30 * np.log(1e-5)], rtol=1e-6)


@BOTH
def test_rounding_does_not_add_up_over_many_variables(weights: Kind, tmp_path: Path) -> None:
    """Nothing observed: the answer is 0, and the rounding of 3,000 regions stays below 1e-5."""
    circuit = partition(rat_spn(1556, 3, 5), Sectors()).replace(generator=Hypernetwork())
    lowered = plan(circuit)
    parameters = random_parameters(lowered, 0.5)
    path = tmp_path / "m.onnx"
    assert strict_error(lowered, parameters, path, weights, number=6) < TOLERANCE


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_any_batch_size(batch: int, tmp_path: Path) -> None:
    lowered = plan(rat_spn(16, 3, 4))
    export(lowered, random_parameters(lowered), tmp_path / "m.onnx")
    model = OnnxModel(tmp_path / "m.onnx")
    x = random_table(lowered, 150)
    whole = model.log_likelihood(x, batch_size=150)
    np.testing.assert_allclose(
        model.log_likelihood(x, batch_size=batch), whole, rtol=1e-6, atol=1e-6
    )
    assert model.log_likelihood(x[:0]).shape == (0,)
