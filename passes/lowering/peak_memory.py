"""Predicts the peak memory of evaluating a plan, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from pccompiler.ir import Family
from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.plan.layers import Form, Layer
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.plan.rounding import FEW_OPERANDS


@dataclass(frozen=True)
class Peak:
    """Memory of one streamed evaluation, in addition to parameters and data.

    Attributes:
        values: The most values of sums, products and leaf densities alive at once.
        bytes: The most bytes of values, generated weights, inputs and intermediate results.
    """

    values: int
    bytes: int


def peak(plan: Plan, batch: int, itemsize: int = 4) -> Peak:
    """Predict the peak of a forward evaluation with lazy weights and inputs.

    Args:
        plan: Not packed.
        batch: Rows of data.
        itemsize: Bytes per number.
    """
    return _Walk(plan, batch).run(itemsize)


@dataclass(eq=False)
class _Walk:
    plan: Plan
    batch: int

    def run(self, itemsize: int) -> Peak:
        plan = self.plan
        scales = [size * 8 // itemsize for size in self._scales()]  # they are float64
        release = self._releases(scales)
        alive = most_values = scale = most = 0
        for number, layer in enumerate(plan.layers):
            alive += self._size(layer)
            scale += scales[number]
            most_values = max(most_values, alive)
            most = max(most, alive + scale + self._passing(layer))
            for below in set(layer.below):
                if plan.last_use[below] == number:
                    alive -= self._size(plan.layers[below])
            scale -= release[number]
        return Peak(most_values, most * itemsize)

    def _scales(self) -> list[int]:
        """Size of each layer's own scales; sums pass on those of their operand."""
        scaled: list[bool] = []
        for layer in self.plan.layers:
            has = layer.normalize or layer.shift or any(scaled[below] for below in layer.below)
            scaled.append(layer.form == Form.LINEAR and has)
        return [
            layer.rows * self.batch * (has and layer.kind in PRODUCTS)
            for layer, has in zip(self.plan.layers, scaled, strict=True)
        ]

    def _releases(self, scales: list[int]) -> list[int]:
        """Size of the scales freed after each layer; sums keep those of their products alive."""
        plan = self.plan
        gone = list(plan.last_use)
        for number, layer in enumerate(plan.layers):
            if layer.kind == Kind.SUM and layer.form == Form.LINEAR:
                for below in layer.below:
                    gone[below] = max(gone[below], plan.last_use[number])
        release = [0] * len(plan.layers)
        for number, scale in enumerate(scales):
            release[gone[number]] += scale
        return release

    def _size(self, layer: Layer) -> int:
        """Size of a layer's value; indicators are read from the data."""
        return 0 if layer.family == Family.INDICATOR else layer.rows * layer.units * self.batch

    def _passing(self, layer: Layer) -> int:
        """Size of temporaries while a layer runs: weights, gathered operands, logarithms."""
        if layer.kind == Kind.INPUT:
            return 0 if layer.family == Family.INDICATOR else self._leaves(layer)
        operands = sum(o.rows * o.arity * o.units for o in layer.operands) * self.batch
        gathered = any(o.start is None for o in layer.operands)
        if layer.kind == Kind.MIXTURE:
            return 3 * operands + 2 * self._size(layer) + self._weights(layer)
        if layer.kind == Kind.SUM:
            if layer.shift:
                made = gathered + self._linear_below(layer) + 1
                logs = 2 * self._size(layer) * (layer.form == Form.LOG)
                return made * operands + logs + self._weights(layer)
            indicators = any(self.plan.layers[b].family == Family.INDICATOR for b in layer.below)
            if indicators:  # a column of the data, and both states
                return (
                    operands + operands // max(layer.operands[0].units, 1) + (self._weights(layer))
                )
            return operands * gathered + self._weights(layer)
        logs = operands if layer.form == Form.LOG and self._linear_below(layer) else 0
        if layer.form == Form.LOG and layer.kind == Kind.PRODUCT:
            logs += self._halves(layer)
        return logs + operands * gathered + layer.rows * self.batch * layer.normalize

    def _halves(self, layer: Layer) -> int:
        """Size of the partial sums of products of many operands: half that of the operands."""
        long = [o for o in layer.operands if o.arity > FEW_OPERANDS]
        return max((o.rows * (o.arity + 1) // 2 * o.units for o in long), default=0) * self.batch

    def _linear_below(self, layer: Layer) -> bool:
        return any(self.plan.layers[b].form == Form.LINEAR for b in layer.below)

    def _leaves(self, layer: Layer) -> int:
        """One-hot states, tables and densities of leaves."""
        group = self.plan.groups[layer.group]
        table = layer.rows * group.rows * max(group.columns, 2)
        if not layer.tabular:
            return 3 * self._size(layer) + 3 * table
        states = group.states
        logs = self._size(layer) * (layer.form == Form.LOG)
        return layer.rows * states * self.batch + logs + 3 * table

    def _weights(self, layer: Layer) -> int:
        """Temporaries of generating weights: logits, their softmax, the network's last layers."""
        group = self.plan.groups[layer.group]
        entries = layer.rows * group.rows * group.columns
        return 2 * entries + layer.rows * group.generated * self.plan.generator.width
