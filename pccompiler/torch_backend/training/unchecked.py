"""A model's evaluation without checks, as a module."""

from __future__ import annotations

from torch import Tensor, nn

from pccompiler.torch_backend.evaluator import Evaluator


class Unchecked(nn.Module):
    """`Evaluator.evaluate_once` as a module, for ``torch.func.functional_call``.

    Its parameters are the model's, under ``"model."``.
    """

    def __init__(self, model: Evaluator) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, complete: bool = False) -> Tensor:
        """See `Evaluator.evaluate_once`."""
        return self.model.evaluate_once(x, complete)
