"""Checks of options, shared by all public functions.

Each check of a number returns a plain ``int`` or ``float``, so that callers need not distinguish
NumPy and torch numbers. Text is refused, even if it spells a number.
"""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Iterable, Sequence
from numbers import Complex, Real
from pathlib import Path
from types import UnionType
from typing import SupportsFloat, SupportsIndex, cast

import numpy as np

from pccompiler.errors import OptionError

MOST = 2**63 - 1
"""The largest 64-bit integer: no count or seed may exceed it."""


def whole(name: str, value: object, least: int = 1, most: int = MOST) -> int:
    """An option that is a count.

    Args:
        name: The option's name, for the error.
        value: A whole number; 1e4 counts as one.
        least: Smallest value allowed.
        most: Largest value allowed.

    Raises:
        OptionError: If ``value`` is not a whole number, or out of range.
    """
    found = _as_whole(value)
    if found is None or not least <= found <= most:
        bounds = f"at least {least}" if found is None or found < least else f"at most {most:,}"
        bounds = f"exactly {least}" if least == most else bounds
        kind = "use a whole number," if found is None else "use"
        raise OptionError.of("PC302", f"{name} is {shown(value)}", help=f"{kind} {bounds}")
    return found


def seed_of(value: object) -> int:
    """A random seed: a nonnegative whole number.

    Raises:
        OptionError: If it is not one.
    """
    return whole("seed", value, 0)


def at_least(name: str, value: object, least: float) -> float:
    """An option that is a number of at least ``least``, possibly infinite.

    Raises:
        OptionError: If ``value`` is not a number, or too small.
    """
    found = as_float(value)
    if found is None or not found >= least:
        kind = "use" if found is not None else "use a number,"
        raise OptionError.of(
            "PC302", f"{name} is {shown(value)}", help=f"{kind} at least {least:g}"
        )
    return found


def one_of(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse an option that is not one of its choices.

    Raises:
        OptionError: Lists the choices.
    """
    if not isinstance(value, str) or value not in choices:
        raise OptionError.of(
            "PC302",
            f"{name} is {shown(value)}",
            help=f"use one of: {', '.join(repr(choice) for choice in choices)}",
        )


def listed(name: str, value: object) -> list[object]:
    """An option that is a list; text does not count as one.

    Raises:
        OptionError: If ``value`` is not iterable.
    """
    try:
        if not isinstance(value, str | bytes):
            return list(cast(Iterable[object], value))
    except TypeError:
        pass
    raise OptionError.of("PC302", f"{name} is {shown(value)}", help="give a list")


def path_of(value: object) -> Path:
    """A path.

    Raises:
        OptionError: If ``value`` is neither text nor a path.
    """
    if isinstance(value, str | Path):
        return Path(value)
    raise OptionError.of(
        "PC302", f"the path is {shown(value)}", help="give text, or a pathlib.Path"
    )


def as_float(value: object) -> float | None:
    """``value`` as a float if it is a single number, otherwise ``None``."""
    if isinstance(value, bool | str | bytes | bytearray) or getattr(value, "ndim", 0) != 0:
        return None
    if value is np.ma.masked or (isinstance(value, Complex) and not isinstance(value, Real)):
        return None
    try:
        detach: object = getattr(value, "detach", None)  # float() of a tensor with gradients warns
        return float(cast(SupportsFloat, detach() if callable(detach) else value))
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def is_of(value: object, kind: type | UnionType) -> bool:
    """Whether ``value`` has the annotated type, as callers may not check types."""
    return isinstance(value, kind)


def shown(value: object) -> str:
    """``value`` for a message, on one line and truncated if it is long."""
    return " ".join(reprlib.repr(value).split())


def _as_whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return operator.index(cast(SupportsIndex, value))
    except (TypeError, ValueError, RuntimeError):
        number = as_float(value)
        return int(number) if number is not None and number.is_integer() else None
