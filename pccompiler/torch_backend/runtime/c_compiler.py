"""Compiles C at run time with the machine's own compiler, and keeps the libraries on disk."""

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
"""Most time for a file; it takes two seconds on an idle machine."""
_PREFIX = "pccompiler-compiling-"
"""Of folders in the temporary folder; what follows is random."""
CType = type[ctypes.c_void_p | ctypes.c_int | ctypes.c_int64 | ctypes.c_float]
Functions = tuple[tuple[str, tuple[CType, ...]], ...]
_Defines = tuple[tuple[str, int], ...]
_USELESS: dict[tuple[str, ...], str] = {}
"""Commands that do not run or do not end, and what became of them: they get no second try."""
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
        functions: Names, and types of the arguments.
        reorder: Whether sums may be taken in any order.
        parallel: Whether to heed OpenMP's directives, where the compiler can: the threads are then
            torch's own, which loads the same library. Else all runs in one thread.

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
    """The library of a file with OpenMP's directives; ``None``: torch has to do its work."""
    try:
        return load_c(file, (), functions, parallel=True)
    except KernelError as why:
        say_slower(why)
        return None


def say_slower(why: KernelError) -> None:
    """Say once that there are no kernels in C."""
    say_once(f"torch does by itself what would be several times quicker in C: {why}", "C")


@cache
def _tried(
    compiler: str,
    file: Path,
    defines: _Defines,
    functions: Functions,
    reorder: bool,
    parallel: bool,
) -> ctypes.CDLL | str:
    """The library, or why there is none. Each is tried once in a process."""
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
            say_once(f"kernels in C run in one thread: with OpenMP, {why}", "OpenMP")
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
    """The library from the cache; if it is not there or does not load, compiled."""
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
        why = f"does not end: stopped after {_SECONDS:g} seconds"
    _USELESS[command] = f"{shlex.join(command)} {why}"
    raise KernelError(_USELESS[command])


def _compile_in(folder: Path, command: tuple[str, ...], arguments: list[str]) -> bytes:
    out, said, shown = folder / "library.so", folder / "messages", shlex.join(command)
    status = _run([*command, *arguments, "-o", str(out), "-lm"], said)
    if status != 0:
        text = said.read_text("utf-8", errors="replace").strip()
        raise KernelError(f"{shown} fails with status {status}: {text[:500]}")
    code = out.read_bytes() if out.is_file() else b""
    if not code:
        raise KernelError(f"{shown} says that it succeeds, but writes nothing")
    return code


def _run(command: list[str], messages: Path) -> int:
    """The exit status. What it says goes to a file: a pipe would wait for its children, too."""
    with messages.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        return process.wait(timeout=_SECONDS)
    except BaseException:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # the passes that it started, too
        process.wait()
        raise


def _opened_with(code: bytes, functions: Functions) -> ctypes.CDLL:
    """A library with these functions."""
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
    """Refuse a 64-bit ELF file without its end: loading it may kill the process."""
    if code[:5] != b"\x7fELF\x02":
        return
    header = code[:64].ljust(64, b"\0")
    (sections,) = struct.unpack_from("=Q", header, 40)
    size, number = struct.unpack_from("=HH", header, 58)
    if len(code) < 64 or sections + size * number > len(code):
        raise KernelError("the compiled library is cut off")


def _open_in_memory(code: bytes) -> ctypes.CDLL:
    """Load a copy that nobody else can reach: no file that might change, none to be left over.

    The loader takes a name that it knows for the library that it knows, and descriptors' numbers
    come again: so each name gets one more step that leads nowhere.
    """
    descriptor = os.memfd_create("pccompiler")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(code)
        return ctypes.CDLL(f"/proc/self/fd/{'./' * next(_opened)}{descriptor}")
    finally:
        os.close(descriptor)


def _open_in_folder(code: bytes) -> ctypes.CDLL:
    """Load a copy in a folder of a random name that is this user's alone."""
    try:
        with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as own:
            path = Path(own) / "library.so"
            path.write_bytes(code)
            return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelError(f"the compiled library does not load: {error}") from None


def _identity(command: tuple[str, ...]) -> list[str]:
    """The command, with size and time of the programs in it: an update compiles anew."""
    found = list(command)
    for part in command:
        program = shutil.which(part)
        if program is not None:
            status = Path(program).stat()
            found.append(f"{program} {status.st_size} {status.st_mtime_ns}")
    return found


@cache
def _processor() -> str:
    """What ``-march=native`` depends on."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.processor()} {flags}"
