"""Hypothesis strategies: random well-formed circuits, and circuits with one planted fault."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hypothesis import strategies as st

from pccompiler.ir import Circuit, Family, Variable
from pccompiler.testing.faults import Broken, make_broken
from pccompiler.testing.random_circuits import (
    DISCRETE,
    make_circuit,
    pick_variables,
    rows,
    unsmooth,
)

__all__ = [
    "DISCRETE",
    "Broken",
    "broken_circuits",
    "circuits",
    "rows",
    "unsmooth",
    "variables",
]


class _Drawn:
    """Choices made by hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def pick(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def permute(self, values: Sequence[int]) -> list[int]:
        return self.draw(st.permutations(values))


@st.composite
def variables(
    draw: st.DrawFn, max_variables: int = 5, families: Collection[Family] = DISCRETE
) -> list[Variable]:
    """One or more variables that fit at least one of the families."""
    return pick_variables(_Drawn(draw), max_variables, families)


@st.composite
def circuits(
    draw: st.DrawFn,
    max_variables: int = 5,
    *,
    families: Collection[Family] = DISCRETE,
    reals: bool = False,
    zeros: bool = True,
    values: bool = True,
) -> Circuit:
    """Smooth, decomposable circuits with all kinds of nodes.

    They have dense sums over operands of different widths, shared nodes and shared weights.

    Args:
        draw: Given by hypothesis.
        max_variables: The most variables.
        families: Leaf families that may occur.
        reals: Whether real variables with Gaussian leaves may also occur.
        zeros: Whether given weights may be 0 and 1.
        values: Whether weights are given.
    """
    wanted = (*families, Family.GAUSSIAN) if reals else tuple(families)
    return make_circuit(_Drawn(draw), max_variables, wanted, values, zeros)


@st.composite
def broken_circuits(draw: st.DrawFn) -> Broken:
    """Valid circuits with exactly one fault planted in them."""
    return make_broken(_Drawn(draw))
