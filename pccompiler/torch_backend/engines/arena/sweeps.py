"""Evaluates a program over an arena, bottom up and top down, in linear or in log space.

Linear space needs no exp, log or maximum, and its sums are one call per layer. Only underflow can
make it wrong, which the root reveals. Mixture weights and discrete densities are at most 1, so the
root's derivative with respect to any value is at most 1: if each of the E operations loses at most
the smallest normal number s, the root is off by at most E s. Rows whose root is at least
``E s / eps`` are as exact as rounding allows; the others are evaluated in log space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pccompiler.ir.plan.rounding import FEW_OPERANDS
from pccompiler.torch_backend.engines.arena.program import (
    BagStep,
    DenseStep,
    InputStep,
    ProductStep,
    Program,
    Pull,
)
from pccompiler.torch_backend.engines.arena.tables import Tables
from pccompiler.torch_backend.runtime.addition import add_up
from pccompiler.torch_backend.values import finite, safe_div


def certain_root(program: Program, dtype: torch.dtype) -> float:
    """The smallest root for which linear space in ``dtype`` is exact, up to rounding."""
    info = torch.finfo(dtype)
    return math.exp(math.log(info.tiny) + math.log(program.operations) - math.log(info.eps))


class Sweep:
    """One evaluation of a chunk of rows: values of shape (arena rows, batch)."""

    def __init__(self, program: Program, tables: Tables, log: bool, arena: Tensor) -> None:
        self.program, self.tables, self.log, self.x = program, tables, log, arena

    def up(self) -> Tensor:
        """Run bottom-up. Returns the root's value (in log space its log), shape (batch,)."""
        for step in self.program.steps:
            out = self.x[step.start : step.stop]
            if isinstance(step, InputStep):
                self.input(step, out)
            elif isinstance(step, ProductStep):
                self.product(step, out)
            elif isinstance(step, BagStep):
                self.log_bag(step, out) if self.log else self.bag(step, out)
            elif isinstance(step, DenseStep):
                self.dense(step, out)
        return self.x[-1]

    def input(self, step: InputStep, out: Tensor) -> None:
        """States times tables; in log space their logarithms, unless those are given."""
        given = self.tables.inputs[step.number]
        weight = self.tables.dense.get(step.number)
        if weight is None:  # indicators, or log-densities
            out.copy_(given.reshape(out.shape))
            if self.log and step.number in self.tables.indicators:
                out.log_()
            return
        torch.bmm(weight, given, out=out.view(step.rows, step.units, out.shape[-1]))
        if self.log:
            out.log_()

    def product(self, step: ProductStep, out: Tensor) -> None:
        """Products, factor by factor; logarithms of many factors are added pairwise."""
        below = self.x[: step.start]  # shows torch that it does not overlap with out
        row = 0
        for rows, factors in step.parts:
            piece = out[row : row + rows]
            row += rows
            if self.log and len(factors) > FEW_OPERANDS:
                every = below.index_select(0, factors.flatten())
                piece.copy_(add_up(every.view(*factors.shape, -1)))
                continue
            torch.index_select(below, 0, factors[0], out=piece)
            for factor in factors[1:]:
                more = below.index_select(0, factor)
                piece.add_(more) if self.log else piece.mul_(more)

    def bag(self, step: BagStep, out: Tensor) -> None:
        """Weighted sums of arena rows, gathered and added in one call."""
        weight = self.tables.edges[step.edges]
        out.copy_(pool(self.x, step.source, step.pointer, weight))

    def log_bag(self, step: BagStep, out: Tensor) -> None:
        """Log-sum-exp, fan-in by fan-in; weights are added before the maximum."""
        logs = self.tables.log_edges[step.edges]
        row = edge = 0
        for rows, fan_in in step.parts:
            edges = slice(edge, edge + rows * fan_in)
            terms = self.x.index_select(0, step.source[edges]).add_(logs[edges].unsqueeze(1))
            terms = terms.view(rows, fan_in, -1)
            top = finite(terms.amax(1))
            total = terms.sub_(top.unsqueeze(1)).exp_().sum(1)
            torch.add(total.log_(), top, out=out[row : row + rows])
            row, edge = row + rows, edge + rows * fan_in

    def dense(self, step: DenseStep, out: Tensor) -> None:
        """Matrix products; in log space, of operands divided by their maximum."""
        value = out.view(step.rows, step.units, out.shape[-1])
        below = self.operands(step)
        if not self.log:
            torch.bmm(self.tables.dense[step.number], below, out=value)
            return
        top = finite(below.amax(1, keepdim=True))
        torch.bmm(self.tables.dense[step.number], below.sub_(top).exp_(), out=value)
        value.log_().add_(top)

    def operands(self, step: DenseStep) -> Tensor:
        """Operand units of dense sums, shape (rows, fan-in, batch)."""
        return self.x.index_select(0, step.source).view(step.rows, step.fan_in, -1)


class Gradients(NamedTuple):
    """Gradients by layer, of log-densities and of tables, and of all bags' weights."""

    inputs: dict[int, Tensor]
    tables: dict[int, Tensor]
    edges: Tensor


