"""Reads plans as regions (see the module `regions`) for the dense kernels."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

import numpy as np

from pccompiler.ir.arrays import Int, segments
from pccompiler.ir.families import Family
from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.layers import Layer
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import NoMatch
from pccompiler.torch_backend.engines.dense.regions import (
    Given,
    Inputs,
    Level,
    Lists,
    Regions,
    Shape,
)
from pccompiler.torch_backend.engines.tables_by_group import places, table_rows
from pccompiler.torch_backend.values import has_table

LEAST_UNITS = 4
"""With fewer units, tiles of 16 units are mostly empty; from here on they pay off."""
MOST_CHILDREN = 2**22
_TOO_MANY = "its products share so many factors that terms would not fit in memory"


class Role(Enum):
    """The role of a layer in the kernels."""

    INDICATOR = auto()
    TABLE = auto()
    GIVEN = auto()
    PRODUCT = auto()
    REGION = auto()


def regions_of(plan: Plan) -> Regions:
    """Read ``plan`` as regions.

    Raises:
        NoMatch: If the plan is not supported.
    """
    return _Reader(plan).regions()


class _Reader:
    """Reads one plan."""

    def __init__(self, plan: Plan) -> None:
        if plan.packed:
            raise NoMatch("its sums have one unit each")
        self.plan = plan
        self.roles = [_role(plan, number) for number in range(len(plan.layers))]
        self.starts = np.cumsum([0, *(layer.rows for layer in plan.layers)])
        self.groups = [number for number, group in enumerate(plan.groups) if group.tabular]
        self.weights = {layer: own for (layer, _), own in places(plan).items()}
        self.order = {
            n: np.argsort(self.weights[n], kind="stable") for n in self._places(Role.REGION)
        }
        self.regions_at = self._numbers(Role.REGION, Role.GIVEN)
        for number, order in self.order.items():  # by place, so that tables are read in order
            here = self.starts[number]
            self.regions_at[here + order] = self.regions_at[here] + np.arange(len(order))
        self.tables_at = self._numbers(Role.TABLE)
        self._check()

    def _check(self) -> None:
        last = self.plan.layers[-1]
        if self.roles[-1] != Role.REGION or last.rows != 1 or last.units != 1:
            raise NoMatch("its root is not a sum")
        sums = [e for e in self._layers(Role.REGION) if e.kind == Kind.SUM]
        widest = max((min(e.units, e.operands[0].units) for e in sums), default=0)
        if widest < LEAST_UNITS:
            raise NoMatch(f"its widest sum has {widest} units, fewer than {LEAST_UNITS}")

    def regions(self) -> Regions:
        """Everything that the kernels need."""
        inputs, levels, given = self._inputs(), self._levels(), self._given()
        units, arity, width = np.zeros((3, self.regions_at.max() + 1), np.int64)
        for level in levels:
            span, shape = slice(level.first, level.first + level.rows), level.shape
            units[span], arity[span], width[span] = shape.units, shape.arity, shape.width
        for each in given:
            units[each.first : each.first + each.rows] = each.units
        widths = np.repeat(width, arity)
        leaves = [each for each in inputs for _ in range(each.rows)]
        terms = self._terms()
        logs, cells = self._logs(inputs)
        places = [self.weights[number] for number in self._places(Role.TABLE)]
        rows = np.full(self.regions_at.max() + 1, -1)
        for number in self._places(Role.REGION):
            first = self._first(number)
            order = self.order[number]
            rows[first : first + len(order)] = self.weights[number][order]
        return Regions(
            groups=tuple(self.groups),
            heights=tuple(table_rows(self.plan, group) for group in self.groups),
            levels=levels,
            given=given,
            inputs=inputs,
            values=segments(units)[:-1],
            terms=segments(arity)[:-1],
            weights=rows,
            products=segments(widths)[:-1],
            children=_picked(terms, self.regions_at),
            leaves=_picked(terms, self.tables_at),
            places=np.concatenate(places) if places else np.zeros(0, np.int64),
            logs=logs,
            states=np.array([each.states for each in leaves], np.int64),
            variables=self._variables(),
            sizes=(int(units.sum()), int(widths.sum()), cells),
        )

    def _layers(self, *roles: Role) -> list[Layer]:
        return [self.plan.layers[number] for number in self._places(*roles)]

    def _places(self, *roles: Role) -> list[int]:
        return [number for number, role in enumerate(self.roles) if role in roles]

    def _numbers(self, *roles: Role) -> Int:
        """For each row of the plan, its number among the rows of layers with these roles, or -1."""
        rows = [layer.rows for layer in self.plan.layers]
        inside = np.repeat([role in roles for role in self.roles], rows)
        return np.where(inside, np.cumsum(inside) - 1, -1)

    def _inputs(self) -> tuple[Inputs, ...]:
        found: list[Inputs] = []
        first = 0
        for number in self._places(Role.TABLE):
            layer = self.plan.layers[number]
            states = self.plan.groups[layer.group].columns
            if layer.variables is not None:
                states = self.plan.variables[layer.variables[0]].cardinality
            table = self.groups.index(layer.group)
            found.append(Inputs(table, first, layer.rows, layer.units, states))
            first += layer.rows
        return tuple(found)

    def _logs(self, inputs: tuple[Inputs, ...]) -> tuple[dict[int, int], int]:
        """Offsets of the logarithms of tables, and their total size."""
        offsets: dict[int, int] = {}
        total = 0
        for each in inputs:
            if each.table not in offsets:
                offsets[each.table] = total
                rows = table_rows(self.plan, self.groups[each.table])
                total += rows * each.units * each.states
        return offsets, total

    def _variables(self) -> Int:
        """The variable of each leaf row."""
        found = np.full(self.starts[-1], -1)
        for number, layer in enumerate(self.plan.layers):
            span = slice(self.starts[number], self.starts[number + 1])
            if layer.variables is not None:
                found[span] = layer.variables
            elif self.roles[number] == Role.TABLE:
                found[span] = found[layer.operands[0].places(self.starts)[0]]
        return found[self.tables_at >= 0]

    def _levels(self) -> tuple[Level, ...]:
        found: list[Level] = []
        for number in self._places(Role.REGION):
            layer = self.plan.layers[number]
            operands, mixture = layer.operands[0], layer.kind == Kind.MIXTURE
            shape = Shape(layer.units, operands.units, operands.arity, mixture)
            table = self.groups.index(layer.group)
            found.append(Level(table, self._first(number), layer.rows, shape))
        return tuple(found)

    def _given(self) -> tuple[Given, ...]:
        layers = [(number, self.plan.layers[number]) for number in self._places(Role.GIVEN)]
        return tuple(Given(n, self._first(n), layer.rows, layer.units) for n, layer in layers)

    def _first(self, number: int) -> int:
        """The first region of a layer."""
        here = slice(self.starts[number], self.starts[number + 1])
        return int(self.regions_at[here].min())

    def _factors(self) -> dict[int, list[int]]:
        """For each product's row in the plan, the rows that it multiplies; nested ones flat."""
        found: dict[int, list[int]] = {}
        total = 0
        for number in self._places(Role.PRODUCT):
            row = int(self.starts[number])
            for operands in self.plan.layers[number].operands:
                for factors in operands.places(self.starts).T.tolist():
                    found[row] = [f for factor in factors for f in found.get(factor, [factor])]
                    total += len(found[row])
                    row += 1
            if total > MOST_CHILDREN:
                raise NoMatch(_TOO_MANY)
        return found

    def _terms(self) -> list[list[int]]:
        """For each region's operands, one after the other, the rows that they multiply."""
        factors = self._factors()
        rows: list[int] = []
        for number in self._places(Role.REGION):
            operands = self.plan.layers[number].operands[0].places(self.starts).T
            rows += operands[self.order[number]].ravel().tolist()
        terms = [factors.get(row, [row]) for row in rows]
        if sum(map(len, terms)) > MOST_CHILDREN:
            raise NoMatch(_TOO_MANY)
        read = np.array([row for term in terms for row in term])
        if (np.maximum(self.regions_at, self.tables_at)[read] < 0).any():
            raise NoMatch("a product reads the states of a variable")
        return terms


