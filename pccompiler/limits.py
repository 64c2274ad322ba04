"""How much a reader unpacks and builds at most, so that no file fills the memory.

All readers keep to these limits, and an error says which one a file passes. They are raised for a
while by `allow`, or for a whole process by the environment::

    with pccompiler.limits.allow(states=1_000_000):
        circuit = pccompiler.imports.read("large.bif")

    PCCOMPILER_LIMITS=states=1000000,nodes=50000000 pccompiler import large.bif --out large.pcir
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Final

from pccompiler.errors import LimitError, OptionError

ENVIRONMENT: Final = "PCCOMPILER_LIMITS"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that readers take. The defaults fit a machine of 24 GiB.

    Attributes:
        text: Bytes of a text, once unpacked.
        arrays: Bytes of the arrays in an archive, once unpacked.
        variables: Variables, where a single number of a file says how many there are.
        states: States of a variable whose states get a node each; the nodes' tables take the
            square of this number.
        nodes: Nodes of a circuit.
        edges: Operands of nodes and parameters of leaves in all; sectors of weights, too.
        scopes: Bytes of the table of scopes, with a bit for each node and variable. Making it takes
            some five times as much.
    """

    text: int = 2**28
    arrays: int = 2**32
    variables: int = 100_000
    states: int = 4096
    nodes: int = 10_000_000
    edges: int = 50_000_000
    scopes: int = 2**31

    def check(
        self, limit: str, found: int, location: str | Path, notes: Iterable[str] = ()
    ) -> None:
        """Refuse ``found``, of what ``limit`` names, if it is more.

        Raises:
            LimitError: Naming the limit, the file and the ways to raise it.
        """
        most: int = getattr(self, limit)
        if found > most:
            what = _UNITS.get(limit, limit)
            raise LimitError.of(
                "PC760",
                f"this takes {found:,} {what} or more, and the limit is {most:,}",
                location=str(location),
                notes=notes,
                help=f"if the file can be trusted: with pccompiler.limits.allow({limit}={found}), "
                f"or in the environment {ENVIRONMENT}={limit}={found}",
            )


_UNITS: Final = {name: f"bytes of {name}" for name in ("text", "arrays", "scopes")}
_NAMES: Final = tuple(field.name for field in fields(Limits))
_ALLOWED: ContextVar[Limits | None] = ContextVar("limits", default=None)


def current() -> Limits:
    """The limits that hold here.

    Raises:
        OptionError: If the environment sets none that can be.
    """
    return _ALLOWED.get() or _of_text(os.environ.get(ENVIRONMENT, ""))


@contextmanager
def allow(**limits: int) -> Generator[Limits]:
    """Set some limits within a ``with`` block; the others stay as they are.

    Raises:
        OptionError: If there is no such limit, or it is not a positive integer.
    """
    for name, value in limits.items():
        if name not in _NAMES or type(value) is not int or value < 1:
            raise _unfit(f"{name}={value!r}")
    token = _ALLOWED.set(replace(current(), **limits))
    try:
        yield current()
    finally:
        _ALLOWED.reset(token)


@cache
def _of_text(text: str) -> Limits:
    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.strip().partition("=")
        if name not in _NAMES or not re.fullmatch(r"0*[1-9][0-9]{0,17}", value):
            raise _unfit(f"{ENVIRONMENT} sets {part.strip()}")
        found[name] = int(value)
    return Limits(**found)


def _unfit(what: str) -> OptionError:
    return OptionError.of(
        "PC761",
        f"{what} is no limit",
        help=f"give positive whole numbers to some of: {', '.join(_NAMES)}",
    )
