"""The device of this folder's tests, and a fixture for the cache of kernels."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
import torch

from pccompiler import log as notices
from pccompiler.torch_backend.runtime import c_compiler


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Path]:
    """An empty cache of kernels, with nothing loaded and nothing logged yet; returns the folder."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(notices, "_SAID", set())
    monkeypatch.setattr(c_compiler, "_USELESS", {})
    _forget()
    yield tmp_path / "cache" / "pccompiler" / "kernels"
    _forget()


def _forget() -> None:
    c_compiler._tried.cache_clear()
    c_compiler.load_c_if_any.cache_clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Make the device torch's default, which `pccompiler.compile` uses.

    Tests about CPUs, marked ``cpu``, stay there; those marked ``gpu`` name their devices.
    """
    device = str(item.config.getoption("--device"))
    if device == "cpu" or any(item.get_closest_marker(name) for name in ("cpu", "gpu")):
        return (yield)
    with torch.device(device):
        return (yield)
