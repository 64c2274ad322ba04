"""Quad trees and quad graphs for images: each region is cut into quarters."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Int
from pccompiler.structures.tools.common import one_of
from pccompiler.structures.tools.rectangles import Cut, ImageOptions, image_circuit, parts_of


def quad_tree(
    height: int, width: int, units: int, *, parts: int = 4, **options: Unpack[ImageOptions]
) -> Circuit:
    """An image cut recursively into quarters, down to pixels.

    The first half of an odd side is larger by one pixel; a line of pixels is cut in two. With
    ``parts=4`` a region is a sum over the product of its quarters. With ``parts=2`` it is cut in
    two between rows, and the halves in two between columns: 2 n - 1 regions for n pixels.

    Args:
        height: Rows of pixels.
        width: Columns of pixels.
        units: Width of sums and inputs, unless ``sum_units`` or ``input_units`` is given.
        parts: 4 or 2.
        **options: See `pccompiler.structures.tools.rectangles.ImageOptions`: channels, variables,
            states, channels_first, sum_units, input_units, product and leaf.

    Raises:
        OptionError: If an option cannot be used, or variables do not fit the image.

    Source:
        Mari, Vessio and Vergari (2023), "Unifying and Understanding Overparameterized Circuit
        Representations via Low-Rank Tensor Decompositions", quad trees.
    """
    one_of("parts", parts, (2, 4))
    cut: Cut = _quarters if parts == 4 else _halves_of_halves
    return image_circuit(cut, height, width, units, **options)


def quad_graph(height: int, width: int, units: int, **options: Unpack[ImageOptions]) -> Circuit:
    """Like `quad_tree`, but each region is cut both ways: rows first, and columns first.

    A region is a sum over two products, top by bottom and left by right; each half is cut the other
    way, and the quarters are shared: 2 partitions for each region with two sides to cut.

    Args:
        height: Rows of pixels.
        width: Columns of pixels.
        units: Width of sums and inputs, unless ``sum_units`` or ``input_units`` is given.
        **options: See `pccompiler.structures.tools.rectangles.ImageOptions`: channels, variables,
            states, channels_first, sum_units, input_units, product and leaf.

    Raises:
        OptionError: If an option cannot be used, or variables do not fit the image.

    Source:
        Mari, Vessio and Vergari (2023), see `quad_tree`; quad graphs.
    """
    return image_circuit(_both_ways, height, width, units, **options)


def _middles(rectangles: Int) -> tuple[Int, Int]:
    """Where rows and columns are cut; the first half of an odd side is larger."""
    top, bottom, left, right = rectangles.T
    return (top + bottom + 1) // 2, (left + right + 1) // 2


def _by_rows(rectangles: Int) -> Int:
    top, bottom, left, right = rectangles.T
    middle, _ = _middles(rectangles)
    return parts_of(rectangles, (top, middle, left, right), (middle, bottom, left, right))


def _by_columns(rectangles: Int) -> Int:
    top, bottom, left, right = rectangles.T
    _, middle = _middles(rectangles)
    return parts_of(rectangles, (top, bottom, left, middle), (top, bottom, middle, right))


def _by_shape(rectangles: Int) -> tuple[Int, Int, Int]:
    """Rectangles to be cut both ways, those of one column, and those of one row."""
    high, wide = (rectangles[:, 1::2] - rectangles[:, ::2] > 1).T
    return rectangles[high & wide], rectangles[high & ~wide], rectangles[wide & ~high]


def _next(tables: list[Int]) -> Int:
    return np.concatenate([table[:, 1:].reshape(-1, 4) for table in tables])


def _quarters(rectangles: Int) -> tuple[list[Int], Int]:
    broad, column, row = _by_shape(rectangles)
    top, bottom, left, right = broad.T
    y, x = _middles(broad)
    upper = (top, y, left, x), (top, y, x, right)
    lower = (y, bottom, left, x), (y, bottom, x, right)
    tables = [parts_of(broad, *upper, *lower), _by_rows(column), _by_columns(row)]
    return tables, _next(tables)


def _halves_of_halves(rectangles: Int) -> tuple[list[Int], Int]:
    broad, column, row = _by_shape(rectangles)
    halves = _by_rows(broad)
    others = _by_columns(halves[:, 1:].reshape(-1, 4))
    lines = [_by_rows(column), _by_columns(row)]
    return [halves, others, *lines], _next([others, *lines])


def _both_ways(rectangles: Int) -> tuple[list[Int], Int]:
    broad, column, row = _by_shape(rectangles)
    rows, columns = _by_rows(broad), _by_columns(broad)
    quarters = _by_columns(rows[:, 1:].reshape(-1, 4))
    again = _by_rows(columns[:, 1:].reshape(-1, 4))
    lines = [_by_rows(column), _by_columns(row)]
    return [rows, columns, quarters, again, *lines], _next([quarters, *lines])
