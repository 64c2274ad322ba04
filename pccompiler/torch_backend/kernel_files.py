"""Sources of kernels, and what compilers made of them, kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pccompiler.files import write_bytes

SOURCES = Path(__file__).parent / "kernels"


class KernelError(RuntimeError):
    """A kernel could not be compiled or started."""


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pccompiler" / "kernels"


def compiled(told: Sequence[str], ending: str, make: Callable[[], bytes]) -> tuple[Path, bytes]:
    """Machine code from the cache on disk, or made and put there if it can be.

    Args:
        told: All that the code depends on.
        ending: Of the file's name.
        make: Compiles.

    Returns:
        The file, which is missing where none can be written, and its content.
    """
    key = hashlib.sha256("\0".join(told).encode()).hexdigest()
    path = cache_folder() / f"{key[:32]}{ending}"
    if path.exists():
        return path, path.read_bytes()
    code = make()
    with contextlib.suppress(OSError):  # no home, or a read-only one: compile each time
        write_bytes(path, code)
    return path, code
