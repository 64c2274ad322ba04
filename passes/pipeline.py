"""Pipelines as text: ``check,sectors{by=block},hypernet{embedding=5,hidden=20x20}``."""

from __future__ import annotations

import difflib
import re
from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

from pccompiler.errors import OptionError
from pccompiler.passes.base import Pass
from pccompiler.passes.registry import PASSES

_ITEM = re.compile(r"\s*([A-Za-z][\w-]*)\s*(?:\{([^{}]*)\})?\s*(?:,|$)")


def parse_passes(text: str) -> tuple[Pass, ...]:
    """The passes that ``text`` names, in order.

    Raises:
        OptionError: If the text is malformed, or names an unknown pass, option or value.
    """
    passes: list[Pass] = []
    position = 0
    while position < len(text.rstrip()):
        match = _ITEM.match(text, position)
        if match is None:
            raise OptionError.of(
                "PC320",
                f"pipeline {text!r} cannot be read from {text[position:]!r} on",
                help="write names with commas between, options in braces: 'sectors{by=block}'",
            )
        passes.append(_make(match[1], match[2] or ""))
        position = match.end()
    return tuple(passes)


def _make(name: str, options: str) -> Pass:
    kind = PASSES.get(name)
    if kind is None:
        raise OptionError.of(
            "PC321", f"unknown pass {name!r}", help=_suggest(name, list(PASSES), "passes")
        )
    hints = get_type_hints(kind)
    known = {f.name: hints[f.name] for f in fields(kind)}
    values: dict[str, object] = {}
    for pair in filter(None, (part.strip() for part in options.split(","))):
        option, _, value = pair.partition("=")
        if option not in known:
            raise OptionError.of(
                "PC322",
                f"pass {name!r} has no option {option!r}",
                help=_suggest(option, list(known), "options"),
            )
        values[option] = _value(name, option, value, known[option])
    return kind(**values)


def _value(name: str, option: str, text: str, kind: object) -> object:
    """``text`` as the type of the option."""
    if get_origin(kind) is Literal:
        if text in get_args(kind):
            return text
        wanted = "one of " + ", ".join(get_args(kind))
    elif kind is bool:
        if text in ("true", "false"):
            return text == "true"
        wanted = "true or false"
    elif get_origin(kind) is tuple:
        parts = [] if text == "none" else text.split("x")
        if all(part.isdecimal() for part in parts):
            return tuple(int(part) for part in parts)
        wanted = "whole numbers with an x between, as 20x20, or none"
    else:
        try:
            return int(text) if kind is int else float(text)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
    raise OptionError.of(
        "PC323", f"option {option!r} of pass {name!r} is {text!r}", help=f"give {wanted}"
    )


def _suggest(word: str, known: list[str], what: str) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"{what}: {', '.join(known)}" if known else "it takes no options"
