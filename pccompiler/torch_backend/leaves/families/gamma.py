"""Gamma leaves."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Gamma, constraints

from pccompiler.errors import CircuitError
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf


class GammaLeaf(DistributionLeaf):
    """Parameters are the concentration and the rate, as in `torch.distributions`."""

    infinite_moments = False

    def __init__(self) -> None:
        super().__init__("gamma", Gamma, constraints.positive)

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """In float64, since large terms cancel for large concentrations."""
        return super().log_density(x.double(), units.double())

    def mode(self, units: Units) -> Tensor:
        """``(concentration - 1) / rate``.

        Raises:
            CircuitError: PC133, if the concentration is 1 or less: the density has no maximum.
        """
        concentration, rate = units.parameters.unbind(-1)
        if bool((concentration <= 1.0).any()):
            raise CircuitError.of(
                "PC133",
                "the density of a gamma leaf has no maximum: its concentration is "
                f"{float(concentration.min()):g}",
                help="ask for modes of leaves with concentrations above 1, or give the variable "
                "a value",
            )
        return (concentration - 1.0) / rate

    def entropy(self, units: Units) -> Tensor:
        """In closed form."""
        found: Tensor = self.of(units).entropy()[:, 0, 0]
        return found
