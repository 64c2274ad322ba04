"""A model unit by unit, for queries over pairs of units; NumPy and plain lists."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pccompiler.ir.arrays import Float, Int
from pccompiler.torch_backend.engines.arena.program import (
    BagStep,
    DenseStep,
    ProductStep,
    program_of,
)

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator

LEAF, PRODUCT, SUM = 0, 1, 2


class Side:
    """A model unit by unit: arena rows, and the products of some operands that pairs introduce.

    Args:
        model: A compiled model.
        bits: Column of the model to bit of a scope.
        weights: Values of all weights, in the order of `flat_weights`; edges of weight 0 are left
            out.
        supports: Input layer to the states of positive probability of each unit, as bit sets; -1
            for families over infinitely many values.
    """

    def __init__(
        self, model: Evaluator, bits: list[int], weights: Float, supports: dict[int, list[int]]
    ) -> None:
        self.model, self.program = model, program_of(model.plan, model.device)
        self.kinds: list[int] = []
        self.operands: list[list[int]] = []
        self.places: list[list[int]] = []
        """For sums: the position of each operand's weight."""
        self.scopes: list[int] = []
        self.origin: list[int] = []
        self.supports: dict[int, int] = {}
        """For leaves: the states of positive probability, as bit sets."""
        self._parts: dict[tuple[int, ...], int] = {}
        self._weights = weights
        self._dense = self.program.edges
        for step in self.program.steps:
            if isinstance(step, ProductStep):
                self._products(step)
            elif isinstance(step, BagStep):
                self._bags(step)
            elif isinstance(step, DenseStep):
                self._sums(step)
            else:
                layer = model.plan.layers[step.number]
                variables = [] if layer.variables is None else layer.variables.tolist()
                for variable in variables:
                    for _ in range(layer.units):
                        self._add(LEAF, [], [], 1 << bits[variable])
                self.supports.update(enumerate(supports[step.number], step.start))

    def _add(self, kind: int, operands: list[int], places: list[int], scope: int) -> int:
        self.kinds.append(kind)
        self.operands.append(operands)
        self.places.append(places)
        self.scopes.append(scope)
        self.origin.append(len(self.origin))
        return len(self.kinds) - 1

    def _products(self, step: ProductStep) -> None:
        for _, factors in step.parts:
            table = factors.cpu().numpy().T
            for operands in table.tolist():
                scope = 0
                for operand in operands:
                    scope |= self.scopes[operand]
                self._add(PRODUCT, operands, [], scope)

    def _bags(self, step: BagStep) -> None:
        source, cuts = step.source.cpu().numpy(), step.pointer.cpu().tolist()
        for start, stop in pairwise(cuts):
            self._sum(source[start:stop], np.arange(start, stop) + step.first_edge)

    def _sums(self, step: DenseStep) -> None:
        source = step.source.cpu().numpy().reshape(step.rows, step.fan_in)
        for number in range(step.stop - step.start):
            row = number // ((step.stop - step.start) // step.rows)
            self._sum(source[row], self._dense + np.arange(step.fan_in))
            self._dense += step.fan_in

    def _sum(self, source: Int, places: Int) -> None:
        kept = self._weights[places] > 0.0
        operands = source[kept].tolist()
        self._add(SUM, operands, places[kept].tolist(), self.scopes[int(source[0])])

    def factors(self, unit: int) -> list[int]:
        """The operands of a product; for a leaf, the leaf itself."""
        return self.operands[unit] if self.kinds[unit] == PRODUCT else [unit]

    def part(self, unit: int, operands: list[int]) -> int:
        """The product of some operands of product ``unit``, or the operand itself if only one."""
        if len(operands) == 1:
            return operands[0]
        key = tuple(operands)
        if key not in self._parts:
            scope = 0
            for operand in operands:
                scope |= self.scopes[operand]
            self._parts[key] = self._add(PRODUCT, operands, [], scope)
            self.origin[-1] = self.origin[unit]
        return self._parts[key]

    def describe(self, unit: int) -> str:
        """Describe the node of a unit, for messages."""
        row = self.origin[unit]
        step = next(s for s in self.program.steps if row < s.stop)
        layer = self.model.plan.layers[step.number]
        node = int(layer.nodes[(row - step.start) // layer.units])
        return self.model.circuit.label(node)

    def scope_names(self, unit: int, names: list[str]) -> str:
        """The first few variables of a unit."""
        found = [name for i, name in enumerate(names) if self.scopes[unit] >> i & 1]
        return "{" + ", ".join(found[:8]) + (", ..." if len(found) > 8 else "") + "}"
