"""Circuits written as formulas.

A scalar circuit:

    >>> from pccompiler.ir.expressions.variables import variables
    >>> rain, wet = variables("rain", "wet")
    >>> dry_day = (rain == 0) * wet.bernoulli(0.2)
    >>> wet_day = (rain == 1) * wet.bernoulli(0.9)
    >>> circuit = (0.7 * dry_day + 0.3 * wet_day).circuit()
    >>> print(circuit.statistics.nodes, "nodes")
    7 nodes

A region graph with weights to be trained; vectors are multiplied unit by unit:

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
from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
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
from pccompiler.ir.families.base import Family, find
from pccompiler.ir.kinds import Kind
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
    """A variable, from which leaves are made. ``rain == 1`` is the literal: 1 if ``rain`` is 1.

    Every leaf family has a method of its name, such as ``x.gaussian(mean, deviation)``, which makes
    an input: its arguments are the family's parameters, numbers or arrays with one row per unit.
    Without parameters the input has ``units`` units with parameters to be trained. Inputs that
    name the same ``weight`` share their parameters.
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
                f"{self} == {state!r} is not a valid literal: {self} is {self.variable}",
                "use one of the states 0, 1, ... of a discrete variable",
                "PC391",
            )
        if number not in self._literals:
            family, values = literal(self.variable, number)
            self._literals[number] = self._node(family, 1, values)
        return self._literals[number]

    __hash__ = object.__hash__

    def indicator(self) -> Node:
        """One unit per state: unit j is 1 where the variable has state j."""
        self._check(Family.INDICATOR)
        return self._node(Family.INDICATOR, self.variable.cardinality, None)

    def __getattr__(self, keyword: str) -> Callable[..., Node]:
        family = None if keyword.startswith("_") else find(keyword)
        if family is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {keyword!r}")

        def leaf(*given: ArrayLike | None, **options: Any) -> Node:  # see the signature
            bound = signature.bind(*given, **options)
            bound.apply_defaults()
            units, weight = bound.arguments.pop("units"), bound.arguments.pop("weight")
            values = _table(family, list(bound.arguments.values()))
            return self._input(family, values, units, weight)

        signature = leaf.__signature__ = _signature(family)  # type: ignore[attr-defined]
        leaf.__doc__ = f"{family.__doc__}\n\nParameters are numbers, or arrays with a row per unit."
        return leaf

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(family.keyword for family in Family)]

    def _input(
        self, family: Family, values: Float | None, units: int | None, weight: str | None
    ) -> Node:
        self._check(family)
        width = units if units is not None else 1 if values is None else len(values)
        check_units(width)
        wanted = (width, family.columns(self.variable))
        if values is not None and values.shape != wanted:
            fail(
                f"{self}.{family.keyword}: parameters of shape {shape(values)}, but {wanted[0]} x "
                f"{wanted[1]} are needed",
                "give one row per unit, and one column per parameter",
            )
        if weight is not None:
            check_name(weight, "weight")
        return self._node(family, width, values, weight)

    def _check(self, family: Family) -> None:
        misfit = family.misfit(self.variable)
        if misfit is not None:
            fail(f"{self}.{family.keyword}(): {self} is {self.variable}", misfit, "PC390")

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


def _signature(family: Family) -> Signature:
    """Its parameters (the first may be omitted, to train them all), units and weight."""
    each, named = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    first, *others = family.parameters
    return Signature(
        [
            Parameter(first.name, each, default=None),
            *(Parameter(p.name, each, default=p.support.default) for p in others),
            Parameter("units", named, default=None),
            Parameter("weight", named, default=None),
        ]
    )


def _table(family: Family, given: Sequence[ArrayLike | None]) -> Float | None:
    """Parameters side by side, shape (units, columns); ``None`` if the first is."""
    if given[0] is None:
        return None
    pairs = list(zip(family.parameters, given, strict=True))
    single = np.broadcast_arrays(*(np.asarray(v, np.float64) for p, v in pairs if not p.columns))
    columns = iter(single)
    parts = [
        np.atleast_2d(np.asarray(v, np.float64)) if p.columns else next(columns).reshape(-1, 1)
        for p, v in pairs
    ]
    units = max(map(len, parts))
    return np.concatenate([np.broadcast_to(p, (units, p.shape[1])) for p in parts], axis=1)
