"""The parts of a plan: layers, operands and weight groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.families import Family
from pccompiler.ir.families.registry import parameters
from pccompiler.ir.families.supports import Parameter, Simplex
from pccompiler.ir.kinds import SUMS, Kind


class Form(IntEnum):
    """How a layer represents a probability (or density) v, shape (rows, units, batch)."""

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
    """Where operands are: an array of shape (arity, rows), all first operands first, and so on.

    Attributes:
        rows: Rows of the consuming layer that have these operands.
        arity: Operands of each row.
        units: Width of every operand.
        sources: The layers that hold them.
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
            step: The distance between the numbers of a layer's rows.
        """
        found = np.empty(self.arity * self.rows, np.int64)
        for source in self.sources:
            found[source.positions] = first[source.layer] + step * source.rows
        return found.reshape(self.arity, self.rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """Nodes that are computed together, one per row.

    Attributes:
        kind: What the rows compute.
        units: Width of each row.
        nodes: Shape ``(rows,)``, the circuit node of each row.
        operands: Empty for inputs. For elementwise products one entry for each arity, and for
            ragged sums one for each weight group, whose rows follow one another; for other kinds
            one entry if all operands have the same width, otherwise one per operand, concatenated.
        group: Index of the weight group, or -1; -1 in ragged sums.
        groups: The weight group of each entry of ``operands`` in a ragged sum; otherwise empty.
        index: Shape ``(rows,)``, each row's weight within the group.
        family: Leaf family of an input layer.
        variables: Shape ``(rows,)``, each input's variable.
        form: Form of the value.
        normalize: Whether a linear product divides by its largest unit.
        shift: Whether a dense sum takes its operands in log form, shifted by their largest unit.
        lowest: A lower bound on the units of a linear value; 0 if zeros can occur. In log form it
            is 1 if no unit can be zero, otherwise 0.
        peak: A lower bound on the largest unit of a linear value. In log form it is 1 if the
            units cannot all be zero, otherwise 0.
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
    def tabular(self) -> bool:
        """Whether the layer looks its values up in tables by state."""
        return self.family is not None and self.family.tabular

    @property
    def ragged(self) -> bool:
        """Whether the rows are scalar sums over scalar operands, of any fan-in."""
        return len(self.groups) > 0

    @property
    def arities(self) -> Int:
        """Shape ``(rows,)``, how many operands each row of a product or a ragged sum has."""
        if self.kind == Kind.PRODUCT or self.ragged:
            return np.repeat([o.arity for o in self.operands], [o.rows for o in self.operands])
        return np.full(self.rows, sum(o.arity for o in self.operands))

    @property
    def fan_in(self) -> int:
        """Scalar inputs of each row of a dense sum."""
        return sum(o.arity * o.units for o in self.operands)

    @property
    def below(self) -> Iterator[int]:
        """The layers that this layer reads, with repetitions."""
        return (source.layer for o in self.operands for source in o.sources)


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightGroup:
    """Stacked weights of one owner kind and shape: values have shape (weights, rows, columns).

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

    @cached_property
    def is_sum(self) -> bool:
        """Whether rows are mixture weights; otherwise they are leaf parameters."""
        return self.owner in (kind.keyword for kind in SUMS)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameter or parameters in the columns."""
        return parameters(self.owner)

    @cached_property
    def tabular(self) -> bool:
        """Whether layers multiply by the weights or look them up, instead of forming densities."""
        return self.is_sum or Family[self.owner].tabular

    @property
    def states(self) -> int:
        """The number of probabilities that a row of a table represents."""
        return self.parameters[0].support.outcomes(self.columns)

    @cached_property
    def is_simplex(self) -> bool:
        """Whether rows are probabilities that sum to one."""
        return len(self.parameters) == 1 and isinstance(self.parameters[0].support, Simplex)


@dataclass(frozen=True, eq=False)
class Use:
    """A layer's use of a weight group: row i of entry ``part`` uses its weight ``index[i]``."""

    layer: int
    part: int
    group: int
    index: Int
