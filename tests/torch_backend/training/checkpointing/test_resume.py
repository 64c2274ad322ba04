"""Training that is interrupted and resumed, bit for bit as if it had not been."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

import pccompiler as pc
from pccompiler.callbacks import Callback, Training
from pccompiler.errors import CheckpointError, FileError
from pccompiler.files import write_bytes
from pccompiler.ir import Builder, Circuit, Family, Hypernetwork, binary, count, real
from pccompiler.torch_backend import CompiledCircuit, History
from pccompiler.torch_backend.training.checkpointing.state import STATE

Golden = Callable[[str], None]
Train = Callable[..., History]
GPU = pytest.param("cuda", marks=pytest.mark.gpu)


def mixed() -> Circuit:
    """A mixture of products of four families."""
    b = Builder([binary("a"), count("b"), real("c"), real("d")])
    families = [Family.BERNOULLI, Family.POISSON, Family.GAUSSIAN, Family.LAPLACE]
    leaves = [int(b.inputs([v], family, 4)[0]) for v, family in enumerate(families)]
    return b.build(b.sum([b.product(leaves)], 1))


def table(rows: int, seed: int = 0) -> np.ndarray:
    """Rows for `mixed`."""
    rng = np.random.default_rng(seed)
    side = rng.integers(0, 2, rows)
    x = np.stack(
        [side, rng.poisson(2 + 5 * side), rng.normal(100 * side, 1.0), rng.laplace(side)], axis=1
    ).astype(np.float64)
    x[rng.random(x.shape) < 0.05] = np.nan
    return x


def binary_table(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (rows, 6))


class KilledError(Exception):
    """Stands in for the death of the process."""


def dies_after(looks: int, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Raise `KilledError` after the write that follows ``looks`` steps."""
    from pccompiler.torch_backend.training.checkpointing.keeper import Keeper

    real_look, seen = Keeper.look, [0]

    def look(self: Keeper) -> None:
        real_look(self)
        seen[0] += 1
        if seen[0] == looks:
            raise KilledError

    patch.setattr(Keeper, "look", look)


def equal(one: CompiledCircuit, other: CompiledCircuit) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def without_time(history: History) -> History:
    evaluations = [replace(e, seconds=0.0) for e in history.evaluations]
    return replace(history, evaluations=evaluations, seconds=0.0, resumed_at=0)


