"""Leaf families in the ONNX backend: a class writes the nodes of a family's log-density.

Families whose densities are looked up in a table by state need none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pccompiler.errors import ExportError
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.supports import slices
from pccompiler.ir.variables import Variable
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.supports import support_of
from pccompiler.onnx_backend.weights import WeightWriter


@dataclass(frozen=True)
class LeafNodes:
    """An input layer that is being written.

    Attributes:
        graph: The graph to write to.
        weights: Writes quantities derived from parameters.
        number: Number of the layer.
        values: The data, float32, shape (rows, 1, batch); nothing missing.
        variables: The variable of each row.
    """

    graph: Graph
    weights: WeightWriter
    number: int
    values: str
    variables: Sequence[Variable]

    def parameter(self, name: str) -> str:
        """A parameter as in the IR, in float64, shape (rows, units, its columns).

        Args:
            name: Its name in the family.
        """
        group = self.weights.plan.groups[self.weights.plan.layers[self.number].group]
        places = slices(group.parameters, group.columns)
        named = zip(group.parameters, places, strict=True)
        support, place = {p.name: (p.support, place) for p, place in named}[name]
        floor, columns = self.weights.plan.floor, place.stop - place.start

        def nodes(raw: str) -> str:
            part = self.graph.wide(self.graph.slice(raw, place.start, place.stop, axis=2))
            return support_of(support).constrain(self.graph, part, floor, columns)

        return self.derived(name, lambda values: values[..., place], nodes)

    def derived(
        self,
        kind: str,
        of_values: Callable[[Float], Float],
        of_raw: Callable[[str], str] | None = None,
        dtype: type[np.generic] = np.float64,
    ) -> str:
        """See `WeightWriter.derived`."""
        return self.weights.derived(kind, self.number, of_values, of_raw, dtype)


class OnnxLeaf:
    """A leaf family in ONNX.

    Attributes:
        keyword: The family's keyword in the text form.
        somewhere: A value with positive density, used in place of missing ones.
    """

    keyword: str
    somewhere: float = 0.0

    def log_density(self, leaf: LeafNodes) -> str:
        """Nodes of the log-density in nats, float32, shape (rows, units, batch)."""
        raise missing(self.keyword)


def missing(keyword: str) -> ExportError:
    """The error for an export of a family without an ONNX class."""
    return ExportError.of(
        "PC464",
        f"{keyword} leaves cannot be exported: the hook OnnxLeaf.log_density is missing for them",
        help="subclass pccompiler.onnx_backend.leaves.base.OnnxLeaf and register an instance; "
        "docs/howto/add-a-family.md says how",
    )
