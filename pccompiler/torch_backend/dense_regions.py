"""Plans of leaf tables, elementwise products and wide dense sums: what fused kernels need of them.

Every row of a dense sum becomes one *region*. It mixes `Shape.arity` *terms*, each a product of
leaf rows and of other regions' values; nested products are flattened, and a product that several
sums read is a term of each. A level of the plan is then one launch in each direction
(`pccompiler.torch_backend.dense_kernels`), and needs no product in memory but the terms, which the
backward pass reads again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.kinds import Family, Kind
from pccompiler.ir.plan import Layer, Operands, Plan
from pccompiler.torch_backend.values import has_table

LEAST_UNITS = 16
"""The tensor cores' smallest tile: below it, other engines are faster."""
MOST_CHILDREN = 2**22
_TOO_MANY = "its products share so many factors that terms would not fit in memory"
_LEAVES = (Family.CATEGORICAL, Family.BERNOULLI)


class NotDense(Exception):  # noqa: N818  # a verdict, not a failure
    """The plan is not of the kind that the dense kernels run.

    Attributes:
        reason: Why, as a clause: ``"layer 3 is a kronecker product"``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Shape:
    """The shape of a region: ``units`` sums over ``arity`` terms of ``width`` units each."""

    units: int
    width: int
    arity: int

    @property
    def fan_in(self) -> int:
        """Columns of the weights."""
        return self.width * self.arity


@dataclass(frozen=True)
class Level:
    """The regions ``first, first + 1, ...`` of one layer of sums; ``use`` counts `Plan.uses`."""

    use: int
    first: int
    rows: int
    shape: Shape


@dataclass(frozen=True)
class Inputs:
    """The leaf rows ``first, first + 1, ...`` of one input layer, and where their tables start."""

    use: int
    first: int
    rows: int
    units: int
    states: int
    offset: int


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists of numbers end to end: list i is ``items[starts[i]:starts[i + 1]]``."""

    starts: Int
    items: Int

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> Lists:
        """From Python lists."""
        sizes = np.fromiter((len(each) for each in lists), np.int64, len(lists))
        items = np.fromiter((i for each in lists for i in each), np.int64, int(sizes.sum()))
        return cls(np.concatenate([[0], np.cumsum(sizes)]), items)

    def transposed(self, number: int) -> Lists:
        """For each item below ``number``, the lists that it is in, ascending."""
        owner = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        order = np.argsort(self.items, kind="stable")
        sizes = np.bincount(self.items, minlength=number)
        return Lists(np.concatenate([[0], np.cumsum(sizes)]), owner[order])


@dataclass(frozen=True, eq=False, kw_only=True)
class Regions:
    """A plan as regions, terms and leaf rows, numbered in the order of the plan.

    Attributes:
        levels: Layers of sums, bottom-up; the root is the last region.
        inputs: Input layers.
        values: Shape ``(regions,)``: units before each region's, in a buffer of all values.
        terms: Shape ``(regions,)``: each region's first term.
        products: Shape ``(terms,)``: units before each term's, in a buffer of all terms.
        children: For each term, the regions that it multiplies.
        leaves: For each term, the leaf rows that it multiplies.
        tables: Shape ``(leaf rows,)``: numbers before each row's table, shape (states, units).
        states: Shape ``(leaf rows,)``: states of each.
        variables: Shape ``(leaf rows,)``: the variable of each.
        sizes: Numbers for each row of data in the buffers of values and of terms, and of tables.
    """

    levels: tuple[Level, ...]
    inputs: tuple[Inputs, ...]
    values: Int
    terms: Int
    products: Int
    children: Lists
    leaves: Lists
    tables: Int
    states: Int
    variables: Int
    sizes: tuple[int, int, int]


def regions_of(plan: Plan) -> Regions:
    """Read ``plan`` as regions.

    Raises:
        NotDense: If it is of another kind.
    """
    _check(plan)
    tables = [use.layer for use in plan.uses if has_table(plan.layers[use.layer])]
    uses = {layer: number for number, layer in enumerate(tables)}
    starts = np.cumsum([0, *(layer.rows for layer in plan.layers)])  # a number for every row
    inputs, levels, terms = _inputs(plan, uses), _levels(plan, uses), _terms(plan, starts)
    shapes = [level.shape for level in levels for _ in range(level.rows)]
    units, arity = np.array([s.units for s in shapes]), np.array([s.arity for s in shapes])
    widths = np.repeat([s.width for s in shapes], arity)
    leaves = [each for each in inputs for _ in range(each.rows)]
    cells = np.array([each.units * each.states for each in leaves])
    given = [plan.layers[number].variables for number in _layers(plan, Kind.INPUT)]
    return Regions(
        levels=levels,
        inputs=inputs,
        values=_before(units),
        terms=_before(arity),
        products=_before(widths),
        children=_picked(terms, _numbers(plan, starts, Kind.SUM)),
        leaves=_picked(terms, _numbers(plan, starts, Kind.INPUT)),
        tables=_before(cells),
        states=np.array([each.states for each in leaves]),
        variables=np.concatenate([rows for rows in given if rows is not None]),
        sizes=(int(units.sum()), int(widths.sum()), int(cells.sum())),
    )


