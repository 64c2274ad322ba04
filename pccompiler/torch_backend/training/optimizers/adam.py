"""Adam: torch's own, or on CUDA one kernel for all parameters (torch's uses 64 Ki per block)."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from pccompiler.torch_backend.runtime.kernel_cache import KernelError
from pccompiler.torch_backend.runtime.nvrtc import Argument, Kernel, Struct, load
from pccompiler.torch_backend.training.course import Facts
from pccompiler.torch_backend.training.optimizers.base import Optimizer

_SOURCE = Path(__file__).parent / "kernels" / "adam.cu"

_BETAS = (0.9, 0.999)
_EPS = 1e-8
_MOST = 24
_BLOCK = 1024  # numbers per block
_THREADS = 256


def torch_adam(
    parameters: Sequence[Tensor], rate: float | Tensor, decay: float
) -> torch.optim.Adam:
    """Torch's fused Adam; its steps can be captured."""
    return torch.optim.Adam(
        parameters,
        lr=rate,
        betas=_BETAS,
        eps=_EPS,
        weight_decay=decay,
        fused=True,
        capturable=parameters[0].is_cuda,
    )


class TorchAdam:
    """torch's fused Adam."""

    torch_optimizer = None

    def __init__(self, parameters: Sequence[Tensor], rate: float, decay: float) -> None:
        self.parameters = list(parameters)
        self.adam = torch_adam(self.parameters, rate, decay)

    def step(self, gradients: Sequence[Tensor]) -> None:
        """See `Optimizer`."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.adam.step()

    def tensors(self) -> list[Tensor]:
        """See `Optimizer`."""
        return [value for p in self.parameters for value in self._moments(p).values()]

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """See `Optimizer`."""
        known = [self._moments(parameter) for parameter in self.parameters]
        return _named(
            [k["exp_avg"] for k in known], [k["exp_avg_sq"] for k in known], known[0]["step"]
        ), {}

    def restore(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """See `Optimizer`."""
        for number, parameter in enumerate(self.parameters):
            own = self._moments(parameter)
            own["exp_avg"].copy_(tensors[f"first.{number}"])
            own["exp_avg_sq"].copy_(tensors[f"second.{number}"])
            own["step"].copy_(tensors["steps"][0])

    def _moments(self, parameter: Tensor) -> dict[str, Tensor]:
        """The moments of a parameter; before the first step, initialized as torch does."""
        known: dict[str, Tensor] = self.adam.state[parameter]
        if not known:
            known["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            known["exp_avg"] = torch.zeros_like(parameter, requires_grad=False)
            known["exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
        return known


class _Tensors(ctypes.Structure):
    _fields_ = (
        ("parameter", ctypes.c_void_p * _MOST),
        ("gradient", ctypes.c_void_p * _MOST),
        ("first", ctypes.c_void_p * _MOST),
        ("second", ctypes.c_void_p * _MOST),
        ("size", ctypes.c_int * _MOST),
    )


class KernelAdam:
    """One launch for all parameters; float32 on CUDA, at most 24 tensors."""

    torch_optimizer = None

    def __init__(self, parameters: Sequence[Tensor], rate: float, decay: float) -> None:
        self.parameters = [parameter.detach() for parameter in parameters]
        self.rate, self.decay = rate, decay
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.counts = torch.zeros(2, dtype=torch.int32, device=self.parameters[0].device)
        defines = (
            ("MOST", _MOST),
            ("BLOCK", _BLOCK),
            ("THREADS", _THREADS),
            ("BETA1", f"{_BETAS[0]}f"),
            ("BETA2", f"{_BETAS[1]}f"),
            ("LOG_BETA1", f"{math.log(_BETAS[0])}f"),
            ("LOG_BETA2", f"{math.log(_BETAS[1])}f"),
            ("EPSILON", f"{_EPS}f"),
        )
        self.kernel: Kernel = load(self.counts.device, (_SOURCE,), defines, ("adam",))["adam"]

    def step(self, gradients: Sequence[Tensor]) -> None:
        """See `Optimizer`."""
        table = _Tensors()
        rows = zip(self.parameters, gradients, self.first, self.second, strict=True)
        kept: list[Tensor] = []  # kept alive until the launch
        for i, (parameter, gradient, first, second) in enumerate(rows):
            kept.append(gradient.contiguous())
            table.parameter[i] = parameter.data_ptr()
            table.gradient[i] = kept[-1].data_ptr()
            table.first[i] = first.data_ptr()
            table.second[i] = second.data_ptr()
            table.size[i] = parameter.numel()
        blocks = sum(-(-p.numel() // _BLOCK) for p in self.parameters)
        number = len(self.parameters)
        arguments: list[Argument] = [Struct(table), number, self.counts, self.rate, self.decay]
        self.kernel((blocks, 1), (_THREADS, 1), 0, arguments)

    def tensors(self) -> list[Tensor]:
        """See `Optimizer`."""
        return [*self.first, *self.second, self.counts]

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """See `Optimizer`."""
        return _named(self.first, self.second, self.counts[0]), {}

    def restore(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """See `Optimizer`."""
        for number, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            first.copy_(tensors[f"first.{number}"])
            second.copy_(tensors[f"second.{number}"])
        self.counts[0] = int(tensors["steps"][0])


def _named(first: Sequence[Tensor], second: Sequence[Tensor], steps: Tensor) -> dict[str, Tensor]:
    """Moments by parameter, ``first.0``, ``second.0`` and so on, and ``steps``; for any Adam."""
    found = {f"first.{number}": moment for number, moment in enumerate(first)}
    found |= {f"second.{number}": moment for number, moment in enumerate(second)}
    return {**found, "steps": steps.detach().reshape(1).to(torch.int64)}


def make_adam(parameters: Sequence[Tensor], rate: float, decay: float) -> Optimizer:
    """The fastest optimizer that supports the parameters."""
    plain = all(p.is_cuda and p.dtype == torch.float32 and p.is_contiguous() for p in parameters)
    if plain and 0 < len(parameters) <= _MOST:
        try:
            return KernelAdam(parameters, rate, decay)
        except KernelError:  # use torch's instead
            pass
    return TorchAdam(parameters, rate, decay)
