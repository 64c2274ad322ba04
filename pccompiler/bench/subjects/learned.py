"""Learned scalar circuits."""

from __future__ import annotations

from pccompiler.bench.subjects.data import walks
from pccompiler.bench.subjects.subject import Material, Subject
from pccompiler.structures import learn_spn


def build(subject: Subject) -> Material:
    """As LearnSPN finds it in the data."""
    data = walks(subject)
    return Material(learn_spn(data, subject.variables, min_rows=20), data)
