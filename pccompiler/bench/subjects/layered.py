"""Large scalar circuits, as knowledge compilers make them."""

from __future__ import annotations

from pccompiler.bench.subjects.data import walks
from pccompiler.bench.subjects.subject import Material, Subject
from pccompiler.testing.scalar_circuits import scalar_circuit


def build(subject: Subject) -> Material:
    """Sums of 2 to 24 products of one node of each part, with about ``edges`` edges in all."""
    return Material(scalar_circuit(subject.edges, subject.n), walks(subject))
