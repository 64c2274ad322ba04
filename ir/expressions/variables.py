"""Circuits written as formulas.

A scalar circuit:

    >>> from pccompiler.ir.expressions.variables import variables
    >>> rain, wet = variables("rain", "wet")
    >>> dry_day = (rain == 0) * wet.bernoulli(0.2)
    >>> wet_day = (rain == 1) * wet.bernoulli(0.9)
    >>> circuit = (0.7 * dry_day + 0.3 * wet_day).circuit()
    >>> print(circuit.statistics.nodes, "nodes")
    7 nodes

A region graph, whose weights training finds; vectors are multiplied unit by unit:

    >>> a, b, c, d = (x.categorical(units=4) for x in variables("a", "b", "c", "d"))
    >>> ab, cd = (a * b).sum(4), (c * d).sum(4)
    >>> ac, bd = (a * c).sum(4), (b * d).sum(4)
    >>> print((ab * cd + ac * bd).sum().circuit().statistics.depth)
    4

Layers, with given weights:

    >>> import numpy as np
    >>> heat, wind = variables(real("heat"), real("wind"))
    >>> grid = kron(heat.gaussian([-5.0, 20.0], 4.0), wind.laplace([0.0, 3.0, 9.0], 1.0))
    >>> climate = np.full((2, 6), 1 / 6) @ grid
    >>> print(climate.named("climate").sum().circuit().statistics.kinds)
    {'input': 2, 'product': 0, 'kronecker': 1, 'sum': 2, 'mixture': 0}
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pccompiler.ir.arrays import Float
from pccompiler.ir.build.declarations import check_name, check_units
from pccompiler.ir.build.node_list import literal
from pccompiler.ir.expressions.checks import shape
from pccompiler.ir.expressions.formula import Declared
from pccompiler.ir.expressions.messages import fail, whole
from pccompiler.ir.expressions.nodes import Node, Weighted, as_node, dense, kron, mix, product
from pccompiler.ir.families.registry import LEAVES, columns, fits
from pccompiler.ir.kinds import Family, Kind
from pccompiler.ir.locations import caller
from pccompiler.ir.variables import Variable, binary, categorical, count, real

__all__ = [
    "Node",
    "RandomVariable",
    "Weighted",
    "as_node",
    "binary",
    "categorical",
    "count",
    "dense",
    "kron",
    "mix",
    "product",
    "real",
    "variables",
]

_serial = itertools.count()


def variables(*declared: str | Variable) -> tuple[RandomVariable, ...]:
    """Random variables: binary ones by name, others as ``categorical("wind", 3)`` and the like."""
    return tuple(RandomVariable(binary(v) if isinstance(v, str) else v) for v in declared)


class RandomVariable(Declared):
    """What leaves are over. ``rain == 1`` is the literal, 1 where ``rain`` has state 1.

    The other methods make inputs of the family of that name, one unit for each row of parameters;
    without parameters, of ``units`` units, and training finds them.
    """

    def __init__(self, variable: Variable) -> None:
        check_name(variable.name, "variable")
        super().__init__(variable, next(_serial))
        self._literals: dict[int, Node] = {}

    def __eq__(self, state: object) -> Any:  # a node; bool between variables
        if isinstance(state, RandomVariable):
            return self is state
        number = whole(state)
        if number is None or not 0 <= number < self.variable.cardinality:
            fail(
                f"{self} == {state!r} is no literal: {self} is {self.variable}",
                "use one of the states 0, 1, ... of a discrete variable",
                "PC391",
            )
        if number not in self._literals:
            family, values = literal(self.variable, number)
            self._literals[number] = self._node(family, 1, values)
        return self._literals[number]

    __hash__ = object.__hash__

    def indicator(self) -> Node:
        """One unit a state: unit j is 1 where the variable has state j."""
        self._check(Family.INDICATOR)
        return self._node(Family.INDICATOR, self.variable.cardinality, None)

    def bernoulli(
        self, p: ArrayLike | None = None, *, units: int | None = None, weight: str | None = None
    ) -> Node:
        """Probabilities of state 1, a number or shape ``(units,)``."""
        return self._input(Family.BERNOULLI, _column(p), units, weight)

    def categorical(
        self,
        probabilities: ArrayLike | None = None,
        *,
        units: int | None = None,
        weight: str | None = None,
    ) -> Node:
        """Probabilities of the states, shape ``(states,)`` or ``(units, states)``."""
        return self._input(Family.CATEGORICAL, _rows(probabilities), units, weight)

    def gaussian(
        self,
        mean: ArrayLike | None = None,
        deviation: ArrayLike = 1.0,
        *,
        units: int | None = None,
        weight: str | None = None,
    ) -> Node:
        """Means and standard deviations, numbers or shape ``(units,)``."""
        return self._input(Family.GAUSSIAN, _pairs(mean, deviation), units, weight)

    def laplace(
        self,
        location: ArrayLike | None = None,
        scale: ArrayLike = 1.0,
        *,
        units: int | None = None,
        weight: str | None = None,
    ) -> Node:
        """Locations and scales, numbers or shape ``(units,)``."""
        return self._input(Family.LAPLACE, _pairs(location, scale), units, weight)

    def binomial(
        self, p: ArrayLike | None = None, *, units: int | None = None, weight: str | None = None
    ) -> Node:
        """Probabilities of success, a number or shape ``(units,)``; the last state is of all."""
        return self._input(Family.BINOMIAL, _column(p), units, weight)

    def poisson(
        self, rate: ArrayLike | None = None, *, units: int | None = None, weight: str | None = None
    ) -> Node:
        """Rates, a number or shape ``(units,)``."""
        return self._input(Family.POISSON, _column(rate), units, weight)

    def histogram(
        self,
        probabilities: ArrayLike | None = None,
        *,
        units: int | None = None,
        weight: str | None = None,
    ) -> Node:
        """Probabilities of the bins, shape ``(bins,)`` or ``(units, bins)``."""
        return self._input(Family.HISTOGRAM, _rows(probabilities), units, weight)

    def _input(
        self, family: Family, values: Float | None, units: int | None, weight: str | None
    ) -> Node:
        self._check(family)
        width = units if units is not None else 1 if values is None else len(values)
        check_units(width)
        wanted = (width, columns(family, self.variable))
        if values is not None and values.shape != wanted:
            fail(
                f"{self}.{family.keyword}: parameters of shape {shape(values)}, but {wanted[0]} x "
                f"{wanted[1]} are needed",
                "give one row a unit, and one column a parameter",
            )
        if weight is not None:
            check_name(weight, "weight")
        return self._node(family, width, values, weight)

    def _check(self, family: Family) -> None:
        if not fits(family, self.variable):
            fail(
                f"{self}.{family.keyword}(): {self} is {self.variable}",
                LEAVES[family].domain,
                "PC390",
            )

    def _node(
        self, family: Family, units: int, values: Float | None, weight: str | None = None
    ) -> Node:
        return Node(
            kind=Kind.INPUT,
            units=units,
            variable=self,
            family=family,
            values=values,
            weight=weight,
            location=caller(),
        )

    def _no_number(self, other: object) -> Node:
        fail(
            f"{self} is a variable, not an expression",
            f"write ({self} == 1), with parentheses, or a leaf such as {self}.bernoulli(0.3)",
        )

    __mul__ = __rmul__ = __add__ = __radd__ = __rmatmul__ = _no_number
    __array_ufunc__ = None

    def __repr__(self) -> str:
        return f"RandomVariable({self.variable})"


def _column(values: ArrayLike | None) -> Float | None:
    return None if values is None else np.asarray(values, np.float64).reshape(-1, 1)


def _rows(values: ArrayLike | None) -> Float | None:
    return None if values is None else np.atleast_2d(np.asarray(values, np.float64))


def _pairs(first: ArrayLike | None, second: ArrayLike) -> Float | None:
    if first is None:
        return None
    a, b = np.broadcast_arrays(np.asarray(first, np.float64), np.asarray(second, np.float64))
    return np.stack([a.ravel(), b.ravel()], axis=1)
