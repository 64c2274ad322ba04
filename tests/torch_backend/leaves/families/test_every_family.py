"""Every registered family is asked every question, against sums and integrals of its definition.

A family that cannot answer refuses with a coded error; `REFUSALS` is the exact list of these.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import StudentT
from torch.overrides import TorchFunctionMode

import pccompiler as pc
from pccompiler.errors import PCCompilerError
from pccompiler.ir import Builder, Circuit, Variable, binary, parse, to_text
from pccompiler.ir.arrays import Float
from pccompiler.ir.families import Family, Parameter, base, positive, real, register
from pccompiler.testing import random_weights, with_values
from pccompiler.testing.families import FAMILIES
from pccompiler.torch_backend import fit, fit_em, initialise
from pccompiler.torch_backend.leaves import registry
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf

OUTSIDE = "outside_t"
"""A family from another package, made by `DistributionLeaf`, without ONNX nodes."""
KEYWORDS = [family.keyword for family in FAMILIES] + [OUTSIDE]
REFUSALS = {(OUTSIDE, "onnx"): "PC464"}
CLOSE = 5e-4  # densities have jumps between the points of the grid


class OutsideT(Family):
    keyword, domains = OUTSIDE, ("real",)
    parameters = (Parameter("df", positive), Parameter("loc", real), Parameter("scale", positive))
    everywhere, in_float64 = True, True

    def log_value(
        self, x: Float, parameters: Sequence[Float], variables: Sequence[Variable]
    ) -> Float:
        df, loc, scale = parameters
        gamma = np.vectorize(math.lgamma, otypes=[np.float64])
        constant = gamma((df + 1.0) / 2.0) - gamma(df / 2.0) - 0.5 * np.log(df * math.pi)
        tail = -0.5 * (df + 1.0) * np.log1p(((x - loc) / scale) ** 2 / df)
        found: Float = constant - np.log(scale) + tail
        return found


@pytest.fixture(scope="module", autouse=True)
def outside() -> Iterator[None]:
    register(OutsideT)
    registry.register(DistributionLeaf(OUTSIDE, StudentT))
    yield
    base._MEMBERS.pop()
    registry.LEAVES.remove(OUTSIDE)


class Case(NamedTuple):
    """A family, its variable, and parameters of two units, shape (2, columns)."""

    family: Family
    variable: Variable
    table: Float

    def circuit(self, unit: int | None = None) -> Circuit:
        """One unit alone, or a mixture of both with a binary variable."""
        table = self.table if unit is None else self.table[unit : unit + 1]
        b = Builder([self.variable] if unit is not None else [self.variable, binary("z")])
        leaf = int(b.inputs([0], self.family, len(table))[0])
        if unit is not None:
            return with_values(b.build(leaf), {0: table})
        other = b.bernoulli(1, [0.2, 0.7])
        root = b.sum([b.product([leaf, other])], weights=[[0.4, 0.6]])
        circuit = b.build(root)
        return with_values(circuit, {0: table, **circuit.weights.values})

    def model(self, unit: int | None = None) -> pc.CompiledCircuit:
        return pc.compile(self.circuit(unit), dtype="float64")

    def grid(self) -> tuple[Float, Float]:
        """Values, and the weight of each in a sum or an integral."""
        if self.variable.discrete:
            x = np.arange(float(self.variable.cardinality))
        elif self.variable.domain == "count":
            x = np.arange(2000.0)
        else:
            places = np.linspace(-25.0, 25.0, 400_001)
            return np.sinh(places), np.cosh(places) * (places[1] - places[0])
        return x, np.ones_like(x)

    def logs(self, x: Float) -> Float:
        """The definition, shape (2, batch)."""
        logs = self.family.log_density(self.table[None], x[None, None], [self.variable])
        return np.asarray(logs[0])

    def mean(self, unit: int, values: Float) -> float:
        """The mean of a function from its values on the grid."""
        x, weights = self.grid()
        mass = np.exp(self.logs(x)[unit]) * weights
        return float((mass * np.where(mass > 0.0, values, 0.0)).sum())


def case(keyword: str) -> Case:
    family = base.find(keyword)
    assert family is not None
    if keyword == OUTSIDE:
        rows = np.array([[9.0, 0.3, 0.8], [11.0, -1.2, 1.5]])
        return Case(family, pc.ir.real("x"), rows)
    variable = FAMILIES[family]
    b = Builder([variable])
    drawn = random_weights(b.build(int(b.inputs([0], family, 2)[0])), 4)
    return Case(family, variable, np.asarray(drawn[0]))


def draws(c: Case) -> Float:
    return np.asarray(c.model().sample(300, seed=1).cpu().numpy())


def density(c: Case, path: Path) -> None:
    x, weights = c.grid()
    assert (np.exp(c.logs(x)) * weights).sum(1) == pytest.approx([1.0, 1.0], abs=CLOSE)
    some = x[:: max(1, len(x) // 1000)]
    for unit in (0, 1):
        got = c.model(unit).log_likelihood(some[:, None]).detach().cpu().numpy()
        np.testing.assert_allclose(got, c.logs(some)[unit], rtol=1e-6, atol=1e-6)


def gradient(c: Case, path: Path) -> None:
    model, x = c.model(), torch.from_numpy(draws(c)[:4])
    names = [name for name, _ in model.named_parameters()]

    def evaluate(*given: Tensor) -> Tensor:
        values = dict(zip(names, given, strict=True))
        found: Tensor = torch.func.functional_call(model, values, (x,))
        return found

    assert torch.autograd.gradcheck(evaluate, tuple(model.parameters()), nondet_tol=1e-12)


def sample(c: Case, path: Path) -> None:
    x, _ = c.grid()
    drawn = c.model(0).sample(20_000, seed=2).cpu().numpy()[:, 0]
    mean = c.mean(0, x)
    spread = math.sqrt(c.mean(0, (x - mean) ** 2) / len(drawn))
    assert abs(float(drawn.mean()) - mean) < 5.0 * spread + CLOSE


def moments(c: Case, path: Path) -> None:
    x, _ = c.grid()
    found = c.model(1).posterior_marginals()
    mean = c.mean(1, x)
    assert float(found.mean[0, 0]) == pytest.approx(mean, abs=1e-3)
    assert float(found.variance[0, 0]) == pytest.approx(c.mean(1, (x - mean) ** 2), rel=2e-3)


def conditional(c: Case, path: Path) -> None:
    x = draws(c)[:20, 0]
    joint = np.exp(c.logs(x)) * np.array([[0.4], [0.6]])
    table = np.array([[0.2], [0.7]])
    query = np.stack([np.full(20, np.nan), np.ones(20)], axis=1)
    evidence = np.stack([x, np.full(20, np.nan)], axis=1)
    got = c.model().log_conditional(query, evidence).detach().exp().cpu().numpy()
    np.testing.assert_allclose(got, (joint * table).sum(0) / joint.sum(0), rtol=1e-6)


def posterior(c: Case, path: Path) -> None:
    shares = np.array([0.4 * 0.2, 0.6 * 0.7])
    means = [c.mean(unit, c.grid()[0]) for unit in (0, 1)]
    found = c.model().posterior_marginals([[math.nan, 1.0]])
    assert float(found.mean[0, 0]) == pytest.approx(shares @ means / shares.sum(), abs=1e-3)


def mode(c: Case, path: Path) -> None:
    best = c.model(0).mpe()
    x, _ = c.grid()
    assert float(best.log_value[0]) >= c.logs(x)[0].max() - 1e-6
    assert c.logs(best.rows.cpu().numpy()[:, 0])[0, 0] == pytest.approx(
        float(best.log_value[0]), abs=1e-6
    )


def finite_logs(c: Case, unit: int) -> Float:
    logs = c.logs(c.grid()[0])[unit]
    return np.where(np.isfinite(logs), logs, 0.0)


def entropy(c: Case, path: Path) -> None:
    assert float(c.model(0).entropy()[0].detach()) == pytest.approx(
        -c.mean(0, finite_logs(c, 0)), abs=CLOSE
    )


def divergence(c: Case, path: Path) -> None:
    got = float(c.model(0).kl(c.model(1)).detach())
    want = c.mean(0, finite_logs(c, 0) - finite_logs(c, 1))
    assert got == pytest.approx(want, abs=CLOSE)


def inner(c: Case, path: Path) -> None:
    x, weights = c.grid()
    want = (np.exp(c.logs(x).sum(0)) * weights).sum()
    assert float(c.model(0).inner_product(c.model(1)).detach().exp()) == pytest.approx(
        want, abs=CLOSE
    )


def expectation(c: Case, path: Path) -> None:
    name, x = c.variable.name, c.grid()[0]
    got = c.model(0).expectation({name: torch.cos})
    assert float(got[0].detach()) == pytest.approx(c.mean(0, np.cos(x)), abs=CLOSE)


def variance(c: Case, path: Path) -> None:
    name, x = c.variable.name, np.cos(c.grid()[0])
    got = c.model(0).variance({name: torch.cos})
    want = c.mean(0, (x - c.mean(0, x)) ** 2)
    assert float(got[0].detach()) == pytest.approx(want, abs=CLOSE)


def steps(c: Case, path: Path) -> None:
    x, model = draws(c), pc.compile(c.circuit(), dtype="float64", seed=3)
    initialise(model, x)
    history = fit_em(model, x, iterations=6, pseudocount=0.0, progress=False)
    values = [evaluation.train for evaluation in history.evaluations]
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(values))
    assert values[-1] > values[0]


def start(c: Case, path: Path) -> None:
    model, x = pc.compile(c.circuit(), dtype="float64"), draws(c)
    initialise(model, x)
    assert all(np.isfinite(table).all() for table in model.weight_values().values())
    assert bool(model.log_likelihood(x).isfinite().all())


def training(c: Case, path: Path) -> None:
    model, x = pc.compile(c.circuit(), dtype="float64"), draws(c)
    initialise(model, x)
    before = float(model.log_likelihood(x).detach().mean())
    fit(model, x, steps=20, batch_size=100, progress=False)
    assert float(model.log_likelihood(x).detach().mean()) > before


def text(c: Case, path: Path) -> None:
    assert parse(to_text(c.circuit())) == c.circuit()


def checkpoint(c: Case, path: Path) -> None:
    model, x = c.model(), draws(c)
    pc.save(model, path / "model.pt")
    loaded = pc.load(path / "model.pt")
    assert torch.equal(loaded.log_likelihood(x).cpu(), model.log_likelihood(x).cpu())


def onnx(c: Case, path: Path) -> None:
    for weights in ("compact", "materialized"):
        report = pc.export_onnx(c.model(), path / "model.onnx", weights=weights)
        assert report.max_error_in_bounds <= 1.0


QUESTIONS: dict[str, Callable[[Case, Path], None]] = {
    "density": density,
    "gradient": gradient,
    "sample": sample,
    "moments": moments,
    "conditional": conditional,
    "posterior": posterior,
    "mode": mode,
    "entropy": entropy,
    "kl": divergence,
    "inner product": inner,
    "expectation": expectation,
    "variance": variance,
    "em": steps,
    "initialise": start,
    "training": training,
    "text": text,
    "checkpoint": checkpoint,
    "onnx": onnx,
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_every_family_answers_every_question(keyword: str, question: str, tmp_path: Path) -> None:
    refused = None
    try:
        QUESTIONS[question](case(keyword), tmp_path)
    except PCCompilerError as error:
        refused = error.diagnostics[0].code
    assert refused == REFUSALS.get((keyword, question))


class Calls(TorchFunctionMode):
    """The functions of torch that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[Any] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(func)
        return func(*args, **(kwargs or {}))


def test_distributions_on_a_gpu_neither_copy_from_nor_wait_for_the_cpu() -> None:
    """Meta tensors show it without a GPU: they have no values to wait for."""
    units = Units(registry.leaf_of(OUTSIDE), torch.ones(2, 3, 3, device="meta"))
    x = torch.zeros(2, 1, 4, device="meta")
    with Calls() as calls:
        logs = units.leaf.log_density(x, units)
    assert logs.shape == (2, 3, 4)
    assert torch.full in calls.seen
    assert not calls.seen & {torch.tensor, torch.as_tensor}


def test_the_refusals_are_of_families_and_questions_that_there_are() -> None:
    assert {keyword for keyword, _ in REFUSALS} <= set(KEYWORDS)
    assert {question for _, question in REFUSALS} <= set(QUESTIONS)
