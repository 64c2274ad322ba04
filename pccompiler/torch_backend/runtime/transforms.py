"""Detects when torch transforms, compiles or exports a model instead of just running it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor
from torch.autograd import forward_ad

from pccompiler.errors import OptionError

P = ParamSpec("P")


def transformed() -> bool:
    """Whether `torch.func` (or forward-mode differentiation) transforms the current code.

    It needs plain torch operations, since it cannot transform our kernels and their backward
    passes. Torch has no public function to ask.
    """
    in_func: bool = torch._C._are_functorch_transforms_active()
    return in_func or forward_ad._current_level >= 0


def outside_graphs(method: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """A method that `torch.compile` runs eagerly, and that cannot be exported.

    Tracing it would give graphs of a few operations each around our kernels, rebuilt for each
    batch size, which take minutes to compile and are not faster.

    Raises:
        OptionError: Under `torch.export` and `torch.jit.trace`.
    """

    @wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        if torch.compiler.is_dynamo_compiling():
            from pccompiler.torch_backend.runtime import eager

            found: Tensor = eager.call(method, *args, **kwargs)
            return found
        tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # pyright: ignore[reportPrivateImportUsage]
        if torch.compiler.is_compiling() or tracing:
            raise OptionError.of(
                "PC368",
                "torch cannot export or trace a compiled circuit: it runs in fused kernels",
                help="write an ONNX file instead: pccompiler.export_onnx(model, path)",
            )
        return method(*args, **kwargs)

    return run
