"""Mutual information of all pairs of columns, by products of one-hot matrices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Float, Int, segments

COLUMNS = 2048
"""One-hot columns per block of variables: joint counts of two blocks are 16 MB of float32."""
ROWS = 4096
"""Rows of a one-hot matrix: 32 MB of float32. Counts of fewer than 2**24 rows are exact in it."""


def mutual_information_of(codes: Int, sizes: Int, pseudocount: float) -> Float:
    """Mutual information of each pair of columns, in nats.

    A pair's joint distribution counts the rows that have both values, plus ``pseudocount`` rows
    spread evenly over its cells; the information is 0 if there are none.

    Args:
        codes: Shape (rows, n), -1 where missing.
        sizes: Shape (n,), how many codes each column can have.
        pseudocount: Number of rows.

    Returns:
        Shape (n, n), symmetric and non-negative; the diagonal has the entropies.
    """
    n = len(sizes)
    result = np.zeros((n, n))
    blocks = list(_blocks(sizes))
    for i, left in enumerate(blocks):
        for right in blocks[i:]:
            counts = _joint_counts(codes, sizes, left, right)
            part = _information(counts, sizes[left], sizes[right], pseudocount)
            result[left, right] = part
    result = np.triu(result, 1)
    result += result.T
    for column in range(n):
        counted = np.bincount(codes[codes[:, column] >= 0, column], minlength=sizes[column])
        result[column, column] = _entropy(counted + pseudocount / sizes[column])
    return result


def _entropy(counts: Float) -> float:
    total = float(counts.sum())
    return float(np.log(total) - _times_log(counts).sum() / total) if total > 0 else 0.0


def _blocks(sizes: Int) -> Iterator[slice]:
    """Blocks of neighbouring variables with at most `COLUMNS` one-hot columns, or a single one."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start] - sizes[start])
        stop = max(start + 1, int(np.searchsorted(ends, before + COLUMNS, side="right")))
        yield slice(start, stop)
        start = stop


def _joint_counts(codes: Int, sizes: Int, left: slice, right: slice) -> Float:
    """Number of rows in each pair of states of two blocks, shape (states left, states right)."""
    shape = int(sizes[left].sum()), int(sizes[right].sum())
    total = np.zeros(shape, np.float64)
    part = np.zeros(shape, np.float32)
    for start in range(0, len(codes), ROWS):
        rows = codes[start : start + ROWS]
        a = one_hot(rows[:, left], sizes[left])
        b = a if left == right else one_hot(rows[:, right], sizes[right])
        np.matmul(a.T, b, out=part)
        total += part
    return total


def one_hot(codes: Int, sizes: Int) -> NDArray[np.float32]:
    """A column for each state of each variable; a row of zeros where the code is -1."""
    offsets = segments(sizes)
    hot = np.zeros((len(codes), int(offsets[-1])), np.float32)
    rows, columns = np.nonzero(codes >= 0)
    hot[rows, offsets[columns] + codes[rows, columns]] = 1.0
    return hot


def _information(counts: Float, left: Int, right: Int, pseudocount: float) -> Float:
    """Mutual information of each pair across two blocks, from joint and marginal entropies."""
    cells = np.repeat(1.0 / left, left)[:, None] * np.repeat(1.0 / right, right)
    counts = counts + pseudocount * cells
    rows, columns = segments(left)[:-1], segments(right)[:-1]
    of_left = np.add.reduceat(counts, columns, axis=1)
    of_right = np.add.reduceat(counts, rows, axis=0)
    total = np.add.reduceat(of_left, rows, axis=0)
    joint = np.add.reduceat(np.add.reduceat(_times_log(counts), columns, axis=1), rows, axis=0)
    margins = np.add.reduceat(_times_log(of_left), rows, axis=0)
    margins += np.add.reduceat(_times_log(of_right), columns, axis=1)
    seen = np.where(total > 0.0, total, 1.0)
    information = (joint - margins) / seen + np.log(seen)
    return np.where(total > 0.0, np.maximum(information, 0.0), 0.0)


def _times_log(values: Float) -> Float:
    """``x log x``, with 0 log 0 = 0."""
    return np.asarray(values * np.log(np.where(values > 0.0, values, 1.0)))
