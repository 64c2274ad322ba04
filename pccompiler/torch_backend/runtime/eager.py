"""What `torch.compile` steps around: imported only once it is at work, as it takes a second."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor

_REASON = (
    "a compiled circuit runs in kernels of its own, which are compiled already; to export it, "
    "write an ONNX file: pccompiler.export_onnx(model, path)"
)
_TAKES_REASON = "reason" in signature(torch.compiler.disable).parameters  # not in torch 2.6
_OPTIONS: dict[str, Any] = {"reason": _REASON} if _TAKES_REASON else {}  # as torch types them


def _call(method: Callable[..., Tensor], *args: object, **kwargs: object) -> Tensor:
    return method(*args, **kwargs)


call: Any = torch.compiler.disable(_call, **_OPTIONS)  # torch's type fits decorators, too
"""Call a method, its first argument, with the others, outside of any graph."""