def _check(plan: Plan) -> None:
    if plan.packed:
        raise NotDense("its sums are of single units")
    for number, layer in enumerate(plan.layers):
        _check_layer(number, layer)
    last = plan.layers[-1]
    if last.kind != Kind.SUM or last.rows != 1 or last.units != 1:
        raise NotDense("its root is no sum")
    sums = [layer for layer in plan.layers if layer.kind == Kind.SUM]
    widest = max(min(layer.units, layer.operands[0].units) for layer in sums)
    if widest < LEAST_UNITS:
        raise NotDense(f"its widest sum has {widest} units, fewer than {LEAST_UNITS}")


def _check_layer(number: int, layer: Layer) -> None:
    if layer.kind == Kind.INPUT:
        if layer.family not in _LEAVES:
            name = "?" if layer.family is None else layer.family.keyword
            raise NotDense(f"layer {number} holds {name} leaves, which are no tables of parameters")
    elif layer.kind not in (Kind.PRODUCT, Kind.SUM):
        raise NotDense(f"layer {number} is a {layer.kind.keyword} layer")
    elif layer.kind == Kind.SUM and layer.ragged:
        raise NotDense(f"layer {number} is a sum of any fan-in over single units")
    elif layer.kind == Kind.SUM and len(layer.operands) != 1:
        raise NotDense(f"layer {number} mixes operands of different widths")


def _layers(plan: Plan, kind: Kind) -> list[int]:
    return [number for number, layer in enumerate(plan.layers) if layer.kind == kind]


def _rows(operands: Operands, starts: Int) -> Int:
    """The operands' row numbers in the plan, shape (arity, rows)."""
    found = np.empty(operands.arity * operands.rows, np.int64)
    for source in operands.sources:
        found[source.positions] = starts[source.layer] + source.rows
    return found.reshape(operands.arity, operands.rows)


def _inputs(plan: Plan, uses: Mapping[int, int]) -> tuple[Inputs, ...]:
    found: list[Inputs] = []
    first = offset = 0
    for number in _layers(plan, Kind.INPUT):
        layer = plan.layers[number]
        states = 2 if layer.family == Family.BERNOULLI else plan.groups[layer.group].columns
        found.append(Inputs(uses[number], first, layer.rows, layer.units, states, offset))
        first, offset = first + layer.rows, offset + layer.rows * layer.units * states
    return tuple(found)


def _levels(plan: Plan, uses: Mapping[int, int]) -> tuple[Level, ...]:
    found: list[Level] = []
    first = 0
    for number in _layers(plan, Kind.SUM):
        layer = plan.layers[number]
        operands = layer.operands[0]
        shape = Shape(layer.units, operands.units, operands.arity)
        found.append(Level(uses[number], first, layer.rows, shape))
        first += layer.rows
    return tuple(found)


def _factors(plan: Plan, starts: Int) -> dict[int, list[int]]:
    """For each product's row in the plan, the rows that it multiplies; none is a product."""
    found: dict[int, list[int]] = {}
    total = 0
    for number in _layers(plan, Kind.PRODUCT):
        row = int(starts[number])
        for operands in plan.layers[number].operands:
            for factors in _rows(operands, starts).T.tolist():
                found[row] = [f for factor in factors for f in found.get(factor, [factor])]
                total += len(found[row])
                row += 1
        if total > MOST_CHILDREN:
            raise NotDense(_TOO_MANY)
    return found


def _terms(plan: Plan, starts: Int) -> list[list[int]]:
    """For each region's operands, one after the other, the rows that they multiply."""
    factors = _factors(plan, starts)
    operands = [plan.layers[n].operands[0] for n in _layers(plan, Kind.SUM)]
    rows = [row for each in operands for row in _rows(each, starts).T.ravel().tolist()]
    terms = [factors.get(row, [row]) for row in rows]
    if sum(map(len, terms)) > MOST_CHILDREN:
        raise NotDense(_TOO_MANY)
    return terms


def _numbers(plan: Plan, starts: Int, kind: Kind) -> dict[int, int]:
    """Row in the plan to its number among the rows of all layers of ``kind``."""
    rows = [row for n in _layers(plan, kind) for row in range(starts[n], starts[n + 1])]
    return {row: number for number, row in enumerate(rows)}


def _picked(terms: Sequence[Sequence[int]], numbers: Mapping[int, int]) -> Lists:
    return Lists.of([[numbers[row] for row in term if row in numbers] for term in terms])


def _before(sizes: Int) -> Int:
    """The sum of all entries before each."""
    return np.cumsum(sizes) - sizes
