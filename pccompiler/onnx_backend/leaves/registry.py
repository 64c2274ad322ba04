"""The ONNX classes of leaf families, by keyword."""

from __future__ import annotations

from typing import TypeGuard

from pccompiler.onnx_backend.leaves.base import OnnxLeaf, missing
from pccompiler.onnx_backend.leaves.binomial import BinomialOnnxLeaf
from pccompiler.onnx_backend.leaves.gamma import GammaOnnxLeaf
from pccompiler.onnx_backend.leaves.gaussian import GaussianOnnxLeaf
from pccompiler.onnx_backend.leaves.geometric import GeometricOnnxLeaf
from pccompiler.onnx_backend.leaves.histogram import HistogramOnnxLeaf
from pccompiler.onnx_backend.leaves.laplace import LaplaceOnnxLeaf
from pccompiler.onnx_backend.leaves.negative_binomial import NegativeBinomialOnnxLeaf
from pccompiler.onnx_backend.leaves.poisson import PoissonOnnxLeaf
from pccompiler.plugins import Registry

_OWN: dict[str, OnnxLeaf] = {
    leaf.keyword: leaf
    for leaf in (
        BinomialOnnxLeaf(),
        GaussianOnnxLeaf(),
        HistogramOnnxLeaf(),
        LaplaceOnnxLeaf(),
        PoissonOnnxLeaf(),
        GammaOnnxLeaf(),
        GeometricOnnxLeaf(),
        NegativeBinomialOnnxLeaf(),
    )
}


def _is_leaf(given: object) -> TypeGuard[OnnxLeaf]:
    return isinstance(given, OnnxLeaf)


LEAVES = Registry("pccompiler.onnx_leaves", _OWN, _is_leaf, "an instance of OnnxLeaf")
"""Leaves by keyword: built in, registered, and declared by other packages."""


def register(leaf: OnnxLeaf) -> OnnxLeaf:
    """Register ``leaf`` as the ONNX class of its keyword's family, replacing an earlier one.

    Returns:
        The same.
    """
    _OWN[leaf.keyword] = leaf
    return leaf


def leaf_of(keyword: str) -> OnnxLeaf:
    """The ONNX class of a family.

    Raises:
        ExportError: If there is none: PC464.
    """
    if keyword not in LEAVES:
        raise missing(keyword)
    return LEAVES[keyword]
