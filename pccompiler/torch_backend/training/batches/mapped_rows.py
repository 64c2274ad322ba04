"""Training rows that stay in a mapped file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.tables import Block
from pccompiler.torch_backend.data.blocks import _array_blocks, release
from pccompiler.torch_backend.data.inputs import Rows
from pccompiler.torch_backend.evaluator import Evaluator

_CHECKED_VALUES = 2**20  # checked at once in a mapped table: about 30 MB with temporaries


MAPPED_FROM = 2**28
"""Minimum bytes of a mapped array that `fit` leaves in its file."""


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
        """The rows with these numbers, on the model's device."""
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
