"""A perceptron from embeddings to logits. ONNX Runtime folds it when it loads the file."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.generators import Hypernetwork
from pccompiler.ir.generators.base import Head
from pccompiler.onnx_backend.generators.base import OnnxGenerator


class OnnxHypernetwork(OnnxGenerator[Hypernetwork]):
    """Hidden layers are features; output layers give logits."""

    def features(self, codes: str) -> str:
        """Last hidden values."""
        for number in range(len(self.generator.hidden)):
            codes = self.graph.op("Relu", self._linear(codes, f"hidden_{number}"))
        return codes

    def logits(self, features: str, head: Head) -> str:
        """The output layer of the head's shape, or those outputs of the largest that are used."""
        if not self.generator.slices:
            return self._linear(features, head.name)
        corner = np.s_[: head.rows, : head.columns]
        weight = self.parameters["head_weight"].reshape(*head.largest, -1)[corner]
        bias = self.parameters["head_bias"].reshape(head.largest)[corner]
        table = self.wide(f"{head.name}_weight", weight.reshape(head.rows * head.columns, -1))
        return self.graph.op(
            "Gemm", features, table, self.wide(f"{head.name}_bias", bias.ravel()), transB=1
        )

    def _linear(self, values: str, name: str) -> str:
        parts = (f"{name}_weight", f"{name}_bias")
        weight, bias = (self.wide(part, self.parameters[part]) for part in parts)
        return self.graph.op("Gemm", values, weight, bias, transB=1)
