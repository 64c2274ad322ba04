"""The layout of trainable parameters, and how sectors form weight groups, for all backends."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.ir.arrays import Int, ranges, segments
from pccompiler.ir.coverage import entries
from pccompiler.ir.generators import Sectors, uses_sectors
from pccompiler.ir.generators.base import Head, Shapes, unusable
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.sizes import CODE, MOST_ENTRIES, number


@dataclass(frozen=True, eq=False)
class Layout:
    """Parameters and how they are assembled into weights.

    Attributes:
        shapes: Name to shape of every trainable parameter, in order.
        heads: The distinct sector shapes.
        codes: Rows of the generator's table.
        shared: Parameters of the generator that all sectors share.
        assembly: Group number to positions of its entries in the concatenated, flattened heads,
            shape ``(weights * rows * columns,)``; or a (start, stop) range if they are contiguous.
    """

    shapes: Shapes
    heads: tuple[Head, ...]
    codes: int
    shared: tuple[str, ...]
    assembly: dict[int, Int | tuple[int, int]]

    @property
    def num_parameters(self) -> int:
        """Number of allocated trainable numbers."""
        return sum(prod(shape) for shape in self.shapes.values())


def lay_out(plan: Plan) -> Layout:
    """The parameters of ``plan``, and how its weight groups are assembled from them.

    Raises:
        CircuitError: If there are too many, or if two would have the same name.
    """
    generator = plan.generator
    sectors = plan.sectors if plan.sectors and uses_sectors(generator) else None
    heads = _heads(sectors) if sectors else ()
    codes = generator.codes(len(sectors), plan.leaf_sectors) if sectors else 0
    generated = generator.shapes(heads, codes) if heads else {}
    names = [parameter_name(plan, number) for number in range(len(plan.groups))]
    for name in generated.keys() & names:
        raise unusable(generator, name, "weights of the plan have that name")
    shapes = generated | {
        names[number]: (len(group.weights), group.rows, group.columns)
        for number, group in enumerate(plan.groups)
        if not group.generated
    }
    total = sum(prod(shape) for shape in shapes.values())
    if total > MOST_ENTRIES:
        raise CircuitError.of(
            CODE,
            f"the model needs {number(total)} parameters; the most is {MOST_ENTRIES:,}",
            help="give the hypernetwork narrower layers and embeddings, or the sums fewer units",
        )
    shared = tuple(name for name in generated if name != generator.table)
    return Layout(shapes, heads, codes, shared, _assembly(plan, heads))


def _heads(sectors: Sectors) -> tuple[Head, ...]:
    shapes = np.stack([sectors.rows, sectors.columns], axis=1)
    distinct, inverse = np.unique(shapes, axis=0, return_inverse=True)
    largest = int(sectors.rows.max()), int(sectors.columns.max())
    return tuple(
        Head(rows, columns, np.flatnonzero(inverse.ravel() == number), largest)
        for number, (rows, columns) in enumerate(distinct.tolist())
    )


def parameter_name(plan: Plan, group: int) -> str:
    """The parameter that holds a group without sectors."""
    entry = plan.groups[group]
    return f"logits_{entry.name}" if entry.is_sum else f"leaf_{entry.name}"


def _assembly(plan: Plan, heads: tuple[Head, ...]) -> dict[int, Int | tuple[int, int]]:
    sectors = plan.sectors
    if not heads or sectors is None:
        return {}
    sizes = sectors.rows * sectors.columns
    order = np.concatenate([head.sectors for head in heads])
    start = np.zeros(len(sectors), np.int64)
    start[order] = segments(sizes[order])[:-1]
    return {
        place: _compact(positions(group, sectors, start))
        for place, group in enumerate(plan.groups)
        if group.generated
    }


def positions(group: WeightGroup, sectors: Sectors, start: Int) -> Int:
    """For every entry of the group's weights, row-major, its position in the flattened heads."""
    mine, taken = entries_of(group, sectors)
    positions = ranges(start[mine], (sectors.rows * sectors.columns)[mine])
    if len(positions) != len(group.weights) * group.rows * group.columns:
        raise AssertionError("sectors do not cover the weights")  # pragma: no cover
    if taken is None:
        return positions
    ordered = np.empty_like(positions)
    ordered[taken] = positions
    return ordered


def entries_of(group: WeightGroup, sectors: Sectors) -> tuple[Int, Int | None]:
    """The sectors of a group's weights, and the entries of the stacked weights that they cover.

    Entries are listed sector by sector; ``None`` means all entries, in order.
    """
    mine = np.flatnonzero(np.isin(sectors.weight, group.weights))  # sorted by weight, then offset
    if ((sectors.rows[mine] == 1) | (sectors.columns[mine] == group.columns)).all():
        return mine, None
    place = np.searchsorted(group.weights, sectors.weight[mine])
    taken = entries(sectors, mine, np.full(len(mine), group.columns))
    lengths = (sectors.rows * sectors.columns)[mine]
    return mine, taken + np.repeat(place * (group.rows * group.columns), lengths)


def _compact(positions: Int) -> Int | tuple[int, int]:
    in_a_row = bool((np.diff(positions) == 1).all())
    return (int(positions[0]), int(positions[-1]) + 1) if in_a_row else positions
