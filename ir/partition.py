"""The sectors of a circuit under a policy. The pass of that name, and the parser, call this."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pccompiler.ir.arrays import Int, ints
from pccompiler.ir.generators import Sectors
from pccompiler.ir.kinds import Kind
from pccompiler.limits import current

if TYPE_CHECKING:
    from pccompiler.ir.circuit import Circuit


def partition(circuit: Circuit, policy: Sectors) -> Circuit:
    """``circuit`` with its sum weights cut into sectors by ``policy``.

    A weight that several sums share is cut once. Sectors are ordered by weight, then by offset.
    """
    weights = _covered(circuit, policy.mixtures)
    rows, columns = circuit.weights.rows[weights], circuit.weights.columns[weights]
    if policy.by == "size":
        rows, columns = np.ones_like(rows), rows * columns
        height, width = np.ones_like(rows), np.minimum(policy.size, columns)
    else:
        height = rows if policy.by == "block" else np.minimum(policy.size, rows)
        width = columns
    pieces = -(-(rows * columns) // np.maximum(height * width, 1))
    current().check("edges", int(pieces.sum(dtype=np.float64)), "the sectors of the weights")
    owner = np.repeat(np.arange(len(weights)), pieces)
    step = (height * width)[owner]
    number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    offset = number * step
    length = np.minimum(step, (rows * columns)[owner] - offset)
    sector_rows = np.where(policy.by == "size", 1, length // np.maximum(columns[owner], 1))
    return circuit.replace(
        sectors=replace(
            policy,
            weight=ints(weights[owner]),
            offset=ints(offset),
            rows=ints(sector_rows),
            columns=ints(length // np.maximum(sector_rows, 1)),
        )
    )


def _covered(circuit: Circuit, mixtures: bool) -> Int:
    sums = circuit.kind == Kind.SUM
    if mixtures:
        sums |= circuit.kind == Kind.MIXTURE
    return np.unique(circuit.weight[sums])
