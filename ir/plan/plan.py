"""The plan: a circuit as a short list of tensor layers, which every backend runs.

A layer folds nodes of one level, kind and shape into its *rows*. Its value is a tensor of shape
``(rows, units, batch)`` in one of two forms (`Form`). The rows of a layer are ordered so that its
consumer finds its operands contiguous, and needs no gather.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.generators import Direct, Generator, Sectors
from pccompiler.ir.plan.cost import Cost, flops_of
from pccompiler.ir.plan.layers import Layer, Use, WeightGroup
from pccompiler.ir.plan.text import group_text, operands_text
from pccompiler.ir.variables import Variable
from pccompiler.showing import brief


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A lowered circuit. The last layer's only row is the root.

    Attributes:
        variables: The columns of the data.
        layers: The layers in order of evaluation.
        groups: The weight groups.
        sectors: The partition of generated weights.
        leaf_sectors: How many sectors belong to sums over inputs.
        generator: How sum weights are produced.
        log_scale: Added to the root's log value, in nats.
        packed: Whether most nodes are scalar, so nodes are folded by level whatever their fan-in.
    """

    variables: tuple[Variable, ...]
    layers: tuple[Layer, ...]
    groups: tuple[WeightGroup, ...]
    sectors: Sectors | None
    leaf_sectors: int
    generator: Generator
    log_scale: float = 0.0
    packed: bool = False

    def __repr__(self) -> str:
        facts = {"variables": len(self.variables), "layers": len(self.layers)}
        return brief(self, {**facts, "groups": len(self.groups), "packed": self.packed})

    @property
    def floor(self) -> float:
        """Smallest mixture weight."""
        return self.generator.floor

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        """Which weights each layer uses; for ragged sums, part by part."""
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
    def uses_by_layer(self) -> dict[int, tuple[int, ...]]:
        """For each layer with weights its uses, as indices into `uses`."""
        found: dict[int, tuple[int, ...]] = {}
        for number, use in enumerate(self.uses):
            found[use.layer] = (*found.get(use.layer, ()), number)
        return found

    @cached_property
    def last_use(self) -> tuple[int, ...]:
        """For each layer, the last layer that reads it, or itself if there is none."""
        last = list(range(len(self.layers)))
        for position, layer in enumerate(self.layers):
            for below in layer.below:
                last[below] = position
        return tuple(last)

    def cost(self, batch: int) -> Cost:
        """Count the operations and the memory of one forward evaluation of ``batch`` rows."""
        values = [layer.rows * layer.units * batch for layer in self.layers]
        flops = sum(batch * flops_of(layer) for layer in self.layers)
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
        """One readable line per layer."""
        lines = [f"plan: {len(self.layers)} layers, {len(self.groups)} weight groups"]
        for number, layer in enumerate(self.layers):
            name = layer.family.keyword if layer.family is not None else layer.kind.keyword
            group = group_text(self.groups, layer)
            sources = operands_text(layer)
            form = layer.form.name.lower() + (" normalized" if layer.normalize else "")
            lines.append(
                f"{number:4d} {name:<11} {layer.rows:>8,} x {layer.units:<3} {form:<17}"
                f"{group} {'<- ' + sources if sources else ''}".rstrip()
            )
        return "\n".join(lines) + "\n"


def default_generator() -> Generator:
    """The generator of circuits that specify none."""
    return Direct()


def row_ids(layers: tuple[Layer, ...], num_nodes: int) -> tuple[Int, Int]:
    """For each node, its layer and its row there, or -1 if it is in no layer."""
    layer_of, row_of = np.full(num_nodes, -1), np.full(num_nodes, -1)
    for number, layer in enumerate(layers):
        layer_of[layer.nodes] = number
        row_of[layer.nodes] = np.arange(layer.rows)
    return layer_of, row_of
