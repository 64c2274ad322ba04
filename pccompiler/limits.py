"""Limits on what readers unpack and build, so that no file can exhaust memory.

All readers respect these limits, and an error names the one that a file exceeds. Raise them within
a block with `allow`, or for a whole process in the environment::

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
    """The most that readers accept. The defaults fit a machine with 24 GiB.

    Attributes:
        text: Bytes of an unpacked text.
        arrays: Bytes of the unpacked arrays in an archive.
        variables: Variables, if a single number in a file states how many there are.
        states: States of a variable with one node per state; the nodes' tables take the square
            of this number.
        nodes: Nodes of a circuit.
        edges: Operands of nodes plus parameters of leaves; also sectors of weights.
        scopes: Bytes of the table of scopes, with a bit for each node and variable. Building it
            takes about five times as much.
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
        """Refuse ``found`` if it exceeds the limit named ``limit``.

        Raises:
            LimitError: Names the limit, the file and the ways to raise it.
        """
        most: int = getattr(self, limit)
        if found > most:
            what = _UNITS.get(limit, limit)
            raise LimitError.of(
                "PC760",
                f"this takes at least {found:,} {what}, but the limit is {most:,}",
                location=str(location),
                notes=notes,
                help=f"if you trust the file: with pccompiler.limits.allow({limit}={found}), "
                f"or in the environment {ENVIRONMENT}={limit}={found}",
            )


_UNITS: Final = {name: f"bytes of {name}" for name in ("text", "arrays", "scopes")}
_NAMES: Final = tuple(field.name for field in fields(Limits))
_ALLOWED: ContextVar[Limits | None] = ContextVar("limits", default=None)


def current() -> Limits:
    """The limits in effect.

    Raises:
        OptionError: If the environment sets an invalid limit.
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
        f"{what} is not a valid limit",
        help=f"give positive whole numbers to some of: {', '.join(_NAMES)}",
    )
