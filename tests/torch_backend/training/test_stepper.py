"""Captured steps, with a stand-in for CUDA graphs: capturing changes no result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

import pccompiler as pc
from pccompiler.callbacks import Callback, Training
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.training import stepper
from pccompiler.torch_backend.training.optimizers.chosen import Chosen
from pccompiler.torch_backend.training.stepper import Stepper

ROWS = np.random.default_rng(0).integers(0, 2, (70, 4))
OPTIONS: dict[str, Any] = {"steps": 12, "batch_size": 20, "evaluate_every": 5, "progress": False}
LOADER = DataLoader(TensorDataset(torch.from_numpy(ROWS)), 20)
CASES: dict[str, dict[str, Any]] = {
    "adam": {},
    "decay": {"weight_decay": 0.1, "weights": np.arange(70) % 3},
    "epochs": {"steps": None, "epochs": 3},
    "momentum": {"optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9)},
    "nadam": {"optimizer": torch.optim.NAdam, "weights": np.arange(70) % 3},
    "scheduled": {"scheduler": partial(lr_scheduler.StepLR, step_size=2)},
    "hybrid": {"loss": pc.losses.hybrid("x1"), "steps": None, "epochs": 3},
    "loader": {"train": LOADER, "batch_size": None, "optimizer": torch.optim.Rprop},
}


class Graph:
    """Replays by running again."""

    def __init__(self, run: Callable[[], object]) -> None:
        self.run, self.replays = run, 0

    def replay(self) -> None:
        self.replays += 1
        self.run()


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """The graphs that were captured."""
    made: list[Graph] = []

    def captured(run: Callable[[], object]) -> tuple[Graph, None]:
        for _ in range(3):
            run()
        made.append(Graph(run))
        return made[-1], None

    monkeypatch.setattr(stepper, "captured", captured)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    monkeypatch.setattr(Stepper, "_obstacle", lambda self, cuda_graph, loss: None)
    return made


def trained(train: Any = ROWS, **options: Any) -> tuple[CompiledCircuit, pc.History]:
    model = pc.compile(pc.rat_spn(4, 2, 2))
    return model, pc.fit(model, train, ROWS[:30], **{**OPTIONS, **options})


def equal(one: CompiledCircuit, other: CompiledCircuit) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.cpu
@pytest.mark.parametrize("name", CASES)
def test_captured_steps_are_the_plain_ones(name: str, request: pytest.FixtureRequest) -> None:
    want, plain = trained(**CASES[name])
    graphs: list[Graph] = request.getfixturevalue("graphs")
    got, history = trained(**CASES[name])
    assert equal(got, want)
    values = [(e.step, e.train, e.valid) for e in history.evaluations]
    assert values == [(e.step, e.train, e.valid) for e in plain.evaluations]
    assert (plain.captured, plain.not_captured) == (False, "the model is on cpu")
    assert (history.captured, history.not_captured) == (True, None)
    full = 12 if history.evaluations[-1].step == 12 and name not in ("epochs", "hybrid") else 9
    full = 9 if name == "loader" else full
    first = int(name in ("momentum", "nadam", "scheduled", "loader"))  # made the moments
    assert [graph.replays for graph in graphs] == [full - first]


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize("name", ["adam", "nadam", "scheduled"])
def test_captured_trainings_go_on_bit_for_bit(tmp_path: Path, name: str) -> None:
    class Stop(Callback):
        def on_step(self, training: Training) -> None:
            if training.step == 7:
                training.stop()

    want, _ = trained(**CASES[name])
    trained(**CASES[name], callbacks=[Stop()], checkpoint=tmp_path / "c")
    again = pc.compile(pc.rat_spn(4, 2, 2))
    history = pc.fit(
        again, ROWS, ROWS[:30], checkpoint=tmp_path / "c", **{**OPTIONS, **CASES[name]}
    )
    assert history.resumed_at == 7
    assert equal(again, want)


@pytest.mark.parametrize("name", ["adam", "nadam"])
def test_a_capture_that_fails_is_told(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    want, _ = trained(**CASES[name])

    def fails(run: Callable[[], object]) -> None:
        run()
        raise RuntimeError("operation not permitted when stream is capturing")

    request.getfixturevalue("graphs")
    monkeypatch.setattr(stepper, "captured", fails)
    got, history = trained(**CASES[name])
    assert "not permitted" in (history.not_captured or "")
    assert equal(got, want)


@pytest.mark.parametrize(
    ("optimizer", "scheduler", "why"),
    [
        (torch.optim.AdamW, None, "AdamW was not made with capturable=True"),
        (torch.optim.SGD, None, "SGD was not made with capturable=True"),
        (partial(torch.optim.AdamW, capturable=True), None, None),
        (
            partial(torch.optim.AdamW, capturable=True),
            partial(lr_scheduler.StepLR, step_size=3),
            "AdamW has a learning rate that is not a tensor, so a graph cannot change it",
        ),
        (
            partial(torch.optim.AdamW, lr=torch.tensor(0.1), capturable=True, foreach=False),
            partial(lr_scheduler.StepLR, step_size=3),
            None,
        ),
    ],
)
def test_why_an_optimizer_is_not_captured(
    optimizer: Callable[..., torch.optim.Optimizer], scheduler: Any, why: str | None
) -> None:
    model = pc.compile(pc.rat_spn(4, 2, 2))
    made = optimizer(model.parameters())
    chosen = Chosen(model, made, None if scheduler is None else scheduler(made))
    assert chosen.not_captured == why
