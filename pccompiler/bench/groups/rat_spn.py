"""Cases of the paper's model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pccompiler.bench.case import PAPER_BATCH, Case
from pccompiler.bench.groups.queries import calls, queries
from pccompiler.bench.kinds.registry import KINDS
from pccompiler.bench.subjects.subject import Subject, Weights

LARGEST_ON_CPU = 500
"""Larger circuits are timed on a CPU only if named."""
SIZES = (16, 100, 500, 1556)
ASKED = (16, 100, 1556)
"""Sizes that are asked queries."""
LARGEST_OF_MANY = LARGEST_OF_EM = 100
_WORDS: tuple[tuple[Weights, str], ...] = (("hypernetwork", "hyperspn"), ("direct", "spn"))


def paper(n: int, weights: Weights = "hypernetwork") -> Subject:
    """The paper's model: 50 random binary trees, sums of 5 units."""
    return Subject(structure="rat-spn", n=n, units=5, replicas=50, weights=weights)


def rat_spns() -> Iterator[Case]:
    """By size; on a CPU up to `LARGEST_ON_CPU`."""
    for n in SIZES:
        for case in _of_size(n):
            yield case if n <= LARGEST_ON_CPU else replace(case, devices=("cuda",))
    yield from _onnx()


def _of_size(n: int) -> Iterator[Case]:
    for weights, word in _WORDS:
        subject, tail = paper(n, weights), f"{n}-{word}"
        yield from _trained(subject, tail, n == 16)
        if weights == "direct":
            yield from _others(subject, tail)
        elif n <= LARGEST_OF_MANY:
            kind = KINDS["many"]
            yield Case(name=f"many-{tail}", subject=subject, kind=kind, devices=("cuda",))


def _trained(subject: Subject, tail: str, quick: bool) -> Iterator[Case]:
    for kind, latency in (
        ("step", False),
        ("gradients", False),
        ("forward", False),
        ("step", True),
        ("forward", True),
    ):
        yield Case(
            name=f"latency-{kind}-{tail}" if latency else f"{kind}-{tail}",
            subject=subject,
            kind=KINDS[kind],
            batch=1 if latency else PAPER_BATCH,
            quick=quick and not latency and kind != "gradients",
        )


def _others(subject: Subject, tail: str) -> Iterator[Case]:
    """EM, calls and queries."""
    quick = subject.n == 16
    if subject.n <= LARGEST_OF_EM:
        yield Case(name=f"em-{tail}", subject=subject, kind=KINDS["em"], quick=quick)
    yield from calls(tail, subject, quick=quick)
    if subject.n in ASKED:
        yield from queries(tail, subject)


def _onnx() -> Iterator[Case]:
    for n in (16, 100):
        for batch in (PAPER_BATCH, 1):
            yield Case(
                name=f"onnx-{n}-batch-{batch}",
                subject=paper(n),
                kind=KINDS["onnx"],
                batch=batch,
                devices=("cpu",),
            )
