"""A fixture for what concerns compilers and their cache."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from pccompiler.torch_backend import c_compiler, notices


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Path]:
    """An empty cache of kernels, nothing loaded and nothing said yet; the folder."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(notices, "_SAID", set())
    monkeypatch.setattr(c_compiler, "_USELESS", {})
    c_compiler._tried.cache_clear()
    yield tmp_path / "cache" / "pccompiler" / "kernels"
    c_compiler._tried.cache_clear()
