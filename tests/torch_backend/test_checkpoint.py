"""Checkpoints: the same answers bit for bit; no partial files, no unnoticed damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import pccompiler as pc
from pccompiler.errors import CheckpointError
from pccompiler.ir import Circuit, Hypernetwork, Sectors
from pccompiler.testing.strategies import circuits, rows
from pccompiler.torch_backend import CompiledCircuit

Golden = Callable[[str], None]


def small() -> CompiledCircuit:
    return pc.compile(
        pc.rat_spn(5, 2, 3), Hypernetwork(heads="slice"), sectors=Sectors(by="rows"), seed=3
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("numerics", ["auto", "log"])
def test_same_answers_bit_for_bit(
    tmp_path: Path, dtype: pc.api.Dtype, numerics: pc.api.Numerics
) -> None:
    model = pc.compile(pc.rat_spn(7, 3, 3), Hypernetwork(), dtype=dtype, numerics=numerics, seed=5)
    again = pc.load(pc.save(model, tmp_path / "deep" / "model"))
    x = rows(model.circuit, 0, 50)
    with torch.no_grad():
        assert torch.equal(model.log_likelihood(x), again.log_likelihood(x))
    assert again.circuit == model.circuit
    assert again.dtype == model.dtype
    assert again.numerics == numerics


@settings(max_examples=20)
@given(circuits(reals=True))
def test_given_weights_survive(tmp_path_factory: pytest.TempPathFactory, circuit: Circuit) -> None:
    model = pc.compile(circuit, dtype="float64")
    again = pc.load(pc.save(model, tmp_path_factory.mktemp("c") / "m"))
    x = rows(circuit, 0)
    with torch.no_grad():
        assert torch.equal(model.log_likelihood(x), again.log_likelihood(x))


def test_saving_again_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    model = small()
    pc.save(model, tmp_path / "m")
    with torch.no_grad():
        next(iter(model.parameters())).add_(1.0)
    pc.save(model, tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    again = pc.load(tmp_path / "m")
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_failed_save_keeps_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small()
    pc.save(model, tmp_path / "m")
    before = {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()}

    def full(path: Path, content: bytes) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("pccompiler.torch_backend.checkpoint.write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        pc.save(model, tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()} == before


def test_damage_is_noticed(tmp_path: Path, golden: Golden) -> None:
    pc.save(small(), tmp_path / "m")

    def damaged(change: Callable[[Path], object]) -> str:
        folder = tmp_path / "m"
        before = {p: p.read_bytes() for p in folder.iterdir()}
        change(folder)
        with pytest.raises(CheckpointError) as caught:
            pc.load(folder)
        for path, content in before.items():
            path.write_bytes(content)
        return str(caught.value).replace(str(tmp_path), "DIR")

    def cut(name: str) -> Callable[[Path], object]:
        return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:100])

    def drop(name: str) -> Callable[[Path], object]:
        return lambda folder: (folder / name).unlink()

    def newer(folder: Path) -> None:
        manifest = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(
            json.dumps(manifest | {"format": 99, "pccompiler": "9.0"})
        )

    def flip(folder: Path) -> None:
        blob = bytearray((folder / "parameters.safetensors").read_bytes())
        blob[-1] ^= 1
        (folder / "parameters.safetensors").write_bytes(blob)

    changes = [
        cut("circuit.pcir"),
        cut("parameters.safetensors"),
        cut("model.json"),
        drop("circuit.pcir"),
        drop("parameters.safetensors"),
        drop("model.json"),
        newer,
        flip,
        lambda folder: (folder / "model.json").write_text("{}"),
        lambda folder: (folder / "model.json").write_text("[]"),
    ]
    messages = [damaged(change) for change in changes]
    with pytest.raises(CheckpointError) as caught:
        pc.load(tmp_path / "none")
    messages.append(str(caught.value).replace(str(tmp_path), "DIR"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("keep me")
    with pytest.raises(CheckpointError) as caught:
        pc.save(small(), tmp_path / "notes")
    messages.append(str(caught.value).replace(str(tmp_path), "DIR"))
    assert (tmp_path / "notes" / "todo.txt").read_text() == "keep me"
    (tmp_path / "m" / "thesis.tex").write_text("mine")
    with pytest.raises(CheckpointError, match="PC505"):
        pc.save(small(), tmp_path / "m")
    assert (tmp_path / "m" / "thesis.tex").exists()
    golden("\n".join(messages))


def test_parameters_of_another_model(tmp_path: Path) -> None:
    from pccompiler.torch_backend import checkpoint

    one, other = small(), pc.compile(pc.rat_spn(5, 2, 4), Hypernetwork())
    pc.save(one, tmp_path / "m")
    pc.save(other, tmp_path / "n")
    blob = (tmp_path / "n" / checkpoint.PARAMETERS).read_bytes()
    (tmp_path / "m" / checkpoint.PARAMETERS).write_bytes(blob)
    manifest = json.loads((tmp_path / "m" / checkpoint.MANIFEST).read_text())
    manifest["sha256"][checkpoint.PARAMETERS] = checkpoint._hash(blob)
    manifest["digest"] = checkpoint._manifest_digest(manifest)
    (tmp_path / "m" / checkpoint.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"PC503.*do not fit"):
        pc.load(tmp_path / "m")


def test_moving_to_another_precision_and_back() -> None:
    model = small()
    x = np.zeros((2, 5))
    want = model.log_likelihood(x).detach()
    double = model.double().log_likelihood(x).detach()
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), want)
