"""Hidden Chow-Liu trees over images."""

from __future__ import annotations

import json
import math

import numpy as np

from pccompiler.bench.subjects.data import fields
from pccompiler.bench.subjects.subject import Material, Subject
from pccompiler.structures import chow_liu_tree, hclt


def build(subject: Subject) -> Material:
    """A latent for each pixel of a square image, along the tree of the data."""
    data = fields(math.isqrt(subject.n), subject.values)
    tree = chow_liu_tree(data, subject.variables, mi_bins=8)
    files = {"tree": json.dumps(tree.edges.tolist())}
    return Material(hclt(tree, subject.units), data.astype(np.float64), files)
