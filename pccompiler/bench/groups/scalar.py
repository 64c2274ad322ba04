"""Cases of scalar circuits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pccompiler.bench.case import Case, directions
from pccompiler.bench.groups.queries import queries
from pccompiler.bench.subjects.subject import Subject

PASSES = "share,merge,pack"
BATCH = 512
LAYERED = ((100_000, "100k", ("cpu", "cuda")), (1_000_000, "1m", ("cuda",)))
"""Edges, their name, and where they are timed unless they are named."""


def scalars() -> Iterator[Case]:
    """A learned circuit."""
    learned = Subject(structure="learned", n=32)
    yield from directions("scalar", "32", learned)
    yield from queries("scalar-32", learned)


def packed() -> Iterator[Case]:
    """Circuits as they are, and packed."""
    yield from _both("learned-32", Subject(structure="learned", n=32))
    for edges, word, devices in LAYERED:
        subject = Subject(structure="layered", n=64, edges=edges)
        for case in _both(f"layered-{word}", subject):
            yield replace(case, devices=devices)


def _both(tail: str, subject: Subject) -> Iterator[Case]:
    for word, passes in (("plain", ""), ("packed", PASSES)):
        made = replace(subject, passes=passes)
        for case in directions("packed", f"{tail}-{word}", made, ("gradients", "forward")):
            yield replace(case, batch=BATCH)
