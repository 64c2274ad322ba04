"""The torch classes of leaf families, by keyword."""

from __future__ import annotations

from pccompiler.errors import CircuitError
from pccompiler.plugins import Registry, instances
from pccompiler.torch_backend.leaves.base import TorchLeaf
from pccompiler.torch_backend.leaves.families.bernoulli import BernoulliLeaf
from pccompiler.torch_backend.leaves.families.binomial import BinomialLeaf
from pccompiler.torch_backend.leaves.families.categorical import CategoricalLeaf
from pccompiler.torch_backend.leaves.families.gamma import GammaLeaf
from pccompiler.torch_backend.leaves.families.gaussian import GaussianLeaf
from pccompiler.torch_backend.leaves.families.geometric import GeometricLeaf
from pccompiler.torch_backend.leaves.families.histogram import HistogramLeaf
from pccompiler.torch_backend.leaves.families.indicator import IndicatorLeaf
from pccompiler.torch_backend.leaves.families.laplace import LaplaceLeaf
from pccompiler.torch_backend.leaves.families.negative_binomial import NegativeBinomialLeaf
from pccompiler.torch_backend.leaves.families.poisson import PoissonLeaf

OURS: dict[str, TorchLeaf] = {
    leaf.keyword: leaf
    for leaf in (
        IndicatorLeaf(),
        BernoulliLeaf(),
        CategoricalLeaf(),
        BinomialLeaf(),
        PoissonLeaf(),
        GammaLeaf(),
        GeometricLeaf(),
        NegativeBinomialLeaf(),
        GaussianLeaf(),
        LaplaceLeaf(),
        HistogramLeaf(),
    )
}


def _missing(keyword: str) -> CircuitError:
    return CircuitError.of(
        "PC461",
        f"the torch backend has no leaf class for the family {keyword!r}",
        help="register one with pccompiler.torch_backend.leaves.registry.register; "
        "docs/howto/add-a-family.md says how",
    )


LEAVES = Registry(
    "pccompiler.torch_leaves", OURS, instances(TorchLeaf, "an instance of TorchLeaf"), _missing
)
"""Keyword to leaf: ours, those added by `register`, and those that other packages declare."""
leaf_of = LEAVES.find
"""The torch class of a family; raises `CircuitError` PC461 if there is none."""


def register(leaf: TorchLeaf) -> TorchLeaf:
    """Make ``leaf`` the torch class of the family with its keyword.

    Returns:
        ``leaf`` itself.

    Raises:
        PluginError: PC791, if another class has registered for the keyword.
    """
    LEAVES.add(leaf.keyword, leaf)
    return leaf
