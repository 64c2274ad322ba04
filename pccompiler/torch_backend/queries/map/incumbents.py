"""The best completions found so far, in order, and the bounds that they rule out."""

from __future__ import annotations

import bisect

import torch
from torch import Tensor

States = tuple[int, ...]


class Incumbents:
    """The k best completions of one row of evidence.

    Log-densities are compared on a grid of ``grain`` nats, since rounding differs between batches;
    equal ones are ordered by their states, smallest first.

    Args:
        k: Number of completions wanted.
        free: The columns to complete.
        dtype: Precision of the log-densities.
        tolerance: Completions better than the k-th by at most this may be skipped, in nats.
    """

    def __init__(self, k: int, free: list[int], dtype: torch.dtype, tolerance: float) -> None:
        self.k, self.free, self.tolerance = k, free, tolerance
        self.grain = 1e-9 if dtype == torch.float64 else 1e-4
        self.found: list[tuple[int, States, float]] = []
        self.missed = -float("inf")
        """The largest bound skipped because of the tolerance."""

    def offer(self, rows: Tensor, values: Tensor) -> None:
        """Keep the completed rows that are among the k best."""
        numbers, states = values.tolist(), rows[:, self.free].tolist()
        for value, row in zip(numbers, states, strict=True):
            if value == -float("inf"):
                continue
            entry = (-round(value / self.grain), tuple(int(s) for s in row), value)
            full = len(self.found) == self.k
            if (full and entry >= self.found[-1]) or any(e[1] == entry[1] for e in self.found):
                continue
            bisect.insort(self.found, entry)
            del self.found[self.k :]

    @property
    def last(self) -> float:
        """The log-density of the k-th best, -inf while there are fewer."""
        return self.found[-1][2] if len(self.found) == self.k else -float("inf")

    def hopeless(self, bound: float) -> bool:
        """Whether no completion within a bound can be among the k best (up to the tolerance)."""
        if bound == -float("inf") or bound < self.last - self.grain:
            return True
        if self.tolerance > 0.0 and bound <= self.last + self.tolerance:
            self.missed = max(self.missed, bound)
            return True
        return False

    def settled(self, bound: float, smallest: States) -> bool:
        """Whether a node can be discarded: it is hopeless, or at best a tie that comes later.

        Args:
            bound: Bound of the log-density of its completions.
            smallest: Its first completion.
        """
        if self.hopeless(bound):
            return True
        return bound <= self.last + self.grain and smallest >= self.found[-1][1]
