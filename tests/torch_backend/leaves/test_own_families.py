"""Families from outside whose torch side is a class of `torch.distributions`, or is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Dirichlet,
    Distribution,
    Exponential,
    GeneralizedPareto,
    Independent,
    MultivariateNormal,
    NegativeBinomial,
    Pareto,
    Uniform,
    Weibull,
    Wishart,
)

import pccompiler as pc
from pccompiler.errors import CircuitError
from pccompiler.ir import Builder, Family, Variable, count, real
from pccompiler.ir.arrays import Float
from pccompiler.ir.families import Parameter, base, positive, register, unit_interval
from pccompiler.torch_backend.leaves import registry
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf, _seeded, _without_host

Golden = Callable[[str], None]
Columns = Sequence[Float]
Variables = Sequence[Variable]


class Waiting(Family):
    keyword, domains = "waiting", ("real",)
    parameters = (Parameter("rate", positive),)

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        (rate,) = parameters
        return np.where(x < 0.0, -np.inf, np.log(rate) - rate * x)


class Lasting(Family):
    keyword, domains = "lasting", ("real",)
    parameters = (Parameter("scale", positive), Parameter("concentration", positive))

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        scale, shape = parameters
        known = np.where(x > 0.0, x, 1.0) / scale
        logs = np.log(shape / scale) + (shape - 1.0) * np.log(known) - known**shape
        return np.where(x > 0.0, logs, -np.inf)


@pytest.fixture(autouse=True)
def _only_here() -> Iterator[None]:
    families, leaves = list(base._MEMBERS), dict(registry.LEAVES.items())
    for family in (Waiting, Lasting):
        register(family)
    registry.register(DistributionLeaf("waiting", Exponential))
    registry.register(DistributionLeaf("lasting", Weibull))
    yield
    base._MEMBERS[:] = families
    for keyword in set(registry.LEAVES) - set(leaves):
        registry.LEAVES.remove(keyword)


def alone(keyword: str, variable: Variable, units: int = 1) -> pc.CompiledCircuit:
    b = Builder([variable])
    leaf = int(b.inputs([0], Family[keyword], units)[0])
    circuit = b.build(leaf if units == 1 else b.sum([leaf], 1))
    return pc.compile(circuit, dtype="float64", seed=0)


def mean(model: pc.CompiledCircuit, x: Float) -> float:
    with torch.no_grad():
        return float(model.log_likelihood(x).mean())


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e2, 1e5, 1e9])
@pytest.mark.parametrize("keyword", ["waiting", "lasting", "gamma"])
def test_estimates_do_not_depend_on_the_unit_of_the_data(keyword: str, scale: float) -> None:
    x = np.random.default_rng(0).exponential(scale, (500, 1))
    model = alone(keyword, real("x"))
    pc.initialise(model, x)
    best = -1.0 - math.log(x.mean())  # the largest likelihood of exponential distributions
    assert mean(model, x) > best - 1e-6
    pc.fit_em(model, x, iterations=30, pseudocount=0.0, progress=False)
    assert best - 1e-6 < mean(model, x) < best + 0.01


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_counts_of_any_size_start_near_their_fit(scale: float) -> None:
    x = np.random.default_rng(0).negative_binomial(2, 1.0 / (1.0 + scale), (400, 1)).astype(float)
    model = alone("negative_binomial", count("n"))
    pc.initialise(model, x)
    start = mean(model, x)
    pc.fit_em(model, x, iterations=20, pseudocount=0.0, progress=False)
    assert start > mean(model, x) - 0.2


def test_a_cell_that_runs_again_changes_the_torch_side_too() -> None:
    first = alone("waiting", real("x"))
    with torch.no_grad():
        (raw,) = first.parameters()
        raw.copy_(torch.tensor(2.0).expand_as(raw))
    assert mean(first, np.ones((1, 1))) == pytest.approx(2.0 - math.exp(2.0))
    again = type("Waiting", (Waiting,), {"parameters": (Parameter("rate", unit_interval),)})
    again.__module__, again.__qualname__ = Waiting.__module__, Waiting.__qualname__
    register(again)
    assert registry.leaf_of("waiting").family is Family["waiting"]


DEPENDENT = (Uniform, Pareto, GeneralizedPareto, Independent, Bernoulli)
VECTORS = (Dirichlet, MultivariateNormal, Wishart)


def test_classes_that_are_not_over_single_numbers_are_refused(golden: Golden) -> None:
    found: list[str] = []
    for each in (*DEPENDENT, *VECTORS):
        with pytest.raises(CircuitError) as caught:
            DistributionLeaf(each.__name__.lower(), each)
        found.append(str(caught.value))
    golden("\n".join(found) + "\n")


class Losses(Family):
    """Torch counts successes, with ``probs`` the probability of each."""

    keyword, domains = "losses", ("count",)
    parameters = (Parameter("total_count", positive), Parameter("probs", unit_interval))

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        size, p = parameters
        lgamma = np.vectorize(math.lgamma, otypes=[np.float64])
        ways = lgamma(x + size) - lgamma(size) - lgamma(x + 1.0)
        return np.asarray(ways + size * np.log1p(-p) + x * np.log(p))


def test_bounds_of_arguments_are_compared_as_numbers() -> None:
    register(Losses)
    registry.register(DistributionLeaf("losses", NegativeBinomial))
    b = Builder([count("n")])
    model = pc.compile(b.build(b.inputs([0], Family["losses"], 1)[0]), dtype="float64", seed=1)
    (table,) = model.weight_values().values()
    want = Family["losses"].log_density(table[None], np.array([[[3.0]]]), [count("n")])
    assert mean(model, np.array([[3.0]])) == pytest.approx(float(want[0, 0, 0]))


def test_validation_returns_when_the_last_thread_has_left() -> None:
    device = torch.device("meta")
    before = Distribution._validate_args
    one, other = _without_host(device), _without_host(device)
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert not Distribution._validate_args
    other.__exit__(None, None, None)
    assert Distribution._validate_args == before


def test_draws_on_the_cpu_leave_other_generators_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    state = torch.get_rng_state()
    with _seeded(7, torch.device("cpu")):
        drawn = torch.rand(3, device="cpu")
    assert seeds == []
    assert torch.get_rng_state().equal(state)
    assert drawn.equal(torch.rand(3, device="cpu", generator=torch.Generator().manual_seed(7)))


class Late(DistributionLeaf):
    """Waiting times from the first edge of the variable on."""

    has_constants = True

    def constants(
        self, variables: Sequence[Variable], device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        first = [v.edges[0] for v in variables]
        return (torch.tensor(first, dtype=dtype, device=device).view(-1, 1, 1),)

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        return super().log_density(x - units.constants[0], units)


def test_first_guesses_know_the_constants() -> None:
    register(type("LateFamily", (Waiting,), {"keyword": "late"}))
    registry.register(Late("late", Exponential))
    x = 5e6 + np.random.default_rng(0).exponential(1e5, (500, 1))
    model = alone("late", real("x", (5e6, 9e6)))
    pc.initialise(model, x)
    assert mean(model, x) == pytest.approx(-1.0 - math.log(x.mean() - 5e6), abs=1e-3)
