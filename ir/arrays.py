"""Small vectorised array tools that the IR and the passes share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Int = NDArray[np.int64]
Float = NDArray[np.float64]


def ints(values: ArrayLike) -> Int:
    """A read-only int64 array of ``values``."""
    array = np.array(values, np.int64, copy=None, order="C")
    view: Int = array.view()
    view.flags.writeable = False
    return view


def floats(values: ArrayLike) -> Float:
    """A read-only float64 array of ``values``."""
    array: Float = np.ascontiguousarray(values, dtype=np.float64).view()
    array.flags.writeable = False
    return array


def ranges(starts: Int, lengths: Int) -> Int:
    """Concatenated ranges ``starts[i], ..., starts[i] + lengths[i] - 1``."""
    total = int(lengths.sum())
    ends = np.cumsum(lengths)
    positions: Int = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return positions


def segments(lengths: Int) -> Int:
    """Pointer array ``(0, lengths[0], lengths[0] + lengths[1], ...)``."""
    pointer = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=pointer[1:])
    return pointer


def segment_sum(values: Int, pointer: Int) -> Int:
    """Sum of each segment of ``values``; an empty segment sums to 0."""
    totals = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=totals[1:])
    return np.asarray(totals[pointer[1:]] - totals[pointer[:-1]])


def first_uses(values: Int) -> Int:
    """The distinct ``values`` in order of first occurrence."""
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)]


def mix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A 64-bit finalizer that spreads every input bit (constants of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def hash_rows(rows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A 64-bit hash of each row of ``rows``, shape ``(n, words)``."""
    position = mix64(np.arange(1, rows.shape[1] + 1, dtype=np.uint64) << np.uint64(32))
    with np.errstate(over="ignore"):
        return mix64(mix64(rows ^ position).sum(axis=1, dtype=np.uint64))


def power_of_two(size: int) -> int:
    """The smallest power of two that is at least ``size``."""
    return 1 << (size - 1).bit_length()
