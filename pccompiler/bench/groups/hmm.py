"""Cases of hidden Markov models."""

from __future__ import annotations

from collections.abc import Iterator

from pccompiler.bench.case import Case, directions
from pccompiler.bench.groups.precisions import on_gpu
from pccompiler.bench.groups.queries import queries
from pccompiler.bench.kinds.registry import KINDS
from pccompiler.bench.subjects.subject import Subject

LENGTH = 32
SIZES = ((512, 33_279), (2048, 33_279), (4096, 50_257))
"""States and words."""


def hmms() -> Iterator[Case]:
    """A small one on both devices; models of text on GPUs, dense and structured."""
    small = Subject(structure="hmm", n=128, units=64, values=64)
    yield from directions("hmm", "128x64x64", small)
    yield from queries("hmm-32x2x64", Subject(structure="hmm", n=LENGTH, units=64))
    for states, words in SIZES:
        subject = Subject(structure="hmm", n=LENGTH, units=states, values=words)
        yield from _of_text(f"{LENGTH}x{words}x{states}", subject)
    states, words = SIZES[-1]
    for structure, word in (("monarch-hmm", "blocks"), ("low-rank-hmm", "rank")):
        subject = Subject(structure=structure, n=LENGTH, units=states, values=words, inner=64)
        yield from _of_text(f"{LENGTH}x{words}x{states}-{word}-64", subject)


def _of_text(tail: str, subject: Subject) -> Iterator[Case]:
    em = Case(name=f"em-hmm-{tail}", subject=subject, kind=KINDS["em"])
    yield from on_gpu([*directions("hmm", tail, subject, ("gradients", "forward")), em])
