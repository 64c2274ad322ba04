"""The ONNX classes of leaf families, by keyword."""

from __future__ import annotations

from importlib.metadata import entry_points

from pccompiler.onnx_backend.leaves.base import OnnxLeaf, missing
from pccompiler.onnx_backend.leaves.binomial import BinomialOnnxLeaf
from pccompiler.onnx_backend.leaves.gaussian import GaussianOnnxLeaf
from pccompiler.onnx_backend.leaves.histogram import HistogramOnnxLeaf
from pccompiler.onnx_backend.leaves.laplace import LaplaceOnnxLeaf
from pccompiler.onnx_backend.leaves.poisson import PoissonOnnxLeaf

ENTRY_POINTS = "pccompiler.onnx_leaves"
LEAVES: dict[str, OnnxLeaf] = {}
"""Keyword to leaf. Add to it by `register`, or in a module that an entry point names."""
_loaded: set[str] = set()


def register(leaf: OnnxLeaf) -> OnnxLeaf:
    """Make ``leaf`` the ONNX class of its keyword, in place of an earlier one."""
    LEAVES[leaf.keyword] = leaf
    return leaf


def leaf_of(keyword: str) -> OnnxLeaf:
    """The ONNX class of a family.

    Raises:
        ExportError: If there is none: PC464.
    """
    if keyword not in LEAVES:
        _load()
    if keyword not in LEAVES:
        raise missing(keyword, f"an OnnxLeaf for {keyword!r}")
    return LEAVES[keyword]


def _load() -> None:
    """Import the entry points of installed packages, each once; their modules register leaves."""
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.value not in _loaded:
            _loaded.add(entry.value)
            entry.load()


for _leaf in (
    BinomialOnnxLeaf,
    GaussianOnnxLeaf,
    HistogramOnnxLeaf,
    LaplaceOnnxLeaf,
    PoissonOnnxLeaf,
):
    register(_leaf())
