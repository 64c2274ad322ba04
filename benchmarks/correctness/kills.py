"""Kills trainings and saves at random moments, and counts losses.

``python -m benchmarks.correctness.kills [KILLS]`` (100 by default). Each round starts a small
training in its own process, ends it by SIGKILL, SIGTERM or SIGINT at a random moment (while it
starts, steps, writes a checkpoint or saves the model), and restarts it until one completes. It
counts

- kills that lost more than one interval between two checkpoints, and signals that lost a step,
- checkpoints and models that could not be read after a kill,
- trainings whose result is not bit-identical to that of an uninterrupted one.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.errors import PCCompilerError
from pccompiler.torch_backend.training.checkpointing.keeper import Keeper
from pccompiler.torch_backend.training.checkpointing.state import read_state

INTERVAL = 5
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
METHODS = ("fit", "full", "stepwise")
_SAVES = 30  # of the model, at the end of each training


@dataclass
class Counts:
    """Counts of events and faults.

    Attributes:
        kills: By signal, of processes that had not ended by themselves.
        moments: Kills by what the process was doing.
        lost: Kills that lost more than an interval.
        unreadable: Checkpoints or models that could not be read.
        different: Trainings with a different result.
        exits: Processes that ended with an unexpected status.
    """

    kills: Counter[str] = field(default_factory=Counter[str])
    moments: Counter[str] = field(default_factory=Counter[str])
    lost: int = 0
    unreadable: int = 0
    different: int = 0
    exits: int = 0


def train(folder: Path, method: str) -> None:
    """The training: prints each completed step, then saves the model several times."""
    look = Keeper.look
    taken = 0

    def told(self: Keeper) -> None:
        nonlocal taken
        taken += 1
        print(f"step {taken}", flush=True)  # before the checkpoint that may follow
        look(self)

    Keeper.look = told  # type: ignore[method-assign]
    x = np.random.default_rng(0).integers(0, 2, (200, 6))
    model = pc.compile(pc.rat_spn(6, 3, 3))
    where = folder / "state"
    print("begin", flush=True)
    if method == "fit":
        history = pc.fit(
            model, x, x[:50], steps=300, batch_size=50, evaluate_every=40, progress=False,
            checkpoint=where, checkpoint_every=INTERVAL,
        )  # fmt: skip
    else:
        history = pc.fit_em(
            model, x, x[:50], iterations=150 if method == "full" else 40, progress=False,
            batch_size=None if method == "full" else 50, step_size=0.5,
            checkpoint=where, checkpoint_every=INTERVAL,
        )  # fmt: skip
    print(f"trained {len(history.evaluations)}", flush=True)
    for _ in range(_SAVES):
        pc.save(model, folder / "model")


def result(folder: Path) -> bytes:
    """The parameters of the model that was saved."""
    return (folder / "model" / "parameters.safetensors").read_bytes()


def steps_kept(folder: Path, method: str) -> int:
    """The steps of the checkpoint in ``folder``, in calls of `Keeper.look`; 0 if there is none."""
    found = read_state(folder / "state")
    if found is None:
        return 0
    a_step = 4 if method == "stepwise" else 1
    return int(found.facts["step"]) * a_step + int(found.facts["worker"]["done"])


def is_readable(folder: Path) -> bool:
    """Whether the model can be loaded, if one was saved."""
    if not any(path.name.startswith(("model", ".model")) for path in folder.iterdir()):
        return True
    try:
        pc.load(folder / "model")
    except PCCompilerError:  # of the first save there may be only a part
        return not (folder / "model").exists() and not _was_saved(folder)
    return True


def _was_saved(folder: Path) -> bool:
    """Whether a model was once there: a note that `kill_once` makes."""
    return (folder / "saved").exists()


def kill_once(
    folder: Path,
    method: str,
    number: signal.Signals,
    after: float,
    counts: Counts,
    sign: str = "begin",
) -> bool:
    """Run the training and kill it some seconds after a sign; say whether it had ended before."""
    before = steps_kept(folder, method)
    if (folder / "model").exists():
        (folder / "saved").touch()
    out = folder / "out.txt"
    status = _wait_and_kill(_start(folder, method, out), out, number, after, sign)
    taken, moment = _read(out)
    if status == 0:
        return True
    counts.kills[number.name] += 1
    counts.moments[moment] += 1
    counts.exits += status != (130 if number == signal.SIGINT else -number)
    try:
        kept = steps_kept(folder, method)
    except PCCompilerError:
        counts.unreadable += 1
        return False
    counts.lost += before + taken - kept > (INTERVAL if number == signal.SIGKILL else 0)
    counts.unreadable += not is_readable(folder)
    return False


def _start(folder: Path, method: str, out: Path) -> int:
    """The training in a process of its own, forked: importing torch takes longer than training."""
    out.write_text("")
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
        sys.stdout = out.open("w")
        train(folder, method)
        status = 0
    except KeyboardInterrupt:
        status = 130
    finally:
        os._exit(status)


def _wait_and_kill(process: int, out: Path, number: signal.Signals, after: float, sign: str) -> int:
    """The exit status; the signal is sent ``after`` seconds after ``sign`` was printed."""
    begun: float | None = None
    while True:
        known, status = os.waitpid(process, os.WNOHANG)
        if known:
            return os.waitstatus_to_exitcode(status)
        if begun is None and sign in out.read_text():
            begun = time.perf_counter()
        if begun is not None and time.perf_counter() - begun >= after:
            os.kill(process, number)
            return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        time.sleep(0.002)


def _read(out: Path) -> tuple[int, str]:
    """Number of steps, and what the process was doing."""
    lines = out.read_text().splitlines()
    taken = [int(line.split()[1]) for line in lines if line.startswith("step ")]
    if any(line.startswith("trained") for line in lines):
        return max(taken, default=0), "saving"
    return max(taken, default=0), "training" if taken else "starting"


def measure(kills: int, seed: int) -> Counts:
    """Kill this many processes; every killed training is resumed until it completes."""
    torch.set_num_threads(1)  # a process with threads must not fork
    rng, counts = random.Random(seed), Counts()
    wanted: dict[str, bytes] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        for method in METHODS:
            folder = Path(name) / f"whole-{method}"
            folder.mkdir()
            started = time.perf_counter()
            kill_once(folder, method, signal.SIGKILL, 600.0, counts)
            seconds[method] = time.perf_counter() - started
            wanted[method] = result(folder)
        number = 0
        while sum(counts.kills.values()) < kills:
            method = METHODS[number % len(METHODS)]
            folder = Path(name) / str(number)
            folder.mkdir()
            number += 1
            _one_training(folder, method, seconds[method], kills, rng, counts)
            counts.different += result(folder) != wanted[method]
    return counts


def _one_training(
    folder: Path, method: str, seconds: float, kills: int, rng: random.Random, counts: Counts
) -> None:
    """Kill one training again and again, at moments from its start to its end."""
    for _ in range(rng.randint(1, 5)):
        if sum(counts.kills.values()) >= kills:
            break
        sign, longest = ("trained", 0.3) if rng.random() < 0.3 else ("begin", 0.8 * seconds)
        after = rng.uniform(0.0, longest)
        if kill_once(folder, method, rng.choice(SIGNALS), after, counts, sign):
            return
    while not kill_once(folder, method, signal.SIGKILL, 600.0, counts):
        pass


def main() -> None:
    """Count, and write the result file."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    counts = measure(kills, seed=0)
    report = Report("kills")  # last: it looks for a GPU, and a process that used one must not fork
    report.add(
        interval_steps=INTERVAL,
        kills=dict(counts.kills),
        moments=dict(counts.moments),
        lost_more_than_an_interval=counts.lost,
        unreadable=counts.unreadable,
        different_results=counts.different,
        wrong_exits=counts.exits,
    )


if __name__ == "__main__":
    main()
