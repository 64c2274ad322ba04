"""Pipelines as text: ``check,sectors{by=block},hypernet{embedding=5,hidden=20x20}``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

from pccompiler.errors import OptionError
from pccompiler.passes.base import Pass
from pccompiler.passes.registry import PASSES

_BETWEEN = re.compile(r",(?![^{}]*\})")
"""A comma outside braces."""
_ITEM = re.compile(r"([A-Za-z][\w-]*)\s*(?:\{([^{}]*)\})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def parse_passes(text: str) -> tuple[Pass, ...]:
    """The passes that ``text`` names, in order.

    Raises:
        OptionError: If the text is malformed, or names an unknown pass, option or value.
    """
    if not text.strip():
        return ()
    return tuple(_read(item.strip()) for item in _BETWEEN.split(text))


def _read(item: str) -> Pass:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise OptionError.of(
            "PC320",
            f"expected a pass, found {item!r}" if item else "the pipeline has an empty item",
            help="separate passes by commas, with options in braces: 'check,sectors{by=block}'",
        )
    name, options = match[1], match[2] or ""
    kind = PASSES.get(name)
    if kind is None:
        raise OptionError.of(
            "PC321", f"unknown pass {name!r}", help=f"{_near(name, PASSES)}passes: {_list(PASSES)}"
        )
    return _make(name, kind, _options(name, kind, options))


def _make(name: str, kind: type[Pass], values: dict[str, object]) -> Pass:
    try:
        return kind(**values)
    except OptionError as error:  # from a class of the IR, which does not know the pass
        first = error.diagnostics[0]
        raise OptionError.of("PC323", f"pass {name!r}: {first.message}", help=first.help) from None


def _options(name: str, kind: type[Pass], text: str) -> dict[str, object]:
    hints = get_type_hints(kind)
    known = {f.name: hints[f.name] for f in fields(kind) if f.metadata.get("text", True)}
    values: dict[str, object] = {}
    for pair in text.split(",") if text.strip() else ():
        option, equals, value = (part.strip() for part in pair.partition("="))
        if not (option and equals and value):
            raise OptionError.of(
                "PC320",
                f"expected an option of pass {name!r}, found {pair.strip()!r}",
                help="write options as name=value, separated by commas",
            )
        if option not in known:
            way_out = f"{_near(option, known)}options: {_list(known)}"
            raise OptionError.of(
                "PC322",
                f"pass {name!r} has no option {option!r}",
                help=way_out if known else "it takes no options",
            )
        if option in values:
            raise OptionError.of(
                "PC322", f"option {option!r} of pass {name!r} is given twice", help="remove one"
            )
        values[option] = _value(name, option, value, known[option])
    return values


def _value(name: str, option: str, text: str, kind: object) -> object:
    """``text`` converted to the type of the option."""
    try:
        return _convert(text, kind)
    except _UnfitError as unfit:
        raise OptionError.of(
            "PC323",
            f"option {option!r} of pass {name!r} is {text!r}",
            help=f"give {unfit}",
        ) from None


class _UnfitError(Exception):
    """The text does not fit the option's type; the message says what would."""


def _convert(text: str, kind: object) -> object:
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise _UnfitError(f"one of {_list(get_args(kind))}{_guess(text, get_args(kind))}")
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


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def _guess(word: str, known: Iterable[str]) -> str:
    near = _near(word, known).strip()
    return f"; {near}" if near else ""


def _list(known: Iterable[str]) -> str:
    return ", ".join(known)
