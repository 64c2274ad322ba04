"""Quad trees over images."""

from __future__ import annotations

import math

import numpy as np

from pccompiler.bench.subjects.data import fields
from pccompiler.bench.subjects.subject import Material, Subject
from pccompiler.structures import quad_tree


def build(subject: Subject) -> Material:
    """A square image, split between rows, then columns."""
    side = math.isqrt(subject.n)
    circuit = quad_tree(side, side, subject.units, parts=2, states=subject.values)
    return Material(circuit, fields(side, subject.values).astype(np.float64))
