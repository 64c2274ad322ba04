from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pooch  # type: ignore[import-untyped] # it has no stubs
import pytest

from pccompiler.datasets import Dataset, info
from pccompiler.datasets.digests import DIGESTS, digest
from pccompiler.errors import DataError

Scrub = Callable[[DataError, Path], str]


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that the loader can reach, empty but for a place for ``cache``."""
    monkeypatch.delenv("PCCOMPILER_DATA", raising=False)
    monkeypatch.setattr("pccompiler.datasets.stores._REPOSITORY", tmp_path / "checkout")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return tmp_path


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A stand-in for the published ``pottytrain``, the smallest of all."""
    random = np.random.default_rng(0)
    shapes = info("pottytrain").shapes.values()
    train, valid, test = (random.integers(0, 2, shape, dtype=np.uint8) for shape in shapes)
    dataset = Dataset("pottytrain", train, valid, test)
    monkeypatch.setitem(DIGESTS, "pottytrain", digest(dataset))
    return dataset


@pytest.fixture
def scrubbed() -> Scrub:
    """The text of an error without parts that differ between runs or library versions."""

    def scrub(error: DataError, folder: Path) -> str:
        text = re.sub("[0-9a-f]{64}", "...", str(error).replace(str(folder), "DIR"))
        return re.sub("note: cause: .*", "note: cause: ...", text)

    return scrub
