"""Sources of kernels, and what compilers made of them, kept on disk.

Machine code runs with all rights of the process that loads it. So what is kept counts only if this
user alone can have written it, and if it is whole: each file begins with a digest of its name and
its code. What does not count is compiled again.
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
"""Seconds after which nobody writes to a staging file any more."""


class KernelError(RuntimeError):
    """A kernel could not be compiled or started."""


def cache_folder() -> Path | None:
    """Where compiled kernels are kept; ``None``: there is no home.

    ``$XDG_CACHE_HOME`` counts if it is absolute, as its standard says.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        if os.environ.get("HOME") == "":  # `Path.home` would be the root of all folders
            return None
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "pccompiler" / "kernels" if base.is_absolute() else None


def compiled(told: Sequence[str], ending: str, make: Callable[[], bytes]) -> bytes:
    """Machine code from the cache on disk, or made, and put there if it can be.

    Args:
        told: All that the code depends on.
        ending: Of the file's name.
        make: Compiles.
    """
    name = file_name(told, ending)
    code = fetch(name)
    if code is None:
        code = make()
        keep(name, code)
    return code


def file_name(told: Sequence[str], ending: str) -> str:
    """The name in the cache of code that depends on this."""
    return hashlib.sha256("\0".join(told).encode()).hexdigest() + ending


def fetch(name: str) -> bytes | None:
    """The code of this name in the cache; ``None``: there is none that can be trusted."""
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
        say_once(f"the kept kernel {path} is not used, but compiled again: {why}")
        return None
    code = content[len(_seal(name, b"")) :]
    if content != _seal(name, code) + code:
        say_once(f"the kept kernel {path} is damaged, so it is compiled again")
        return None
    return code


def keep(name: str, code: bytes) -> None:
    """Put code into the cache, whole or not at all; says once why it cannot."""
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
    """Whether it is there, and nobody else can write to it; says once why it is not used."""
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
        f"each process compiles its kernels anew, since {why}; set XDG_CACHE_HOME to a folder that "
        "only you can write to"
    )


def _open_to_others(status: os.stat_result) -> str | None:
    """Why somebody else may have written there; ``None``: nobody."""
    if not hasattr(os, "geteuid"):  # not on Windows: a profile is its user's own
        return None
    if status.st_uid != os.geteuid():
        return f"belongs to another user ({status.st_uid})"
    return "can be written to by others" if status.st_mode & 0o022 else None


def _read(path: Path) -> bytes:
    """A file's content; refuses links, what is no file, and what others can have written."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(path, "rb", opener=lambda p, _: os.open(p, flags)) as file:
        status = os.fstat(file.fileno())
        why = _open_to_others(status) if stat.S_ISREG(status.st_mode) else "is not a plain file"
        if why is not None:
            raise KernelError(f"it {why}")
        return file.read()


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read and write, in one step for all readers."""
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
    """Remove what of this user's processes that were killed is left over, by its name and age."""
    for path in folder.glob(prefix + "*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if _open_to_others(status) is None and time.time() - status.st_mtime > _STALE:
                shutil.rmtree(path) if stat.S_ISDIR(status.st_mode) else path.unlink()
