"""Results of queries: tensors, or frames and series if they are asked by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from pccompiler.showing import brief


class Completion(NamedTuple):
    """A most probable completion of each row.

    Attributes:
        rows: Shape (batch, variables): the evidence with missing values filled in.
        log_value: Shape (batch,): the log-density of each completed row, in nats.
        exact: Whether no other completion has a higher density, since the circuit is deterministic.
            Otherwise the rows come from the best induced tree, and better ones may exist.
    """

    rows: Tensor
    log_value: Tensor
    exact: bool

    def __repr__(self) -> str:
        return brief(self, self._asdict())


class Posterior(NamedTuple):
    """Posterior marginals of every variable; NaN in rows whose evidence is impossible.

    Attributes:
        states: Shape (batch, variables, states): the probability of each state of discrete
            variables; 0 beyond a variable's own states, and for other variables.
        mean: Shape (batch, variables): the mean of each variable.
        variance: Shape (batch, variables).
        log_evidence: Shape (batch,): the log-marginal of the evidence, in nats.
    """

    states: Tensor
    mean: Tensor
    variance: Tensor
    log_evidence: Tensor

    def __repr__(self) -> str:
        return brief(self, self._asdict())


class Classes(NamedTuple):
    """The class variable's distribution given the other variables.

    Attributes:
        label: Shape (batch,): the most probable state.
        log_probability: Shape (batch, states), in nats. Differentiable.
    """

    label: Tensor
    log_probability: Tensor

    def __repr__(self) -> str:
        return brief(self, self._asdict())


class Draws(NamedTuple):
    """The most probable distinct rows among many draws.

    Attributes:
        rows: Shape (found, variables), most probable first.
        log_value: Shape (found,), in nats.
    """

    rows: Tensor
    log_value: Tensor

    def __repr__(self) -> str:
        return brief(self, self._asdict())


@dataclass(frozen=True)
class Completions:
    """The k most probable completions of each row of evidence, best first.

    Attributes:
        rows: Shape (batch, k, variables): the evidence with the query filled in; NaN for variables
            that are summed out and for rows beyond the last possible completion.
        log_value: Shape (batch, k): log-density of each, in nats; -inf beyond the last.
        optimal: Shape (batch,): whether it is proven that nothing better exists (up to the
            tolerance).
        gap: Shape (batch,): the most, in nats, by which an unlisted completion may exceed the k-th;
            0 if none does, infinite if fewer than k were found before the limit.
        expanded: Shape (batch,): number of expanded search nodes.
    """

    rows: Tensor
    log_value: Tensor
    optimal: Tensor
    gap: Tensor
    expanded: Tensor

    def __repr__(self) -> str:
        return brief(self, vars(self))
