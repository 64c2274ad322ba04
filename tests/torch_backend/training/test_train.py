"""Training learns, keeps the best parameters, is reproducible, and refuses bad input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.bench.subjects.registry import material
from pccompiler.bench.subjects.subject import Subject
from pccompiler.ir import Builder, Hypernetwork, real
from pccompiler.testing.refusals import refusals
from pccompiler.torch_backend import Evaluation, mean_log_likelihood

Golden = Callable[[str], None]


def correlated(rows: int, seed: int = 0) -> np.ndarray:
    """Six binary columns in three pairs of near copies."""
    rng = np.random.default_rng(seed)
    half = rng.integers(0, 2, (rows, 3))
    flips = rng.random((rows, 3)) < 0.1
    return np.concatenate([half, half ^ flips], axis=1)


@pytest.mark.parametrize("net", [None, Hypernetwork()], ids=["direct", "hypernetwork"])
def test_it_approaches_the_entropy(net: Hypernetwork | None) -> None:
    model = pc.compile(pc.rat_spn(6, 8, 4), net)
    history = pc.fit(
        model,
        correlated(2000),
        correlated(500, 1),
        steps=300,
        batch_size=200,
        learning_rate=2e-2,
        evaluate_every=50,
    )
    flip = 0.1 * np.log(0.1) + 0.9 * np.log(0.9)
    entropy = 3 * (np.log(0.5) + flip)  # nats per row
    reached = mean_log_likelihood(model, model.prepare(correlated(5000, 2)))
    assert entropy - 0.08 < reached < entropy + 0.05  # sampling error of 5,000 rows: 0.02
    assert history.evaluations[-1].step == 300
    assert history.best_valid == max(e.valid for e in history.evaluations if e.valid is not None)


def test_the_best_parameters_stay() -> None:
    model = pc.compile(pc.rat_spn(6, 4, 3))
    seen: list[Evaluation] = []
    valid = correlated(100, 1)
    history = pc.fit(
        model,
        correlated(40),
        valid,
        steps=200,
        batch_size=40,
        learning_rate=0.2,
        evaluate_every=10,
        on_evaluation=seen.append,
    )
    assert seen == history.evaluations
    assert mean_log_likelihood(model, model.prepare(valid)) == history.best_valid
    assert history.best_step < 200  # 40 rows: it overfits


def test_patience_stops() -> None:
    model = pc.compile(pc.rat_spn(6, 4, 3))
    history = pc.fit(
        model,
        correlated(40),
        correlated(100, 1),
        steps=5000,
        learning_rate=0.2,
        evaluate_every=10,
        patience=3,
    )
    assert history.stopped_early
    assert history.evaluations[-1].step == history.best_step + 30


def test_same_seed_same_model() -> None:
    runs: list[list[float]] = []
    for seed in (0, 0, 1):
        model = pc.compile(pc.rat_spn(6, 4, 3), Hypernetwork(), seed=seed)
        history = pc.fit(
            model,
            correlated(300),
            correlated(99),
            steps=40,
            batch_size=50,
            evaluate_every=20,
            seed=seed,
        )
        runs.append([e.train for e in history.evaluations])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_without_validation_the_last_parameters_stay() -> None:
    model = pc.compile(pc.rat_spn(6, 2, 3))
    history = pc.fit(model, correlated(200), steps=30, batch_size=50, evaluate_every=10)
    assert history.best_valid is None
    assert history.best_step == 30


def test_training_with_missing_values() -> None:
    x = correlated(1000).astype(np.float64)
    x[np.random.default_rng(3).random(x.shape) < 0.2] = np.nan
    model = pc.compile(pc.rat_spn(6, 8, 4))
    pc.fit(model, x, steps=300, batch_size=200, learning_rate=2e-2, evaluate_every=100)
    pair = model.log_likelihood(
        [[1, np.nan, np.nan, 1, np.nan, np.nan], [1, np.nan, np.nan, 0, np.nan, np.nan]]
    )
    assert float((pair[0] - pair[1]).detach()) > 1.5  # true: log 9 = 2.2


def test_gaussians_find_their_clusters() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-4, 1, (500, 2)), rng.normal(4, 0.5, (500, 2))])
    model = pc.compile(pc.naive_bayes_mixture([real("a"), real("b")], 4))
    pc.fit(model, x, steps=600, batch_size=200, learning_rate=5e-2, evaluate_every=200)
    truth = np.log(0.5) - 1 - np.log(2 * np.pi) - 0.5 * np.log(0.5**2)  # mean over the clusters
    assert mean_log_likelihood(model, model.prepare(x)) == pytest.approx(truth, abs=0.1)


def test_errors(golden: Golden) -> None:
    b = Builder()
    x = b.binary("x")
    forbids = pc.compile(b.build(b.sum([b.indicator(x)], weights=[1.0, 0.0])))
    model = pc.compile(pc.rat_spn(4, 2, 2))
    good = np.zeros((10, 4))
    attempts: list[Callable[[], object]] = [
        lambda: pc.fit(model, good[:, :3]),
        lambda: pc.fit(model, good + 2),
        lambda: pc.fit(model, good, good + 0.5),
        lambda: pc.fit(model, good[:0]),
        lambda: pc.fit(model, good, steps=0),
        lambda: pc.fit(model, good, batch_size=0),
        lambda: pc.fit(model, good, learning_rate=-1.0),
        lambda: pc.fit(forbids, np.ones((5, 1)), steps=5),
        lambda: pc.fit(forbids, np.zeros((5, 1)), weight_decay=1e-3),
        lambda: model.log_likelihood(np.full((1, 4), np.inf)),
        lambda: model.log_likelihood(good, mask=np.zeros((10, 3))),
        lambda: pc.compile(pc.rat_spn(4), dtype="float16"),  # type: ignore[call-overload]
        lambda: pc.compile(pc.rat_spn(4), numerics="fast"),  # type: ignore[call-overload]
        lambda: pc.compile(forbids.circuit, Hypernetwork()),
        lambda: pc.compile(forbids.circuit.replace(generator=None), Hypernetwork()),
        lambda: (
            pc.compile(
                pc.naive_bayes_mixture(3, 2).replace(sectors=None),
                Hypernetwork(),
                sectors=pc.Sectors(),
            )
            and pc.compile(_only_mixtures(), Hypernetwork())
        ),
    ]
    golden(refusals(attempts))


def _only_mixtures() -> pc.Circuit:
    b = Builder()
    x = b.binary("x")
    return b.build(b.mixture([b.bernoulli(x), b.bernoulli(x)]))


@pytest.mark.gpu
def test_a_captured_step_equals_an_eager_one() -> None:
    histories = []
    for cuda_graph in (True, False):
        model = pc.compile(pc.rat_spn(16, 5, 4), Hypernetwork(), device="cuda")
        x = np.random.default_rng(0).integers(0, 2, (400, 16))
        histories.append(
            pc.fit(model, x, x, steps=60, batch_size=100, evaluate_every=20, cuda_graph=cuda_graph)
        )
    for one, other in zip(histories[0].evaluations, histories[1].evaluations, strict=True):
        assert one.train == pytest.approx(other.train, rel=1e-5)
        assert one.valid == pytest.approx(other.valid, rel=1e-5)


@pytest.mark.gpu
def test_a_circuit_of_single_units_trains_in_a_captured_step() -> None:
    made = material(Subject(structure="learned", n=32))
    assert made.data is not None
    results = []
    for device in ("cpu", "cuda"):
        model = pc.compile(made.circuit, device=device)
        assert model.plan.packed
        pc.fit(model, made.data, steps=30, batch_size=100, progress=False)
        results.append(model.log_likelihood(made.data).detach().cpu())
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("batch", [1, 7, 100, 500, 512])
def test_cuda_gives_the_cpus_values_and_gradients(batch: int) -> None:
    x = np.random.default_rng(0).integers(0, 2, (batch, 21)).astype(np.float64)
    x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    results = []
    for device in ("cpu", "cuda"):
        model = pc.compile(pc.rat_spn(21, 6, 5), Hypernetwork(), device=device, dtype="float64")
        value = model.log_likelihood(x)
        grads = torch.autograd.grad(value.sum(), list(model.parameters()))
        results.append([value.detach().cpu(), *(g.cpu() for g in grads)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
