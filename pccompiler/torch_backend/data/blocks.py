"""Blocks of rows from arrays, files and iterators, without loading whole files."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from pccompiler.datasets.columns import is_table_file, read_blocks, rows_by_name, text_columns
from pccompiler.datasets.npy import DAMAGED, map_array
from pccompiler.errors import DataError
from pccompiler.options import is_of, shown
from pccompiler.tables import Block, as_numbers, as_table, is_frame
from pccompiler.tables.labels import Codes
from pccompiler.torch_backend.data.inputs import Rows, as_tensor

Source: TypeAlias = Tensor | Block | str | Path | Iterable[Rows]
"""A table, a file (.npy, .csv, .parquet), or an iterator of blocks, each ``(rows, variables)``."""


def blocks(source: Source, size: int, names: Sequence[str], codes: Codes = ()) -> Iterator[Tensor]:
    """The rows of ``source`` in order, at most ``size`` at a time.

    Raises:
        DataError: If it cannot be read.
    """
    if isinstance(source, str | Path):
        yield from _file_blocks(Path(source), size, names, codes)
    elif isinstance(source, Tensor | np.ndarray):
        yield from _array_blocks(source, size)
    elif is_frame(source) or isinstance(source, Mapping):
        yield from _array_blocks(as_table(source, names, codes=codes), size)
    elif not is_of(source, Iterable):
        raise DataError.of(
            "PC365",
            f"rows to stream cannot be taken from {shown(source)}",
            help="give a table, a .npy, .csv or .parquet file, or an iterator of blocks of rows",
        )
    else:
        for part in source:
            if not isinstance(part, Tensor | np.ndarray):
                part = as_table(part, names, codes=codes)
            yield from _array_blocks(part, size)


def _file_blocks(path: Path, size: int, names: Sequence[str], codes: Codes) -> Iterator[Tensor]:
    if is_table_file(str(path)):
        for block in read_blocks(path, size, text=text_columns(names, codes)):
            yield torch.from_numpy(rows_by_name(block, names, codes))
        return
    yield from _array_blocks(map_file(path), size)


def map_file(path: Path) -> Block:
    """The table in a ``.npy`` file, memory-mapped.

    Raises:
        DataError: If it is not such a file.
    """
    try:
        if path.suffix.lower() != ".npy":
            raise ValueError(f"the extension {path.suffix!r} is none of .npy, .csv and .parquet")
        return map_array(path)
    except DAMAGED as error:
        raise DataError.of(
            "PC364",
            f"{path} cannot be read batch by batch",
            notes=(f"cause: {str(error) or type(error).__name__}",),
            help="give a .npy file with a table of numbers, or a .csv or .parquet file",
        ) from error


def _array_blocks(table: Tensor | Block, size: int) -> Iterator[Tensor]:
    table = as_tensor(table) if isinstance(table, Tensor) else as_numbers(table)
    if table.ndim != 2:
        raise DataError.of(
            "PC365",
            f"rows to stream must be tables, but one has shape {tuple(table.shape)}",
            help="give blocks of shape (rows, variables)",
        )
    for start in range(0, len(table), size):
        part = table[start : start + size]
        if isinstance(part, Tensor):
            yield part
            continue
        yield torch.from_numpy(np.array(part, part.dtype.newbyteorder("="), order="C"))
        release(part)


def release(table: Block) -> None:
    """Return the pages of a table mapped read-only to the system, which keeps them cached.

    Otherwise a process that reads the whole file grows to its size.
    """
    if table.flags.writeable or not hasattr(mmap, "MADV_DONTNEED"):
        return  # a private copy would lose its changes
    below: object = table
    while isinstance(below, np.ndarray):  # views of views, down to the map
        below = getattr(below, "base", None)
    if isinstance(below, mmap.mmap):
        below.madvise(mmap.MADV_DONTNEED)
