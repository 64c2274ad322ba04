"""A perceptron from embeddings to logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from pccompiler.ir.generators import Hypernetwork
from pccompiler.ir.generators.base import Head
from pccompiler.torch_backend.weights.generators.base import TorchGenerator


class TorchHypernetwork(TorchGenerator[Hypernetwork]):
    """Hidden layers are features; output layers give logits."""

    def features(self, codes: Tensor) -> Tensor:
        """The last hidden layer's values."""
        for number in range(len(self.generator.hidden)):
            codes = torch.relu(self._linear(codes, f"hidden_{number}"))
        return codes

    def logits(self, features: Tensor, head: Head) -> Tensor:
        """The output layer of the head's shape, or those outputs of the largest that are used."""
        if not self.generator.slices:
            return self._linear(features, head.name).view(-1, head.rows, head.columns)
        weight = self.values["head_weight"].view(*head.largest, -1)[: head.rows, : head.columns]
        bias = self.values["head_bias"].view(head.largest)[: head.rows, : head.columns]
        out = linear(features, weight.flatten(0, 1), bias.flatten())
        return out.view(-1, head.rows, head.columns)

    def _linear(self, values: Tensor, name: str) -> Tensor:
        return linear(values, self.values[f"{name}_weight"], self.values[f"{name}_bias"])
