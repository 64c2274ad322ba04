"""Devices that cannot be used: the error says why, as far as that is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pccompiler.errors import OptionError
from pccompiler.torch_backend.runtime.devices import usable_device

Golden = Callable[[str], None]


@pytest.mark.parametrize(
    ("built", "available", "number"), [(False, False, 0), (True, False, 0), (True, True, 2)]
)
def test_cuda(
    monkeypatch: pytest.MonkeyPatch, golden: Golden, built: bool, available: bool, number: int
) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
    with pytest.raises(OptionError) as caught:
        usable_device("cuda:99")
    golden(str(caught.value))
