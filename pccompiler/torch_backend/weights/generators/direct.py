"""Blocks of logits, of which sectors take the upper left part."""

from __future__ import annotations

from torch import Tensor

from pccompiler.ir.generators import Direct
from pccompiler.ir.generators.base import Head
from pccompiler.torch_backend.weights.generators.base import TorchGenerator


class TorchDirect(TorchGenerator[Direct]):
    """Codes are logits."""

    def logits(self, features: Tensor, head: Head) -> Tensor:
        """The upper left part of each block."""
        return features[:, : head.rows, : head.columns]
