"""Check that a table of sectors covers each weight that it names exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pccompiler.ir.arrays import Int, ranges
from pccompiler.ir.generators import Sectors
from pccompiler.ir.kinds import SUMS

if TYPE_CHECKING:
    from pccompiler.ir.circuit import Circuit


def entries(sectors: Sectors, chosen: Int, width: Int) -> Int:
    """The entries of their weights that sectors ``chosen`` cover, sector by sector, row-major.

    Args:
        sectors: The table.
        chosen: Numbers of sectors.
        width: Shape ``(chosen,)``, columns of the weight of each.
    """
    begin, length, _ = _runs(sectors, chosen, width)
    return ranges(begin, length)


def gap(circuit: Circuit, sectors: Sectors) -> str | None:
    """How the table fails to cover the weights that it names exactly once; ``None`` if it does."""
    return _outside(circuit, sectors) or _uneven(circuit, sectors)


def _outside(circuit: Circuit, sectors: Sectors) -> str | None:
    """The first sector that does not lie within the weight of a sum."""
    table = circuit.weights
    owned = np.zeros(len(table) + 1, np.bool_)
    owned[circuit.weight[np.isin(circuit.kind, SUMS)]] = True
    owned[-1] = False
    for number in np.flatnonzero((sectors.weight < 0) | (sectors.weight >= len(table))).tolist():
        return f"sector {number} is of weight {sectors.weight[number]}, which does not exist"
    for number in np.flatnonzero(~owned[sectors.weight]).tolist():
        label = table.label(int(sectors.weight[number]))
        return f"sector {number} is of weight {label}, which is not the weight of a sum"
    rows, width = table.rows[sectors.weight], table.columns[sectors.weight]
    bad = (sectors.offset < 0) | (sectors.rows < 1) | (sectors.columns < 1)
    bad |= (sectors.rows > 1) & ((sectors.rows > rows) | (sectors.columns > width))
    bad |= (sectors.columns > rows * width) | (sectors.offset >= rows * width)
    bad = bad | (_ends(sectors, width) > rows * width)
    for number in np.flatnonzero(bad).tolist():
        return _told(circuit, sectors, number) + " does not lie in it"
    return None


def _ends(sectors: Sectors, width: Int) -> Int:
    """One past the last entry of each sector. Wraps if a column is out of bounds."""
    with np.errstate(over="ignore"):
        return np.asarray(sectors.offset + (sectors.rows - 1) * width + sectors.columns)


def _told(circuit: Circuit, sectors: Sectors, number: int) -> str:
    weight = int(sectors.weight[number])
    rows, columns = circuit.weights.rows[weight], circuit.weights.columns[weight]
    return (
        f"sector {number}, {sectors.rows[number]:,} x {sectors.columns[number]:,} from entry "
        f"{sectors.offset[number]:,} of weight {circuit.weights.label(weight)} "
        f"({rows:,} x {columns:,}),"
    )


def _uneven(circuit: Circuit, sectors: Sectors) -> str | None:
    """The first entry that is covered twice or not at all, in the first such weight."""
    table = circuit.weights
    number = np.arange(len(sectors))
    named, first, counts = np.unique(sectors.weight, return_index=True, return_counts=True)
    if not len(named):
        return None
    covered = np.add.reduceat(sectors.rows * sectors.columns, first)
    uneven = covered != table.sizes[named]
    even = np.repeat(~uneven, counts)
    begin, length, owner = _runs(sectors, number[even], table.columns[sectors.weight[even]])
    weight = sectors.weight[even][owner]
    order = np.lexsort([begin, weight])
    begin, length, weight = begin[order], length[order], weight[order]
    overlap = (weight[1:] == weight[:-1]) & (begin[1:] < begin[:-1] + length[:-1])
    uneven |= np.isin(named, weight[1:][overlap])
    for place in np.flatnonzero(uneven).tolist():
        mine = first[place] + np.arange(counts[place])
        return _first_uneven_entry(circuit, sectors, mine)
    return None


def _first_uneven_entry(circuit: Circuit, sectors: Sectors, mine: Int) -> str:
    """The first entry of the weight of sectors ``mine`` covered twice or not at all."""
    weight = int(sectors.weight[mine[0]])
    table = circuit.weights
    width = int(table.columns[weight])
    owner = np.full(int(table.sizes[weight]), -1)
    where = f"of weight {table.label(weight)} ({table.rows[weight]:,} x {width:,})"
    for number in mine.tolist():  # stops at the first that overlaps: the work is that of the weight
        taken = entries(sectors, np.array([number]), np.array([width]))
        twice = taken[owner[taken] >= 0]
        if len(twice):
            both = f"sectors {owner[twice[0]]} and {number}"
            return f"{_entry(int(twice[0]), width)} {where} is in {both}"
        owner[taken] = number
    left = np.flatnonzero(owner < 0)
    more = f", nor are {len(left) - 1:,} more" if len(left) > 1 else ""
    return f"{_entry(int(left[0]), width)} {where} is in no sector{more}"


def _entry(entry: int, width: int) -> str:
    return f"entry {entry:,} (row {entry // width}, column {entry % width})"


def _runs(sectors: Sectors, chosen: Int, width: Int) -> tuple[Int, Int, Int]:
    """Entries as contiguous runs: first entry, length, and index into ``chosen``.

    Sectors of whole rows are one run each.
    """
    rows, columns = sectors.rows[chosen], sectors.columns[chosen]
    whole = columns == width
    height = np.where(whole, 1, rows)
    owner = np.repeat(np.arange(len(chosen)), height)
    inside = ranges(np.zeros_like(height), height)
    begin = sectors.offset[chosen][owner] + inside * width[owner]
    return begin, np.where(whole, rows * columns, columns)[owner], owner
