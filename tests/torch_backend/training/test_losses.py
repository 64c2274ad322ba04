"""Discriminative, hybrid and own losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pccompiler as pc
from pccompiler.ir import Hypernetwork, real
from pccompiler.losses import discriminative, hybrid
from pccompiler.testing.refusals import refusals
from pccompiler.torch_backend import CompiledCircuit

Golden = Callable[[str], None]
OPTIONS: dict[str, Any] = {"steps": 40, "batch_size": 50, "evaluate_every": 20, "progress": False}


def table(rows: int = 200, seed: int = 0) -> np.ndarray:
    """Column 0 is the parity of columns 1 and 2, mostly; the others are noise, some missing."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (rows, 4)).astype(np.float64)
    x[:, 0] = (x[:, 1] == x[:, 2]) ^ (rng.random(rows) < 0.1)
    x[rng.random(rows) < 0.1, 3] = np.nan
    return x


def model(**options: Any) -> CompiledCircuit:
    found: CompiledCircuit = pc.compile(pc.rat_spn(4, 4, 3), dtype="float64", **options)
    return found


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_loss_is_its_definition(share: float) -> None:
    """By summing over the class."""
    found, x = model(), table(20)
    x[0, 0] = np.nan  # no class: nothing to discriminate
    both = np.stack([x, x])
    both[0, :, 0], both[1, :, 0] = 0, 1
    joint = found.log_likelihood(x)
    either = torch.stack([found.log_likelihood(part) for part in both])
    conditional = joint - either.logsumexp(0)
    want = -(1 - share) * joint - share * conditional
    got = hybrid(found.names[0], share)(found, found.prepare(x))
    torch.testing.assert_close(got, want)
    assert float(hybrid(found.names[0], 1.0)(found, found.prepare(x))[0].detach()) == pytest.approx(
        0, abs=1e-12
    )


def accuracy(found: CompiledCircuit, x: np.ndarray) -> float:
    gone = x.copy()
    gone[:, 0] = np.nan
    guess = (found.posterior_marginals(gone).mean[:, 0] > 0.5).cpu().numpy()
    return float((guess == x[:, 0]).mean())


def test_it_trains_a_classifier() -> None:
    found = model()
    name = found.names[0]
    options: dict[str, Any] = {**OPTIONS, "steps": 200, "learning_rate": 0.03}
    history = pc.fit(found, table(400), table(200, 1), loss=discriminative(name), **options)
    assert accuracy(found, table(400, 2)) > 0.85
    valid = found.prepare(table(200, 1))
    with torch.no_grad():
        loss = float(discriminative(name)(found, valid).mean())
    assert history.best_valid == pytest.approx(-loss)


