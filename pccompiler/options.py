"""Checks of options, shared by all public functions, and options written as text.

Each check of a number returns a plain ``int`` or ``float``, so that callers need not distinguish
NumPy and torch numbers. Text is refused, even if it spells a number, except by `options_in`.
"""

from __future__ import annotations

import difflib
import operator
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from numbers import Complex, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, SupportsFloat, SupportsIndex, Union, cast, get_args, get_origin

import numpy as np

from pccompiler.errors import OptionError

MOST = 2**63 - 1
"""The largest 64-bit integer: no count or seed may exceed it."""
_ITEM = re.compile(r"([A-Za-z][\w-]*)\s*(?:\{([^{}]*)\})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


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


def item_in(text: str) -> tuple[str, str] | None:
    """``NAME{OPTIONS}`` as its two parts; the braces may be missing. ``None`` if it is not that."""
    match = _ITEM.fullmatch(text)
    return None if match is None else (match[1], match[2] or "")


def options_in(text: str, owner: str, known: Mapping[str, object]) -> dict[str, object]:
    """Options written ``name=value,name=value``, converted to their types.

    Args:
        text: The options.
        owner: Whose options they are, for messages: ``pass 'sectors'``.
        known: The type of each option.

    Raises:
        OptionError: If an option is unknown, given twice, or its value does not fit its type.
    """
    values: dict[str, object] = {}
    for pair in text.split(",") if text.strip() else ():
        option, equals, value = (part.strip() for part in pair.partition("="))
        if not (option and equals and value):
            raise OptionError.of(
                "PC320",
                f"expected an option of {owner}, found {pair.strip()!r}",
                help="write options as name=value, separated by commas",
            )
        if option not in known:
            raise unknown_option(owner, option, known)
        if option in values:
            raise OptionError.of(
                "PC322", f"option {option!r} of {owner} is given twice", help="remove one"
            )
        values[option] = _value(owner, option, value, known[option])
    return values


def unknown_option(owner: str, option: str, known: Iterable[str]) -> OptionError:
    """The error for an option that ``owner`` does not have."""
    way_out = f"{near(option, known)}options: {', '.join(known)}"
    return OptionError.of(
        "PC322",
        f"{owner} has no option {option!r}",
        help=way_out if list(known) else "it takes no options",
    )


def near(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'? `` if a known word is similar, otherwise nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def _value(owner: str, option: str, text: str, kind: object) -> object:
    """``text`` converted to the type of the option."""
    try:
        return _convert(text, kind)
    except _UnfitError as unfit:
        raise OptionError.of(
            "PC323", f"option {option!r} of {owner} is {text!r}", help=f"give {unfit}"
        ) from None


class _UnfitError(Exception):
    """The text does not fit the option's type; the message says what would."""


def _convert(text: str, kind: object) -> object:
    if get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind):
        return None if text == "none" else _convert(text, get_args(kind)[0])
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            guess = near(text, get_args(kind)).strip()
            one = f"one of {', '.join(get_args(kind))}"
            raise _UnfitError(f"{one}; {guess}" if guess else one)
        return text
    if get_origin(kind) is tuple:
        return tuple(_integer(part, _WIDTHS) for part in text.split("x") if text != "none")
    if kind is bool:
        if text not in ("true", "false"):
            raise _UnfitError("true or false")
        return text == "true"
    if kind is int:
        return _integer(text, "a whole number")
    return _float(text) if kind is float else text


_WIDTHS = "whole numbers separated by x, like 20x20, or none"


def _integer(text: str, wanted: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _UnfitError(wanted)
    return int(text)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _UnfitError("a number") from None
