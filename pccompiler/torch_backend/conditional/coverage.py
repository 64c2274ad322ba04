"""Which weights an external module makes, and where their logits are in its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Int, ranges
from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.options import listed

Chosen = Literal["all", "sums", "leaves"] | Sequence[str | int]
"""All weights, those of sums, those of leaves, or some by name or number."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """Weights that a module makes, in the order of its output.

    The output has ``size`` numbers for each row: the weights in the order of their numbers, each
    row by row. They are unconstrained: logits of a sum's unit or a table's row become its
    probabilities by a softmax, other parameters what their family makes of them.

    Attributes:
        weights: Shape ``(covered,)``, circuit weights, ascending.
        start: Shape ``(covered + 1,)``, where the numbers of each begin, and the size.
    """

    weights: Int
    start: Int

    @property
    def size(self) -> int:
        """How many numbers a row of output has."""
        return int(self.start[-1])

    def entries(self, weights: Int) -> Int:
        """Places of the numbers of covered weights, one weight after the other."""
        where = np.searchsorted(self.weights, weights)
        return ranges(self.start[where], self.start[where + 1] - self.start[where])


def cover(circuit: Circuit, chosen: Chosen) -> Coverage:
    """The coverage of some weights of a circuit.

    Raises:
        OptionError: If a name is unknown, there is nothing to cover, or a weight is generated.
    """
    weights = _chosen(circuit, chosen)
    if len(weights) == 0:
        raise OptionError.of(
            "PC920",
            f"External covers no weights: the circuit has none for weights={chosen!r}",
            help='choose others; weights="all" takes sums and leaves',
        )
    table = circuit.weights
    sizes = table.rows[weights] * table.columns[weights]
    return Coverage(weights, np.concatenate([[0], np.cumsum(sizes)]))


def _chosen(circuit: Circuit, chosen: Chosen) -> Int:
    owned = circuit.weight >= 0
    leaves = owned & (circuit.kind == Kind.INPUT)
    if isinstance(chosen, str):
        groups = {"all": owned, "sums": owned & ~leaves, "leaves": leaves}
        if chosen not in groups:
            raise OptionError.of(
                "PC920",
                f"weights is {chosen!r}",
                help='use "all", "sums" or "leaves", or a list of names: weights=["head"]',
            )
        return np.unique(circuit.weight[groups[chosen]])
    return np.unique([_number(circuit, weight) for weight in listed("weights", chosen)])


def _number(circuit: Circuit, weight: object) -> int:
    names = {name: number for number, name in circuit.weights.names.items()}
    number = names.get(weight, -1) if isinstance(weight, str) else weight
    if not isinstance(number, int) or not 0 <= number < len(circuit.weights):
        known = ", ".join(sorted(names)[:5]) or "none, so use numbers"
        raise OptionError.of(
            "PC920",
            f"the circuit has no weight {weight!r}",
            help=f"name its weights when building it; named ones are: {known}",
        )
    return number


def check_free(plan: Plan, circuit: Circuit, coverage: Coverage) -> None:
    """Refuse weights that sectors cover already, or that have values.

    Raises:
        OptionError: If there are any.
    """
    given = np.intersect1d(coverage.weights, np.array(list(circuit.weights.values), np.int64))
    if len(given):
        raise OptionError.of(
            "PC920",
            f"External covers weight {circuit.weights.label(int(given[0]))}, which has values",
            help="leave such weights out, or remove their values",
        )
    generated = [group.weights for group in plan.groups if group.generated]
    clash = np.intersect1d(coverage.weights, np.concatenate([np.zeros(0, np.int64), *generated]))
    if len(clash):
        raise OptionError.of(
            "PC920",
            f"External covers weight {circuit.weights.label(int(clash[0]))}, which the circuit's "
            f"own generator ({plan.generator.keyword}) makes",
            help='leave such weights out, for example weights="leaves", or drop the generator',
        )
