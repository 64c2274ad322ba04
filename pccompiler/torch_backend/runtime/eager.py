"""Calls that `torch.compile` leaves out of graphs. Imported late, since this takes a second."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor

_REASON = (
    "a compiled circuit runs in fused kernels, which are already compiled; to export it, write an "
    "ONNX file: pccompiler.export_onnx(model, path)"
)
_TAKES_REASON = "reason" in signature(torch.compiler.disable).parameters  # not in torch 2.6
_OPTIONS: dict[str, Any] = {"reason": _REASON} if _TAKES_REASON else {}  # torch's own type


def _call(method: Callable[..., Tensor], *args: object, **kwargs: object) -> Tensor:
    return method(*args, **kwargs)


call: Any = torch.compiler.disable(_call, **_OPTIONS)  # torch's type also covers decorators
"""Call the method given first with the other arguments, outside any graph."""
