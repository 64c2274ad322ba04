"""All generators by keyword: ours, and those of other packages in ``pccompiler.generators``."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import TypeGuard

from pccompiler.ir.generators.base import Generator
from pccompiler.ir.generators.direct import Direct
from pccompiler.ir.generators.hypernetwork import Hypernetwork
from pccompiler.plugins import Expected, Registry


def _is_generator(thing: object) -> TypeGuard[type[Generator]]:
    named = isinstance(thing, type) and issubclass(thing, Generator) and is_dataclass(thing)
    return named and all(hasattr(thing, name) for name in ("keyword", "table", "floor"))


GENERATORS = Registry[type[Generator]](
    "pccompiler.generators",
    {made.keyword: made for made in (Direct, Hypernetwork)},
    Expected(
        _is_generator,
        "a dataclass derived from pccompiler.ir.Generator, with a keyword, a table and a floor",
    ),
)
