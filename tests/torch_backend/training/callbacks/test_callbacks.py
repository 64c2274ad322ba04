"""Callbacks see a training, and may stop it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.callbacks import Callback, Training
from pccompiler.errors import OptionError
from pccompiler.torch_backend import CompiledCircuit, Evaluation

ROWS = np.random.default_rng(0).integers(0, 2, (60, 4))
OPTIONS: dict[str, Any] = {"steps": 30, "batch_size": 20, "evaluate_every": 8, "progress": False}


def model() -> CompiledCircuit:
    return pc.compile(pc.rat_spn(4, 2, 2))


class Notes(Callback):
    """Notes what it is told."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls: list[str] = []
        self.stop_at = stop_at
        self.losses: list[float] = []

    def on_start(self, training: Training) -> None:
        self.calls.append(f"start {training.step}/{training.steps}")

    def on_step(self, training: Training) -> None:
        self.calls.append(f"step {training.step}")
        self.losses.append(training.loss)
        if training.step == self.stop_at:
            training.stop("enough")

    def on_evaluation(self, training: Training, evaluation: Evaluation) -> None:
        assert training.history.evaluations[-1] is evaluation
        assert training.loss == pytest.approx(-evaluation.train)
        self.calls.append(f"evaluation {evaluation.step}")

    def on_end(self, training: Training) -> None:
        self.calls.append(f"end {training.history.best_step}")


def test_the_calls_of_fit() -> None:
    notes = Notes()
    options: dict[str, Any] = {**OPTIONS, "steps": 3, "evaluate_every": 2}
    pc.fit(model(), ROWS, callbacks=[notes], **options)
    assert notes.calls == [
        "start 0/3", "step 1", "step 2", "evaluation 2", "step 3", "evaluation 3", "end 3",
    ]  # fmt: skip


@pytest.mark.parametrize("batch_size", [None, 20])
def test_the_calls_of_fit_em(batch_size: int | None) -> None:
    notes = Notes()
    pc.fit_em(model(), ROWS, iterations=2, batch_size=batch_size, callbacks=[notes], progress=False)
    assert notes.calls == [
        "start 0/2", "step 1", "evaluation 1", "step 2", "evaluation 2", "end 2",
    ]  # fmt: skip


def test_a_callback_stops_within_a_chunk() -> None:
    notes = Notes(stop_at=11)
    history = pc.fit(model(), ROWS, callbacks=notes, **OPTIONS)
    assert [e.step for e in history.evaluations] == [8, 11]
    assert (history.stopped_early, history.stop_reason) == (True, "enough")
    assert len(notes.losses) == 11


def test_a_callback_stops_em() -> None:
    history = pc.fit_em(model(), ROWS, iterations=9, callbacks=[Notes(stop_at=3)], progress=False)
    assert history.evaluations[-1].step == 3
    assert history.stop_reason == "enough"


def test_patience_gives_no_reason_of_a_callback() -> None:
    history = pc.fit(model(), ROWS, ROWS[:5], patience=1, learning_rate=1.0, **OPTIONS)
    assert history.stopped_early
    assert history.stop_reason is None


@pytest.mark.parametrize("epochs", [None, 10])
def test_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path, epochs: int | None) -> None:
    options: dict[str, Any] = {**OPTIONS, "steps": None if epochs else 30, "epochs": epochs}
    whole, other = model(), model()
    pc.fit(whole, ROWS, **options)
    stopped = pc.fit(
        other, ROWS, callbacks=[Notes(stop_at=11)], checkpoint=tmp_path / "c", **options
    )
    assert stopped.evaluations[-1].step == 11
    history = pc.fit(other, ROWS, checkpoint=tmp_path / "c", **options)
    assert history.resumed_at == 11
    assert history.stop_reason is None
    for one, two in zip(whole.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_best_parameters_are_back_at_the_end() -> None:
    values: list[float] = []

    class AtEnd(Callback):
        def on_end(self, training: Training) -> None:
            values.append(pc.torch_backend.mean_log_likelihood(training.model, ROWS[:5]))

    history = pc.fit(model(), ROWS, ROWS[:5], learning_rate=0.5, callbacks=[AtEnd()], **OPTIONS)
    assert values == [history.best_valid]


def test_the_end_is_told_after_an_error_too() -> None:
    class Fails(Callback):
        def on_step(self, training: Training) -> None:
            raise ZeroDivisionError

    notes = Notes()
    with pytest.raises(ZeroDivisionError):
        pc.fit(model(), ROWS, callbacks=[notes, Fails()], **OPTIONS)
    assert notes.calls == ["start 0/30", "step 1", "end 0"]


@pytest.mark.parametrize("wrong", [Notes, [print], 3, ["x"]])
def test_what_is_no_callback_is_refused(wrong: Any) -> None:
    with pytest.raises(OptionError, match=r"PC836|PC302"):
        pc.fit(model(), ROWS, callbacks=wrong, **OPTIONS)


@pytest.mark.cpu
def test_the_history_says_which_steps_ran() -> None:
    for train, why in ((pc.fit, "the model is on cpu"), (pc.fit_em, "the model is on cpu")):
        run: Callable[..., pc.History] = train
        history = run(model(), ROWS, progress=False, callbacks=[Notes(stop_at=1)])
        assert (history.captured, history.not_captured) == (False, why)
