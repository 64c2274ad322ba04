"""Optimizers and schedulers of torch in `fit`, against plain loops in torch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

import pccompiler as pc
from pccompiler.callbacks import Callback, Training
from pccompiler.ir import Hypernetwork
from pccompiler.testing.refusals import refusals
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.training.batches.order import draw

Golden = Callable[[str], None]
ROWS = np.random.default_rng(0).integers(0, 2, (60, 4))
OPTIONS: dict[str, Any] = {"steps": 12, "batch_size": 20, "evaluate_every": 5, "progress": False}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "class": torch.optim.AdamW,
    "partial": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "lambda": lambda p: torch.optim.RMSprop(p, lr=0.01),
    "nadam": torch.optim.NAdam,
    "adagrad": partial(torch.optim.Adagrad, lr=0.1),
}
SCHEDULERS: dict[str, Callable[..., lr_scheduler.LRScheduler] | None] = {
    "none": None,
    "step": partial(lr_scheduler.StepLR, step_size=3),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda n: 1.0 / (1.0 + n)),
    "one-cycle": lambda o: lr_scheduler.OneCycleLR(
        o, max_lr=0.1, total_steps=20, cycle_momentum=False
    ),
}


def model(net: Hypernetwork | None = None) -> CompiledCircuit:
    return pc.compile(pc.rat_spn(4, 2, 2), net, dtype="float64")


def by_hand(
    found: CompiledCircuit,
    optimizer: torch.optim.Optimizer,
    scheduler: lr_scheduler.LRScheduler | None,
    weights: np.ndarray | None = None,
) -> None:
    """The same 12 steps in a plain loop."""
    x = found.prepare(ROWS)
    shares = x.new_ones(60) if weights is None else torch.from_numpy(weights).to(x)
    for rows in draw(np.random.default_rng(0), 60, 20, 12):
        optimizer.zero_grad()
        (-(shares[rows] * found(x[rows])).mean() / shares.mean()).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def close(one: CompiledCircuit, other: CompiledCircuit) -> None:
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("schedule", SCHEDULERS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_a_plain_loop(name: str, schedule: str) -> None:
    got, want = model(), model()
    history = pc.fit(
        got, ROWS, optimizer=OPTIMIZERS[name], scheduler=SCHEDULERS[schedule], **OPTIONS
    )
    make = SCHEDULERS[schedule]
    optimizer = OPTIMIZERS[name](want.parameters())
    by_hand(want, optimizer, make(optimizer) if make else None)
    close(got, want)
    assert history.best_step == 12
    assert all(p.grad is None for p in got.parameters())


def test_weights_of_rows_and_a_hypernetwork() -> None:
    weights = np.random.default_rng(2).uniform(0.5, 2.0, 60)
    got, want = model(Hypernetwork()), model(Hypernetwork())
    pc.fit(got, ROWS, weights=weights, optimizer=OPTIMIZERS["partial"], **OPTIONS)
    by_hand(want, OPTIMIZERS["partial"](want.parameters()), None, weights)
    close(got, want)


def test_instances_with_groups_hooks_and_frozen_parameters() -> None:
    got = model()
    first, second, *_ = got.parameters()
    second.requires_grad_(False)
    before = [first.detach().clone(), second.detach().clone()]
    groups: list[dict[str, Any]] = [{"params": [first], "lr": 1e-9}, {"params": [second]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    norms: list[float] = []

    def clip(*_: object) -> None:
        norms.append(float(torch.nn.utils.clip_grad_norm_([first], 1e-3)))
        norms.append(float(first.grad.norm()) if first.grad is not None else 0.0)

    optimizer.register_step_pre_hook(clip)
    scheduler = lr_scheduler.StepLR(optimizer, 4)
    pc.fit(got, ROWS, scheduler=scheduler, **OPTIONS)
    assert torch.equal(second, before[1])
    assert not torch.equal(first, before[0])
    assert max(norms[1::2]) < 1.0001e-3
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-12)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_plateau_follows_the_validation_value(mode: Any) -> None:
    rates: list[float] = []

    class Rates(Callback):
        def on_evaluation(self, training: Training, evaluation: object) -> None:
            assert training.optimizer is not None
            rates.append(training.optimizer.param_groups[0]["lr"])

    options: dict[str, Any] = {**OPTIONS, "steps": 60}
    history = pc.fit(
        model(), ROWS[:10], ROWS[40:], optimizer=partial(torch.optim.SGD, lr=20.0),
        scheduler=lambda o: lr_scheduler.ReduceLROnPlateau(o, mode, patience=0, threshold=0.0),
        callbacks=[Rates()], **options,
    )  # fmt: skip
    best, rate, want = -np.inf, 20.0, []
    for e in history.evaluations:
        assert e.valid is not None
        rate *= 1.0 if e.valid > best else 0.1
        best = max(best, e.valid)
        want.append(rate)
    assert rates == pytest.approx(want)
    assert rates[-1] < 20.0


def test_with_epochs_the_scheduler_counts_epochs() -> None:
    optimizer = torch.optim.SGD((found := model()).parameters(), lr=1.0)
    scheduler = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    options: dict[str, Any] = {**OPTIONS, "steps": None, "epochs": 3}
    pc.fit(found, ROWS, optimizer=optimizer, scheduler=scheduler, **options)
    assert optimizer.param_groups[0]["lr"] == 0.125


@pytest.mark.cpu
def test_a_scheduler_alone_moves_the_default_adam() -> None:
    constant, plain = model(), model()
    pc.fit(constant, ROWS, scheduler=lambda o: lr_scheduler.LambdaLR(o, lambda n: 1.0), **OPTIONS)
    pc.fit(plain, ROWS, **OPTIONS)
    close(constant, plain)


@pytest.mark.parametrize("epochs", [None, 4])
@pytest.mark.parametrize("schedule", [*SCHEDULERS, "plateau"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_stopped_training_goes_on_bit_for_bit(
    tmp_path: Path, name: str, schedule: str, epochs: int | None
) -> None:
    class Stop(Callback):
        def on_step(self, training: Training) -> None:
            if training.step == 7:
                training.stop()

    plateau = partial(lr_scheduler.ReduceLROnPlateau, patience=0)
    options: dict[str, Any] = {
        **OPTIONS, "steps": None if epochs else 12, "epochs": epochs, "valid": ROWS[:20],
        "optimizer": OPTIMIZERS[name], "scheduler": {**SCHEDULERS, "plateau": plateau}[schedule],
    }  # fmt: skip
    if schedule == "plateau":
        options["evaluate_every"] = 1  # a stop adds an evaluation, which moves the scheduler
    whole, other = model(), model()
    pc.fit(whole, ROWS, **options)
    pc.fit(other, ROWS, callbacks=[Stop()], checkpoint=tmp_path / "c", **options)
    history = pc.fit(other, ROWS, checkpoint=tmp_path / "c", **options)
    assert history.resumed_at == 7
    for one, two in zip(whole.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_refusals(golden: Golden, tmp_path: Path) -> None:
    found, other = model(), model()
    fit: Callable[..., object] = lambda **more: pc.fit(found, ROWS, **{**OPTIONS, **more})  # noqa: E731
    adam = torch.optim.Adam(found.parameters())

    class Strange(torch.optim.SGD):
        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), "lock": object()}

    attempts: list[Callable[[], object]] = [
        lambda: fit(optimizer="adam"),
        lambda: fit(optimizer=lambda p: None),
        lambda: fit(optimizer=torch.optim.Adam(other.parameters())),
        lambda: fit(optimizer=torch.optim.LBFGS),
        lambda: fit(optimizer=torch.optim.AdamW, learning_rate=0.1),
        lambda: fit(optimizer=torch.optim.AdamW, weight_decay=0.1),
        lambda: fit(scheduler=lr_scheduler.StepLR(adam, 3), learning_rate=0.1),
        lambda: fit(scheduler="cosine"),
        lambda: fit(scheduler=lambda o: 0.5),
        lambda: fit(optimizer=torch.optim.AdamW, scheduler=lr_scheduler.StepLR(adam, 3)),
        lambda: fit(optimizer=adam, scheduler=lr_scheduler.ReduceLROnPlateau),
        lambda: fit(optimizer=Strange, checkpoint=tmp_path / "a"),
        lambda: (
            fit(optimizer=torch.optim.SGD, checkpoint=tmp_path / "b", steps=2)
            and fit(checkpoint=tmp_path / "b")
        ),
    ]
    text = refusals(attempts)
    golden(text.replace(str(tmp_path), "DIR"))


def test_frozen_parameters_alone_are_refused() -> None:
    found = model()
    first = next(iter(found.parameters())).requires_grad_(False)
    with pytest.raises(pc.errors.OptionError, match="PC831"):
        pc.fit(found, ROWS, optimizer=torch.optim.SGD([first]), **OPTIONS)


@pytest.mark.gpu
def test_a_captured_optimizer_takes_the_plain_steps() -> None:
    made: Callable[..., torch.optim.Optimizer] = partial(torch.optim.AdamW, capturable=True)

    def rate(parameters: Any) -> torch.optim.Optimizer:
        tensor = torch.tensor(0.01, device="cuda")  # a new one, since schedulers change it
        return torch.optim.NAdam(parameters, lr=tensor, capturable=True)

    step = partial(lr_scheduler.StepLR, step_size=3)
    for optimizer, scheduler in ((made, None), (made, step), (rate, step), (None, step)):
        results = []
        for cuda_graph in (True, False):
            found = pc.compile(pc.rat_spn(4, 2, 2), device="cuda")
            history = pc.fit(
                found, ROWS, optimizer=optimizer, scheduler=scheduler, cuda_graph=cuda_graph,
                **OPTIONS,
            )  # fmt: skip
            fixed = optimizer is made and scheduler is step
            assert history.captured == (cuda_graph and not fixed)
            results.append(copy.deepcopy(found))
        for one, other in zip(results[0].parameters(), results[1].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
