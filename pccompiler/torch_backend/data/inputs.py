"""Converts rows of any kind to a tensor with a model's device and precision, NaN where missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from pccompiler.errors import DataError, OptionError
from pccompiler.options import as_float, shown
from pccompiler.tables import Block, Given, as_numbers, as_records, as_table, is_frame, wrong_shape
from pccompiler.tables.labels import Codes

Rows: TypeAlias = Tensor | Given
"""A tensor on any device, an array or nested list, a dict or a list of dicts, or a data frame."""

_KINDS = frozenset(
    {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
    | {torch.float16, torch.bfloat16, torch.float32, torch.float64}
)


def as_rows(
    x: object,
    names: Sequence[str],
    *,
    device: torch.device,
    dtype: torch.dtype,
    mask: object = None,
    missing: object = None,
    partial: bool = False,
    codes: Codes = (),
) -> Tensor:
    """``x`` as a tensor, shape ``(rows, variables)``; values are not checked.

    A tensor or an array that already fits is not copied, so the result must not be modified.

    Args:
        x: A tensor, or anything that `pccompiler.tables.as_table` takes.
        names: Names of the variables.
        device: Device of the result.
        dtype: A floating type.
        mask: Like ``x``; true or 1 where a value is missing.
        missing: A number that stands for a missing value.
        partial: See `pccompiler.tables.as_table`.
        codes: Likewise.

    Raises:
        DataError: If ``x`` or the mask is not a table that fits the variables.
        OptionError: If ``missing`` is not a number.
    """
    if missing is not None and any(codes) and (is_frame(x) or as_records(x) is not None):
        raise OptionError.of(
            "PC302",
            "missing= marks numbers, and the columns have labels",
            help="leave missing cells empty: NaN or None",
        )
    rows = _tensor(x, names, partial, codes)
    gone = None if missing is None else rows == _marker(missing)
    rows = rows.to(device, dtype)
    if gone is not None:
        rows = rows.masked_fill(gone.to(device), torch.nan)
    if mask is not None:
        rows = rows.masked_fill(_holes(mask, names, rows.shape).to(device), torch.nan)
    return rows


def as_tensor(x: object) -> Tensor:
    """An array-like object as a dense tensor of real numbers; tensors stay on their device.

    Raises:
        DataError: If it is not one.
    """
    if not isinstance(x, Tensor):
        return torch.from_numpy(_plain(as_numbers(x)))
    if x.layout != torch.strided or x.is_complex() or x.is_quantized or x.is_meta:
        raise DataError.of(
            "PC452",
            f"the data are a tensor of {x.dtype} and {x.layout} on {x.device}",
            help="give a dense tensor of real numbers",
        )
    return x if x.dtype in _KINDS else x.double()


def _tensor(x: object, names: Sequence[str], partial: bool, codes: Codes) -> Tensor:
    if not isinstance(x, Tensor):
        return torch.from_numpy(_plain(as_table(x, names, partial=partial, codes=codes)))
    if x.ndim != 2 or x.shape[1] != len(names):
        raise wrong_shape(x.shape, names)
    return as_tensor(x)


def _plain(table: Block) -> Block:
    """An array that torch takes without a copy and without a warning."""
    native = table.dtype.newbyteorder("=")
    if native.kind == "u" and native.itemsize > 1:  # torch cannot compare these
        native = np.dtype(np.float64)
    size = table.dtype.itemsize
    if native != table.dtype or any(step < 0 or step % size for step in table.strides):
        return np.array(table, native, order="C")
    return np.asarray(table if table.flags.writeable else _Shared(table))


class _Shared:
    """Wraps a read-only array so that torch takes it without a warning; it is never modified."""

    def __init__(self, table: Block) -> None:
        self.table = table  # keeps the memory, which may be a file's
        self.__array_interface__ = {
            **table.__array_interface__,
            "data": (table.__array_interface__["data"][0], False),
        }


def _marker(missing: object) -> int | float:
    number = as_float(missing)
    if number is None:
        raise OptionError.of(
            "PC302", f"missing is {shown(missing)}", help="give a number, for example -1"
        )
    exact = number.is_integer() and abs(number) < 2**62
    return int(number) if exact else number  # integers compare exactly with an integer


def _holes(mask: object, names: Sequence[str], shape: torch.Size) -> Tensor:
    """Where values are missing according to the mask."""
    named = as_records(mask) is not None or is_frame(mask)
    given = as_tensor(as_table(mask, names) if named else mask)
    if given.shape != shape:
        raise DataError.of(
            "PC402",
            f"the mask has shape {tuple(given.shape)}, but the data have shape {tuple(shape)}",
            help="give the mask one entry for each value: true where it is missing",
        )
    if given.dtype != torch.bool and not bool(((given == 0) | (given == 1)).all()):
        raise DataError.of(
            "PC402",
            "the mask has entries that are neither true nor false",
            help="give true, or 1, where a value is missing, and false, or 0, elsewhere",
        )
    return given.to(torch.bool)
