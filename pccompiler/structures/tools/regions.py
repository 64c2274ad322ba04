"""Region graphs as tables, and the circuits built from them.

A region is a set of variables; a partition splits a region into smaller ones. In the circuit a
region is a dense sum over the products of its partitions, and a region without partitions is a
factorized distribution over its variables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir import Builder, Circuit, Family, Variable
from pccompiler.ir.arrays import Int
from pccompiler.options import whole
from pccompiler.structures.tools.common import (
    Leaf,
    distribution_family,
    input_nodes,
    leaf_family,
    leaf_names,
    one_of,
)

ProductKind = Literal["elementwise", "kronecker"]

WIDEST = 2**20
"""The most units of a Kronecker product."""


@dataclass(frozen=True, eq=False)
class RegionGraph:
    """Regions and their partitions.

    Attributes:
        stage: Shape ``(regions,)``; a region's stage is above those of its parts.
        leaves: Tables by size: regions without partitions, shape ``(m,)``, and their variables,
            shape ``(m, size)``.
        partitions: Tables by arity, shape ``(m, 1 + arity)``: a region, then its parts.
        root: The region with all variables.
    """

    stage: Int
    leaves: Sequence[tuple[Int, Int]]
    partitions: Sequence[Int]
    root: int


@dataclass(frozen=True)
class Layers:
    """How to turn a region graph into a circuit.

    Attributes:
        sum_units: Width of the sums of regions, except for the root.
        input_units: Width of the inputs.
        product: The kind of product for partitions.
        leaf: Leaf families.
    """

    sum_units: int
    input_units: int
    product: ProductKind
    leaf: Leaf

    @classmethod
    def of(
        cls,
        units: int,
        sum_units: int | None,
        input_units: int | None,
        product: ProductKind,
        leaf: Leaf,
    ) -> Layers:
        """From the options of a structure, checked.

        Raises:
            OptionError: If one cannot be used.
        """
        units = whole("units", units)
        sums = units if sum_units is None else whole("sum_units", sum_units)
        inputs = units if input_units is None else whole("input_units", input_units)
        one_of("product", product, ("elementwise", "kronecker"))
        return cls(sums, inputs, product, leaf)


def assemble(graph: RegionGraph, variables: Sequence[Variable], layers: Layers) -> Circuit:
    """The circuit of a region graph.

    Indicators get a dense sum of ``input_units`` units. Parts of an elementwise product must be
    equally wide: if the widths differ and some partition has both leaf regions and others, all
    leaf regions get a dense sum of ``sum_units`` units.

    Raises:
        OptionError: If a Kronecker product has too many units, or a leaf family does not fit.
    """
    assembly = _Assembly(Builder(variables), graph, layers)
    assembly.add_leaves(_families(variables, layers.leaf))
    owners = [graph.stage[table[:, 0]] for table in graph.partitions]
    for stage in sorted({s for mine in owners for s in np.unique(mine).tolist()}):
        assembly.add_stage(stage)
    root = assembly.node[[graph.root]]
    if not owners:
        root = assembly.builder.sums(root, 1)
    return assembly.builder.build(int(root[0]))


def _families(variables: Sequence[Variable], leaf: Leaf) -> list[Family]:
    """The families of all variables; indicators only if asked for by name."""
    names = leaf_names(variables, leaf)
    return [
        (leaf_family if name == "indicator" else distribution_family)(variable, name)
        for variable, name in zip(variables, names, strict=True)
    ]


class _Assembly:
    """Builds a circuit from the leaf regions to the root."""

    def __init__(self, builder: Builder, graph: RegionGraph, layers: Layers) -> None:
        self.builder = builder
        self.graph = graph
        self.layers = layers
        self.node = np.full(len(graph.stage), -1)  # of each region, once it is built

    def add_leaves(self, families: Sequence[Family]) -> None:
        """Add inputs, and their products in regions of several variables."""
        builder, graph, width = self.builder, self.graph, self.layers.input_units
        entries = np.concatenate([table.ravel() for _, table in graph.leaves])
        inputs = input_nodes(builder, families, entries, width, shared=False)
        ends = np.cumsum([table.size for _, table in graph.leaves])
        parts = np.split(inputs, ends[:-1])
        for (regions, table), part in zip(graph.leaves, parts, strict=True):
            mine = part.reshape(len(table), -1)
            self.node[regions] = builder.products(mine) if table.shape[1] > 1 else part
        if self._needs_lift():
            leaves = np.concatenate([regions for regions, _ in graph.leaves])
            self.node[leaves] = builder.sums(self.node[leaves], self.layers.sum_units)

    def _needs_lift(self) -> bool:
        layers = self.layers
        if layers.product == "kronecker" or layers.sum_units == layers.input_units:
            return False
        leaf = self.node >= 0
        beside = [leaf[table[:, 1:]] for table in self.graph.partitions]
        return any(bool((row.any(axis=1) & ~row.all(axis=1)).any()) for row in beside)

    def add_stage(self, stage: int) -> None:
        """Add the products and sums of the regions of one stage."""
        parents, products = self._products(stage)
        order = np.argsort(parents, kind="stable")
        parents, products = parents[order], products[order]
        regions, starts, counts = np.unique(parents, return_index=True, return_counts=True)
        units = 1 if regions[0] == self.graph.root else self.layers.sum_units
        for count in np.unique(counts).tolist():
            mine = counts == count
            operands = products[starts[mine, None] + np.arange(count)]
            self.node[regions[mine]] = self.builder.sums(operands, units)

    def _products(self, stage: int) -> tuple[Int, Int]:
        """For the partitions of one stage, the regions that they split and their products."""
        parents, products = [_NONE], [_NONE]
        for table in self.graph.partitions:
            mine = table[self.graph.stage[table[:, 0]] == stage]
            if len(mine):
                parents.append(mine[:, 0])
                products.append(self._multiply(self.node[mine[:, 1:]]))
        return np.concatenate(parents), np.concatenate(products)

    def _multiply(self, operands: Int) -> Int:
        if operands.shape[1] == 1:
            return operands[:, 0]
        kronecker = self.layers.product == "kronecker"
        if kronecker:
            _check_width(self.builder.units_of(operands))
        return self.builder.products(operands, kronecker=kronecker)


_NONE = np.zeros(0, np.int64)


def _check_width(units: Int) -> None:
    """Refuse Kronecker products of more than `WIDEST` units."""
    widest = max(math.prod(row) for row in np.unique(units, axis=0).tolist())
    if widest > WIDEST:
        raise OptionError.of(
            "PC341",
            f"a Kronecker product of {units.shape[1]} parts has {widest:,} units",
            help=f"at most {WIDEST:,}: use fewer units, fewer parts, or product='elementwise'",
        )
