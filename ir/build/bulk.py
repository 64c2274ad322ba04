"""Declare nodes of a circuit in Python, an array of them at a time."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import numpy as np
from numpy.typing import ArrayLike

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Int, segments
from pccompiler.ir.build.declarations import EMPTY, Weights, check_name, check_units
from pccompiler.ir.build.node_list import literal
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.families.base import Family
from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.locations import caller
from pccompiler.ir.sizes import MOST_UNITS, row_products
from pccompiler.ir.variables import Variable, binary, categorical

_COLUMNS = ("kind", "fan_in", "operands", "family", "variable", "weight", "location")


class BulkBuilder:
    """The bulk methods of a `pccompiler.ir.Builder`: they return an array of node ids."""

    def __init__(self, variables: Iterable[Variable] = ()) -> None:
        self._variables: list[Variable] = []
        self._variable_names: set[str] = set()
        self._columns: dict[str, list[Int]] = {name: [] for name in _COLUMNS}
        self._units = np.zeros(1024, np.int64)
        self._weight = np.zeros(1024, np.int64)
        self._size = 0
        self._names: dict[int, str] = {}
        self._node_names: set[str] = set()
        self._weights = Weights()
        self._locations: dict[str, int] = {}
        for variable in variables:
            self.variable(variable)

    def variable(self, variable: Variable) -> int:
        """Declare a variable: the next column of the data. Returns its index."""
        check_name(variable.name, "variable")
        if variable.name in self._variable_names:
            raise OptionError.of(
                "PC303",
                f"variable {variable.name!r} is declared twice",
                location=caller(),
                help="give each variable its own name",
            )
        self._variables.append(variable)
        self._variable_names.add(variable.name)
        return len(self._variables) - 1

    def inputs(
        self, variables: ArrayLike, family: Family, units: int = 1, *, weights: Int | None = None
    ) -> Int:
        """Add an input for each entry of ``variables``; ``units`` is ignored by indicators."""
        check_units(units)
        variable = np.atleast_1d(np.asarray(variables, np.int64))
        bad = (variable < 0) | (variable >= len(self._variables))
        if bad.any():
            raise OptionError.of(
                "PC304",
                f"input over variable number {int(variable[bad][0])}, "
                f"but {len(self._variables)} variables are declared",
                location=caller(),
                help="declare the variable first, and pass the index that it returned",
            )
        states = np.array([v.cardinality for v in self._variables], np.int64)[variable]
        widths = (
            np.maximum(states, 1) if family == Family.INDICATOR else np.full_like(states, units)
        )
        distinct, inverse = np.unique(variable, return_inverse=True)
        columns = np.array([family.columns(self._variables[v]) for v in distinct.tolist()])
        columns = columns.astype(np.int64)[inverse]
        weight = np.full(len(variable), -1)
        if family != Family.INDICATOR:
            weight = self._weights.add(widths, columns) if weights is None else weights
        return self._append(
            Kind.INPUT, widths, np.zeros((len(variable), 0), np.int64), weight, family, variable
        )

    def products(self, operands: ArrayLike, *, kronecker: bool = False) -> Int:
        """Add a product for each row of ``operands``, shape ``(nodes, arity)``."""
        table = self._table(operands)
        units = self._units[table]
        kind = Kind.KRONECKER if kronecker else Kind.PRODUCT
        width = row_products(units) if kronecker else units[:, 0]
        for row in np.flatnonzero(width > MOST_UNITS)[:1].tolist():
            label = f"{kind.keyword} %{self._size + row}"
            PRODUCTS[kind].units(units[row].tolist(), label, caller())
        return self._append(kind, width, table, np.full(len(table), -1))

    def sums(self, operands: ArrayLike, units: int, *, weights: Int | None = None) -> Int:
        """Add a dense sum of ``units`` units for each row of ``operands``, ``(nodes, arity)``.

        ``weights`` are weight ids to share, as returned by `weight_of`.
        """
        check_units(units)
        table = self._table(operands)
        width = np.full(len(table), units)
        fan_in = self._units[table].sum(axis=1)
        weight = self._weights.add(width, fan_in) if weights is None else weights
        return self._append(Kind.SUM, width, table, weight)

    def mixtures(self, operands: ArrayLike, *, weights: Int | None = None) -> Int:
        """Add a unit-wise mixture for each row of ``operands``, shape ``(nodes, arity)``."""
        table = self._table(operands)
        width = self._units[table[:, 0]]
        fan_in = np.full(len(table), table.shape[1])
        weight = self._weights.add(width, fan_in) if weights is None else weights
        return self._append(Kind.MIXTURE, width, table, weight)

    def weight_of(self, nodes: ArrayLike) -> Int:
        """The weight ids of ``nodes``, to share them with other nodes."""
        return self._weight[np.asarray(nodes, np.int64)]

    def units_of(self, nodes: ArrayLike) -> Int:
        """The widths of ``nodes``."""
        return self._units[np.asarray(nodes, np.int64)]

    def build(self, root: int | ArrayLike, *, classes: str | None = None) -> Circuit:
        """The circuit whose value is ``root``. You can add nodes afterwards and build again.

        With ``classes``, the circuit is p(class) p(rest | class): one circuit for all classes,
        which share the nodes below their heads.

        Args:
            root: A node of one unit. With ``classes``, a node with a unit for each class, or a list
                of nodes of one unit, the heads: the distributions of the rest given each class.
            classes: Name of a class variable, which becomes the last one; p(class) is trained.

        Raises:
            OptionError: If there are several nodes but no ``classes``, or the heads do not fit.
        """
        heads = self._table(np.atleast_1d(np.asarray(root, np.int64)))[:, 0]
        if classes is not None:
            return deepcopy(self)._build_classes(heads, classes)
        if len(heads) != 1:
            raise OptionError.of(
                "PC855",
                f"a circuit has one root, but {len(heads)} nodes were given",
                location=caller(),
                help="if they are the heads of classes, build([a, b], classes='label'); otherwise "
                "build one circuit for each, or mix them with a sum",
            )
        return self._circuit(int(heads[0]))

    def _build_classes(self, heads: Int, name: str) -> Circuit:
        """Add a class variable, and a sum over its states of the head of each."""
        widths = self._units[heads]
        number = int(widths.sum())
        if number < 2 or (len(heads) > 1 and bool((widths != 1).any())):
            shape = f"nodes of width {', '.join(map(str, widths.tolist()))}"
            raise OptionError.of(
                "PC855",
                f"{shape if len(heads) else 'no nodes'} cannot be the heads of classes",
                location=caller(),
                help="give one node with a unit for each class, or two or more nodes of one unit",
            )
        label = self.variable(binary(name) if number == 2 else categorical(name, number))
        if len(heads) == 1:
            states = self.inputs([label], Family.INDICATOR)
        else:
            states = np.concatenate([self._literal(label, state) for state in range(number)])
        parts = self.products(np.stack([heads, states], axis=1))
        return self._circuit(int(self.sums(parts[None], 1)[0]))

    def _literal(self, variable: int, state: int) -> Int:
        """An input that is 1 where the variable has this state."""
        family, values = literal(self._variables[variable], state)
        weight = self._weights.named(None, 1, values.shape[1], values, caller())
        return self.inputs([variable], family, weights=weight)

    def _circuit(self, root: int) -> Circuit:
        columns = {name: np.concatenate([EMPTY, *parts]) for name, parts in self._columns.items()}
        return Circuit(
            variables=tuple(self._variables),
            root=root,
            units=self._units[: self._size].copy(),
            pointer=segments(columns["fan_in"]),
            weights=self._weights.table(),
            names=dict(self._names),
            locations=tuple(self._locations),
            kind=columns["kind"],
            operands=columns["operands"],
            family=columns["family"],
            variable=columns["variable"],
            weight=columns["weight"],
            location=columns["location"],
        )

    def _table(self, operands: ArrayLike) -> Int:
        table = np.asarray(operands, np.int64)
        if table.ndim == 1:
            table = table.reshape(-1, 1)
        if ((table < 0) | (table >= self._size)).any():
            bad = int(table[(table < 0) | (table >= self._size)][0])
            raise OptionError.of(
                "PC304",
                f"operand {bad} is not a node of this builder, which has {self._size} nodes",
                location=caller(),
                help="pass ids that this builder's methods returned",
            )
        return table

    def _append(
        self,
        kind: Kind,
        units: Int,
        operands: Int,
        weight: Int,
        family: int = -1,
        variable: Int | None = None,
    ) -> Int:
        number = len(operands)
        location = self._locations.setdefault(caller(), len(self._locations))
        for name, column in {
            "kind": np.full(number, kind),
            "fan_in": np.full(number, operands.shape[1]),
            "operands": operands.ravel(),
            "family": np.full(number, family),
            "variable": np.full(number, -1) if variable is None else variable,
            "weight": weight,
            "location": np.full(number, location),
        }.items():
            self._columns[name].append(np.asarray(column, np.int64))
        if self._size + number > len(self._units):
            room = max(2 * len(self._units), self._size + number)
            self._units, self._weight = np.resize(self._units, room), np.resize(self._weight, room)
        self._units[self._size : self._size + number] = units
        self._weight[self._size : self._size + number] = weight
        self._size += number
        return np.arange(self._size - number, self._size)