BY_GRADIENT: dict[str, Any] = {
    "steps": 40, "batch_size": 30, "evaluate_every": 16, "learning_rate": 0.05, "progress": False,
}  # fmt: skip
CASES: dict[str, tuple[Train, dict[str, Any], int]] = {
    "fit": (pc.fit, BY_GRADIENT, 40),
    "fit-decay": (pc.fit, {**BY_GRADIENT, "weight_decay": 0.01}, 40),
    "full": (pc.fit_em, {"iterations": 8, "progress": False}, 8),
    "stepwise": (
        pc.fit_em,
        {"iterations": 5, "batch_size": 40, "step_size": 0.3, "progress": False},
        20,
    ),
}


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("with_valid", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_killed_training_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, with_valid: bool, device: str
) -> None:
    train, options, looks = CASES[name]
    weights = np.random.default_rng(5).integers(0, 3, 200)

    def run(**more: Any) -> tuple[CompiledCircuit, History]:
        model = pc.compile(mixed(), device=device)
        valid = table(50, 1) if with_valid else None
        return model, train(model, table(200), valid, weights=weights, **options, **more)

    whole, wanted = run()
    for kill in (3, looks // 2, looks - 1):  # within a chunk, and near its end
        folder = tmp_path / str(kill)
        with monkeypatch.context() as patch:
            dies_after(kill, folder, patch)
            with pytest.raises(KilledError):
                run(checkpoint=folder, checkpoint_every=1)
        model, history = run(checkpoint=folder, checkpoint_every=1)
        assert equal(model, whole)
        assert without_time(history) == without_time(wanted)
        assert [path.name for path in folder.iterdir()] == [STATE]


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("net", [None, Hypernetwork()], ids=["direct", "hypernetwork"])
def test_a_hundred_steps_and_a_hundred_more_are_two_hundred(
    tmp_path: Path, net: Hypernetwork | None, device: str
) -> None:
    def run(steps: int, folder: Path | None) -> tuple[CompiledCircuit, History]:
        model = pc.compile(pc.rat_spn(6, 3, 3), net, device=device)
        return model, pc.fit(
            model, binary_table(300), steps=steps, batch_size=50, evaluate_every=40,
            progress=False, checkpoint=folder,
        )  # fmt: skip

    whole, _ = run(200, None)
    run(100, tmp_path / "c")
    twice, history = run(200, tmp_path / "c")
    assert history.resumed_at == 100
    assert equal(whole, twice)


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    model = pc.compile(pc.rat_spn(6, 2, 2))
    options: dict[str, Any] = {"steps": 20, "checkpoint": tmp_path / "c", "progress": False}
    first = pc.fit(model, binary_table(50), **options)
    before = [p.detach().clone() for p in model.parameters()]
    again = pc.fit(model, binary_table(50), **options)  # resumed at its end: the same model
    assert again.resumed_at == 20
    assert without_time(again) == without_time(first)
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


def test_patience_is_counted_on(tmp_path: Path) -> None:
    def run(patience: int, folder: Path | None) -> History:
        model = pc.compile(pc.rat_spn(6, 4, 3))
        return pc.fit(
            model, binary_table(40), binary_table(100, 1), steps=3000, learning_rate=0.2,
            evaluate_every=10, patience=patience, progress=False, checkpoint=folder,
        )  # fmt: skip

    run(2, tmp_path / "c")
    assert without_time(run(5, tmp_path / "c")) == without_time(run(5, None))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_wait_for_the_state(tmp_path: Path, number: signal.Signals) -> None:
    class ToldError(Exception):
        pass

    def tell(*_: object) -> None:
        raise ToldError

    def run(folder: Path | None, send_at: int | None) -> CompiledCircuit:
        model = pc.compile(mixed())
        options: dict[str, Any] = {**BY_GRADIENT, "evaluate_every": 8}
        pc.fit(
            model, table(100), table(50, 1), **options, checkpoint=folder,
            on_evaluation=lambda e: os.kill(os.getpid(), number) if e.step == send_at else None,
        )  # fmt: skip
        return model

    before = signal.signal(number, tell)
    try:
        with pytest.raises(ToldError):
            run(tmp_path / "c", 16)
        assert signal.getsignal(number) is tell
    finally:
        signal.signal(number, before)
    assert equal(run(tmp_path / "c", None), run(None, None))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("epochs", [None, 5])
def test_an_interruption_between_two_evaluations_changes_no_step(
    tmp_path: Path, epochs: int | None, weighted: bool
) -> None:
    class Steps(Callback):
        def __init__(self, send_at: int | None) -> None:
            self.send_at = send_at
            self.seen: list[tuple[int, float]] = []

        def on_start(self, training: Training) -> None:
            self.seen.append((training.step, training.loss))

        def on_step(self, training: Training) -> None:
            self.seen.append((training.step, training.loss))
            if training.step == self.send_at:
                os.kill(os.getpid(), signal.SIGINT)

    def run(model: CompiledCircuit, steps: Steps, folder: Path | None) -> History:
        return pc.fit(
            model, binary_table(60), epochs=epochs, steps=None if epochs else 30, batch_size=10,
            weights=np.arange(1, 61) if weighted else None, evaluate_every=6, checkpoint=folder,
            optimizer=partial(torch.optim.SGD, lr=1.0), callbacks=steps, progress=False,
            scheduler=lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 5),
        )  # fmt: skip

    models = [pc.compile(pc.rat_spn(6, 2, 2)) for _ in range(3)]
    whole, first, second = Steps(None), Steps(9), Steps(None)
    wanted = run(models[0], whole, None)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            run(models[1], first, tmp_path / "c")
    finally:
        signal.signal(signal.SIGINT, before)
    history = run(models[2], second, tmp_path / "c")
    assert history.resumed_at == 9
    assert first.seen[1:] == whole.seen[1:10]
    assert second.seen == whole.seen[9:]
    assert equal(models[0], models[2])
    assert without_time(history) == without_time(wanted)


def test_a_handler_that_ends_nothing_lets_the_training_go_on(tmp_path: Path) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        model = pc.compile(pc.rat_spn(6, 2, 2))
        history = pc.fit(
            model, binary_table(50), steps=30, evaluate_every=5, progress=False,
            checkpoint=tmp_path / "c",
            on_evaluation=lambda e: os.kill(os.getpid(), signal.SIGTERM),
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, before)
    assert history.evaluations[-1].step == 30
    assert len(heard) == 6


def test_training_in_another_thread(tmp_path: Path) -> None:
    model = pc.compile(pc.rat_spn(6, 2, 2))
    thread = threading.Thread(
        target=lambda: pc.fit(
            model, binary_table(50), steps=5, progress=False, checkpoint=tmp_path / "c"
        )
    )
    thread.start()
    thread.join()
    assert (tmp_path / "c" / STATE).exists()


