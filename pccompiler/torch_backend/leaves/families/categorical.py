"""Categorical leaves."""

from __future__ import annotations

from pccompiler.torch_backend.leaves.tables import TableLeaf


class CategoricalLeaf(TableLeaf):
    """Parameters are the probabilities of states."""

    keyword = "categorical"
