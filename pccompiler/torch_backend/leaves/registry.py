"""The torch classes of leaf families, by keyword."""

from __future__ import annotations

from typing import TypeGuard

from pccompiler.errors import CircuitError
from pccompiler.plugins import Registry
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

_OWN: dict[str, TorchLeaf] = {
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


def _is_leaf(given: object) -> TypeGuard[TorchLeaf]:
    return isinstance(given, TorchLeaf)


LEAVES = Registry("pccompiler.torch_leaves", _OWN, _is_leaf, "an instance of TorchLeaf")
"""Keyword to leaf: ours, those added by `register`, and those that other packages declare."""


def register(leaf: TorchLeaf) -> TorchLeaf:
    """Make ``leaf`` the torch class of the family with its keyword, replacing any earlier one.

    Returns:
        ``leaf`` itself.
    """
    _OWN[leaf.keyword] = leaf
    return leaf


def leaf_of(keyword: str) -> TorchLeaf:
    """The torch class of a family.

    Raises:
        CircuitError: If there is none: PC461.
    """
    if keyword not in LEAVES:
        raise CircuitError.of(
            "PC461",
            f"the torch backend has no leaf class for the family {keyword!r}",
            help="register one with pccompiler.torch_backend.leaves.registry.register; "
            "docs/howto/add-a-family.md says how",
        )
    return LEAVES[keyword]
