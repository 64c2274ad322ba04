"""Errors of float32 against float64, which several kinds of measurement share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pccompiler.torch_backend import CompiledCircuit


class Pair(NamedTuple):
    """A model in float32 and in float64 with equal parameters, and rows with missing values."""

    single: CompiledCircuit
    double: CompiledCircuit
    rows: Tensor

    @property
    def both(self) -> tuple[tuple[CompiledCircuit, Tensor], tuple[CompiledCircuit, Tensor]]:
        """Each model, with the rows in its precision."""
        return (self.single, self.rows.float()), (self.double, self.rows.double())


def values_and_gradients(pair: Pair) -> dict[str, float]:
    """The largest relative error of a log-likelihood, and the error of all gradients together."""
    (a, gradient_a), (b, gradient_b) = (_values(*each) for each in pair.both)
    return {
        "log_likelihood_error": largest(a, b),
        "gradient_error": together(gradient_a, gradient_b),
    }


def values(pair: Pair) -> dict[str, float]:
    """The largest relative error of a log-likelihood."""
    with torch.no_grad():
        a, b = (model.evaluate_unchecked(rows) for model, rows in pair.both)
    return {"log_likelihood_error": largest(a, b)}


def largest(a: Tensor, b: Tensor) -> float:
    """The largest relative difference of an entry."""
    return digits(float(((a.double() - b) / b).abs().max()))


def together(a: Tensor, b: Tensor) -> float:
    """The 2-norm of the difference over the 2-norm."""
    return digits(float((a.double() - b).norm() / b.norm()))


def digits(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def _values(model: CompiledCircuit, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Log-likelihoods, and the gradients of all parameters as one tensor, in float64.

    The gradients are of a weighted sum over rows, with a different weight for each row.
    """
    with torch.enable_grad():
        found = model.evaluate_unchecked(rows)
        share = torch.linspace(0.5, 1.5, len(rows), dtype=found.dtype, device=found.device)
        grads = torch.autograd.grad(-(share * found).sum(), list(model.parameters()))
    return found.detach().double(), torch.cat([g.double().flatten() for g in grads])
