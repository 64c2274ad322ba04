"""Basic counts of a circuit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pccompiler.ir.kinds import Kind
from pccompiler.ir.node_table import NodeTable


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts of a circuit. ``weights`` and ``entries`` count each shared weight once."""

    variables: int
    nodes: int
    units: int
    edges: int
    depth: int
    kinds: Mapping[str, int]
    weights: int
    weight_entries: int

    def summary(self) -> str:
        """One readable line."""
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.kinds.items() if number)
        return (
            f"circuit over {self.variables:,} variables: {self.nodes:,} nodes ({kinds}), "
            f"{self.units:,} units, {self.edges:,} edges, depth {self.depth:,}, "
            f"{self.weight_entries:,} entries in {self.weights:,} weights"
        )


def count(circuit: NodeTable, depth: int) -> Statistics:
    """Count nodes, units, edges and weights of ``circuit``."""
    numbers = np.bincount(circuit.kind, minlength=len(Kind))
    return Statistics(
        variables=len(circuit.variables),
        nodes=circuit.num_nodes,
        units=int(circuit.units.sum()),
        edges=len(circuit.operands),
        depth=depth,
        kinds={kind.keyword: int(numbers[kind]) for kind in Kind},
        weights=len(circuit.weights),
        weight_entries=int(circuit.weights.sizes.sum()),
    )
