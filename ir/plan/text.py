"""Plans as text."""

from __future__ import annotations

from pccompiler.ir.plan.layers import Layer, Operands, WeightGroup


def group_text(groups: tuple[WeightGroup, ...], layer: Layer) -> str:
    """The shape of a layer's weights, as `Plan.__str__` prints it."""
    if layer.ragged:
        sizes = [groups[number].columns for number in layer.groups]
        return f" fan-in {min(sizes)}" + (f" to {max(sizes)}" if len(set(sizes)) > 1 else "")
    return f" {groups[layer.group].name}" if layer.group >= 0 else ""


def operands_text(layer: Layer) -> str:
    """The layers that a layer reads, as `Plan.__str__` prints them."""
    if layer.ragged:
        below = sorted(set(layer.below))
        edges = sum(o.rows * o.arity for o in layer.operands)
        return f"{'+'.join(map(str, below))} ({edges:,} edges)"
    return " + ".join(_source_text(o) for o in layer.operands)


def _source_text(operands: Operands) -> str:
    layers = "+".join(str(s.layer) for s in operands.sources)
    how = "gather" if operands.start is None else "view"
    return f"{how} {layers} (arity {operands.arity})"
