"""Cases of calls and queries, which any circuit can have."""

from __future__ import annotations

from collections.abc import Iterator

from pccompiler.bench.case import PAPER_BATCH, Case
from pccompiler.bench.kinds.registry import KINDS, QUERIES
from pccompiler.bench.subjects.subject import Subject


def calls(tail: str, subject: Subject, *, quick: bool = False) -> Iterator[Case]:
    """A call for 500 rows, and for one."""
    kind = KINDS["call"]
    yield Case(name=f"call-{tail}", subject=subject, kind=kind, quick=quick)
    yield Case(name=f"call-latency-{tail}", subject=subject, kind=kind, batch=1)


def queries(tail: str, subject: Subject) -> Iterator[Case]:
    """Every query for 500 rows, and for one."""
    for group, batch in (("query", PAPER_BATCH), ("query-latency", 1)):
        for kind in QUERIES:
            yield query(group, kind, tail, subject, batch)


def query(group: str, kind: str, tail: str, subject: Subject, batch: int) -> Case:
    """One query."""
    name = f"{group}-{kind.replace('_', '-')}-{tail}"
    return Case(name=name, subject=subject, kind=KINDS[kind], batch=batch)
