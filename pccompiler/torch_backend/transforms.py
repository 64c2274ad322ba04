"""What torch may be doing with a model beside running it: transforming, compiling, exporting."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad

from pccompiler.errors import OptionError


def transformed() -> bool:
    """Whether `torch.func` (or forward-mode differentiation) sees what runs now.

    It needs plain torch operations: it sees neither into our kernels nor through the backward
    passes that go with them. Torch has no public way to ask.
    """
    in_func: bool = torch._C._are_functorch_transforms_active()  # type: ignore[attr-defined]
    return in_func or forward_ad._current_level >= 0


def refuse_exporting() -> None:
    """Refuse to be recorded as a graph of torch's operations.

    Raises:
        OptionError: Under `torch.export` and `torch.jit.trace`.
    """
    exporting = torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
    if not exporting and not torch.jit.is_tracing():
        return
    raise OptionError.of(
        "PC368",
        "torch cannot export or trace a compiled circuit: much of it runs in kernels of its own",
        help="write an ONNX file instead: pccompiler.export_onnx(model, path)",
    )
