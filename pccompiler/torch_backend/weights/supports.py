"""Maps unconstrained numbers to parameters and back, for each support, as tensors.

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

_LEAST = 1e-30  # clips logits below the floor to finite values, so that they can be trained further


class Support:
    """The real line, where numbers stay as they are. Other supports override its methods.

    Parameters may be kept as logarithms, so that no digits are lost (`Parameter.logs`).

    Attributes:
        reach: How far unconstrained numbers may move from a first guess if the data alone do not
            keep them from diverging.
    """

    reach = math.inf

    def constrain(self, raw: Tensor, floor: float) -> Tensor:
        """Map to numbers in the support, of the same shape."""
        return raw

    def log_constrain(self, raw: Tensor, floor: float) -> Tensor:
        """Logarithms of the constrained numbers; for a probability, of both outcomes."""
        return self.constrain(raw, floor).log()

    def unconstrain(self, values: Tensor, floor: float) -> Tensor:
        """The inverse of `constrain`."""
        return values

    def begin(self, centre: Tensor, spread: Tensor) -> tuple[Tensor, ...]:
        """First guesses from the centre and spread of the data, each of their shape."""
        return (centre,)

    def unsound(self, raw: Tensor) -> Tensor:
        """Whether ``raw`` holds a value that no parameter can have, as a 0-d boolean tensor."""
        return ~raw.isfinite().all()

    def useless(self, values: Tensor) -> Tensor:
        """Which constrained numbers are unusable."""
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
        """NaN, infinity and zero."""
        return super().useless(values) | (values == 0.0)

    def begin(self, centre: Tensor, spread: Tensor) -> tuple[Tensor, ...]:
        """A scale, a shape or a rate: the spread, 1, and the spread's reciprocal."""
        return spread, torch.ones_like(spread), 1.0 / spread


class Nonnegative(Positive):
    """Positive numbers and 0, whose logarithm is -inf."""

    def unsound(self, raw: Tensor) -> Tensor:
        """NaN and infinity; -inf stands for 0."""
        return raw.isnan().any() | raw.isposinf().any()

    def useless(self, values: Tensor) -> Tensor:
        """NaN and infinity; zero is allowed."""
        return Support.useless(self, values)


class UnitInterval(Support):
    """Probabilities of a binary outcome, by the logistic function; 0 and 1 are allowed."""

    def constrain(self, raw: Tensor, floor: float) -> Tensor:
        """The lifted probability."""
        return lift(torch.sigmoid(raw), floor, 2)

    def log_constrain(self, raw: Tensor, floor: float) -> Tensor:
        """Logarithms of both outcomes, along the last axis; of the likelier by the other's."""
        both = torch.cat([-raw, raw], dim=-1)
        if floor == 0.0:
            return nn.functional.logsigmoid(both)
        likelier = both > 0.0
        less = lift(torch.sigmoid(torch.where(likelier, -both, both)), floor, 2)
        return torch.where(likelier, torch.log1p(-less), less.log())

    def unconstrain(self, values: Tensor, floor: float) -> Tensor:
        """Logits."""
        return unlift(values, floor, 2).log() - unlift(1.0 - values, floor, 2).log()

    def unsound(self, raw: Tensor) -> Tensor:
        """NaN only: logits of 0 and 1 are infinite."""
        return raw.isnan().any()

    def begin(self, centre: Tensor, spread: Tensor) -> tuple[Tensor, ...]:
        """One half."""
        return (torch.full_like(centre, 0.5),)


class Simplex(Support):
    """Probabilities that sum to one along the last axis, by softmax; zeros are allowed."""

    def constrain(self, raw: Tensor, floor: float) -> Tensor:
        """The lifted softmax."""
        quick = (softmax_on_cuda if raw.is_cuda else lifted_softmax)(raw, floor)
        return quick if quick is not None else lift(_softmax(raw), floor, raw.shape[-1])

    def unconstrain(self, values: Tensor, floor: float) -> Tensor:
        """Logarithms."""
        return unlift(values, floor, values.shape[-1]).log()

    def begin(self, centre: Tensor, spread: Tensor) -> tuple[Tensor, ...]:
        """The same probability for all."""
        return (torch.full_like(centre, 1.0 / centre.shape[-1]),)

    def unsound(self, raw: Tensor) -> Tensor:
        """NaN, infinity, or a row without an entry above 0."""
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
    """The torch version of a support, or of the one that it is derived from."""
    return next(_SUPPORTS[kind] for kind in type(support).__mro__ if kind in _SUPPORTS)


def lift(weights: Tensor, floor: float, states: int) -> Tensor:
    """Probabilities of ``states`` outcomes, each at least about ``floor``."""
    if floor == 0.0:
        return weights
    lifted = weights + floor
    scale = 1.0 / (1.0 + states * floor)
    if weights.dtype == torch.float32 and states * floor < 1e-8:  # 1 + states floor rounds to 1
        return lifted
    return lifted * scale


def unlift(values: Tensor, floor: float, states: int) -> Tensor:
    """The inverse of `lift`."""
    return values if floor == 0.0 else (values * (1.0 + states * floor) - floor).clamp_min(_LEAST)


def _softmax(raw: Tensor) -> Tensor:
    """Torch's softmax of the last axis; under a transform, its definition.

    Under ``python -O`` torch cannot differentiate its own gradient of softmax in forward mode.
    """
    if transformed():
        return (raw - raw.logsumexp(-1, keepdim=True)).exp()
    return torch.softmax(raw, dim=-1)
