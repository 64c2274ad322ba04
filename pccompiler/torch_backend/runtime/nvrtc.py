"""Compiles CUDA source at run time with the compiler bundled with torch, and launches kernels."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from pccompiler.torch_backend.runtime.kernel_cache import KernelError, compiled


@dataclass(frozen=True)
class Struct:
    """An argument passed by value."""

    value: ctypes.Structure


class Long(int):
    """A 64-bit argument."""


Argument = Tensor | int | float | Struct
_thread = threading.local()
_SHARED_LIMIT = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


@cache
def _compiler() -> ctypes.CDLL:
    major = (torch.version.cuda or "0").split(".")[0]
    names = [f"libnvrtc.so.{major}", "libnvrtc.so"]
    site = Path(torch.__file__).parents[1] / "nvidia"
    names += [
        str(p) for p in sorted(site.glob(f"*/lib/libnvrtc.so.{major}*")) if "alt" not in p.name
    ]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise KernelError("no CUDA run-time compiler (libnvrtc) was found")


@cache
def _driver() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise KernelError(f"no CUDA driver: {error}") from None


def _check(status: int, what: str) -> None:
    if status != 0:
        raise KernelError(f"{what} failed with CUDA status {status}")


def compile_cubin(source: str, options: Sequence[str]) -> bytes:
    """Compile CUDA source to machine code."""
    nvrtc, program = _compiler(), ctypes.c_void_p()
    text = source.encode()
    _check(
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"kernel.cu", 0, None, None), "create"
    )
    flags = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = nvrtc.nvrtcCompileProgram(program, len(options), flags)
    if status != 0:
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        raise KernelError("the kernel does not compile:\n" + log.value.decode(errors="replace"))
    size = ctypes.c_size_t()
    _check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)), "size")
    code = ctypes.create_string_buffer(size.value)
    _check(nvrtc.nvrtcGetCUBIN(program, code), "code")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw


class Kernel:
    """A loaded kernel."""

    def __init__(self, function: ctypes.c_void_p, device: int) -> None:
        self.function, self.device = function, device
        self.start = _driver().cuLaunchKernel
        self.shared = 0

    def reserve(self, shared: int) -> None:
        """Allow ``shared`` bytes of shared memory per block."""
        status = _driver().cuFuncSetAttribute(self.function, _SHARED_LIMIT, shared)
        _check(status, "asking for shared memory")
        self.shared = shared

    def __call__(
        self,
        grid: tuple[int, int],
        block: tuple[int, int],
        shared: int,
        arguments: Sequence[Argument],
    ) -> None:
        """Launch on torch's current stream. Numbers have 32 bits, `Long` has 64."""
        if torch.cuda.current_device() != self.device:
            with torch.cuda.device(self.device):
                self(grid, block, shared, arguments)
            return
        values = [_passed(argument, self.device) for argument in arguments]
        pointers = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        stream = torch._C._cuda_getCurrentRawStream(self.device)  # ten times faster than a Stream
        if not getattr(_thread, "entered", False):
            _enter(self.device)
        if shared > self.shared:
            self.reserve(shared)
        status = self.start(
            self.function, *grid, 1, *block, 1, shared, ctypes.c_void_p(stream), pointers, None
        )
        if status:
            _check(status, "starting a kernel")


def _enter(device: int) -> None:
    """Enter torch's context if this thread has none; autograd's threads start without one."""
    _thread.entered = True
    context = ctypes.c_void_p()
    _check(_driver().cuCtxGetCurrent(ctypes.byref(context)), "asking for the context")
    if not context.value:
        status = _driver().cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
        _check(status, "finding torch's context")
        _check(_driver().cuCtxSetCurrent(context), "entering torch's context")


def _passed(
    argument: Argument, device: int
) -> ctypes.c_void_p | ctypes.c_longlong | ctypes.c_int | ctypes.c_float | ctypes.Structure:
    if isinstance(argument, Tensor):
        if argument.get_device() != device:  # an invalid pointer on this device
            raise RuntimeError(f"a kernel on cuda:{device} was given a tensor on {argument.device}")
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, Struct):
        return argument.value
    if isinstance(argument, float):
        return ctypes.c_float(argument)
    return ctypes.c_longlong(argument) if isinstance(argument, Long) else ctypes.c_int(argument)


Defines = tuple[tuple[str, int | str], ...]


def load(
    device: torch.device, files: tuple[Path, ...], defines: Defines, names: tuple[str, ...]
) -> dict[str, Kernel]:
    """Compile (or fetch from the cache on disk) and load kernels on a device.

    Args:
        device: A CUDA device.
        files: Sources, to be concatenated.
        defines: Macros and their values.
        names: Names of the kernels.

    Raises:
        KernelError: If there is no compiler or driver, or a kernel does not compile.
    """
    index = torch.empty(0, device=device).get_device()  # also creates torch's context
    return _load(index, files, defines, names)


def compile_ahead(device: torch.device, files: tuple[Path, ...], many: Iterable[Defines]) -> None:
    """Begin to compile what `load` will ask for, for several sets of macros at the same time."""
    index = torch.empty(0, device=device).get_device()
    for defines in many:
        _begun(index, files, defines)


_codes: dict[tuple[int, tuple[Path, ...], Defines], Future[bytes]] = {}
_lock = threading.Lock()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "pccompiler-nvrtc")


def _begun(index: int, files: tuple[Path, ...], defines: Defines) -> Future[bytes]:
    """Machine code; each is compiled once."""
    key = index, files, defines
    with _lock:
        if key not in _codes:
            _codes[key] = _pool().submit(_code, *key)
        return _codes[key]


def _code(index: int, files: tuple[Path, ...], defines: Defines) -> bytes:
    source = "\n".join(file.read_text() for file in files)
    major, minor = torch.cuda.get_device_capability(index)
    options = [f"--gpu-architecture=sm_{major}{minor}", "-default-device", "--std=c++17"]
    options += [f"-D{name}={value}" for name, value in defines]
    told = [source, *options, str(torch.version.cuda)]
    return compiled(told, ".cubin", lambda: compile_cubin(source, options))


@cache
def _load(
    index: int, files: tuple[Path, ...], defines: Defines, names: tuple[str, ...]
) -> dict[str, Kernel]:
    code = _begun(index, files, defines).result()
    module = ctypes.c_void_p()
    kernels: dict[str, Kernel] = {}
    with torch.cuda.device(index):
        _check(_driver().cuModuleLoadData(ctypes.byref(module), code), "loading kernels")
        for name in names:
            function = ctypes.c_void_p()
            found = _driver().cuModuleGetFunction(ctypes.byref(function), module, name.encode())
            _check(found, f"finding {name}")
            kernels[name] = Kernel(function, index)
    return kernels
