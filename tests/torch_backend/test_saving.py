"""Saving that is disturbed: by a kill between its renames, by failures, by concurrent saves."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

import pccompiler as pc
from pccompiler.errors import CheckpointError, FileError
from pccompiler.ir import Builder, Family, Hypernetwork, binary, count, real
from pccompiler.torch_backend import CompiledCircuit, checkpoint

Golden = Callable[[str], None]


def model_of(seed: int) -> CompiledCircuit:
    return pc.compile(pc.naive_bayes_mixture(3, 2), seed=seed)


def seed_of(model: CompiledCircuit) -> int:
    """The seed with which `model_of` made the model."""
    for seed in range(9):
        pairs = zip(model.parameters(), model_of(seed).parameters(), strict=True)
        if all(torch.equal(one, other) for one, other in pairs):
            return seed
    raise AssertionError("a model that nobody saved")


_DIES = """
import os, signal, sys
from pathlib import Path
import pccompiler as pc

renames = 0
rename = Path.rename

def deadly(self, target):
    global renames
    if renames == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    renames += 1
    return rename(self, target)

Path.rename = deadly
pc.save(pc.compile(pc.naive_bayes_mixture(3, 2), seed=1), sys.argv[1])
"""


@pytest.mark.parametrize(("renames", "read"), [(0, 0), (1, 1)])
def test_death_before_and_between_the_two_renames(
    tmp_path: Path, renames: int, read: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "m"
    pc.save(model_of(0), folder)
    done = subprocess.run(
        [sys.executable, "-c", _DIES, str(folder), str(renames)], check=False, capture_output=True
    )
    assert done.returncode == -9, done.stderr
    assert folder.exists() == (renames == 0)
    assert len(list(tmp_path.iterdir())) == 2  # something was left behind
    with caplog.at_level(logging.WARNING):
        assert seed_of(pc.load(folder)) == read
    assert ("is missing because saving was interrupted" in caplog.text) == (renames == 1)
    pc.save(model_of(2), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert seed_of(pc.load(folder)) == 2


def test_of_what_the_dead_left_only_the_sound_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    pc.save(model_of(0), folder)
    subprocess.run(
        [sys.executable, "-c", _DIES, str(folder), "1"], check=False, capture_output=True
    )
    (new,) = [p for p in tmp_path.iterdir() if not p.name.endswith("-old")]
    (new / checkpoint.PARAMETERS).write_bytes(b"half")
    assert seed_of(pc.load(folder)) == 0
    for path in tmp_path.iterdir():
        (path / checkpoint.MANIFEST).unlink()
    with pytest.raises(CheckpointError, match="PC501"):
        pc.load(folder)


def before_the_second_rename(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]
) -> list[str]:
    """Do something else first; returns the names of what is renamed."""
    real = Path.rename
    calls: list[str] = []

    def rename(self: Path, target: Path) -> Path:
        calls.append(self.name)
        if len(calls) == 2:
            act()
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    return calls


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_a_second_rename_that_fails_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    pc.save(model_of(0), tmp_path / "m")

    def fail() -> None:
        raise kind(errno.EIO, "a broken disk")

    calls = before_the_second_rename(monkeypatch, fail)
    with pytest.raises(FileError if kind is OSError else kind):
        pc.save(model_of(1), tmp_path / "m")
    assert len(calls) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert seed_of(pc.load(tmp_path / "m")) == 0


def test_another_process_that_saves_between_the_renames_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pc.save(model_of(0), tmp_path / "m")
    before_the_second_rename(monkeypatch, lambda: pc.save(model_of(1), tmp_path / "m"))
    pc.save(model_of(2), tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert seed_of(pc.load(tmp_path / "m")) == 2


def _save_often(folder: str, seed: int) -> None:
    for _ in range(60):
        pc.save(model_of(seed), folder)


def test_many_processes_save_while_others_load(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    pc.save(model_of(0), folder)
    context = multiprocessing.get_context("spawn")
    savers = [context.Process(target=_save_often, args=(str(folder), seed)) for seed in (1, 2)]
    for saver in savers:
        saver.start()
    loads = 0
    while any(saver.is_alive() for saver in savers):
        assert seed_of(pc.load(folder)) in (0, 1, 2)
        loads += 1
    assert [saver.exitcode for saver in savers] == [0, 0]
    assert loads > 0
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@torch.no_grad()
def test_parameters_that_no_model_can_have(tmp_path: Path, golden: Golden) -> None:
    messages: list[str] = []

    def refused(model: CompiledCircuit) -> None:
        with pytest.raises(CheckpointError, match="PC506") as caught:
            pc.save(model, tmp_path / "m")
        assert not (tmp_path / "m").exists()
        messages.append(str(caught.value))

    def changed(value: float) -> CompiledCircuit:
        b = Builder([binary("x"), real("y"), count("n")])
        families = [Family.BERNOULLI, Family.GAUSSIAN, Family.POISSON]
        leaves = [int(b.inputs([v], family, 2)[0]) for v, family in enumerate(families)]
        model = pc.compile(b.build(b.sum([b.product(leaves)], 1)))
        for parameter in model.parameters():
            parameter[..., 0] = value
        return model

    for number in (float("nan"), float("inf"), float("-inf")):
        refused(changed(number))
    network = pc.compile(pc.rat_spn(4, 2, 2), Hypernetwork())
    network.weights.values["embedding"][0, 0] = float("inf")
    refused(network)
    for kind in (torch.float16, torch.complex64):
        odd = model_of(0)
        for name, value in odd.weights.values.items():
            odd.weights.values[name] = torch.nn.Parameter(value.detach().to(kind))
        refused(odd)
    golden("\n".join(messages))


def test_loading_parameters_that_no_model_can_have(tmp_path: Path, golden: Golden) -> None:
    messages: list[str] = []
    for change in (
        lambda t: torch.full_like(t, torch.nan),
        lambda t: t.to(torch.int32),
        lambda t: t.to(torch.complex64),
        lambda t: t.half(),
    ):
        folder = pc.save(model_of(0), tmp_path / "m")
        tensors = {n: change(p.detach()) for n, p in model_of(0).weights.values.items()}
        blob = save_tensors(tensors)
        (folder / checkpoint.PARAMETERS).write_bytes(blob)
        manifest = json.loads((folder / checkpoint.MANIFEST).read_text())
        manifest["sha256"][checkpoint.PARAMETERS] = checkpoint._hash(blob)
        manifest["digest"] = checkpoint._manifest_digest(manifest)
        (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(CheckpointError, match="PC506") as caught:
            pc.load(folder)
        messages.append(str(caught.value).replace(str(tmp_path), "DIR"))
    golden("\n".join(messages))


def test_exact_zeros_are_kept(tmp_path: Path) -> None:
    b = Builder([binary("x"), binary("y"), count("n")])
    families = [Family.BERNOULLI, Family.BERNOULLI, Family.POISSON]
    leaves = [int(b.inputs([v], family, 1)[0]) for v, family in enumerate(families)]
    weights = [int(b.weight_of([leaf])[0]) for leaf in leaves]
    root = b.sum([b.product(leaves), b.product(leaves)], 1, weights=[[1.0, 0.0]])
    values = dict(zip(weights, (np.array([[v]]) for v in (0.0, 1.0, 0.0)), strict=True))
    circuit = b.build(root)
    circuit = circuit.with_values({**circuit.weights.values, **values})
    again = pc.load(pc.save(pc.compile(circuit), tmp_path / "m"))
    assert sum(int(p.isinf().sum()) for p in again.parameters()) == 4
    probability = again.log_likelihood([[0, 1, 0], [1, 1, 0], [0, 1, 1]]).exp()
    np.testing.assert_array_equal(probability.detach().cpu().numpy(), [1.0, 0.0, 0.0])
