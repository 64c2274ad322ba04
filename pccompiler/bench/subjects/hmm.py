"""Homogeneous hidden Markov models."""

from __future__ import annotations

from pccompiler.bench.subjects.data import walks
from pccompiler.bench.subjects.subject import Material, Subject
from pccompiler.structures import hmm


def dense(subject: Subject) -> Material:
    """A dense transition matrix."""
    return Material(hmm(subject.variables, subject.units), walks(subject))


def low_rank(subject: Subject) -> Material:
    """A transition matrix of rank ``inner``."""
    circuit = hmm(subject.variables, subject.units, rank=subject.inner)
    return Material(circuit, walks(subject))


def monarch(subject: Subject) -> Material:
    """A Monarch transition matrix over ``inner`` blocks of states."""
    circuit = hmm(subject.variables, subject.units, blocks=subject.inner)
    return Material(circuit, walks(subject))
