"""Caches compiled kernels on disk.

Machine code runs with all rights of the process that loads it. A cached file is used only if nobody
but this user can have written it and it is intact: each file begins with a digest of its name and
its code. Anything else is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pccompiler.log import say_once

_MAGIC = b"pccompiler kernel 1\n"
_STAGING = ".writing-"
_STALE = 3600.0
"""Age in seconds at which a staging file is abandoned."""


class KernelError(RuntimeError):
    """A kernel could not be compiled or started."""


def cache_folder() -> Path | None:
    """The folder of compiled kernels; ``None`` if there is no home folder.

    ``$XDG_CACHE_HOME`` is used only if it is absolute, as its standard says.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        if os.environ.get("HOME") == "":  # `Path.home` would be the file system's root
            return None
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "pccompiler" / "kernels" if base.is_absolute() else None


def compiled(told: Sequence[str], ending: str, make: Callable[[], bytes]) -> bytes:
    """Machine code from the cache on disk; if it is missing, compile it and cache it if possible.

    Args:
        told: Everything that the code depends on.
        ending: The file's extension.
        make: Compiles the code.
    """
    name = file_name(told, ending)
    code = fetch(name)
    if code is None:
        code = make()
        keep(name, code)
    return code


def file_name(told: Sequence[str], ending: str) -> str:
    """The file name in the cache for code that depends on ``told``."""
    return hashlib.sha256("\0".join(told).encode()).hexdigest() + ending


def fetch(name: str) -> bytes | None:
    """The code with this name in the cache; ``None`` if there is none that can be trusted."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / name
    try:
        if not _trusted(folder):
            return None
        content = _read(path)
    except FileNotFoundError:
        return None
    except (OSError, KernelError) as why:
        say_once(f"the cached kernel {path} is compiled again: {why}")
        return None
    code = content[len(_seal(name, b"")) :]
    if content != _seal(name, code) + code:
        say_once(f"the cached kernel {path} is damaged, so it is compiled again")
        return None
    return code


def keep(name: str, code: bytes) -> None:
    """Put code into the cache, whole or not at all; warns once if that is impossible."""
    folder = cache_folder()
    if folder is None:
        say_once(_anew("there is no home folder"), "keep")
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if _trusted(folder):
            sweep(folder, _STAGING)
            _write(folder / name, _seal(name, code) + code)
    except OSError as error:
        say_once(_anew(f"{folder} cannot be written to ({error.strerror})"), "keep")


def _seal(name: str, code: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(name.encode() + b"\0" + code).digest()


def _trusted(folder: Path) -> bool:
    """Whether a folder exists and only this user can write to it; warns once if others can."""
    try:
        status = folder.stat()
    except OSError:
        return False
    why = _open_to_others(status)
    if why is not None:
        say_once(_anew(f"{folder} {why}"), "keep")
    return why is None


def _anew(why: str) -> str:
    return (
        f"each process compiles its own kernels, since {why}; set XDG_CACHE_HOME to a folder that "
        "only you can write to"
    )


def _open_to_others(status: os.stat_result) -> str | None:
    """Why somebody else may have written there; ``None`` if nobody can."""
    if not hasattr(os, "geteuid"):  # Windows, where a profile belongs to its user
        return None
    if status.st_uid != os.geteuid():
        return f"belongs to another user ({status.st_uid})"
    return "can be written to by others" if status.st_mode & 0o022 else None


def _read(path: Path) -> bytes:
    """A file's content; refuses links, special files and files that others can write."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(path, "rb", opener=lambda p, _: os.open(p, flags)) as file:
        status = os.fstat(file.fileno())
        why = _open_to_others(status) if stat.S_ISREG(status.st_mode) else "is not a plain file"
        if why is not None:
            raise KernelError(f"it {why}")
        return file.read()


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically, with access only for its owner."""
    descriptor, staging = tempfile.mkstemp(prefix=_STAGING, dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(staging, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staging)
        raise


def sweep(folder: Path, prefix: str) -> None:
    """Remove old files that killed processes of this user left behind, by name and age."""
    for path in folder.glob(prefix + "*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if _open_to_others(status) is None and time.time() - status.st_mtime > _STALE:
                shutil.rmtree(path) if stat.S_ISDIR(status.st_mode) else path.unlink()
