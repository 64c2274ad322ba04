"""EM in kernels and CUDA graphs against EM in float64 on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.ir import Builder, Circuit, Direct, Family, categorical, count, real
from pccompiler.structures import chow_liu_tree, hclt, naive_bayes_mixture
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.training.em.learner import Learner
from pccompiler.torch_backend.training.em.maximisation import Pace, RowUpdate, part_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

N = 7
REALS = [real(f"x{i}") for i in range(N)]


def data(circuit: Circuit, rows: int, missing: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    latent = rng.integers(0, 3, rows)
    columns = []
    for v in circuit.variables:
        noise = rng.random(rows)
        if v.domain == "real":
            columns.append(3.0 * latent + noise)
        elif v.domain == "count":
            columns.append(rng.poisson(2.0 + 5.0 * latent).astype(float))
        else:
            columns.append(np.floor(v.cardinality * (0.3 * latent + noise) / 1.7))
    x = np.stack(columns, axis=1)
    x[rng.random(x.shape) < missing] = np.nan
    return x


def tree(states: int, values: int) -> Circuit:
    x = np.random.default_rng(1).integers(0, values, (200, N))
    variables = [categorical(f"x{i}", values) for i in range(N)]
    return hclt(chow_liu_tree(x, variables), states)


CIRCUITS: dict[str, tuple[Callable[[], Circuit], str]] = {
    "dense": (lambda: tree(8, 5), "dense"),
    "dense, many values": (lambda: tree(4, 40), "dense"),
    "trees": (lambda: pc.rat_spn(20, 4, 5, seed=0), "trees-cuda"),
    "two units": (lambda: pc.rat_spn(20, 4, 2, seed=0), "trees-cuda"),
    "Bernoulli leaves": (lambda: pc.rat_spn(20, 4, 5, seed=0, leaf="bernoulli"), "dense"),
    "Gaussian leaves": (lambda: pc.rat_spn(REALS, 3, 8, seed=0), "dense"),
    "a mixture": (
        lambda: naive_bayes_mixture([real("a"), real("b"), count("c")], 6),
        "general-cuda",
    ),
    "wide rows": (
        lambda: naive_bayes_mixture([categorical("a", 3), categorical("b", 2000)], 4),
        "general-cuda",
    ),
}


@pytest.mark.gpu
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 50, "step_size": 0.2},
        {"batch_size": 64, "step_size": 0.4, "weighted": True},
    ],
    ids=["full", "steps", "weighted"],
)
def test_it_goes_where_float64_goes(
    name: str, missing: float, options: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pccompiler.torch_backend.training.em.learner._WORTH_IT", 1)
    make, engine = CIRCUITS[name]
    circuit = make()
    x = data(circuit, 200, missing)
    given = dict(options)
    weights = np.arange(200) % 4 if given.pop("weighted", False) else None
    ends = []
    for device, dtype in (("cuda", "float32"), ("cpu", "float64")):
        model = pc.compile(circuit, device=device, dtype=dtype, seed=3)  # type: ignore[call-overload]
        if device == "cuda":
            assert model.engines.choose(Wanted.COUNTS).name == engine
        pc.fit_em(model, x, iterations=4, weights=weights, progress=False, **given)  # type: ignore[arg-type]
        ends.append(float(model.log_likelihood(x).mean().detach()))
    assert ends[0] == pytest.approx(ends[1], abs=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["dense", "trees", "wide rows"])
def test_one_step_has_the_same_parameters(name: str) -> None:
    circuit = CIRCUITS[name][0]()
    x = data(circuit, 100, 0.0)
    found = []
    for device, dtype in (("cuda", "float32"), ("cpu", "float64")):
        model = pc.compile(circuit, device=device, dtype=dtype, seed=3)  # type: ignore[call-overload]
        pc.fit_em(model, x, iterations=1, progress=False)
        found.append(model.weight_values())
    for weight, want in found[1].items():
        np.testing.assert_allclose(found[0][weight], want, rtol=2e-4, atol=2e-5)


@pytest.mark.gpu
def test_a_graph_takes_the_same_steps() -> None:
    circuit = tree(8, 5)
    models = [pc.compile(circuit, device="cuda", seed=1) for _ in range(2)]
    x = models[0].prepare(data(circuit, 300, 0.1))
    batches = torch.randperm(300, device="cuda").split(50)
    for model, captures in zip(models, (True, False), strict=True):
        learner = Learner(model, x, None, np.random.default_rng(0), 100, 50, Pace(0.3, 0.1))
        assert learner.not_captured is None
        learner.not_captured = None if captures else "for the test"
        for rows in batches:
            learner.step(rows)
        assert (learner.graph is not None) == captures
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.gpu
@pytest.mark.parametrize("columns", [2, 5, 33, 1024, 1025, 3000])
@pytest.mark.parametrize("floor", [0.0, 1e-6])
def test_the_kernel_is_the_definition(columns: int, floor: float) -> None:
    b = Builder([categorical("x", columns)])
    leaf = b.inputs([0], Family.CATEGORICAL, 3)[0]
    circuit = b.build(b.sum([int(leaf)], 1)).replace(generator=Direct(floor=floor))
    model = pc.compile(circuit, device="cuda")
    (number,) = [n for n, g in enumerate(model.plan.groups) if not g.is_sum]
    update = RowUpdate(model, number, Pace(0.25, 0.5))
    table = model.weights.constrained(number).detach()
    scale = torch.tensor(1.5, dtype=torch.float64, device="cuda")
    rows = update.rows.clone()
    for step in range(3):
        counts = torch.rand_like(table) * (torch.rand_like(table) < 0.5)
        if step == 1:
            counts[0, 0] = 0.0
        want = update._stepped(table.double(), counts.double(), scale)
        update.rows.copy_(rows)
        update(table, counts, scale)
        total = (counts.double() * scale + 0.5 / table.shape[-1]).sum(-1, keepdim=True)
        part_of(total, rows, 0.25)
        torch.testing.assert_close(update.rows, rows, rtol=1e-6, atol=0)
        table = model.weights.constrained(number).detach()
        torch.testing.assert_close(table.double(), want, rtol=2e-5, atol=1e-9)
