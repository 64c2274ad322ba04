"""Where the tests of this folder run: on the device that ``pytest --device`` names."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import torch


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Make the device torch's default, which `pccompiler.compile` takes.

    Tests that are about CPUs, marked ``cpu``, stay there.
    """
    device = item.config.getoption("--device")
    if device == "cpu" or item.get_closest_marker("cpu") is not None:
        return (yield)
    with torch.device(device):
        return (yield)
