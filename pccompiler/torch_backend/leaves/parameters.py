"""Parameters of leaves in torch, from the supports that their family declares."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from pccompiler.ir.families import Family
from pccompiler.ir.families.supports import Parameter, Real, slices
from pccompiler.torch_backend.weights.supports import Support, support_of

_GUESSES = 3**4  # every combination, for up to four positive parameters


class Parameters:
    """How the parameters of a family's leaves come from unconstrained numbers.

    Attributes:
        keyword: The family's keyword in the text form.
    """

    keyword: str

    @property
    def family(self) -> Family:
        """The family's declaration in the IR, which a notebook cell may register again."""
        return Family[self.keyword]

    @property
    def counts(self) -> bool:
        """Whether values are unbounded counts."""
        return "count" in self.family.domains

    def constrain(self, raw: Tensor, floor: float) -> Tensor:
        """Parameters from unconstrained numbers, both of shape (..., columns).

        Some families use logarithms, so that no digits are lost; Bernoulli leaves use the
        probabilities of both states.
        """
        parts = [
            (support.log_constrain if parameter.logs else support.constrain)(part, floor)
            for parameter, support, part in self._split(raw)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def values(self, raw: Tensor, floor: float) -> Tensor:
        """Parameters as the IR defines them, from unconstrained numbers of their shape."""
        return torch.cat([s.constrain(part, floor) for _, s, part in self._split(raw)], dim=-1)

    def unconstrain(self, values: Tensor, floor: float) -> Tensor:
        """Unconstrained numbers that give ``values`` under ``floor``; the inverse of `values`."""
        parts = [support.unconstrain(part, floor) for _, support, part in self._split(values)]
        return torch.cat(parts, dim=-1)

    def unsound(self, raw: Tensor) -> Tensor:
        """Whether ``raw`` holds a value that no parameter can have, as a 0-d boolean tensor."""
        return torch.stack([support.unsound(part) for _, support, part in self._split(raw)]).any()

    def useless(self, table: Tensor) -> Tensor:
        """Which results of `constrain` are unusable."""
        if any(parameter.logs for parameter in self.family.parameters):
            return Support().useless(table)
        return torch.cat([support.useless(part) for _, support, part in self._split(table)], -1)

    def guesses(self, centre: Tensor, spread: Tensor, columns: int) -> Tensor:
        """First parameters from the data's centre and spread, shape (weights, guesses, columns).

        Args:
            centre: Shape (weights, 1).
            spread: Shape (weights, 1).
            columns: Number of parameters of a unit.
        """
        like = centre.expand(-1, columns)
        parts = [s.begin(part, spread.expand_as(part)) for _, s, part in self._split(like)]
        some = itertools.islice(itertools.product(*parts), _GUESSES)
        return torch.stack([torch.cat(guess, dim=-1) for guess in some], dim=1)

    def reach(self, like: Tensor) -> Tensor:
        """How far unconstrained numbers may move from a guess, shape (columns,)."""
        parts = [torch.full_like(part, s.reach) for _, s, part in self._split(like[0, :1])]
        return torch.cat(parts, dim=-1)[0]

    def random(self, uniform: Tensor) -> Tensor:
        """Random unconstrained numbers to start from, given uniform numbers between 0 and 1.

        Between -2 and 2 for real parameters, with scales of 1; between -1 and 1 if none is real.
        """
        parts = list(self._split(uniform))
        if not any(isinstance(parameter.support, Real) for parameter, _, _ in parts):
            return 2.0 * uniform - 1.0
        found = [
            4.0 * part - 2.0 if isinstance(parameter.support, Real) else 0.0 * part
            for parameter, _, part in parts
        ]
        return torch.cat(found, dim=-1)

    def _split(self, table: Tensor) -> list[tuple[Parameter, Support, Tensor]]:
        """The columns of each parameter."""
        parameters = self.family.parameters
        if len(parameters) == 1:
            return [(parameters[0], support_of(parameters[0].support), table)]
        return [
            (parameter, support_of(parameter.support), table[..., place])
            for parameter, place in zip(
                parameters, slices(parameters, table.shape[-1]), strict=True
            )
        ]
