"""Declare a circuit in Python, node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Int
from pccompiler.ir.build.bulk import BulkBuilder
from pccompiler.ir.build.declarations import check_name, check_units
from pccompiler.ir.families.base import Family, find
from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.locations import caller
from pccompiler.ir.variables import binary, real
from pccompiler.options import is_of

Float = NDArray[np.float64]


class LeafOptions(TypedDict, total=False):
    """Options of all leaves.

    Attributes:
        units: Width; by default the number of rows of the parameters, or 1.
        weight: Name of the parameters. Leaves that name the same share them.
        name: Name of the node.
    """

    units: int | None
    weight: str | None
    name: str | None


class Builder(BulkBuilder):
    """Records nodes, and the line of your program that declared each.

    Scalar methods add one node and return its id; bulk methods (`inputs`, `products`, `sums`,
    `mixtures`) add a whole array of nodes at once and return an array of ids. Every leaf family,
    also of your own, has a method of its keyword, which makes an input over a declared variable.

    Example:
        >>> from pccompiler.ir import Builder
        >>> b = Builder()
        >>> rain, wet = b.binary("rain"), b.binary("wet")
        >>> dry_day = b.product([b.bernoulli(rain, [0.1]), b.bernoulli(wet, [0.2])])
        >>> wet_day = b.product([b.bernoulli(rain, [0.9]), b.bernoulli(wet, [0.8])])
        >>> circuit = b.build(b.sum([dry_day, wet_day], weights=[[0.7, 0.3]], name="root"))
        >>> print(circuit.statistics.nodes)
        7
    """

    def binary(self, name: str) -> int:
        """Declare a variable with states 0 and 1; returns its index."""
        return self.variable(binary(name))

    def real(self, name: str) -> int:
        """Declare a variable on the real line; returns its index."""
        return self.variable(real(name))

    def indicator(self, variable: int, *, name: str | None = None) -> int:
        """An input whose unit j is 1 where the variable has state j."""
        return self._named(self.inputs([variable], Family.INDICATOR), name)

    def bernoulli(
        self, variable: int, probabilities: ArrayLike | None = None, **options: Unpack[LeafOptions]
    ) -> int:
        """An input of Bernoulli units; ``probabilities`` of state 1, shape ``(units,)``."""
        return self._leaf(Family.BERNOULLI, variable, probabilities, **options)

    def categorical(
        self, variable: int, probabilities: ArrayLike | None = None, **options: Unpack[LeafOptions]
    ) -> int:
        """An input of categorical units; ``probabilities`` of shape ``(units, cardinality)``."""
        return self._leaf(Family.CATEGORICAL, variable, probabilities, **options)

    def gaussian(
        self, variable: int, parameters: ArrayLike | None = None, **options: Unpack[LeafOptions]
    ) -> int:
        """An input of Gaussian units; ``parameters``, shape ``(units, 2)``: mean and deviation."""
        return self._leaf(Family.GAUSSIAN, variable, parameters, **options)

    def __getattr__(self, keyword: str) -> Callable[..., int]:
        """``builder.KEYWORD(variable, parameters, units=, weight=, name=)``, for any leaf family.

        ``parameters`` have shape ``(units, columns)``, or ``(units,)`` for one column.
        """
        family = None if keyword.startswith("_") else find(keyword)
        if family is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {keyword!r}")
        method = partial(self._leaf, family)
        names = " and ".join(p.name for p in family.parameters)
        method.__doc__ = f"{family.__doc__}\n\n``parameters``, one row per unit: {names}."
        return method

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(family.keyword for family in Family)]

    def product(self, operands: Sequence[int], *, name: str | None = None) -> int:
        """The elementwise product of operands of equal width."""
        return self._named(self._one(Kind.PRODUCT, operands), name)

    def kronecker(self, operands: Sequence[int], *, name: str | None = None) -> int:
        """All products of one unit of each operand; the last operand's unit varies fastest."""
        return self._named(self._one(Kind.KRONECKER, operands, name), name)

    def sum(
        self,
        operands: Sequence[int],
        units: int | None = None,
        *,
        weights: ArrayLike | None = None,
        weight: str | None = None,
        name: str | None = None,
    ) -> int:
        """A dense sum over all units of all operands.

        Args:
            operands: Node ids.
            units: Width of the sum; by default the number of rows of ``weights``, or 1.
            weights: Mixture weights, shape ``(units, fan-in)`` or ``(fan-in,)`` for one unit; each
                row sums to 1. If omitted, they are trained.
            weight: Name of the weight. Sums that name the same weight share it.
            name: Name of the node.
        """
        return self._sum(Kind.SUM, operands, units, weights, weight, name)

    def mixture(
        self,
        operands: Sequence[int],
        *,
        weights: ArrayLike | None = None,
        weight: str | None = None,
        name: str | None = None,
    ) -> int:
        """Unit u mixes unit u of each operand; ``weights`` has shape ``(units, operands)``."""
        widths = self._units[self._table([operands])[0]]
        units = int(widths[0]) if len(widths) else 1
        return self._sum(Kind.MIXTURE, operands, units, weights, weight, name)

    def _one(self, kind: Kind, operands: Sequence[int], name: str | None = None) -> Int:
        table = self._table([operands])
        widths = self._units[table[0]].tolist()
        units = PRODUCTS[kind].units(widths, f"{kind.keyword} %{name or self._size}", caller())
        return self._append(kind, np.array([units]), table, np.array([-1]))

    def _leaf(
        self,
        family: Family,
        variable: int,
        parameters: ArrayLike | None = None,
        units: int | None = None,
        weight: str | None = None,
        name: str | None = None,
    ) -> int:
        if is_of(variable, str):
            raise _not_declared(str(variable), family)
        given = None if parameters is None else np.asarray(parameters, np.float64)
        if given is not None and [p.columns for p in family.parameters] == [None]:
            given = given.reshape(-1, 1)
        elif given is not None and given.ndim < 2:
            given = given.reshape(1, -1)
        width = _width(units, given)
        columns = 0
        if 0 <= variable < len(self._variables):
            columns = family.columns(self._variables[variable])
        ids = self._weights.named(weight, width, columns, given, caller())
        return self._named(self.inputs([variable], family, width, weights=ids), name)

    def _sum(
        self,
        kind: Kind,
        operands: Sequence[int],
        units: int | None,
        weights: ArrayLike | None,
        weight: str | None,
        name: str | None,
    ) -> int:
        table = self._table([operands])
        given = None if weights is None else np.atleast_2d(np.asarray(weights, np.float64))
        width = _width(units, given)
        fan_in = table.shape[1] if kind == Kind.MIXTURE else int(self._units[table].sum())
        ids = self._weights.named(weight, width, fan_in, given, caller())
        return self._named(self._append(kind, np.array([width]), table, ids), name)

    def _named(self, ids: Int, name: str | None) -> int:
        node = int(ids[0])
        if name is not None:
            check_name(name, "node")
            if name in self._node_names:
                raise OptionError.of(
                    "PC303",
                    f"node name {name!r} is used twice",
                    location=caller(),
                    help="give each node its own name, or none",
                )
            self._names[node] = name
            self._node_names.add(name)
        return node


def _not_declared(name: str, family: Family) -> OptionError:
    """The error for a name where the index of a variable belongs."""
    return OptionError.of(
        "PC304",
        f"{family.keyword}({name!r}) makes a leaf, and needs the index of a variable",
        location=caller(),
        help=f"v = builder.variable(binary({name!r})), or categorical, real or count; "
        f"then builder.{family.keyword}(v)",
    )


def _width(units: int | None, given: Float | None) -> int:
    """Units of a node: as given, otherwise one for each row of its values, or 1."""
    width = units if units is not None else 1 if given is None else len(given)
    check_units(width)
    return width
