"""What the host spends on a launch: our small driver beside `cuda.core` and torch.

    python -m benchmarks.steps.launches

The kernel has four arguments and does nothing. "struct" adds one that is passed by value, as the
kernels of trees and of the general engine take them. Torch's launch is ``tensor.zero_()``.
"""

from __future__ import annotations

import ctypes
import importlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import Report
from pccompiler.torch_backend.runtime import nvrtc
from pccompiler.torch_backend.runtime.nvrtc import Long, Struct

SOURCE = """
struct Given { void *pointers[16]; long long numbers[8]; };
extern "C" __global__ void plain(float *x, int n, float rate, long long size) {}
extern "C" __global__ void with_struct(Given given, float *x, int n) {}
"""


class Given(ctypes.Structure):
    """As above."""

    _fields_ = (("pointers", ctypes.c_void_p * 16), ("numbers", ctypes.c_int64 * 8))


def microseconds(launch: Callable[[], object]) -> float:
    """Median over 21 samples of 500 launches each; the device keeps up."""
    found: list[float] = []
    for _ in range(21):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(500):
            launch()
        found.append(1e6 * (time.perf_counter() - start) / 500)
    return round(statistics.median(found), 3)


def ours(x: torch.Tensor) -> dict[str, float]:
    """Launches by `pccompiler.torch_backend.runtime.nvrtc`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nothing.cu"
        file.write_text(SOURCE)
        kernels = nvrtc.load(x.device, (file,), (), ("plain", "with_struct"))
    plain, struct = kernels["plain"], kernels["with_struct"]
    size = Long(7)
    return {
        "ours_us": microseconds(lambda: plain((1, 1), (32, 1), 0, [x, 3, 0.5, size])),
        "ours_struct_us": microseconds(lambda: struct((1, 1), (32, 1), 0, [Struct(Given()), x, 3])),
    }


def cuda_core(x: torch.Tensor) -> dict[str, object]:
    """The same by `cuda.core`, and what it says to a structure."""
    core: Any = importlib.import_module("cuda.core")
    device = core.Device(x.get_device())
    device.set_current()
    major, minor = torch.cuda.get_device_capability(x.device)
    options = core.ProgramOptions(arch=f"sm_{major}{minor}", std="c++17")
    code = core.Program(SOURCE, "c++", options).compile("cubin")
    plain, struct = code.get_kernel("plain"), code.get_kernel("with_struct")
    config = core.LaunchConfig(grid=1, block=32)

    class Current:
        """Torch's stream, as its protocol for streams of others asks for it."""

        def __cuda_stream__(self) -> tuple[int, int]:
            return 0, torch.cuda.current_stream().cuda_stream

    stream = device.create_stream(Current())
    numbers = ctypes.c_int32(3), ctypes.c_float(0.5), ctypes.c_int64(7)

    def launch() -> None:
        core.launch(stream, config, plain, x.data_ptr(), *numbers)

    def anew() -> None:
        where = device.create_stream(Current())
        made = core.LaunchConfig(grid=1, block=32)
        given = ctypes.c_int32(3), ctypes.c_float(0.5), ctypes.c_int64(7)
        core.launch(where, made, plain, x.data_ptr(), *given)

    found: dict[str, object] = {
        "core_version": core.__version__,
        "core_us": microseconds(launch),
        "core_anew_us": microseconds(anew),
    }
    try:
        core.launch(stream, config, struct, Given(), x.data_ptr(), ctypes.c_int32(3))
        found["core_struct"] = "accepted"
    except Exception as why:
        found["core_struct"] = f"{type(why).__name__}: {why}"
    return found


def main() -> None:
    """Measure."""
    report, x = Report("launches"), torch.zeros(8, device="cuda")
    report.add(**ours(x), **cuda_core(x), torch_us=microseconds(x.zero_))


if __name__ == "__main__":
    main()