def _others(folder: Path) -> Iterator[Callable[[], object]]:
    """Calls other than the one whose state is in the folder."""
    x, y = binary_table(60), binary_table(20, 1)
    circuit = pc.rat_spn(6, 2, 2)

    def call(*data: np.ndarray, model: CompiledCircuit | None = None, **options: Any) -> object:
        given: dict[str, Any] = {"steps": 10, "checkpoint": folder, "progress": False, **options}
        return pc.fit(model or pc.compile(circuit), *data, **given)

    call(x, y)
    yield lambda: call(x[:-1], y)
    yield lambda: call(1 - x, y)
    yield lambda: call(x, 1 - y)
    yield lambda: call(x)
    yield lambda: call(x, y, weights=np.ones(60))
    yield lambda: call(x, y, learning_rate=0.5, seed=3)
    yield lambda: call(x, y, model=pc.compile(circuit, seed=1))
    yield lambda: call(x, y, model=pc.compile(pc.rat_spn(6, 2, 3)))
    yield lambda: call(x, y, model=pc.compile(circuit, dtype="float64"))
    frozen = pc.compile(circuit)
    next(iter(frozen.parameters())).requires_grad_(False)
    yield lambda: call(x, y, model=frozen)
    yield lambda: pc.fit_em(pc.compile(circuit), x, y, checkpoint=folder)


def test_another_training_is_refused_and_told_apart(tmp_path: Path, golden: Golden) -> None:
    messages: list[str] = []
    for attempt in _others(tmp_path / "c"):
        with pytest.raises(CheckpointError, match="PC507") as caught:
            attempt()
        messages.append(str(caught.value).replace(str(tmp_path), "DIR"))
    golden("\n".join(messages))


def test_a_damaged_state_is_refused(tmp_path: Path, golden: Golden) -> None:
    folder = tmp_path / "c"

    def call(where: Path = folder) -> object:
        model = pc.compile(pc.rat_spn(6, 2, 2))
        return pc.fit(model, binary_table(50), steps=5, checkpoint=where, progress=False)

    call()
    good = (folder / STATE).read_bytes()
    flipped = bytearray(good)
    flipped[-3] ^= 1
    seconds = good.index(b"seconds") + len(b'seconds\\": ') + 4
    edited = good[:seconds] + bytes([good[seconds] ^ 1]) + good[seconds + 1 :]
    messages: list[str] = []
    for content in (good[:100], b"", bytes(flipped), edited):
        (folder / STATE).write_bytes(content)
        with pytest.raises(CheckpointError, match="PC508") as caught:
            call()
        messages.append(str(caught.value).replace(str(tmp_path), "DIR"))
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="PC505") as other:
        call(tmp_path / "file")
    messages.append(str(other.value).replace(str(tmp_path), "DIR"))
    golden("\n".join(messages))


def test_no_cut_or_flip_goes_unnoticed(tmp_path: Path) -> None:
    folder = tmp_path / "c"

    def call() -> object:
        model = pc.compile(pc.naive_bayes_mixture(2, 2))
        x = binary_table(50)[:, :2]
        return pc.fit(model, x, steps=3, checkpoint=folder, progress=False)

    call()
    good = (folder / STATE).read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(good), 60).tolist():
        for content in (good[:place], good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :]):
            (folder / STATE).write_bytes(content)
            with pytest.raises(CheckpointError):
                call()


def test_a_disk_that_fills_up_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writes = [0]

    def fills_up(path: Path, content: bytes) -> None:
        writes[0] += 1
        if writes[0] > 2:
            raise FileError.of("PC440", "no space is left")
        write_bytes(path, content)

    monkeypatch.setattr(
        "pccompiler.torch_backend.training.checkpointing.keeper.write_bytes", fills_up
    )
    model = pc.compile(pc.rat_spn(6, 2, 2))
    x, folder = binary_table(50), tmp_path / "c"
    pc.fit(model, x, steps=10, checkpoint=folder, checkpoint_every=2, progress=False)
    assert "training continues without a new checkpoint" in caplog.text
    monkeypatch.undo()
    again = pc.compile(pc.rat_spn(6, 2, 2))
    assert pc.fit(again, x, steps=10, checkpoint=folder, checkpoint_every=2).resumed_at == 2
    assert equal(model, again)  # it continued in its first chunk


def test_a_folder_that_cannot_be_written_is_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", forbidden)
    seen: list[object] = []
    with pytest.raises(FileError, match="PC441"):
        pc.fit(
            pc.compile(pc.rat_spn(6, 2, 2)), binary_table(50), steps=10, evaluate_every=1,
            on_evaluation=seen.append, checkpoint=tmp_path / "c" / "d", progress=False,
        )  # fmt: skip
    assert seen == []
