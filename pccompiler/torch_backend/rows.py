"""Rows that need not fit in memory: log-likelihoods of a stream, batches of a mapped file."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.datasets.csv_table import csv_blocks
from pccompiler.datasets.npy import DAMAGED, map_array
from pccompiler.errors import DataError
from pccompiler.options import is_of, shown, whole
from pccompiler.tables import Block, as_numbers, as_table, is_frame
from pccompiler.torch_backend.evaluator import Evaluator
from pccompiler.torch_backend.inputs import Rows, as_tensor

Source: TypeAlias = Tensor | Block | str | Path | Iterable[Rows]
"""A table, a file (.npy or .csv), or an iterator of blocks of rows, each ``(rows, variables)``."""

_CHECKED_VALUES = 2**20  # at once, of a mapped table: some 30 MB with what the checks make of them
MAPPED_FROM = 2**28
"""Bytes from which `fit` leaves a mapped array in its file."""


def log_likelihood_stream(
    model: Evaluator,
    source: Source,
    *,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[NDArray[np.float64]]:
    """Log-likelihood of each row of a source of any length, in nats, batch by batch, in order.

    One batch is in memory at a time. NaN values are integrated out.

    Args:
        model: Left as it is.
        source: A tensor or array (``np.load(..., mmap_mode="r")`` too), a data frame, a ``.npy``
            file, a ``.csv`` file (empty cells, ``nan`` and ``?`` are missing), or an iterator of
            blocks of rows, each of them what `log_likelihood` takes.
        batch_size: Rows at a time; ``None``: as many as `evaluation_batch` says, at most 8,192.
        progress: Called with the number of rows done after each batch.

    Yields:
        Shape ``(rows of the batch,)``; ``-inf`` where the density is zero.

    Raises:
        OptionError: If the batch size is below 1.
        DataError: If the source cannot be read or is no source, or rows do not fit the circuit; a
            note says where in the source the batch began.
    """
    usual = min(model.evaluation_batch, 8192)
    size = usual if batch_size is None else whole("batch_size", batch_size)
    return _values(model, blocks(source, size, model.names), progress)


def _values(
    model: Evaluator, found: Iterator[Tensor], progress: Callable[[int], None] | None
) -> Iterator[NDArray[np.float64]]:
    done = 0
    for block in found:
        try:
            with torch.no_grad():
                value = model.log_likelihood(block).double().cpu().numpy()
        except DataError as error:
            note = f"row 0 of this batch is row {done} of the source"
            raise DataError(
                replace(d, notes=(*d.notes, note)) for d in error.diagnostics
            ) from error
        done += len(value)
        if progress is not None:
            progress(done)
        yield value


def blocks(source: Source, size: int, names: Sequence[str]) -> Iterator[Tensor]:
    """The rows of ``source`` in order, at most ``size`` at a time.

    Raises:
        DataError: If it cannot be read.
    """
    if isinstance(source, str | Path):
        yield from _file_blocks(Path(source), size)
    elif isinstance(source, Tensor | np.ndarray):
        yield from _array_blocks(source, size)
    elif is_frame(source) or isinstance(source, Mapping):
        yield from _array_blocks(as_table(source, names), size)
    elif not is_of(source, Iterable):
        raise DataError.of(
            "PC365",
            f"rows to stream cannot be taken from {shown(source)}",
            help="give a table, a .npy or .csv file, or an iterator of blocks of rows",
        )
    else:
        for part in source:
            table = part if isinstance(part, Tensor | np.ndarray) else as_table(part, names)
            yield from _array_blocks(table, size)


def _file_blocks(path: Path, size: int) -> Iterator[Tensor]:
    if path.suffix.lower() == ".csv":
        for block in csv_blocks(path, size):
            yield torch.from_numpy(block)
        return
    yield from _array_blocks(map_file(path), size)


def map_file(path: Path) -> Block:
    """The table in a ``.npy`` file, mapped, not read.

    Raises:
        DataError: If it is no such file.
    """
    try:
        if path.suffix.lower() != ".npy":
            raise ValueError(f"the ending {path.suffix!r} is neither .npy nor .csv")
        return map_array(path)
    except DAMAGED as error:
        raise DataError.of(
            "PC364",
            f"{path} cannot be read batch by batch",
            notes=(f"cause: {str(error) or type(error).__name__}",),
            help="give a .npy file with a table of numbers, or a .csv file",
        ) from error


def _array_blocks(table: Tensor | Block, size: int) -> Iterator[Tensor]:
    table = as_tensor(table) if isinstance(table, Tensor) else as_numbers(table)
    if table.ndim != 2:
        raise DataError.of(
            "PC365",
            f"rows to stream come in tables, but one has shape {tuple(table.shape)}",
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
    """Let the system have the pages of a table mapped read-only back; they stay in its cache.

    Else what was read stays resident, and a process that reads the file grows to its size.
    """
    if not isinstance(table, np.memmap) or table.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return  # of a private copy, changes would be lost
    below: object = table
    while isinstance(below, np.ndarray):  # views of views, down to the map
        below = getattr(below, "base", None)
    if isinstance(below, mmap.mmap):
        below.madvise(mmap.MADV_DONTNEED)


def stays_mapped(x: Rows) -> bool:
    """Whether `fit` gathers batches from the file of ``x`` instead of copying it to the device."""
    return isinstance(x, np.memmap) and x.ndim == 2 and x.nbytes >= MAPPED_FROM


class MappedRows:
    """Training rows that stay in their file.

    Attributes:
        complete: Whether no value is missing.
    """

    def __init__(self, model: Evaluator, table: Block) -> None:
        self.model, self.table = model, table
        self.complete = True
        size = max(1, _CHECKED_VALUES // max(table.shape[1], 1))
        for number, rows in enumerate(_array_blocks(table, size)):
            self._check(rows, number * size)

    def _check(self, rows: Tensor, start: int) -> None:
        try:
            ready = self.model.checked(rows)
        except DataError as error:
            note = f"rows are counted from row {start} of the file"
            raise DataError(
                replace(d, notes=(*d.notes, note)) for d in error.diagnostics
            ) from error
        self.complete = self.complete and not bool(ready.isnan().any())

    def __len__(self) -> int:
        return len(self.table)

    def take(self, numbers: Tensor) -> Tensor:
        """The rows of these numbers, on the model's device."""
        order = numbers.cpu().numpy()
        ascending = np.argsort(order, kind="stable")
        kind = self.table.dtype.newbyteorder("=")
        rows = np.empty((len(order), self.table.shape[1]), kind)
        rows[ascending] = self.table[order[ascending]]  # in the order of the file
        release(self.table)
        return self.model.prepare(rows)

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows in order, ready for the model, ``size`` at a time."""
        return (self.model.prepare(rows) for rows in _array_blocks(self.table, size))