def _role(plan: Plan, number: int) -> Role:
    layer = plan.layers[number]
    if layer.kind == Kind.INPUT:
        if layer.family == Family.INDICATOR:
            return Role.INDICATOR
        return Role.TABLE if has_table(layer) else Role.GIVEN
    if layer.kind == Kind.PRODUCT:
        return Role.PRODUCT
    if layer.kind not in (Kind.SUM, Kind.MIXTURE):
        raise NoMatch(f"layer {number} is a {layer.kind.keyword} layer")
    if layer.ragged:
        raise NoMatch(f"layer {number} is a ragged sum over single units")
    if len(layer.operands) != 1:
        raise NoMatch(f"layer {number} mixes operands of different widths")
    below = {plan.layers[b].family for b in layer.below}
    if Family.INDICATOR not in below:
        return Role.REGION
    if layer.kind != Kind.SUM or below != {Family.INDICATOR} or layer.operands[0].arity != 1:
        raise NoMatch(f"layer {number} mixes states with other operands")
    return Role.TABLE


def _picked(terms: Sequence[Sequence[int]], numbers: Int) -> Lists:
    """For each term, the numbers of its rows, leaving out rows without a number."""
    at: list[int] = numbers.tolist()
    return Lists.of([[at[row] for row in term if at[row] >= 0] for term in terms])
