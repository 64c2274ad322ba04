"""Sums with fewer weights than dense ones: of low rank, and Monarch (two block-diagonal factors).

Both are compositions of the IR's own sums and mixtures, so every pass, engine, query and export
knows them. Each row of the product of their matrices sums to 1, since each row of the factors does.

Source:
    Dao and others (2022), "Monarch: Expressive Structured Matrices for Efficient and Accurate
    Training"; Zhang and others (2025), "Scaling Probabilistic Circuits via Monarch Matrices".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pccompiler.ir import Builder
from pccompiler.ir.arrays import Int


class Sums(NamedTuple):
    """Nodes that were added, and the weights of each factor, which other sums may share.

    Attributes:
        nodes: The sums.
        weights: Weight ids of the first factor's nodes, then of the second factor's.
    """

    nodes: Int
    weights: tuple[Int, Int]


def low_rank_sums(
    builder: Builder,
    operands: ArrayLike,
    units: int,
    rank: int,
    *,
    weights: tuple[Int, Int] | None = None,
) -> Sums:
    """A sum of ``units`` units for each row of ``operands``, by way of ``rank`` units.

    It costs ``rank (fan-in + units)`` multiplications instead of ``fan-in units``.

    Args:
        builder: Where to add the nodes.
        operands: Node ids, shape (nodes, arity).
        units: Width of the sums.
        rank: Width of the sums between.
        weights: Of other low-rank sums of the same shape, to share them.
    """
    first, second = (None, None) if weights is None else weights
    inner = builder.sums(operands, rank, weights=first)
    outer = builder.sums(inner[:, None], units, weights=second)
    return Sums(outer, (builder.weight_of(inner), builder.weight_of(outer)))


def monarch_sums(
    builder: Builder, operands: ArrayLike, *, weights: tuple[Int, Int] | None = None
) -> Sums:
    """As many nodes as operands, b of k units each, all of which mix all units of all operands.

    Unit u of node i chooses operand j with a weight of its own, and then a unit of operand j with
    weights that all nodes share. This costs ``b k (b + k)`` multiplications instead of
    ``b² k²``.

    Args:
        builder: Where to add the nodes.
        operands: Node ids of equal width, shape (b,).
        weights: Of other Monarch sums of the same shape, to share them.
    """
    blocks = np.atleast_1d(np.asarray(operands, np.int64))
    first, second = (None, None) if weights is None else weights
    width = int(builder.units_of(blocks[:1])[0])
    inner = builder.sums(blocks[:, None], width, weights=first)
    outer = builder.mixtures(np.tile(inner, (len(inner), 1)), weights=second)
    return Sums(outer, (builder.weight_of(inner), builder.weight_of(outer)))
