"""From unconstrained numbers to parameters and back, support by support, as tensors.

`pccompiler.ir.families.supports` is the definition, in NumPy.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pccompiler.ir.families import supports as ir
from pccompiler.torch_backend.runtime.transforms import transformed
from pccompiler.torch_backend.weights.softmax_cpu import lifted_softmax
from pccompiler.torch_backend.weights.softmax_cuda import softmax_on_cuda

_LEAST = 1e-30  # under a floor, logits stay finite, so that training can go on from them


class Support:
    """The real line: numbers as they are. The other supports differ from it method by method.

    Parameters may be held as logarithms, so that no digits are lost (`Parameter.logs`).

    Attributes:
        reach: How far unconstrained numbers may be from a first guess where data alone do not keep
            them from running away.
    """

    reach = math.inf

    def constrain(self, raw: Tensor, floor: float) -> Tensor:
        """Numbers in the support, of the same shape."""
        return raw

    def log_constrain(self, raw: Tensor, floor: float) -> Tensor:
        """Logarithms of the numbers; of a probability, that of the other outcome first."""
        return self.constrain(raw, floor).log()

    def unconstrain(self, values: Tensor, floor: float) -> Tensor:
        """What `constrain` makes ``values`` of."""
        return values

    def begin(self, centre: Tensor, spread: Tensor) -> Tensor:
        """A first guess for data of a centre and a spread, of their shape."""
        return centre

    def unsound(self, raw: Tensor) -> Tensor:
        """Whether ``raw`` holds what no parameter can be: a boolean of no dimension."""
        return ~raw.isfinite().all()

    def useless(self, values: Tensor) -> Tensor:
        """Which constrained numbers nothing can be computed with."""
        return values.isnan() | (values == torch.inf)


class Positive(Support):
    """Positive numbers, by exp."""

    reach = math.log(1e6)

    def constrain(self, raw: Tensor, floor: float) -> Tensor:
        """``exp(raw)``."""
        return raw.exp()

    def log_constrain(self, raw: Tensor, floor: float) -> Tensor:
        """``raw``."""
        return raw

    def unconstrain(self, values: Tensor, floor: float) -> Tensor:
        """Logarithms."""
        return values.log()

    def useless(self, values: Tensor) -> Tensor:
        """Zeros, too."""
        return super().useless(values) | (values == 0.0)

    def begin(self, centre: Tensor, spread: Tensor) -> Tensor:
        """The spread."""
        return spread


class Nonnegative(Positive):
    """As `Positive`, and 0, whose logarithm is infinite."""

    def unsound(self, raw: Tensor) -> Tensor:
        """Neither NaN nor infinity."""
        return raw.isnan().any() | raw.isposinf().any()

    def useless(self, values: Tensor) -> Tensor:
        """Not zeros."""
        return Support.useless(self, values)


class UnitInterval(Support):
    """Probabilities of one of two outcomes, by the logistic function; 0 and 1 are allowed."""

    def constrain(self, raw: Tensor, floor: float) -> Tensor:
        """The lifted probability."""
        return lift(torch.sigmoid(raw), floor, 2)

    def log_constrain(self, raw: Tensor, floor: float) -> Tensor:
        """Of both outcomes, along the last axis."""
        logs = nn.functional.logsigmoid(torch.cat([-raw, raw], dim=-1))
        return logs if floor == 0.0 else lift(logs.exp(), floor, 2).log()

    def unconstrain(self, values: Tensor, floor: float) -> Tensor:
        """Logits."""
        return unlift(values, floor, 2).log() - unlift(1.0 - values, floor, 2).log()

    def unsound(self, raw: Tensor) -> Tensor:
        """Logits of 0 and 1 are infinite."""
        return raw.isnan().any()

    def begin(self, centre: Tensor, spread: Tensor) -> Tensor:
        """One half."""
        return torch.full_like(centre, 0.5)


class Simplex(Support):
    """Probabilities that sum to one along the last axis, by softmax; zeros are allowed."""

    def constrain(self, raw: Tensor, floor: float) -> Tensor:
        """The lifted softmax."""
        quick = (softmax_on_cuda if raw.is_cuda else lifted_softmax)(raw, floor)
        return quick if quick is not None else lift(_softmax(raw), floor, raw.shape[-1])

    def unconstrain(self, values: Tensor, floor: float) -> Tensor:
        """Logarithms."""
        return unlift(values, floor, values.shape[-1]).log()

    def begin(self, centre: Tensor, spread: Tensor) -> Tensor:
        """The same for all."""
        return torch.full_like(centre, 1.0 / centre.shape[-1])

    def unsound(self, raw: Tensor) -> Tensor:
        """Some entry of each row is above 0."""
        return raw.isnan().any() | raw.isposinf().any() | raw.isneginf().all(-1).any()


SIMPLEX = Simplex()
_SUPPORTS: dict[type[ir.Support], Support] = {
    ir.Real: Support(),
    ir.Positive: Positive(),
    ir.Nonnegative: Nonnegative(),
    ir.UnitInterval: UnitInterval(),
    ir.Simplex: SIMPLEX,
}


def support_of(support: ir.Support) -> Support:
    """The torch side of a support, or of the one that it is derived from."""
    return next(_SUPPORTS[kind] for kind in type(support).__mro__ if kind in _SUPPORTS)


def lift(weights: Tensor, floor: float, states: int) -> Tensor:
    """Probabilities of ``states`` outcomes, each at least about ``floor``."""
    if floor == 0.0:
        return weights
    lifted = weights + floor
    scale = 1.0 / (1.0 + states * floor)
    if weights.dtype == torch.float32 and states * floor < 1e-8:  # the quotient rounds to itself
        return lifted
    return lifted * scale


def unlift(values: Tensor, floor: float, states: int) -> Tensor:
    """What the floor lifts to ``values``."""
    return values if floor == 0.0 else (values * (1.0 + states * floor) - floor).clamp_min(_LEAST)


def _softmax(raw: Tensor) -> Tensor:
    """Torch's softmax of the last axis; its definition under a transform.

    Under ``python -O`` torch cannot take forward mode through its own gradient of it.
    """
    if transformed():
        return (raw - raw.logsumexp(-1, keepdim=True)).exp()
    return torch.softmax(raw, dim=-1)
