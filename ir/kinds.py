"""The closed set of operations that nodes compute, and how the units of products pair up.

A new kind of product is a member of `Kind` and an entry of `PRODUCTS`. Everything else reads its
table of units; a few places are faster for the kinds that they name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import IntEnum
from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Int
from pccompiler.ir.sizes import check_width, number, products, times


class Kind(IntEnum):
    """What a node computes from its operands, unit by unit."""

    INPUT = 0
    """A family of distributions over one variable, one distribution per unit."""
    PRODUCT = 1
    """Elementwise product of operands of equal width."""
    KRONECKER = 2
    """Every product of one unit of each operand; the last operand's unit varies fastest."""
    SUM = 3
    """Dense: each unit mixes all units of all operands; weights have shape (units, fan-in)."""
    MIXTURE = 4
    """Unit u mixes unit u of each operand; weights have shape (units, operands)."""

    @property
    def keyword(self) -> str:
        """The word in the text form."""
        return self.name.lower()


class ProductKind(ABC):
    """A kind of product: which unit of each operand a unit multiplies.

    Attributes:
        nests: Whether products of products are one product of all their operands, and a product of
            one operand is that operand.
        help: How to mend a product whose width does not fit its operands.
    """

    nests = False
    help = "give it as many units as its operands make"

    @abstractmethod
    def width(self, widths: Sequence[int]) -> int:
        """Units of a product of operands of these widths; 0 if they do not fit together."""

    @abstractmethod
    def places(self, widths: Sequence[int]) -> Int:
        """Shape ``(units, operands)``: the unit of each operand that each unit multiplies."""

    def widths(self, below: Int, starts: Int) -> Int:
        """`width` of many products: the i-th one's operands have widths from ``starts[i]`` on."""
        return np.array([self.width(run.tolist()) for run in np.split(below, starts[1:])], np.int64)

    def made(self, widths: Sequence[int]) -> str:
        """How many units operands of these widths make, in words."""
        return number(self.width(widths))

    def units(self, widths: Sequence[int], name: str, location: str | None) -> int:
        """`width` for the product ``name``.

        Raises:
            CircuitError: If it is larger than `MOST_UNITS`.
        """
        found = self.width(widths)
        check_width(found, widths, name, location)
        return found


class _Elementwise(ProductKind):
    nests = True

    def width(self, widths: Sequence[int]) -> int:
        return widths[0] if widths else 0

    def places(self, widths: Sequence[int]) -> Int:
        return np.repeat(np.arange(self.width(widths))[:, None], len(widths), axis=1)


class _Kronecker(ProductKind):
    nests = True
    help = "give it as many units as there are products of one unit of each operand"

    def width(self, widths: Sequence[int]) -> int:
        return prod(widths)

    def places(self, widths: Sequence[int]) -> Int:
        return np.indices(widths).reshape(len(widths), prod(widths)).T

    def widths(self, below: Int, starts: Int) -> Int:
        return products(below, starts)

    def made(self, widths: Sequence[int]) -> str:
        return f"{times(widths)} = {number(prod(widths))}"


_T = TypeVar("_T", bound=np.generic)
SUMS = (Kind.SUM, Kind.MIXTURE)
PRODUCTS: dict[int, ProductKind] = {Kind.PRODUCT: _Elementwise(), Kind.KRONECKER: _Kronecker()}


def is_product(kinds: Int) -> NDArray[np.bool_]:
    """Which of ``kinds`` are products."""
    return np.isin(kinds, list(PRODUCTS))


def factors(kind: int, operands: Sequence[NDArray[_T]], axis: int = 0) -> list[NDArray[_T]]:
    """The values that a product's units multiply, operand by operand, each with its units.

    Args:
        kind: Of the product.
        operands: Their values, with units along ``axis``.
        axis: Of units.
    """
    places = PRODUCTS[kind].places([operand.shape[axis] for operand in operands])
    return [np.take(o, place, axis) for o, place in zip(operands, places.T, strict=True)]
