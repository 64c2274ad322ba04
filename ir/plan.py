"""The plan: a circuit as a short list of tensor layers, which every backend runs.

A layer folds nodes of one level, kind and shape: *rows*. Its value is a tensor of shape
``(rows, units, batch)`` in one of two forms (`Form`). The rows of a layer are ordered so that its
consumer finds its operands side by side, and needs no gather.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.generators import Direct, Generator, Sectors
from pccompiler.ir.kinds import PRODUCTS, SIMPLEX, SUMS, Family, Kind
from pccompiler.ir.variables import Variable


class Form(IntEnum):
    """How a layer's value stands for a probability (or density) v, shape (rows, units, batch)."""

    LOG = 0
    """log v."""
    LINEAR = 1
    """x and a scale s of shape (rows, batch), with v = x exp(s); x lies in [lowest, 1]."""


@dataclass(frozen=True, eq=False)
class Source:
    """Rows taken from one layer: ``target[positions] = layer[rows]``."""

    layer: int
    rows: Int
    positions: Int


@dataclass(frozen=True, eq=False)
class Operands:
    """Where operands lie: an array of shape (arity, rows), first all first operands, and so on.

    Attributes:
        rows: Rows of the consuming layer that have these operands.
        arity: Operands of each row.
        units: Width of every operand.
        sources: The layers that they come from.
        start: If not ``None``, the operands are rows ``start, start + 1, ...`` of the only source.
    """

    rows: int
    arity: int
    units: int
    sources: tuple[Source, ...]
    start: int | None

    def places(self, first: Int, step: int = 1) -> Int:
        """The operands' numbers, shape (arity, rows), where row i of layer l has ``first[l] + i``.

        Args:
            first: The number of each layer's first row.
            step: Between the numbers of a layer's rows.
        """
        found = np.empty(self.arity * self.rows, np.int64)
        for source in self.sources:
            found[source.positions] = first[source.layer] + step * source.rows
        return found.reshape(self.arity, self.rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """Nodes that are computed together.

    Attributes:
        kind: What the rows compute.
        units: Width of each row.
        nodes: Shape ``(rows,)``, the circuit node of each row.
        operands: Empty for inputs. For elementwise products one entry for each arity, and for
            ragged sums one for each weight group, whose rows lie one below the other; for other
            kinds one entry if all operands have one width, else one for each operand, side by side.
        group: Index of the weight group, or -1; -1 in ragged sums.
        groups: Of a ragged sum, the weight group of each entry of ``operands``; else empty.
        index: Shape ``(rows,)``, each row's weight within the group.
        family: Leaf family of an input layer.
        variables: Shape ``(rows,)``, each input's variable.
        form: Form of the value.
        normalize: Whether a linear product divides by its largest unit.
        shift: Whether a dense sum takes its operands in log form, shifted by their largest unit.
        lowest: A linear value's smallest unit that can occur; 0 where zeros can occur. In log form
            it is 1 where no unit can be zero, else 0.
        peak: The least that the largest unit of a linear value can be. In log form it is 1 where
            not all units can be zero, else 0.
    """

    kind: Kind
    units: int
    nodes: Int
    operands: tuple[Operands, ...] = ()
    group: int = -1
    groups: tuple[int, ...] = ()
    index: Int | None = None
    family: Family | None = None
    variables: Int | None = None
    form: Form = Form.LOG
    normalize: bool = False
    shift: bool = False
    lowest: float = 0.0
    peak: float = 0.0

    @property
    def rows(self) -> int:
        """Number of nodes in the layer."""
        return len(self.nodes)

    @property
    def ragged(self) -> bool:
        """Whether the rows are sums of one unit over operands of one unit, of any fan-in."""
        return len(self.groups) > 0

    @property
    def fan_in(self) -> int:
        """Scalar inputs of each row of a dense sum."""
        return sum(o.arity * o.units for o in self.operands)

    @property
    def below(self) -> Iterator[int]:
        """The layers that this layer reads, repeated where it reads one twice."""
        return (source.layer for o in self.operands for source in o.sources)


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightGroup:
    """Weights of one owner kind and shape, stacked: values have shape (weights, rows, columns).

    Attributes:
        owner: Keyword of the node kind or leaf family that uses the weights.
        rows: Rows of each weight.
        columns: Columns of each weight.
        weights: Shape ``(weights,)``, circuit weight ids, ascending.
        generated: Whether sectors cover the weights.
    """

    owner: str
    rows: int
    columns: int
    weights: Int
    generated: bool

    @property
    def name(self) -> str:
        """A name that is unique in its plan, such as ``sum_5x2``."""
        return f"{self.owner}_{self.rows}x{self.columns}"

    @property
    def is_sum(self) -> bool:
        """Whether rows are mixture weights (else leaf parameters)."""
        return self.owner in (kind.keyword for kind in SUMS)

    @property
    def is_simplex(self) -> bool:
        """Whether rows are probabilities that sum to one."""
        return self.is_sum or self.owner in (family.keyword for family in SIMPLEX)


@dataclass(frozen=True, eq=False)
class Use:
    """A layer's use of a weight group: row i of entry ``part`` takes weight ``index[i]`` of it."""

    layer: int
    part: int
    group: int
    index: Int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one evaluation takes, by counting.

    Attributes:
        flops: Multiplications and additions of sums and products; exp and log count as one each.
        bytes: Bytes of layer values written and read, at 4 bytes a number.
        peak_values: Most numbers alive at once when layers are dropped after their last use.
        all_values: Numbers of all layer values, kept alive for a backward pass.
    """

    flops: int
    bytes: int
    peak_values: int
    all_values: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A lowered circuit. The last layer's only row is the root.

    Attributes:
        variables: The columns of the data.
        layers: In the order of evaluation.
        groups: The weights.
        sectors: The partition of generated weights.
        leaf_sectors: How many sectors belong to sums over inputs.
        generator: How sum weights come to be.
        log_scale: Added to the root's log value, in nats.
        packed: Whether nodes of one unit prevail, and were folded by level whatever their fan-in.
    """

    variables: tuple[Variable, ...]
    layers: tuple[Layer, ...]
    groups: tuple[WeightGroup, ...]
    sectors: Sectors | None
    leaf_sectors: int
    generator: Generator
    log_scale: float = 0.0
    packed: bool = False

    @property
    def floor(self) -> float:
        """Smallest mixture weight."""
        return self.generator.floor

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        """Who takes which weights, layer by layer; of ragged sums, part by part."""
        found: list[Use] = []
        for number, layer in enumerate(self.layers):
            if layer.index is None:
                continue
            start = 0
            for part, group in enumerate(layer.groups or (layer.group,)):
                stop = start + (layer.operands[part].rows if layer.ragged else layer.rows)
                found.append(Use(number, part, group, layer.index[start:stop]))
                start = stop
        return tuple(found)

    @cached_property
    def last_use(self) -> tuple[int, ...]:
        """For each layer, the last layer that reads it (itself if none does)."""
        last = list(range(len(self.layers)))
        for position, layer in enumerate(self.layers):
            for below in layer.below:
                last[below] = position
        return tuple(last)

    def cost(self, batch: int) -> Cost:
        """Count the work and the memory of one forward evaluation of ``batch`` rows."""
        values = [layer.rows * layer.units * batch for layer in self.layers]
        flops = sum(batch * _flops(layer) for layer in self.layers)
        reads = sum(values[below] for layer in self.layers for below in layer.below)
        alive = peak = 0
        for position, size in enumerate(values):
            alive += size
            peak = max(peak, alive)
            alive -= sum(
                values[b] for b in set(self.layers[position].below) if self.last_use[b] == position
            )
        return Cost(
            flops=flops, bytes=4 * (sum(values) + reads), peak_values=peak, all_values=sum(values)
        )

    def summary(self) -> str:
        """One line a layer, for people."""
        lines = [f"plan: {len(self.layers)} layers, {len(self.groups)} weight groups"]
        for number, layer in enumerate(self.layers):
            name = layer.family.keyword if layer.family is not None else layer.kind.keyword
            group = _group_text(self.groups, layer)
            sources = _operands_text(layer)
            form = layer.form.name.lower() + (" normalized" if layer.normalize else "")
            lines.append(
                f"{number:4d} {name:<11} {layer.rows:>8,} x {layer.units:<3} {form:<17}"
                f"{group} {'<- ' + sources if sources else ''}".rstrip()
            )
        return "\n".join(lines) + "\n"


def default_generator() -> Generator:
    """The generator of circuits that name none."""
    return Direct()


def _group_text(groups: tuple[WeightGroup, ...], layer: Layer) -> str:
    if layer.ragged:
        sizes = [groups[number].columns for number in layer.groups]
        return f" fan-in {min(sizes)}" + (f" to {max(sizes)}" if len(set(sizes)) > 1 else "")
    return f" {groups[layer.group].name}" if layer.group >= 0 else ""


def _operands_text(layer: Layer) -> str:
    if layer.ragged:
        below = sorted(set(layer.below))
        edges = sum(o.rows * o.arity for o in layer.operands)
        return f"{'+'.join(map(str, below))} ({edges:,} edges)"
    return " + ".join(_source_text(o) for o in layer.operands)


def _source_text(operands: Operands) -> str:
    layers = "+".join(str(s.layer) for s in operands.sources)
    how = "gather" if operands.start is None else "view"
    return f"{how} {layers} (arity {operands.arity})"


def _flops(layer: Layer) -> int:
    if layer.kind in PRODUCTS:
        reads = sum(o.rows * o.arity for o in layer.operands)
        return layer.units * (reads + 2 * layer.rows * layer.normalize)
    if layer.ragged:
        return 2 * sum(o.rows * o.arity for o in layer.operands)
    if layer.kind == Kind.SUM:
        return layer.rows * layer.units * 2 * layer.fan_in
    arity = sum(o.arity for o in layer.operands)
    return layer.rows * layer.units * (2 * arity if layer.kind == Kind.MIXTURE else 1)


def row_ids(layers: tuple[Layer, ...], num_nodes: int) -> tuple[Int, Int]:
    """For each node, its layer and its row there (-1 where no layer has it)."""
    layer_of, row_of = np.full(num_nodes, -1), np.full(num_nodes, -1)
    for number, layer in enumerate(layers):
        layer_of[layer.nodes] = number
        row_of[layer.nodes] = np.arange(layer.rows)
    return layer_of, row_of
