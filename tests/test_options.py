"""Options that are numbers: what counts as one, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.errors import OptionError
from pccompiler.options import as_float, at_least, one_of, seed_of, whole

NO_NUMBERS: tuple[object, ...] = (
    None,
    "3",
    b"3",
    [3],
    (),
    {},
    1j,
    np.array([1, 2]),
    np.complex64(1),
    object(),
    print,
)


@pytest.mark.parametrize("value", [3, 3.0, np.int8(3), np.float32(3), torch.tensor(3), Fraction(3)])
def test_whole_numbers(value: object) -> None:
    found = whole("steps", value)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize(
    "value", [0, -1, 0.5, 1.5, float("nan"), float("inf"), 2**63, True, False, *NO_NUMBERS]
)
def test_no_counts(value: object) -> None:
    with pytest.raises(OptionError, match=r"PC302.*steps is "):
        whole("steps", value)


@pytest.mark.parametrize("value", [-1, 0.5, "0", None])
def test_no_seeds(value: object) -> None:
    with pytest.raises(OptionError, match="seed is"):
        seed_of(value)


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_no_numbers(value: object) -> None:
    assert as_float(value) is None
    with pytest.raises(OptionError, match="use a number, at least 0"):
        at_least("seconds", value, 0.0)


def test_numbers() -> None:
    for value in (
        Decimal("0.5"),
        Fraction(1, 2),
        np.float16(0.5),
        torch.tensor(0.5),
        np.array(0.5),
    ):
        assert as_float(value) == 0.5
    assert as_float(torch.nn.Parameter(torch.tensor(0.5))) == 0.5
    with pytest.raises(OptionError, match="seconds is nan"):
        at_least("seconds", float("nan"), 0.0)


def test_choices() -> None:
    for value in ("a", None, np.zeros(2), ["log"]):
        with pytest.raises(OptionError, match="use one of: 'auto', 'log'"):
            one_of("numerics", value, ("auto", "log"))


def test_widths_of_a_hypernetwork() -> None:
    assert pc.Hypernetwork(hidden=20) == pc.Hypernetwork(hidden=(20,))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    listed = pc.Hypernetwork(hidden=[20, 20])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert listed == pc.Hypernetwork()
    assert hash(listed) == hash(pc.Hypernetwork())
    odd: list[dict[str, Any]] = [
        {"embedding": 2.5},
        {"hidden": "20"},
        {"hidden": (2.5,)},
        {"hidden": 0},
    ]
    for wrong in odd:
        with pytest.raises(OptionError, match="PC302"):
            pc.Hypernetwork(**wrong)


def test_devices_and_types() -> None:
    circuit = pc.rat_spn(4, 2, 2)
    assert pc.compile(circuit, device=None).device == torch.get_default_device()
    for device in ("gpu", "meta", "cuda:99", "", 1.5):
        with pytest.raises(OptionError, match="cannot be used by torch here"):
            pc.compile(circuit, device=device)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for dtype in (torch.float64, np.dtype("float64"), "float64"):
        assert pc.compile(circuit, dtype=dtype).dtype == torch.float64  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for wrong in (torch.float16, torch.int64, "double", None, 64):
        with pytest.raises(OptionError, match="dtype is"):
            pc.compile(circuit, dtype=wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
