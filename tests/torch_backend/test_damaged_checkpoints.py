"""Checkpoints damaged by disks, transfers or editors: refused, or answered as before."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.errors import CheckpointError
from pccompiler.testing.mutants import damage
from pccompiler.torch_backend import checkpoint

NAMES = (checkpoint.CIRCUIT, checkpoint.PARAMETERS, checkpoint.MANIFEST)
X = np.array([[0, 1, 1], [1, np.nan, 0], [np.nan, np.nan, np.nan]])


def saved(tmp_path: Path) -> Path:
    return pc.save(pc.compile(pc.rat_spn(3, 2, 2), pc.Hypernetwork(), seed=1), tmp_path / "m")


def answers(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return pc.load(folder).log_likelihood(X)


def test_random_damage_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    before = answers(folder)
    contents = {name: (folder / name).read_bytes() for name in NAMES}
    refused = 0
    for seed in range(400):
        name = NAMES[seed % 3]
        (folder / name).write_bytes(damage(contents[name], np.random.default_rng(seed)))
        try:
            assert torch.equal(answers(folder), before), f"seed {seed}"
        except CheckpointError:
            refused += 1
        (folder / name).write_bytes(contents[name])
    assert refused > 300


def change(folder: Path, **entries: object) -> None:
    manifest = json.loads((folder / checkpoint.MANIFEST).read_text())
    text = json.dumps({k: v for k, v in (manifest | entries).items() if v is not None})
    (folder / checkpoint.MANIFEST).write_text(text)


@pytest.mark.parametrize(
    "entries", [{"numerics": "log"}, {"dtype": "float64"}, {"fingerprint": "0"}, {"note": "mine"}]
)
def test_the_digest_covers_every_entry(tmp_path: Path, entries: dict[str, str]) -> None:
    folder = saved(tmp_path)
    change(folder, **entries)
    with pytest.raises(CheckpointError, match=r"PC503.*digest"):
        pc.load(folder)


def test_checkpoints_of_older_versions_are_read_and_said_to_be_unverified(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = saved(tmp_path)
    before = answers(folder)
    change(folder, digest=None, seed=None)
    with caplog.at_level(logging.INFO):
        assert torch.equal(answers(folder), before)
    assert "without a digest" in caplog.text


def test_a_digest_whose_name_was_damaged_is_missed(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    change(folder, digest=None, digesu="0", numerics="log")
    with pytest.raises(CheckpointError, match=r"PC503.*unknown entries: digesu"):
        pc.load(folder)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"format": ' + "1" * 5000 + "}", '{"format": NaN}', "\udcff", "null", '"m"'],
    ids=["deep", "long", "nan", "bytes", "null", "word"],
)
def test_odd_manifests_are_refused(tmp_path: Path, text: str) -> None:
    folder = saved(tmp_path)
    (folder / checkpoint.MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match="PC503"):
        pc.load(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(CheckpointError, match=r"PC520.*regular file"):
        pc.load(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(CheckpointError, match="PC520"):
        pc.load(folder)
