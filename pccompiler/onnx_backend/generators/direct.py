"""Blocks of logits: the parts that are used, as numbers."""

from __future__ import annotations

from pccompiler.ir.generators import Direct
from pccompiler.onnx_backend.generators.base import OnnxGenerator, Run


class OnnxDirect(OnnxGenerator[Direct]):
    """Codes are logits, so that no nodes are needed."""

    def run(self, run: Run) -> str:
        """The upper left part of each block."""
        blocks = self.parameters[self.generator.table][run.sectors.ravel()]
        used = blocks[:, : run.head.rows, : run.head.columns].reshape(-1, run.size)
        return self.graph.parameter(f"blocks_{run.start}", used)
