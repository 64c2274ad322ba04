"""Categorical leaves."""

from __future__ import annotations

from pccompiler.torch_backend.leaves.tables import TableLeaf


class CategoricalLeaf(TableLeaf):
    """Probabilities of states."""

    keyword = "categorical"
