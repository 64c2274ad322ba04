"""The ONNX classes of leaf families, by keyword."""

from __future__ import annotations

from pccompiler.onnx_backend.leaves.base import OnnxLeaf, missing
from pccompiler.onnx_backend.leaves.binomial import BinomialOnnxLeaf
from pccompiler.onnx_backend.leaves.gamma import GammaOnnxLeaf
from pccompiler.onnx_backend.leaves.gaussian import GaussianOnnxLeaf
from pccompiler.onnx_backend.leaves.geometric import GeometricOnnxLeaf
from pccompiler.onnx_backend.leaves.histogram import HistogramOnnxLeaf
from pccompiler.onnx_backend.leaves.laplace import LaplaceOnnxLeaf
from pccompiler.onnx_backend.leaves.negative_binomial import NegativeBinomialOnnxLeaf
from pccompiler.onnx_backend.leaves.poisson import PoissonOnnxLeaf
from pccompiler.plugins import Registry, instances

OURS: dict[str, OnnxLeaf] = {
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


LEAVES = Registry(
    "pccompiler.onnx_leaves", OURS, instances(OnnxLeaf, "an instance of OnnxLeaf"), missing
)
"""Leaves by keyword: built in, registered, and declared by other packages."""
leaf_of = LEAVES.find
"""The ONNX class of a family; raises `ExportError` PC464 if there is none."""


def register(leaf: OnnxLeaf) -> OnnxLeaf:
    """Register ``leaf`` as the ONNX class of its keyword's family.

    Returns:
        The same.

    Raises:
        PluginError: PC791, if another class has registered for the keyword.
    """
    LEAVES.add(leaf.keyword, leaf)
    return leaf
