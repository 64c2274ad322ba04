"""What `torch.compile` steps around: imported only once it is at work, as it takes a second."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")
_REASON = (
    "a compiled circuit runs in kernels of its own, which are compiled already; to export it, "
    "write an ONNX file: pccompiler.export_onnx(model, path)"
)
_TAKES_REASON = "reason" in signature(torch.compiler.disable).parameters  # not in torch 2.6


@torch.compiler.disable(**({"reason": _REASON} if _TAKES_REASON else {}))
def call(method: Callable[P, Tensor], *args: P.args, **kwargs: P.kwargs) -> Tensor:
    """Call ``method`` outside of the graphs that `torch.compile` makes."""
    return method(*args, **kwargs)
