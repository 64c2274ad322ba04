"""Handwritten backward passes that support first derivatives only."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from pccompiler.errors import OptionError

Gradients = tuple[Tensor | None, ...]


def first_order(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """A backward pass that refuses to be differentiated again.

    Its forward pass calls ``ctx.set_materialize_grads(False)``, since without a gradient there is
    nothing to do. Torch's ``once_differentiable`` is not enough: if the incoming gradient is a
    constant, second derivatives are silently wrong.
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
