"""The sectors of a circuit, by a policy, a table, or a function that partitions each weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir.arrays import Int, ints
from pccompiler.ir.generators import Sectors
from pccompiler.ir.kinds import Kind
from pccompiler.ir.sizes import MOST_ENTRIES
from pccompiler.limits import current

if TYPE_CHECKING:
    from pccompiler.ir.circuit import Circuit

Block = tuple[int, int, int]
"""Offset, rows and columns of a sector in its weight."""
Cut = Callable[[int, tuple[int, int]], Iterable[Block]]
"""Maps a weight and its shape to its sectors."""


def partition(circuit: Circuit, sectors: Sectors | Cut) -> Circuit:
    """``circuit`` with its sum weights partitioned into sectors.

    A weight that several sums share is partitioned once. Sectors are ordered by weight and offset.

    Args:
        circuit: Any circuit.
        sectors: A policy; a table, which is used as it is (`verify` checks that it fits); or a
            function from each weight of a dense sum and its shape to blocks
            ``(offset, rows, columns)``. A weight without blocks has logits of its own.

    Raises:
        OptionError: If a function returns anything other than blocks.
    """
    if not isinstance(sectors, Sectors):
        return circuit.replace(sectors=_cut_by(circuit, sectors))
    if sectors.by == "own":
        return circuit.replace(sectors=sectors)
    found = _by_policy(circuit, sectors.policy())
    if len(sectors) and not sectors.same_table(found):  # recorded on another circuit, or edited
        columns = (sectors.weight, sectors.offset, sectors.rows, sectors.columns)
        found = Sectors("own", 1, False, *columns)
    return circuit.replace(sectors=found)


def partition_again(old: Circuit, new: Circuit, place: Int, changed: NDArray[np.bool_]) -> Circuit:
    """``new``, a rewritten ``old``, with the sectors of ``old``.

    A policy partitions again. A user-defined table follows its weights.

    Args:
        old: The circuit before.
        new: The circuit after.
        place: Shape ``(old weights,)``, the new id of each old weight, -1 if it was removed.
        changed: Shape ``(old weights,)``, weights that were replaced at some node.

    Raises:
        CircuitError: If a weight that the table covers was replaced by a different one.
    """
    sectors = old.sectors
    if sectors is None:
        return new
    if sectors.by != "own":
        return partition(new, sectors.policy())
    replaced = sectors.weight[changed[sectors.weight]]
    if len(replaced):
        raise CircuitError.of(
            "PC127",
            f"the rewrite replaces weight {old.weights.label(int(replaced[0]))}, which the table "
            "of sectors covers",
            help="run the 'sectors' pass, or give the table, after every pass that changes weights",
        )
    stays = place[sectors.weight] >= 0
    columns = (place[sectors.weight], sectors.offset, sectors.rows, sectors.columns)
    return new.replace(sectors=Sectors("own", 1, False, *(column[stays] for column in columns)))


def _by_policy(circuit: Circuit, policy: Sectors) -> Sectors:
    weights = _covered(circuit, policy.mixtures)
    size = min(policy.size, MOST_ENTRIES)
    rows, columns = circuit.weights.rows[weights], circuit.weights.columns[weights]
    if policy.by == "size":
        rows, columns = np.ones_like(rows), rows * columns
        height, width = np.ones_like(rows), np.minimum(size, columns)
    else:
        height = rows if policy.by == "block" else np.minimum(size, rows)
        width = columns
    pieces = -(-(rows * columns) // np.maximum(height * width, 1))
    current().check("edges", int(pieces.sum(dtype=np.float64)), "the sectors of the weights")
    owner = np.repeat(np.arange(len(weights)), pieces)
    step = (height * width)[owner]
    number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    offset = number * step
    length = np.minimum(step, (rows * columns)[owner] - offset)
    sector_rows = np.where(policy.by == "size", 1, length // np.maximum(columns[owner], 1))
    return replace(
        policy,
        weight=ints(weights[owner]),
        offset=ints(offset),
        rows=ints(sector_rows),
        columns=ints(length // np.maximum(sector_rows, 1)),
    )


def _cut_by(circuit: Circuit, cut: Cut) -> Sectors:
    table: list[tuple[int, int, int, int]] = []
    for weight in _covered(circuit, mixtures=False).tolist():
        shape = int(circuit.weights.rows[weight]), int(circuit.weights.columns[weight])
        table += [(weight, *block) for block in _blocks(circuit, cut, weight, shape)]
    columns = zip(*table, strict=True) if table else ((), (), (), ())
    return Sectors("own", 1, False, *(np.array(column, np.int64) for column in columns))


def _blocks(circuit: Circuit, cut: Cut, weight: int, shape: tuple[int, int]) -> list[Block]:
    blocks: list[Block] = []
    for block in _listed(cut(weight, shape)):
        match [_whole(value) for value in _listed(block)]:
            case [int(offset), int(rows), int(columns)]:
                blocks.append((offset, rows, columns))
            case _:
                raise OptionError.of(
                    "PC126",
                    "the function that partitions weights did not return blocks for weight "
                    f"{circuit.weights.label(weight)}, of shape {shape[0]} x {shape[1]}",
                    help="return (offset, rows, columns) for each sector, as integers, such as "
                    f"[(0, {shape[0]}, {shape[1]})]",
                )
    return blocks


def _listed(value: object) -> list[object]:
    """The items of what a user's function returned, or the object itself if it has none."""
    return list(value) if isinstance(value, Iterable) else [value]


def _whole(value: object) -> int | None:
    """A whole number that fits in 64 bits, or ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return None
    return int(value) if abs(int(value)) < 2**63 else None


def _covered(circuit: Circuit, mixtures: bool) -> Int:
    sums = circuit.kind == Kind.SUM
    if mixtures:
        sums |= circuit.kind == Kind.MIXTURE
    return np.unique(circuit.weight[sums])
