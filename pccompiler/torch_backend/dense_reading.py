"""Reads plans as regions for the dense kernels: see `pccompiler.torch_backend.dense_regions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.kinds import Family, Kind
from pccompiler.ir.plan import Layer, Plan
from pccompiler.torch_backend.dense_regions import (
    Given,
    Inputs,
    Level,
    Lists,
    NotDense,
    Regions,
    Shape,
)
from pccompiler.torch_backend.values import has_table

LEAST_UNITS = 4
"""Below, tiles of 16 units are mostly empty; from here up they pay (benchmarks/wide_step)."""
MOST_CHILDREN = 2**22
_TOO_MANY = "its products share so many factors that terms would not fit in memory"


class Role(Enum):
    """What a layer is to the kernels."""

    INDICATOR = auto()
    TABLE = auto()
    GIVEN = auto()
    PRODUCT = auto()
    REGION = auto()


def regions_of(plan: Plan) -> Regions:
    """Read ``plan`` as regions.

    Raises:
        NotDense: If it is of another kind.
    """
    return _Reader(plan).regions()


class _Reader:
    """One reading of a plan."""

    def __init__(self, plan: Plan) -> None:
        if plan.packed:
            raise NotDense("its sums are of single units")
        self.plan = plan
        self.roles = [_role(plan, number) for number in range(len(plan.layers))]
        self.starts = np.cumsum([0, *(layer.rows for layer in plan.layers)])
        tables = [use.layer for use in plan.uses if has_table(plan.layers[use.layer])]
        self.uses = {layer: number for number, layer in enumerate(tables)}
        self._check()

    def _check(self) -> None:
        last = self.plan.layers[-1]
        if self.roles[-1] != Role.REGION or last.rows != 1 or last.units != 1:
            raise NotDense("its root is no sum")
        sums = [e for e in self._layers(Role.REGION) if e.kind == Kind.SUM]
        widest = max((min(e.units, e.operands[0].units) for e in sums), default=0)
        if widest < LEAST_UNITS:
            raise NotDense(f"its widest sum has {widest} units, fewer than {LEAST_UNITS}")

    def regions(self) -> Regions:
        """All of it."""
        inputs, levels, given = self._inputs(), self._levels(), self._given()
        terms = self._terms()
        rows = [
            (e.shape.units, e.shape.arity, e.shape.width) for e in levels for _ in range(e.rows)
        ]
        firsts = [e.first + i for e in levels for i in range(e.rows)]
        total = len(firsts) + sum(e.rows for e in given)
        units, arity, width = np.zeros((3, total), np.int64)
        units[firsts], arity[firsts], width[firsts] = np.array(rows).T
        for each in given:
            units[each.first : each.first + each.rows] = each.units
        widths = np.repeat(width, arity)
        leaves = [each for each in inputs for _ in range(each.rows)]
        cells = np.array([each.units * each.states for each in leaves], np.int64)
        regions, tables = self._numbers(Role.REGION, Role.GIVEN), self._numbers(Role.TABLE)
        for row in {row for term in terms for row in term}:
            if row not in regions and row not in tables:
                raise NotDense("a product reads the states of a variable")
        return Regions(
            levels=levels,
            given=given,
            inputs=inputs,
            values=_before(units),
            terms=_before(arity),
            products=_before(widths),
            children=_picked(terms, regions),
            leaves=_picked(terms, tables),
            tables=_before(cells),
            states=np.array([each.states for each in leaves], np.int64),
            variables=self._variables(),
            sizes=(int(units.sum()), int(widths.sum()), int(cells.sum())),
        )

    def _layers(self, *roles: Role) -> list[Layer]:
        return [self.plan.layers[number] for number in self._places(*roles)]

    def _places(self, *roles: Role) -> list[int]:
        return [number for number, role in enumerate(self.roles) if role in roles]

    def _numbers(self, *roles: Role) -> dict[int, int]:
        """Row in the plan to its number among the rows of all layers of these roles."""
        places = self._places(*roles)
        rows = [row for n in places for row in range(self.starts[n], self.starts[n + 1])]
        return {row: number for number, row in enumerate(rows)}

    def _inputs(self) -> tuple[Inputs, ...]:
        found: list[Inputs] = []
        first = offset = 0
        for number in self._places(Role.TABLE):
            layer = self.plan.layers[number]
            binary = layer.family == Family.BERNOULLI
            states = 2 if binary else self.plan.groups[layer.group].columns
            use = self.uses[number]
            found.append(Inputs(use, first, layer.rows, layer.units, states, offset))
            first, offset = first + layer.rows, offset + layer.rows * layer.units * states
        return tuple(found)

    def _variables(self) -> Int:
        """The variable of each leaf row."""
        of_row = np.full(self.starts[-1], -1)
        for number, layer in enumerate(self.plan.layers):
            if layer.variables is not None:
                of_row[self.starts[number] : self.starts[number + 1]] = layer.variables
        rows = [np.zeros(0, np.int64)]
        for number in self._places(Role.TABLE):
            layer = self.plan.layers[number]
            if layer.kind == Kind.INPUT:
                rows.append(np.arange(self.starts[number], self.starts[number + 1]))
            else:
                rows.append(layer.operands[0].places(self.starts)[0])
        return of_row[np.concatenate(rows)]

    def _levels(self) -> tuple[Level, ...]:
        numbers = self._numbers(Role.REGION, Role.GIVEN)
        found: list[Level] = []
        for number in self._places(Role.REGION):
            layer = self.plan.layers[number]
            operands, mixture = layer.operands[0], layer.kind == Kind.MIXTURE
            shape = Shape(layer.units, operands.units, operands.arity, mixture)
            first = numbers[int(self.starts[number])]
            found.append(Level(self.uses[number], first, layer.rows, shape))
        return tuple(found)

    def _given(self) -> tuple[Given, ...]:
        numbers = self._numbers(Role.REGION, Role.GIVEN)
        return tuple(
            Given(number, numbers[int(self.starts[number])], layer.rows, layer.units)
            for number, layer in enumerate(self.plan.layers)
            if self.roles[number] == Role.GIVEN
        )

    def _factors(self) -> dict[int, list[int]]:
        """For each product's row in the plan, the rows that it multiplies; none is a product."""
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
                raise NotDense(_TOO_MANY)
        return found

    def _terms(self) -> list[list[int]]:
        """For each region's operands, one after the other, the rows that they multiply."""
        factors = self._factors()
        operands = [layer.operands[0] for layer in self._layers(Role.REGION)]
        rows = [row for each in operands for row in each.places(self.starts).T.ravel().tolist()]
        terms = [factors.get(row, [row]) for row in rows]
        if sum(map(len, terms)) > MOST_CHILDREN:
            raise NotDense(_TOO_MANY)
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
        raise NotDense(f"layer {number} is a {layer.kind.keyword} layer")
    if layer.ragged:
        raise NotDense(f"layer {number} is a sum of any fan-in over single units")
    if len(layer.operands) != 1:
        raise NotDense(f"layer {number} mixes operands of different widths")
    below = {plan.layers[b].family for b in layer.below}
    if Family.INDICATOR not in below:
        return Role.REGION
    if layer.kind != Kind.SUM or below != {Family.INDICATOR} or layer.operands[0].arity != 1:
        raise NotDense(f"layer {number} mixes states with other operands")
    return Role.TABLE


def _picked(terms: Sequence[Sequence[int]], numbers: Mapping[int, int]) -> Lists:
    return Lists.of([[numbers[row] for row in term if row in numbers] for term in terms])


def _before(sizes: Int) -> Int:
    """The sum of all entries before each."""
    return np.cumsum(sizes) - sizes
