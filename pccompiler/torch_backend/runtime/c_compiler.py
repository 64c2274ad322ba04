"""Compiles C at run time with the machine's own compiler, and caches the libraries on disk."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import platform
import shlex
import shutil
import signal
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from pccompiler.log import say_once
from pccompiler.torch_backend.runtime.kernel_cache import (
    KernelError,
    fetch,
    file_name,
    keep,
    sweep,
)

_FLAGS = (
    *("-std=c11", "-O3", "-march=native", "-shared", "-fPIC"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffp-contract=fast"),
)
_SECONDS = 120.0
"""Time limit for a file, which takes two seconds on an idle machine."""
_PREFIX = "pccompiler-compiling-"
"""Prefix of folders in the temporary folder, before a random suffix."""
CType = type[ctypes.c_void_p | ctypes.c_int | ctypes.c_int64 | ctypes.c_float]
Functions = tuple[tuple[str, tuple[CType, ...]], ...]
_Defines = tuple[tuple[str, int | str], ...]
_USELESS: dict[tuple[str, ...], str] = {}
"""Commands that do not run or time out, and the reason; they are not tried again."""
_opened = itertools.count()


def load_c(
    file: Path,
    defines: _Defines,
    functions: Functions = (),
    *,
    reorder: bool = False,
    parallel: bool = False,
) -> ctypes.CDLL:
    """The library of a C source, compiled for this processor.

    Args:
        file: The source.
        defines: Macros and their values.
        functions: Names and argument types.
        reorder: Whether sums may be reordered.
        parallel: Whether to use OpenMP, if the compiler can; it shares torch's threads, since torch
            loads the same library. Otherwise everything runs in one thread.

    Raises:
        KernelError: If there is no C compiler (``$CC`` with its flags, or ``cc``), or it fails.
    """
    compiler = os.environ.get("CC", "").strip() or "cc"
    found = _tried(compiler, file, defines, functions, reorder, parallel)
    if isinstance(found, str):
        raise KernelError(found)
    return found


@cache
def load_c_if_any(file: Path, functions: Functions) -> ctypes.CDLL | None:
    """The library of a file that uses OpenMP; ``None`` if torch has to do its work instead."""
    try:
        return load_c(file, (), functions, parallel=True)
    except KernelError as why:
        say_slower(why)
        return None


def say_slower(why: KernelError) -> None:
    """Warn once that there are no kernels in C."""
    say_once(f"without kernels in C, plain PyTorch runs, several times slower: {why}", "C")


@cache
def _tried(
    compiler: str,
    file: Path,
    defines: _Defines,
    functions: Functions,
    reorder: bool,
    parallel: bool,
) -> ctypes.CDLL | str:
    """The library, or the reason why there is none; each is tried once per process."""
    flags = (*_FLAGS, "-fassociative-math") if reorder else _FLAGS
    options = [*flags, *(f"-D{name}={value}" for name, value in defines)]
    try:
        command = _command(compiler)
        if not parallel:
            return _load(command, options, file, functions)
        try:
            return _load(command, [*options, "-fopenmp"], file, functions)
        except KernelError as why:
            found = _load(command, options, file, functions)
            say_once(f"kernels in C run in one thread, without OpenMP: {why}", "OpenMP")
            return found
    except KernelError as why:
        return str(why)


def _command(compiler: str) -> tuple[str, ...]:
    """The compiler as a program and its first arguments."""
    try:
        parts = shlex.split(compiler)
    except ValueError as error:
        raise KernelError(f"CC={compiler} cannot be read: {error}") from None
    program = shutil.which(parts[0]) if parts else None
    if program is None:
        raise KernelError("there is no C compiler: neither $CC nor cc is found")
    return (program, *parts[1:])


def _load(
    command: tuple[str, ...], options: list[str], file: Path, functions: Functions
) -> ctypes.CDLL:
    """The library from the cache; if it is missing or does not load, compile it."""
    told = [file.read_text(), *_identity(command), *options, _processor()]
    name = file_name(told, ".so")
    kept = fetch(name)
    if kept is not None:
        with contextlib.suppress(KernelError):
            return _opened_with(kept, functions)
    code = _compile(command, options, file)
    library = _opened_with(code, functions)
    keep(name, code)
    return library


def _compile(command: tuple[str, ...], options: list[str], source: Path) -> bytes:
    if command in _USELESS:
        raise KernelError(_USELESS[command])
    try:
        sweep(Path(tempfile.gettempdir()), _PREFIX)
        with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder:
            return _compile_in(Path(folder), command, [*options, str(source)])
    except OSError as error:
        why = f"does not run: {error.strerror}"
    except subprocess.TimeoutExpired:
        why = f"timed out: stopped after {_SECONDS:g} seconds"
    _USELESS[command] = f"{shlex.join(command)} {why}"
    raise KernelError(_USELESS[command])


def _compile_in(folder: Path, command: tuple[str, ...], arguments: list[str]) -> bytes:
    out, said, shown = folder / "library.so", folder / "messages", shlex.join(command)
    status = _run([*command, *arguments, "-o", str(out), "-lm"], said)
    if status != 0:
        text = said.read_text("utf-8", errors="replace").strip()
        raise KernelError(f"{shown} failed with status {status}: {text[:500]}")
    code = out.read_bytes() if out.is_file() else b""
    if not code:
        raise KernelError(f"{shown} reported success, but wrote nothing")
    return code


def _run(command: list[str], messages: Path) -> int:
    """Run a command; its messages go to a file, since a pipe would also wait for its children."""
    with messages.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        return process.wait(timeout=_SECONDS)
    except BaseException:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # including its child processes
        process.wait()
        raise


def _opened_with(code: bytes, functions: Functions) -> ctypes.CDLL:
    """Load a library and declare its functions."""
    _check_whole(code)
    try:
        found = _open_in_memory(code)
    except (OSError, AttributeError):  # not Linux, or no /proc
        found = _open_in_folder(code)
    for name, types in functions:
        function = getattr(found, name, None)
        if function is None:
            raise KernelError(f"the compiled library lacks the function {name!r}")
        function.argtypes = types
    return found


def _check_whole(code: bytes) -> None:
    """Refuse a truncated 64-bit ELF file, since loading it may kill the process."""
    if code[:5] != b"\x7fELF\x02":
        return
    header = code[:64].ljust(64, b"\0")
    (sections,) = struct.unpack_from("=Q", header, 40)
    size, number = struct.unpack_from("=HH", header, 58)
    if len(code) < 64 or sections + size * number > len(code):
        raise KernelError("the compiled library is truncated")


def _open_in_memory(code: bytes) -> ctypes.CDLL:
    """Load a private copy in memory, which nobody can change and which leaves no file behind.

    The loader returns the same library for the same path, and descriptor numbers are reused, so
    each path gets one more ``./`` than the last.
    """
    descriptor = os.memfd_create("pccompiler")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(code)
        return ctypes.CDLL(f"/proc/self/fd/{'./' * next(_opened)}{descriptor}")
    finally:
        os.close(descriptor)


def _open_in_folder(code: bytes) -> ctypes.CDLL:
    """Load a copy in a folder with a random name that only this user can access."""
    try:
        with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as own:
            path = Path(own) / "library.so"
            path.write_bytes(code)
            return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelError(f"the compiled library does not load: {error}") from None


def _identity(command: tuple[str, ...]) -> list[str]:
    """The command with size and time of its programs, so that an update recompiles."""
    found = list(command)
    for part in command:
        program = shutil.which(part)
        if program is not None:
            status = Path(program).stat()
            found.append(f"{program} {status.st_size} {status.st_mtime_ns}")
    return found


@cache
def _processor() -> str:
    """The processor features that ``-march=native`` depends on."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.processor()} {flags}"