class Flows:
    """The way down. A flow is the derivative of the root's logarithm by a value's logarithm.

    A value's flow is pulled from its readers: no two threads add to the same place, and the order
    of additions is fixed. In linear space a sum leaves ``flow / value`` for its operands to pull,
    in log space the flow of each edge.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.program, self.x = sweep, sweep.program, sweep.x
        self.left = torch.empty_like(self.x)
        self.edge_flow = (
            self.x.new_empty(self.program.edges, self.x.shape[1]) if sweep.log else None
        )
        self.edge_grads = self.x.new_zeros(self.program.edges)
        self.dense_grads: dict[int, Tensor] = {}
        self.input_grads: dict[int, Tensor] = {}
        dense = any(isinstance(step, DenseStep) for step in self.program.steps)
        self.dense_flow = torch.zeros_like(self.x) if dense else None

    @property
    def gradients(self) -> Gradients:
        """The gradients that `run` found."""
        return Gradients(self.input_grads, self.dense_grads, self.edge_grads)

    def run(self, grad: Tensor) -> None:
        """Fill the gradients; ``grad`` is the derivative of the loss by the root's logarithm."""
        for number in reversed(range(len(self.program.steps))):
            step = self.program.steps[number]
            flow = self.flow(number)
            if number == len(self.program.steps) - 1:
                flow = grad.unsqueeze(0)
            if isinstance(step, InputStep):
                self.input(step, flow)
            elif isinstance(step, BagStep):
                self.log_bag(step, flow) if self.sweep.log else self.bag(step, flow)
            elif isinstance(step, DenseStep):
                self.dense(step, flow)
            else:
                self.left[step.start : step.stop] = flow

    def flow(self, number: int) -> Tensor:
        """The flow of a step's rows, from all readers."""
        step = self.program.steps[number]
        x = self.x[step.start : step.stop]
        sums, products = self.program.sums[number], self.program.products[number]
        flow = None if sums is None else self.from_sums(sums, x)
        if products is not None:
            more = pool(self.left, products.reader, products.pointer, None)
            flow = more if flow is None else flow.add_(more)
        if self.dense_flow is not None:
            pushed = self.dense_flow[step.start : step.stop]
            flow = pushed if flow is None else flow.add_(pushed)
        return torch.zeros_like(x) if flow is None else flow

    def from_sums(self, sums: Pull, x: Tensor) -> Tensor:
        """Flow from the bags that read a step."""
        if self.edge_flow is not None:
            return pool(self.edge_flow, sums.edge, sums.pointer, None)
        weight = self.sweep.tables.edges.index_select(0, sums.edge)
        return pool(self.left, sums.reader, sums.pointer, weight).mul_(x)

    def bag(self, step: BagStep, flow: Tensor) -> None:
        """In linear space: the derivative by the value, and its product with each operand."""
        left = self.left[step.start : step.stop]
        left.copy_(safe_div(flow, self.x[step.start : step.stop]))
        row = edge = 0
        for rows, fan_in in step.parts:
            edges = slice(edge, edge + rows * fan_in)
            below = self.x.index_select(0, step.source[edges]).view(rows, fan_in, -1)
            here = slice(step.first_edge + edge, step.first_edge + edge + rows * fan_in)
            grad = torch.bmm(below, left[row : row + rows].unsqueeze(2))
            self.edge_grads[here] = grad.view(-1)
            row, edge = row + rows, edge + rows * fan_in

    def log_bag(self, step: BagStep, flow: Tensor) -> None:
        """In log space: the share of each operand in the sum."""
        if self.edge_flow is None:
            raise AssertionError("only log space has edge flows")  # pragma: no cover
        lengths = step.pointer.diff()
        row = torch.repeat_interleave(
            torch.arange(len(lengths), device=lengths.device), lengths, output_size=len(step.source)
        )
        value = finite(self.x[step.start : step.stop])  # if a sum is zero, so are all its terms
        share = self.x.index_select(0, step.source)
        share += self.sweep.tables.log_edges[step.edges].unsqueeze(1)
        share.sub_(value.index_select(0, row)).exp_().mul_(flow.index_select(0, row))
        self.edge_flow[step.edges] = share
        weight = self.sweep.tables.edges[step.edges]
        self.edge_grads[step.edges] = safe_div(share.sum(1), weight)

    def dense(self, step: DenseStep, flow: Tensor) -> None:
        """Flows and weight gradients of dense sums."""
        if self.dense_flow is None:
            raise AssertionError("dense steps need this")  # pragma: no cover
        weight, below = self.sweep.tables.dense[step.number], self.sweep.operands(step)
        value = self.x[step.start : step.stop].view(step.rows, step.units, self.x.shape[1])
        if self.sweep.log:
            top = finite(below.amax(1, keepdim=True))
            below = below.sub_(top).exp_()
            value = (value - top).exp_()
        left = safe_div(flow.view_as(value), value)
        self.dense_grads[step.number] = torch.bmm(left, below.transpose(1, 2))
        below.mul_(torch.bmm(weight.transpose(1, 2), left))
        self.dense_flow.index_add_(0, step.source, below.flatten(0, 1))

    def input(self, step: InputStep, flow: Tensor) -> None:
        """Gradients of leaf tables or of given log-densities."""
        states = self.sweep.tables.inputs[step.number]
        if step.number not in self.sweep.tables.dense:
            self.input_grads[step.number] = flow.reshape(states.shape)
            return
        value = self.x[step.start : step.stop]
        left = safe_div(flow, value.exp() if self.sweep.log else value)
        left = left.view(step.rows, step.units, left.shape[-1])
        self.dense_grads[step.number] = torch.bmm(left, states.transpose(1, 2))


def pool(table: Tensor, index: Tensor, pointer: Tensor, weight: Tensor | None) -> Tensor:
    """Row i is the sum of ``weight[j] * table[index[j]]`` for j from ``pointer[i]`` on."""
    result: Sequence[Tensor] = torch.embedding_bag(
        table, index, pointer, False, 0, False, weight, True
    )
    return result[0]
