"""The torch classes of leaf families, by keyword."""

from __future__ import annotations

from importlib.metadata import entry_points

from pccompiler.errors import CircuitError
from pccompiler.torch_backend.leaves.base import TorchLeaf
from pccompiler.torch_backend.leaves.bernoulli import BernoulliLeaf
from pccompiler.torch_backend.leaves.binomial import BinomialLeaf
from pccompiler.torch_backend.leaves.categorical import CategoricalLeaf
from pccompiler.torch_backend.leaves.gaussian import GaussianLeaf
from pccompiler.torch_backend.leaves.histogram import HistogramLeaf
from pccompiler.torch_backend.leaves.indicator import IndicatorLeaf
from pccompiler.torch_backend.leaves.laplace import LaplaceLeaf
from pccompiler.torch_backend.leaves.poisson import PoissonLeaf

ENTRY_POINTS = "pccompiler.torch_leaves"
LEAVES: dict[str, TorchLeaf] = {}
"""Keyword to leaf. Add to it by `register`, or by an entry point that is a `TorchLeaf`."""

_loaded: set[str] = set()


def register(leaf: TorchLeaf) -> TorchLeaf:
    """Make ``leaf`` the torch class of its keyword, in place of an earlier one.

    Args:
        leaf: An instance: families without a class of their own are `DistributionLeaf` instances.

    Returns:
        The same.
    """
    LEAVES[leaf.keyword] = leaf
    return leaf


def leaf_of(keyword: str) -> TorchLeaf:
    """The torch class of a family.

    Raises:
        CircuitError: If there is none: PC461.
    """
    if keyword not in LEAVES:
        _load()
    if keyword in LEAVES:
        return LEAVES[keyword]
    raise CircuitError.of(
        "PC461",
        f"the torch backend has no leaf class for the family {keyword!r}",
        help="register one: pccompiler.torch_backend.leaves.registry.register(MyLeaf()); "
        "docs/howto/add-a-family.md says how",
    )


def _load() -> None:
    """Import the entry points of installed packages, each once; their modules register leaves."""
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.value not in _loaded:
            _loaded.add(entry.value)
            entry.load()


for _leaf in (
    IndicatorLeaf,
    BernoulliLeaf,
    CategoricalLeaf,
    BinomialLeaf,
    PoissonLeaf,
    GaussianLeaf,
    LaplaceLeaf,
    HistogramLeaf,
):
    register(_leaf())
