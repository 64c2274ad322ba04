"""A plan as steps over an arena, a tensor with a row for every unit of every layer.

Nodes with one unit have operands all over a circuit. In an arena each operand is a row number, so
that a layer's operands are one gather, wherever they come from. Unit by unit, elementwise and
Kronecker products are the same step, and so are mixtures and sums of one unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.arrays import Int, segments
from pccompiler.ir.kinds import PRODUCTS, Kind, factors
from pccompiler.ir.plan.layers import Layer, Operands
from pccompiler.ir.plan.plan import Plan


@dataclass(eq=False, kw_only=True)
class Step:
    """One layer: writes rows ``start ... stop - 1`` of the arena."""

    number: int
    start: int
    stop: int


@dataclass(eq=False, kw_only=True)
class InputStep(Step):
    """Leaves; ``rows`` nodes."""

    rows: int

    @property
    def units(self) -> int:
        """Units of each node."""
        return (self.stop - self.start) // self.rows


@dataclass(eq=False, kw_only=True)
class ProductStep(Step):
    """Products: for each part its number of rows, and its operands, shape (factors, rows)."""

    parts: list[tuple[int, Tensor]]


@dataclass(eq=False, kw_only=True)
class BagStep(Step):
    """Sums, one arena row each, over ragged lists of arena rows.

    Attributes:
        parts: Rows and fan-in of each part; edges are stored row by row, part after part.
        source: Shape ``(edges,)``, arena rows.
        pointer: Shape ``(rows + 1,)``, the start of each row's edges.
        first_edge: Number of the first edge among all bags' edges.
    """

    parts: list[tuple[int, int]]
    source: Tensor
    pointer: Tensor
    first_edge: int

    @property
    def edges(self) -> slice:
        """The step's edges among all bags' edges."""
        return slice(self.first_edge, self.first_edge + len(self.source))


@dataclass(eq=False, kw_only=True)
class DenseStep(Step):
    """Dense sums of several units; ``source`` has shape ``(rows * fan_in,)``."""

    rows: int
    fan_in: int
    source: Tensor

    @property
    def units(self) -> int:
        """Units of each node."""
        return (self.stop - self.start) // self.rows


@dataclass(eq=False)
class Pull:
    """The readers of the rows of a step, row by row.

    Attributes:
        edge: Shape ``(uses,)``, edge numbers among all bags' edges; empty for products.
        reader: Shape ``(uses,)``, arena rows of the readers.
        pointer: Shape ``(rows + 1,)``, the start of each row's readers.
    """

    edge: Tensor
    reader: Tensor
    pointer: Tensor


@dataclass(eq=False)
class Program:
    """A plan's steps, and the readers of each step for the way down.

    Attributes:
        steps: In the order of the plan's layers.
        rows: Rows of the arena.
        edges: Edges of all bags together.
        operations: Upper bound on the multiplications and additions of one evaluation.
        sums: For each step, the bags that read it, or ``None``.
        products: For each step, the products that read it, or ``None``.
    """

    steps: list[Step]
    rows: int
    edges: int
    operations: int
    sums: list[Pull | None] = field(default_factory=list["Pull | None"])
    products: list[Pull | None] = field(default_factory=list["Pull | None"])


_KNOWN: WeakKeyDictionary[Plan, dict[torch.device, Program]] = WeakKeyDictionary()


def program_of(plan: Plan, device: torch.device) -> Program:
    """The program of ``plan`` on ``device``, built once and shared."""
    known = _KNOWN.setdefault(plan, {})
    if device not in known:
        with torch.inference_mode(False):  # its tensors are used for gradients later
            known[device] = make_program(plan, device)
    return known[device]


def make_program(plan: Plan, device: torch.device) -> Program:
    """Index tensors of ``plan`` on ``device``, with the readers of each step."""
    base = segments(np.array([layer.rows * layer.units for layer in plan.layers], np.int64))
    steps: list[Step] = []
    edges = 0
    for number, layer in enumerate(plan.layers):
        step = _step(plan, base, number, layer, edges, device)
        edges += len(step.source) if isinstance(step, BagStep) else 0
        steps.append(step)
    operations = sum(_operations(plan, step) for step in steps)
    program = Program(steps, int(base[-1]), edges, operations)
    program.sums = _pulls(program, *_bag_edges(steps), device)
    program.products = _pulls(program, *_product_edges(steps), device)
    return program


def _step(
    plan: Plan, base: Int, number: int, layer: Layer, edges: int, device: torch.device
) -> Step:
    start, stop = int(base[number]), int(base[number + 1])
    if layer.kind == Kind.INPUT:
        return InputStep(number=number, start=start, stop=stop, rows=layer.rows)
    tables = [_unit_rows(plan, base, operands) for operands in layer.operands]
    if layer.kind in PRODUCTS:
        if layer.kind != Kind.PRODUCT:
            tables = [np.stack(factors(layer.kind, [table[0] for table in tables], axis=1))]
        columns = [table.reshape(len(table), -1) for table in tables]
        parts = [(t.shape[1], _on(t, device)) for t in columns]
        return ProductStep(number=number, start=start, stop=stop, parts=parts)
    if layer.ragged:
        return _bag(number, start, stop, [t[:, :, 0].T for t in tables], edges, device)
    if layer.kind == Kind.MIXTURE:  # row by row, unit by unit: one bag over the operands
        bags = tables[0].transpose(1, 2, 0).reshape(layer.rows * layer.units, -1)
        return _bag(number, start, stop, [bags], edges, device)
    flat = np.concatenate([column for table in tables for column in table], axis=1)
    if layer.units == 1:
        return _bag(number, start, stop, [flat], edges, device)
    return DenseStep(
        number=number,
        start=start,
        stop=stop,
        rows=layer.rows,
        fan_in=flat.shape[1],
        source=_on(flat.ravel(), device),
    )


def _operations(plan: Plan, step: Step) -> int:
    """Upper bound on the step's multiplications and additions for one row of data."""
    rows = step.stop - step.start
    if isinstance(step, ProductStep):
        return sum([part * len(factors) for part, factors in step.parts])
    if isinstance(step, BagStep):
        return 2 * len(step.source)
    if isinstance(step, DenseStep):
        return 2 * rows * step.fan_in
    variables = plan.layers[step.number].variables
    used: set[int] = set() if variables is None else set(variables.tolist())
    return 2 * rows * max([2, *(plan.variables[v].cardinality for v in used)])


