"""The structure of Poon and Domingos for images: all rectangles, all cuts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Unpack

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Int, ranges
from pccompiler.options import as_float, listed, whole
from pccompiler.structures.tools.common import one_of
from pccompiler.structures.tools.rectangles import Cut, ImageOptions, image_circuit, parts_of

Axes = Literal["both", "rows", "columns"]


def poon_domingos(
    height: int,
    width: int,
    units: int,
    *,
    delta: int | Sequence[int] = 1,
    axes: Axes = "both",
    **options: Unpack[ImageOptions],
) -> Circuit:
    """All rectangles with corners at multiples of ``delta``, each cut in two in every way.

    A rectangle is a single region, however many partitions use it: a dense sum over the products
    of all its partitions. A rectangle that cannot be cut is a factorized distribution over its
    pixels. On a grid of a x b cells there are a(a+1)/2 * b(b+1)/2 regions, and
    b(b+1)/2 * (a-1)a(a+1)/6 + a(a+1)/2 * (b-1)b(b+1)/6 partitions.

    Args:
        height: Rows of pixels.
        width: Columns of pixels.
        units: Width of sums and inputs, unless ``sum_units`` or ``input_units`` is given.
        delta: Cuts are at multiples of it, from the top left corner. With several steps, coarse to
            fine, a rectangle is cut at multiples of the first step that has one inside.
        axes: ``"rows"``: only cuts between rows of pixels, ``"columns"``: only between columns.
        **options: See `pccompiler.structures.tools.rectangles.ImageOptions`: channels, variables,
            states, channels_first, sum_units, input_units, product and leaf.

    Raises:
        OptionError: If an option cannot be used, or variables do not fit the image.

    Source:
        Poon and Domingos (2011), "Sum-Product Networks: A New Deep Architecture"; steps from coarse
        to fine follow Peharz et al. (2020), "Einsum Networks".
    """
    one_of("axes", axes, ("both", "rows", "columns"))
    deltas = _deltas(delta)
    return image_circuit(_cutter(deltas, axes), height, width, units, **options)


def _deltas(delta: object) -> list[int]:
    """The steps, coarse to fine."""
    several = listed("delta", delta) if as_float(delta) is None else [delta]
    deltas = [whole("delta", step) for step in several]
    whole("number of deltas", len(deltas))
    if any(fine >= coarse for coarse, fine in pairwise(deltas)):
        raise OptionError.of(
            "PC302",
            f"delta is {deltas}, which does not go from coarse to fine",
            help="give steps in descending order, for example [8, 4, 1]",
        )
    return deltas


def _cutter(deltas: Sequence[int], axes: Axes) -> Cut:
    steps = np.array(deltas)

    def cut(rectangles: Int) -> tuple[list[Int], Int]:
        low, high = rectangles[:, ::2], rectangles[:, 1::2]  # of rows, of columns
        first = low[..., None] // steps + 1  # the first multiple inside, by side and step
        inside = np.maximum((high[..., None] - 1) // steps - first + 1, 0)
        if axes != "both":
            inside[:, 1 if axes == "rows" else 0] = 0
        chosen = np.argmax(inside.sum(axis=1) > 0, axis=1)
        mine, step = np.arange(len(rectangles)), steps[chosen]
        first, inside = first[mine, :, chosen], inside[mine, :, chosen]
        halves = [_halves(rectangles, first[:, a], inside[:, a], step, a) for a in (0, 1)]
        table = np.concatenate(halves)
        return [table], table[:, 1:].reshape(-1, 4)

    return cut


def _halves(rectangles: Int, first: Int, number: Int, step: Int, axis: int) -> Int:
    """Each rectangle cut at ``number`` multiples of ``step``, starting with ``first``."""
    parents = np.repeat(rectangles, number, axis=0)
    where = ranges(first, number) * np.repeat(step, number)
    top, bottom, left, right = parents.T
    if axis == 0:
        return parts_of(parents, (top, where, left, right), (where, bottom, left, right))
    return parts_of(parents, (top, bottom, left, where), (top, bottom, where, right))
