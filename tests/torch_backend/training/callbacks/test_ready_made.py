"""The ready-made callbacks, with stand-ins for the packages that they log to."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.callbacks import Callback, MLflow, TensorBoard, WandB
from pccompiler.errors import OptionError
from pccompiler.torch_backend.training import callbacks

ROWS = np.random.default_rng(0).integers(0, 2, (40, 4))
READY = {"tensorboard": TensorBoard("runs"), "wandb": WandB(project="p"), "mlflow": MLflow()}


class Fake(ModuleType):
    """Notes all calls of all its functions, which return it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, tuple[object, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: object, **options: Any) -> Fake:
            self.calls.append((name, args, options))
            return self

        return call


def train(callback: Callback) -> pc.History:
    return pc.fit(
        pc.compile(pc.rat_spn(4, 2, 2)),
        ROWS,
        ROWS,
        steps=4,
        evaluate_every=2,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.25),
        callbacks=[callback],
        progress=False,
    )


def logged(history: pc.History) -> list[tuple[int, dict[str, float]]]:
    rows: list[tuple[int, dict[str, float]]] = []
    for e in history.evaluations:
        assert e.valid is not None
        rows.append((e.step, {"train": e.train, "valid": e.valid, "learning_rate": 0.25}))
    return rows


def test_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake("torch.utils.tensorboard")
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    history = train(TensorBoard(Path("runs")))
    first, *scalars, last = fake.calls
    assert first == ("SummaryWriter", ("runs",), {})
    want = [(name, v, step) for step, row in logged(history) for name, v in row.items()]
    assert [args for _, args, _ in scalars] == want
    assert last[0] == "close"


def test_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake("wandb")
    monkeypatch.setitem(sys.modules, "wandb", fake)
    history = train(WandB(project="p"))
    first, *rows, last = fake.calls
    assert first == ("init", (), {"project": "p"})
    assert [(o["step"], a[0]) for _, a, o in rows] == logged(history)
    assert last[0] == "finish"


def test_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake("mlflow")
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    history = train(MLflow(run_name="r"))
    first, *rows, last = fake.calls
    assert first == ("start_run", (), {"run_name": "r"})
    assert [(o["step"], a[0]) for _, a, o in rows] == logged(history)
    assert last[0] == "end_run"


@pytest.mark.parametrize("name", READY)
def test_a_package_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tensorboard", "torch.utils.tensorboard", "wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(OptionError, match=f"pip install {name}"):
        train(READY[name])


@pytest.mark.parametrize("name", READY)
def test_each_is_short(name: str) -> None:
    file = Path(str(callbacks.__file__)).parent / f"{name}.py"
    assert len(file.read_text().splitlines()) < 30
