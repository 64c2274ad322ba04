"""Backward passes that are written out, for one derivative only."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from pccompiler.errors import OptionError

Gradients = tuple[Tensor | None, ...]


def first_order(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """A backward pass that torch cannot differentiate again.

    Its forward pass calls ``ctx.set_materialize_grads(False)``: without a gradient there is nothing
    to do. Torch's ``once_differentiable`` is not enough: where the gradient that comes from above
    is a constant, it lets second derivatives come out wrong without a word.
    """

    @wraps(backward)
    def checked(ctx: Any, *grads: Tensor | None) -> Gradients:
        if grads[0] is None:
            return (None,) * len(ctx.needs_input_grad)
        if torch.is_grad_enabled():
            raise OptionError.of(
                "PC367",
                "the engine's gradient cannot be differentiated again",
                help="call the model itself, model(x): its derivatives of any order are exact",
            )
        return backward(ctx, *grads)

    return checked