@pytest.mark.parametrize("net", [None, Hypernetwork()], ids=["direct", "hypernetwork"])
@pytest.mark.parametrize("budget", [None, "64 KiB"])
def test_steps_are_those_of_a_plain_loop(net: Hypernetwork | None, budget: str | None) -> None:
    x = table(60)
    got, want = (
        pc.compile(pc.rat_spn(4, 4, 3), net, dtype="float64", memory_budget=budget)
        for _ in range(2)
    )
    loss = hybrid(got.names[0], 0.7)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 60)
    options: dict[str, Any] = {**OPTIONS, "batch_size": 60, "steps": 5}
    pc.fit(got, x, weights=weights, loss=loss, **options)
    adam = torch.optim.Adam(want.parameters(), lr=5e-3)
    shares = torch.as_tensor(weights / weights.mean())
    for _ in range(5):
        adam.zero_grad()
        (shares * loss(want, want.prepare(x))).mean().backward()
        adam.step()
    for a, b in zip(got.parameters(), want.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_a_loss_of_your_own_may_use_parameters() -> None:
    seen: list[tuple[int, ...]] = []

    def decays(model: CompiledCircuit, rows: Tensor) -> Tensor:
        seen.append(tuple(rows.shape))
        return sum((p.square().sum() for p in model.parameters()), torch.zeros(()).double())

    found = model()
    before = sum(float(p.detach().square().sum()) for p in found.parameters())
    history = pc.fit(found, table(70), table(30), loss=decays, **OPTIONS)
    after = sum(float(p.detach().square().sum()) for p in found.parameters())
    assert after < before
    assert history.best_valid == pytest.approx(-after)
    assert {(50, 4), (30, 4)} <= set(seen)


@pytest.mark.parametrize("own", [False, True])
def test_a_loss_may_hold_the_parameters_itself(own: bool) -> None:
    x = table(50)
    got, want = model(), model()

    def decayed(of: CompiledCircuit) -> Callable[[CompiledCircuit, Tensor], Tensor]:
        held = list(of.parameters())
        return lambda m, rows: -m(rows) + torch.stack([p.square().sum() for p in held]).sum()

    rates: Any = {"optimizer": partial(torch.optim.SGD, lr=0.1)} if own else {"learning_rate": 0.1}
    pc.fit(got, x, loss=decayed(got), **{**OPTIONS, "steps": 5}, **rates)
    make = partial(torch.optim.SGD if own else torch.optim.Adam, lr=0.1)
    optimizer, loss = make(want.parameters()), decayed(want)
    for _ in range(5):
        optimizer.zero_grad()
        loss(want, want.prepare(x)).mean().backward()
        optimizer.step()
    for a, b in zip(got.parameters(), want.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
        assert a.grad is None


def test_the_default_is_the_likelihood() -> None:
    one, other = model(), model()
    sgd: Any = lambda p: torch.optim.SGD(p, lr=0.1)  # noqa: E731
    a = pc.fit(one, table(), optimizer=sgd, **OPTIONS)
    b = pc.fit(other, table(), optimizer=sgd, loss=lambda m, rows: -m(rows).mean(), **OPTIONS)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q)
    assert [e.train for e in a.evaluations] == pytest.approx([e.train for e in b.evaluations])


def test_regression_with_a_real_variable() -> None:
    rng = np.random.default_rng(0)
    side = rng.choice([-3.0, 3.0], 200)
    x = np.stack([side + rng.normal(0, 0.1, 200), side * 10], axis=1)
    found = pc.compile(pc.naive_bayes_mixture([real("a"), real("y")], 4))
    history = pc.fit(found, x, x, loss=discriminative("y"), **OPTIONS)
    assert history.initialised
    values = [e.valid for e in history.evaluations]
    assert values == sorted(values, key=lambda v: v if v is not None else 0.0)


@pytest.mark.cpu
def test_refusals(golden: Golden) -> None:
    found, x = model(), table(50)
    fit: Callable[..., object] = lambda **more: pc.fit(found, x, **{**OPTIONS, **more})  # noqa: E731
    attempts: list[Callable[[], object]] = [
        lambda: fit(loss="nll"),
        lambda: fit(loss=discriminative("y")),
        lambda: hybrid("y", 2.0),
        lambda: hybrid("y", "half"),  # type: ignore[arg-type]
        lambda: fit(loss=lambda m, rows: 3.0),
        lambda: fit(loss=lambda m, rows: rows),
        lambda: fit(loss=lambda m, rows: rows.nanmean()),
        lambda: fit(loss=lambda m, rows: -m(rows).mean(), weights=np.ones(50)),
        lambda: fit(loss=lambda m, rows: m(rows).mean() * torch.nan),
    ]
    golden(refusals(attempts))


def test_a_loss_that_is_called_directly_checks_its_rows() -> None:
    found = model()
    with pytest.raises(pc.PCCompilerError):
        discriminative(found.names[0])(found, np.full((2, 4), 7.0))


@pytest.mark.gpu
def test_a_captured_loss_takes_the_plain_steps() -> None:
    results = []
    for cuda_graph in (True, False):
        found = pc.compile(pc.rat_spn(4, 4, 3), device="cuda")
        history = pc.fit(
            found, table(), loss=hybrid(found.names[0]), cuda_graph=cuda_graph, **OPTIONS
        )
        assert history.captured == cuda_graph
        results.append([p.detach().cpu() for p in found.parameters()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
