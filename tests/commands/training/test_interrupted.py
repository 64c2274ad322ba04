"""``pccompiler train``, interrupted as by a user or a scheduler."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pccompiler.torch_backend.training.checkpointing.state import STATE

Golden = Callable[[str], None]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A training that takes a few seconds."""
    rows = np.random.default_rng(0).integers(0, 2, (200, 4))
    table = tmp_path / "rows.csv"
    np.savetxt(table, rows, "%d", delimiter=",")
    return [
        "train", "--data", str(table), "--out", str(tmp_path / "m"), "--replicas", "2",
        "--units", "2", "--device", "cpu", "--evaluate-every", "50", "--checkpoint-every", "10",
    ]  # fmt: skip


def parameters(folder: Path) -> bytes:
    return (folder / "parameters.safetensors").read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_says_how_to_go_on_and_does(
    run: Run, words: list[str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    state = tmp_path / "m.training" / STATE
    running = subprocess.Popen(
        [sys.executable, "-m", "pccompiler.cli", *words, "--steps", "1000000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # nohup ignores it
    )
    while not state.exists() and running.poll() is None:
        time.sleep(0.05)
    first = state.stat().st_mtime_ns  # of step 0; the next one is written after some steps
    while state.stat().st_mtime_ns == first and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == code
    assert not (tmp_path / "m").exists()
    (line,) = (line for line in err.splitlines() if line.startswith("stopped"))
    start, command = line.split("; go on with: ")
    step = int(start.removeprefix("stopped at step ").replace(",", ""))
    assert step > 0
    program, *arguments = shlex.split(command)
    assert (program, arguments[-1]) == ("pccompiler", "--resume")
    wanted = str(step + 70)
    again = [wanted if word == "1000000" else word for word in arguments]
    assert run(*again)[0] == 0
    assert not state.parent.exists()
    resumed = parameters(tmp_path / "m")
    assert run(*words, "--steps", wanted)[0] == 0
    assert parameters(tmp_path / "m") == resumed


def test_an_interrupted_training_is_not_overwritten_by_mistake(
    run: Run, words: list[str], tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pccompiler as pc

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pc, "save", interrupt)
        code, _, err = run(*words, "--steps", "20")
    told = [f"exit {code}", err]
    for more in ([], ["--resume", "--learning-rate", "0.3"], ["--resume"], ["--resume"]):
        code, _, err = run(*words, "--steps", "20", *more)
        told += [f"$ {' '.join(more)}", f"exit {code}", err]
    golden("\n".join(told).replace(str(tmp_path), "DIR"))


def test_restarting(run: Run, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "m.training").mkdir()
    (tmp_path / "m.training" / STATE).write_bytes(b"damaged")
    code, _, err = run(*words, "--steps", "20")
    assert (code, "PC508" in err) == (1, True)
    assert run(*words, "--steps", "20", "--restart")[0] == 0
    assert not (tmp_path / "m.training").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pccompiler.cli", "datasets"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error[PC312]: a file cannot be read or written: No space left")
    assert len(done.stderr.splitlines()) == 2