def _unit_rows(plan: Plan, base: Int, operands: Operands) -> Int:
    """Arena rows of operands, shape (arity, rows, units)."""
    first = operands.places(base, operands.units)
    table: Int = first[:, :, None] + np.arange(operands.units)
    return table


def _bag(
    number: int, start: int, stop: int, tables: list[Int], edges: int, device: torch.device
) -> BagStep:
    """A bag step of ``tables``, each of shape (rows, fan-in), one after the other."""
    lengths = np.concatenate([np.full(len(t), t.shape[1]) for t in tables])
    return BagStep(
        number=number,
        start=start,
        stop=stop,
        parts=[(len(t), t.shape[1]) for t in tables],
        source=_on(np.concatenate([t.ravel() for t in tables]), device),
        pointer=_on(segments(lengths), device),
        first_edge=edges,
    )


def _bag_edges(steps: list[Step]) -> tuple[Int, Int, Int]:
    """For the edges of all bags: the row read, the row that reads it, and the edge number."""
    bags = [step for step in steps if isinstance(step, BagStep)]
    source = [step.source.cpu().numpy() for step in bags]
    reader = [
        np.repeat(np.arange(step.start, step.stop), np.diff(step.pointer.cpu().numpy()))
        for step in bags
    ]
    none = [np.zeros(0, np.int64)]
    read = np.concatenate(none + source)
    return read, np.concatenate(none + reader), np.arange(len(read))


def _product_edges(steps: list[Step]) -> tuple[Int, Int, Int]:
    """For all factors of products: the row read, and the row that reads it; no edge numbers."""
    source, reader = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for step in steps:
        if isinstance(step, ProductStep):
            row = step.start
            for rows, factors in step.parts:
                source.append(factors.cpu().numpy().ravel())
                reader.append(np.tile(np.arange(row, row + rows), len(factors)))
                row += rows
    return np.concatenate(source), np.concatenate(reader), np.zeros(0, np.int64)


def _pulls(
    program: Program, source: Int, reader: Int, edge: Int, device: torch.device
) -> list[Pull | None]:
    """The readers of each step, sorted by what they read."""
    order = np.argsort(source, kind="stable")
    pointer = segments(np.bincount(source, minlength=program.rows))
    pulls: list[Pull | None] = []
    for step in program.steps:
        here = pointer[step.start : step.stop + 1]
        mine = order[here[0] : here[-1]]
        pulls.append(
            Pull(
                _on(edge[mine] if len(edge) else edge, device),
                _on(reader[mine], device),
                _on(here - here[0], device),
            )
            if len(mine)
            else None
        )
    return pulls


def _on(array: Int, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
