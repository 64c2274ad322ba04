"""The paper's model: random binary trees."""

from __future__ import annotations

from pccompiler.bench.subjects.data import walks
from pccompiler.bench.subjects.subject import Material, Subject
from pccompiler.structures import rat_spn


def build(subject: Subject) -> Material:
    """Random trees over binary variables."""
    circuit = rat_spn(subject.n, subject.replicas, subject.units, seed=0)
    return Material(circuit, walks(subject))
