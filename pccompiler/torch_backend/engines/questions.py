"""What engines are asked, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor


class Wanted(Enum):
    """The questions that engines answer."""

    VALUE = "value"
    """Log-likelihoods."""
    GRADIENT = "gradient"
    """Log-likelihoods, and their gradients with respect to the engine's own operands."""
    COUNTS = "counts"
    """Log-likelihoods, and the expected counts of weights, for EM."""
    POSTERIOR = "posterior"
    """The share of each leaf in the root's value."""
    DRAWS = "draws"
    """The leaves of an induced tree, drawn in proportion to its value."""
    BEST = "best"
    """The leaves of the induced tree with the largest value (MPE)."""


QUERIES: Final = frozenset({Wanted.POSTERIOR, Wanted.DRAWS, Wanted.BEST})
"""Questions for which `Engine.down` divides the flow of each sum among its operands by a rule."""
BY_GROUP: Final = QUERIES | {Wanted.COUNTS}
"""Questions for which the operands are tables by group, whatever the engine; see `Engine`."""


class Batch(NamedTuple):
    """Rows of data.

    Attributes:
        x: Shape (batch, variables), NaN where missing.
        complete: Whether no value is missing.
        given: Input layer to log-values that replace what ``x`` says of its leaves, shape (rows,
            units, batch); only for engines of which `Engine.takes_given` is true. They are operands
            in place of log-densities, also those of layers with tables, whose tables then do not
            count.
    """

    x: Tensor
    complete: bool = False
    given: Mapping[int, Tensor] = MappingProxyType({})

    def split(self, size: int) -> list[Batch]:
        """Consecutive parts of the rows."""
        parts = self.x.split(size)
        given = [dict[int, Tensor]() for _ in parts]
        for number, values in self.given.items():
            for part, piece in zip(given, values.split(size, dim=-1), strict=True):
                part[number] = piece
        return [Batch(x, self.complete, own) for x, own in zip(parts, given, strict=True)]


class Ascent(NamedTuple):
    """What `Engine.up` leaves for `Engine.down`: tensors, and anything else the engine keeps."""

    saved: Sequence[Tensor] = ()
    kept: Any = None  # only the engine that made it looks inside


class Task(NamedTuple):
    """What `Engine.down` does for any question other than a value.

    Attributes:
        flows: The root's flow for each row, shape (batch,): the derivative of a loss with respect
            to its logarithm, or 1. Several draws may come from one evaluated row.
        wanted: The question, the same as for `Engine.up`.
        generator: Random numbers for draws.
    """

    flows: Tensor
    wanted: Wanted
    generator: torch.Generator | None = None

    def key(self, device: torch.device) -> Tensor:
        """A random number for the kernels' own generators, shape (1,), on a device."""
        return torch.randint(2**62, (1,), generator=self.generator, device=device)


@dataclass(frozen=True, eq=False)
class Descent:
    """The result of `Engine.down`.

    Attributes:
        operands: For `Wanted.GRADIENT`, the gradient of each operand. For `Wanted.COUNTS`, the
            expected counts of each table, which are the table times its gradient (0 where the
            table is 0), then each unit's flow for each row. A missing value gives the tables of
            leaves no counts.
        leaves: For `Wanted.POSTERIOR`: input layer to the flow of its units, shape (rows, units,
            batch).
        chosen: For `Wanted.DRAWS` and `Wanted.BEST`: the leaf unit that the induced tree reaches
            for each variable, shape (variables, batch), numbered from the first input layer to the
            last, row by row; -1 if there is none.
    """

    operands: Sequence[Tensor | None] = ()
    leaves: Mapping[int, Tensor] = field(default_factory=dict[int, Tensor])
    chosen: Tensor | None = None
