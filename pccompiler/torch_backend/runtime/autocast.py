"""Circuits keep their precision under ``torch.autocast``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import nn

P = ParamSpec("P")
Result = TypeVar("Result")
Module = TypeVar("Module", bound=nn.Module)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Turns autocast off for a device, if it is on.

    Log-likelihoods of many variables are sums that bfloat16 and float16 cannot hold, and our
    kernels read weights in the precision of the parameters.
    """
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def in_full_precision(
    method: Callable[Concatenate[Module, P], Result],
) -> Callable[Concatenate[Module, P], Result]:
    """A method of a module that runs under `full_precision` on the device of its parameters."""

    @wraps(method)
    def run(module: Module, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        with full_precision(next(module.parameters()).device):
            return method(module, *args, **kwargs)

    return run
