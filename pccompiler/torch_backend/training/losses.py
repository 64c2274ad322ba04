"""Losses: log-likelihoods given the other variables, mixtures with the joint one, or your own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from pccompiler.errors import OptionError, closest
from pccompiler.options import as_float, is_of, shown
from pccompiler.torch_backend.data.inputs import Rows
from pccompiler.torch_backend.model import CompiledCircuit

Loss: TypeAlias = Callable[[CompiledCircuit, Tensor], Tensor]
"""Takes the model and rows, shape (batch, variables), NaN where missing, as the model expects them.

Returns a scalar, which is minimized, or one value for each row, whose mean is. A loss that also has
a method ``of_checked``, called in the same way with checked rows, promises by it not to wait for
the device, so that steps can be captured as a CUDA graph.
"""


@dataclass(frozen=True)
class HybridLoss:
    """``-(1 - share) log p(x) - share log p(variable | others)`` of each row, in nats.

    Both terms are log-likelihoods of the row, with missing values integrated out; a row in which
    ``variable`` is missing has only the first.

    Source:
        Bouchard and Triggs (2004), "The Tradeoff Between Generative and Discriminative
        Classifiers".
    """

    variable: str
    share: float

    def __call__(self, model: CompiledCircuit, rows: Rows) -> Tensor:
        """The loss of each row, shape ``(batch,)``. Checks the rows."""
        return self.of_checked(model, model.checked(rows))

    def of_checked(self, model: CompiledCircuit, rows: Tensor) -> Tensor:
        """The loss of each row that the model has checked."""
        if self.variable not in model.names:
            raise OptionError.of(
                "PC839",
                f"the loss is about variable {self.variable!r}, which the circuit does not have",
                help=closest(self.variable, model.names),
            )
        rest = rows.clone()
        rest[:, model.names.index(self.variable)] = torch.nan
        both = model.evaluate_unchecked(torch.cat([rows, rest]))
        joint, others = both[: len(rows)], both[len(rows) :]
        return self.share * others - joint


def discriminative(variable: str) -> HybridLoss:
    """The loss ``-log p(variable | all others)``, in nats: trains a classifier.

    Args:
        variable: The name of the class variable; for regression, of a real one.
    """
    return HybridLoss(variable, 1.0)


def hybrid(variable: str, share: float = 0.5) -> HybridLoss:
    """A weighted mean of ``-log p(variable | all others)`` and ``-log p(x)``, in nats.

    Args:
        variable: The name of the class variable.
        share: The weight of the first, from 0 (generative) to 1 (discriminative).

    Raises:
        OptionError: If ``share`` is not between 0 and 1.
    """
    found = as_float(share)
    if found is None or not 0.0 <= found <= 1.0:
        raise OptionError.of("PC302", f"share is {shown(share)}", help="give a number from 0 to 1")
    return HybridLoss(variable, found)


class Gain(nn.Module):
    """Minus the loss of rows that the model has checked, for ``torch.func.functional_call``.

    Its parameters are the model's, under ``"model."``.
    """

    def __init__(self, model: CompiledCircuit, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss: Loss = getattr(loss, "of_checked", loss)

    def forward(self, x: Tensor, complete: bool = False) -> Tensor:
        """Shape ``(batch,)``, or ``()`` if the loss is a scalar."""
        found = self.loss(self.model, x)
        is_tensor = is_of(found, Tensor)
        if not is_tensor or found.shape not in ((), (len(x),)):
            what = tuple(found.shape) if is_tensor else type(found).__name__
            raise OptionError.of(
                "PC835",
                f"the loss returned {what} for {len(x)} rows",
                help="return a scalar tensor, or a tensor with one value for each row",
            )
        if torch.is_grad_enabled() and not found.requires_grad:
            raise OptionError.of(
                "PC835",
                "the loss does not depend on the parameters that are trained",
                help="compute it from model(rows) or model.log_likelihood(rows), with gradients",
            )
        return -found


@torch.no_grad()
def mean_gain(model: CompiledCircuit, loss: Loss, rows: Tensor) -> float:
    """Minus the mean loss of checked rows, batch by batch."""
    gain, total = Gain(model, loss), 0.0
    for part in rows.split(model.evaluation_batch):
        own = part.clone()  # a loss may write into its rows
        total += float(gain(own).double().mean()) * len(part)
    return total / len(rows)
