"""Compiles C at run time with the machine's own compiler, and keeps the libraries on disk."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from pccompiler.torch_backend.kernel_files import SOURCES, KernelError, compiled

_FLAGS = (
    *("-std=c11", "-O3", "-march=native", "-shared", "-fPIC"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffp-contract=fast"),
)
CType = type[ctypes.c_void_p | ctypes.c_int | ctypes.c_int64 | ctypes.c_float]
Functions = tuple[tuple[str, tuple[CType, ...]], ...]


@cache
def load_c(
    file: str,
    defines: tuple[tuple[str, int], ...],
    functions: Functions = (),
    *,
    reorder: bool = False,
    parallel: bool = False,
) -> ctypes.CDLL:
    """The library of a file in the folder ``kernels``, compiled for this processor.

    Args:
        file: Its name.
        defines: Macros and their values.
        functions: Names, and types of the arguments.
        reorder: Whether sums may be taken in any order.
        parallel: Whether to heed OpenMP's directives, where the compiler can: the threads are then
            torch's own, which loads the same library.

    Raises:
        KernelError: If there is no C compiler (``$CC``, ``cc``), or it fails.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise KernelError("there is no C compiler: neither $CC nor cc is found")
    flags = (*_FLAGS, "-fassociative-math") if reorder else _FLAGS
    options = [*flags, *(f"-D{name}={value}" for name, value in defines)]
    if not parallel:
        return _load(compiler, options, file, functions)
    try:
        return _load(compiler, [*options, "-fopenmp"], file, functions)
    except KernelError:
        return _load(compiler, options, file, functions)


@cache
def load_c_if_any(file: str, functions: Functions) -> ctypes.CDLL | None:
    """The library of a file with OpenMP's directives; ``None``: torch has to do its work."""
    try:
        return load_c(file, (), functions, parallel=True)
    except KernelError:
        return None


def _load(compiler: str, options: list[str], file: str, functions: Functions) -> ctypes.CDLL:
    told = [(SOURCES / file).read_text(), compiler, *options, _processor()]
    path, library = compiled(told, ".so", lambda: _compile(compiler, options, SOURCES / file))
    if not path.exists():
        with tempfile.NamedTemporaryFile(suffix=".so", delete=False) as other:
            other.write(library)
        path = Path(other.name)
    try:
        found = ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelError(f"the compiled library does not load: {error}") from None
    for name, types in functions:
        getattr(found, name).argtypes = types
    return found


def _compile(compiler: str, options: list[str], source: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "library.so"
        command = [compiler, *options, str(source), "-o", str(out), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KernelError(f"{compiler} fails: {done.stderr.strip()[:500]}")
        return out.read_bytes()


def _processor() -> str:
    """What ``-march=native`` depends on."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.processor()} {flags}"
