"""Pipelines as text: ``check,sectors{by=block},hypernet{embedding=5,hidden=20x20}``."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import get_type_hints

from pccompiler.errors import OptionError
from pccompiler.options import item_in, near, options_in
from pccompiler.passes.base import Pass
from pccompiler.passes.registry import PASSES

_BETWEEN = re.compile(r",(?![^{}]*\})")
"""A comma outside braces."""


def parse_passes(text: str) -> tuple[Pass, ...]:
    """The passes that ``text`` names, in order.

    Raises:
        OptionError: If the text is malformed, or names an unknown pass, option or value.
    """
    if not text.strip():
        return ()
    return tuple(_read(item.strip()) for item in _BETWEEN.split(text))


def _read(item: str) -> Pass:
    found = item_in(item)
    if found is None:
        raise OptionError.of(
            "PC320",
            f"expected a pass, found {item!r}" if item else "the pipeline has an empty item",
            help="separate passes by commas, with options in braces: 'check,sectors{by=block}'",
        )
    name, options = found
    kind = PASSES.get(name)
    if kind is None:
        raise OptionError.of(
            "PC321",
            f"unknown pass {name!r}",
            help=f"{near(name, PASSES)}passes: {', '.join(PASSES)}",
        )
    hints = get_type_hints(kind)
    known = {f.name: hints[f.name] for f in fields(kind) if f.metadata.get("text", True)}
    return _make(name, kind, options_in(options, f"pass {name!r}", known))


def _make(name: str, kind: type[Pass], values: dict[str, object]) -> Pass:
    try:
        return kind(**values)
    except OptionError as error:  # from a class of the IR, which does not know the pass
        first = error.diagnostics[0]
        raise OptionError.of("PC323", f"pass {name!r}: {first.message}", help=first.help) from None
