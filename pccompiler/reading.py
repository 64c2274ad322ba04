"""Safe reading of untrusted files, which must neither block nor exhaust memory."""

from __future__ import annotations

import errno
import gzip
import json
import os
import stat
import zlib
from pathlib import Path
from typing import IO

from pccompiler.limits import current


def is_file(path: Path) -> bool:
    """Whether ``path`` is a regular file; False for invalid names."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a regular file for reading. A FIFO or a device could block, or never end.

    Raises:
        OSError: If it cannot be opened, or is not a regular file.
    """
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # the caller closes it
    except ValueError:
        raise OSError(errno.EINVAL, "this is not a valid file name", str(path)) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no such flag


def read_regular(path: str | Path) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: If it cannot be read, or is not a regular file.
    """
    with open_regular(path) as file:
        return file.read()


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8, decompressed if it is a gzip file, without a byte order mark.

    Raises:
        OSError: If it cannot be read, is damaged, or is not a regular file.
        UnicodeDecodeError: If it is not text.
        LimitError: If it is too long.
    """
    most = current().text
    with open_regular(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            current().check("text", os.fstat(file.fileno()).st_size, path)
            return file.read().decode("utf-8-sig")
        try:
            content = gzip.GzipFile(fileobj=file).read(most + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise OSError(errno.EINVAL, "it is damaged", str(path)) from None
    current().check("text", len(content), path)
    return content.decode("utf-8-sig")


def parse_json(content: str | bytes) -> object:
    """The value of a JSON text.

    Raises:
        ValueError: If it is not JSON in UTF-8, is nested too deeply, or has an integer that is too
            long for Python.
    """
    try:
        found: object = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found
