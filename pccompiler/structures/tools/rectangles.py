"""Rectangles of an image as regions, for quad graphs and Poon-Domingos structures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Variable, binary, categorical
from pccompiler.ir.arrays import Int
from pccompiler.options import whole
from pccompiler.structures.tools.common import Leaf
from pccompiler.structures.tools.regions import Layers, ProductKind, RegionGraph, assemble

Cut = Callable[[Int], tuple[list[Int], Int]]
"""Maps rectangles, shape ``(n, 4)`` with columns top, bottom, left, right, to their partitions by
arity, shape ``(m, 1 + arity, 4)`` (a region, then its parts), and to the rectangles to cut next."""


class ImageOptions(TypedDict, total=False):
    """Options of all structures for images.

    Attributes:
        channels: Variables per pixel, by default 1; they stay together in a factorized leaf.
        variables: One for each pixel and channel; by default categorical.
        states: Number of states of the default variables, by default 256; 2 makes them binary.
        channels_first: Whether variables are ordered channel by channel, not pixel by pixel.
        sum_units: Width of the sums, if other than ``units``.
        input_units: Width of the inputs, if other than ``units``.
        product: ``"elementwise"`` (the default), or ``"kronecker"``: quarters then give
            ``units ** 4`` units.
        leaf: See `random_tree`.
    """

    channels: int
    variables: Sequence[Variable] | None
    states: int
    channels_first: bool
    sum_units: int | None
    input_units: int | None
    product: ProductKind
    leaf: Leaf


@dataclass(frozen=True)
class Image:
    """An image's size, and the variables of its pixels.

    Attributes:
        height: Rows of pixels.
        width: Columns of pixels.
        channels: Variables per pixel.
        variables: One for each pixel and channel.
        channels_first: Whether variables are ordered channel by channel, like arrays of shape
            ``(channels, height, width)``, or pixel by pixel, like ``(height, width, channels)``.
    """

    height: int
    width: int
    channels: int
    variables: tuple[Variable, ...]
    channels_first: bool

    def pixels(self, rows: Int, columns: Int) -> Int:
        """The variables of pixels, shape ``(*rows.shape, channels)``."""
        pixel = (rows * self.width + columns)[..., None]
        channel = np.arange(self.channels)
        if self.channels_first:
            return np.asarray(channel * (self.height * self.width) + pixel)
        return np.asarray(pixel * self.channels + channel)


def image_circuit(
    cut: Cut,
    height: int,
    width: int,
    units: int,
    *,
    channels: int = 1,
    variables: Sequence[Variable] | None = None,
    states: int = 256,
    channels_first: bool = False,
    sum_units: int | None = None,
    input_units: int | None = None,
    product: ProductKind = "elementwise",
    leaf: Leaf = "auto",
) -> Circuit:
    """The circuit of an image that ``cut`` cuts into rectangles; see `ImageOptions`.

    Raises:
        OptionError: If an option cannot be used, or variables do not fit the image.
    """
    layers = Layers.of(units, sum_units, input_units, product, leaf)
    size = whole("height", height), whole("width", width), whole("channels", channels)
    image = Image(*size, _pixel_variables(size, variables, states), channels_first)
    return assemble(cut_up(image, cut), image.variables, layers)


def _pixel_variables(
    size: tuple[int, int, int], variables: Sequence[Variable] | None, states: int
) -> tuple[Variable, ...]:
    """Those that are given, checked, or new ones."""
    height, width, channels = size
    wanted = height * width * channels
    if variables is None:
        states = whole("states", states, 2)
        names = [f"x{i}" for i in range(wanted)]
        return tuple(binary(x) if states == 2 else categorical(x, states) for x in names)
    if len(variables) != wanted:
        raise OptionError.of(
            "PC342",
            f"{len(variables)} variables are given for an image of "
            f"{height} x {width} pixels of {channels} channels",
            help=f"give {wanted}, or another height, width or channels",
        )
    return tuple(variables)


def cut_up(image: Image, cut: Cut) -> RegionGraph:
    """The regions made by cutting the whole image with ``cut``; equal rectangles are one region."""
    whole = np.array([[0, image.height, 0, image.width]])
    frontier, seen = whole, _keys(whole, image)
    tables: list[Int] = []
    while len(frontier):
        made, frontier = cut(frontier)
        tables += [table for table in made if len(table)]
        keys, first = np.unique(_keys(frontier, image), return_index=True)
        new = ~np.isin(keys, seen)
        frontier = frontier[first[new]]
        seen = np.concatenate([seen, keys[new]])
    return _graph(image, whole, tables)


def _graph(image: Image, whole: Int, tables: Sequence[Int]) -> RegionGraph:
    """Number regions by rectangle; their stage is half the perimeter."""
    rectangles = np.concatenate([whole, *(table.reshape(-1, 4) for table in tables)])
    _, first, index = np.unique(_keys(rectangles, image), return_index=True, return_inverse=True)
    rectangles = rectangles[first]
    ends = np.cumsum([1, *(table.shape[0] * table.shape[1] for table in tables)])
    parts = np.split(index, ends[:-1])[1:]
    partitions = [part.reshape(table.shape[:2]) for part, table in zip(parts, tables, strict=True)]
    leaf = np.ones(len(rectangles), np.bool_)
    for table in partitions:
        leaf[table[:, 0]] = False
    sides = rectangles[:, 1::2] - rectangles[:, ::2]
    regions = np.flatnonzero(leaf)
    return RegionGraph(
        sides.sum(axis=1),
        _leaf_tables(image, regions, rectangles[regions], sides[regions]),
        partitions,
        int(index[0]),
    )


def _leaf_tables(image: Image, regions: Int, rectangles: Int, sides: Int) -> list[tuple[Int, Int]]:
    """The variables of leaf regions, by shape of rectangle."""
    tables: list[tuple[Int, Int]] = []
    for height, width in np.unique(sides, axis=0).tolist():
        mine = (sides == (height, width)).all(axis=1)
        rows = rectangles[mine, 0, None, None] + np.arange(height)[:, None]
        columns = rectangles[mine, 2, None, None] + np.arange(width)
        pixels = image.pixels(*np.broadcast_arrays(rows, columns))
        tables.append((regions[mine], pixels.reshape(len(pixels), -1)))
    return tables


def _keys(rectangles: Int, image: Image) -> Int:
    """A number for each rectangle; at equal top and left, it grows with the rectangle."""
    high, wide = image.height + 1, image.width + 1
    top, bottom, left, right = rectangles.T
    return np.asarray(((top * high + bottom) * wide + left) * wide + right)


def parts_of(parents: Int, *parts: tuple[Int, Int, Int, Int]) -> Int:
    """A table of partitions; each part is given as arrays of top, bottom, left, right."""
    columns = [parents, *(np.stack(part, axis=1) for part in parts)]
    return np.stack(columns, axis=1)
