"""Reads NumPy's array files without trusting their headers."""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pccompiler.limits import current
from pccompiler.reading import open_regular

DAMAGED: Final = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,  # encrypted archives; also NotImplementedError and RecursionError
    MemoryError,  # from parsing nested headers
    OverflowError,
    SyntaxError,
    AssertionError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)
"""Errors that Python and NumPy raise about damaged archives and headers."""


class Header(NamedTuple):
    """The header of an ``.npy``, known to fit the file."""

    dtype: np.dtype[Any]  # any type of number
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    start: int


def read_header(file: IO[bytes], size: int) -> Header:
    """The header of an ``.npy`` of ``size`` bytes.

    Raises:
        ValueError: If it has objects, or does not fit the file's length; others of `DAMAGED`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old headers
        version = np.lib.format.read_magic(file)
        one = version == (1, 0)
        reader = np.lib.format.read_array_header_1_0 if one else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = reader(file)
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f"it contains {dtype}, not numbers")
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or wanted != size - file.tell():
        raise ValueError(f"its header says {shape} of {dtype}, which does not fit its length")
    return Header(dtype, shape, "F" if by_columns else "C", file.tell())


def read_arrays(path: Path, wanted: Sequence[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The ``wanted`` arrays in an ``.npz``, of any type, and the names of all its arrays.

    Raises:
        LimitError: If they are larger than `pccompiler.limits` allow when uncompressed.
        OSError: If the file cannot be read; others of `DAMAGED` if it is damaged.
    """
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        found = {key: archive.getinfo(members[key]) for key in wanted if key in members}
        current().check("arrays", sum(entry.file_size for entry in found.values()), path)
        return {key: _array(archive.read(entry)) for key, entry in found.items()}, list(members)


def _array(content: bytes) -> NDArray[Any]:
    header = read_header(io.BytesIO(content), len(content))
    flat = np.frombuffer(content, header.dtype, offset=header.start)
    return flat.reshape(header.shape, order=header.order).copy(order="C")


def map_array(path: Path) -> NDArray[Any]:
    """The array in an ``.npy`` file, memory-mapped.

    Raises:
        OSError: If the file cannot be read; others of `DAMAGED` if it is damaged.
    """
    with open_regular(path) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        header = read_header(file, size)
    return np.memmap(path, header.dtype, "r", header.start, header.shape, header.order)
