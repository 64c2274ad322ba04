"""Soft and interval evidence: likelihoods of values, besides rows of known ones.

A likelihood is a function of a variable's value: a number for each state, or 1 within an interval
and 0 outside. A leaf's value is its density times the likelihood, summed (integrated) over the
values that the row allows: all if the row's own is missing, otherwise that one alone.

Source:
    Pearl (1988), "Probabilistic Reasoning in Intelligent Systems", section 2.2.2: virtual evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import torch
from torch import Tensor

Interval: TypeAlias = tuple[Tensor, Tensor]
"""Both ends, each of shape (batch,), infinite if there is none."""


@dataclass(frozen=True, eq=False)
class Likelihoods:
    """Likelihoods by column, in float64 on the model's device; false if there are none.

    Attributes:
        states: Logarithms of those of states, shape (batch, states).
        intervals: Intervals of counts and real values.
    """

    states: Mapping[int, Tensor] = field(default_factory=dict[int, Tensor])
    intervals: Mapping[int, Interval] = field(default_factory=dict[int, Interval])

    def __bool__(self) -> bool:
        return bool(self.states or self.intervals)

    def __contains__(self, column: int) -> bool:
        return column in self.states or column in self.intervals

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, in the order of `replaced`."""
        return [*self.states.values(), *(end for both in self.intervals.values() for end in both)]

    def replaced(self, tensors: Sequence[Tensor]) -> Likelihoods:
        """The same with other tensors."""
        rest = iter(tensors)
        states = {column: next(rest) for column in self.states}
        return Likelihoods(states, {column: (next(rest), next(rest)) for column in self.intervals})

    def each(self, change: Callable[[Tensor], Tensor]) -> Likelihoods:
        """The same with all tensors changed."""
        return self.replaced([change(tensor) for tensor in self.tensors])

    def split(self, rows: Tensor, size: int) -> list[tuple[Tensor, Likelihoods]]:
        """Consecutive parts of the rows, and their likelihoods."""
        parts = rows.split(size)
        own = [tensor.split(size) for tensor in self.tensors]
        return [
            (part, self.replaced([pieces[number] for pieces in own]))
            for number, part in enumerate(parts)
        ]

    def times(self, other: Likelihoods) -> Likelihoods:
        """The products of both: likelihoods are multiplied, so intervals are intersected."""
        states, intervals = dict(self.states), dict(self.intervals)
        for column, logs in other.states.items():
            states[column] = states[column] + logs if column in states else logs
        for column, (low, high) in other.intervals.items():
            one = intervals.get(column, (low, high))
            intervals[column] = torch.maximum(one[0], low), torch.minimum(one[1], high)
        return Likelihoods(states, intervals)


NOTHING: Final = Likelihoods()
"""No soft and no interval evidence."""
