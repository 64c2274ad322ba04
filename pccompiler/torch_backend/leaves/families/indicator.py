"""Indicators of states, which have no parameters."""

from __future__ import annotations

from pccompiler.torch_backend.leaves.tables import TableLeaf


class IndicatorLeaf(TableLeaf):
    """Unit j is 1 if the variable has state j."""

    keyword = "indicator"
