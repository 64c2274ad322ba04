"""The progress of a training moves with every step, and shows loss, best value, rate and rest."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest

import pccompiler as pc
from pccompiler import progress
from pccompiler.torch_backend.training.callbacks import bar

ROWS = np.random.default_rng(0).integers(0, 2, (40, 4))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(bar, "EVERY", 0.0)
    monkeypatch.setattr(progress, "LINES_EVERY", 0.0)
    monkeypatch.setenv("COLUMNS", "160")
    model = pc.compile(pc.rat_spn(4, 2, 2))
    pc.fit(model, ROWS, ROWS, steps=6, evaluate_every=3)
    return stream.getvalue()


def test_a_pipe_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, io.StringIO()).splitlines()
    assert [line.split(",")[0] for line in lines] == [f"training: {n} of 6" for n in range(1, 7)]
    times = r"[\d,.]+ steps/s, 0:00:\d\d left"
    line = rf"training: \d of 6, {times}, loss \d\.\d{{4}}, best valid -\d\.\d{{4}} nats"
    assert all(re.fullmatch(line, each) for each in lines)


def test_short_trainings_print_nothing_to_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    pc.fit(pc.compile(pc.rat_spn(4, 2, 2)), ROWS, steps=3)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, Terminal())
    assert "6/6" in text
    assert "steps/s" in text
    assert re.search(r"loss \d\.\d{4}, best valid -\d\.\d{4} nats", text)


def test_work_of_unequal_steps_shows_the_elapsed_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINES_EVERY", 0.0)
    with progress.progress_bar("measuring", 3, left=False) as advance:
        advance(1, "a case")
    assert capsys.readouterr().err == "measuring: 1 of 3, 0:00:00 elapsed, a case\n"


def test_a_resumed_training_does_not_count_old_steps_as_fast_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("pccompiler.progress.time.monotonic", lambda: now[0])
    with progress.progress_bar("training", 4000, left=True, done=1000) as advance:
        now[0] += 3600.0
        advance(1500, "")
    assert capsys.readouterr().err == "training: 2,500 of 4,000, 0.4 steps/s, 1:00:00 left\n"
