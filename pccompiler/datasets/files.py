"""Reads data files given by path."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pccompiler.datasets.arrays import as_entries, unreadable
from pccompiler.datasets.csv_table import read_csv
from pccompiler.datasets.npy import DAMAGED, read_arrays
from pccompiler.datasets.records import SPLITS, Dataset, Entries, Shape, Splits, Table
from pccompiler.errors import DataError, LimitError
from pccompiler.reading import is_file


def load_file(path: str | Path, *, separator: str | None = None) -> Splits | Table:
    """Read a file of data.

    Args:
        path: An ``.npz`` with an array ``train`` and perhaps ``valid`` and ``test``, of shape
            ``(rows, variables)`` or, for images, ``(rows, height, width)``; or a ``.csv`` with one
            row per line. In a ``.csv``, an empty cell, ``nan`` or ``?`` is a missing
            value, and a first line with text but no number is a header.
        separator: Between the cells of a ``.csv``; by default the one of comma, semicolon, tab and
            ``|`` that its first line has most often.

    Returns:
        `Dataset` for an ``.npz`` with all three parts, `Splits` with ``None`` for missing parts, or
        `Table` for a ``.csv``. `split` cuts an array into three parts.

    Raises:
        DataError: If the file cannot be read or does not contain valid data.
        LimitError: If an uncompressed archive is larger than `pccompiler.limits` allow.
    """
    path = Path(path)
    if not is_file(path):
        raise DataError.of("PC411", f"there is no file {path}", help="correct the path")
    match path.suffix.casefold():
        case ".npz":
            return read_npz(path)
        case ".csv":
            return read_csv(path, separator)
        case _:
            raise DataError.of(
                "PC419",
                f"{path} is neither .npz nor .csv",
                help="write it with np.savez_compressed(path, train=..., valid=..., test=...)",
            )


def read_npz(path: Path) -> Splits:
    """Read an ``.npz`` archive with the keys ``train`` and perhaps ``valid`` and ``test``.

    Raises:
        DataError: If it is not such an archive.
    """
    arrays, keys = _arrays(path)
    if "train" not in arrays:
        raise DataError.of(
            "PC414",
            f"{path} has no array 'train'",
            notes=[f"it has {', '.join(keys) or 'none'}"],
            help="write it with np.savez_compressed(path, train=..., valid=..., test=...)",
        )
    image = _image_shape(arrays)
    if image is not None:  # the pixels of each image become a row
        arrays = {key: array.reshape(len(array), math.prod(image)) for key, array in arrays.items()}
    parts = {key: as_entries(array, f"{key!r} of {path}") for key, array in arrays.items()}
    _check_widths(path, parts)
    train, valid, test = (parts.get(part) for part in SPLITS)
    assert train is not None  # checked above
    if valid is None or test is None:
        return Splits(path.stem, train, valid, test, image_shape=image)
    return Dataset(path.stem, train, valid, test, image_shape=image)


def _arrays(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Arrays of the three parts, of any dtype, and the keys of all arrays."""
    try:
        return read_arrays(path, SPLITS)
    except LimitError:
        raise
    except DAMAGED as error:
        way_out = "write it with np.savez_compressed(path, train=..., valid=..., test=...)"
        raise unreadable(path, "an .npz archive of numbers", error, way_out) from error


def _image_shape(arrays: Mapping[str, NDArray[Any]]) -> Shape | None:
    """The common shape of the images that all arrays hold; ``None`` if they hold none."""
    shapes = {array.shape[1:] for array in arrays.values()}
    (found,) = shapes if len(shapes) == 1 else ((),)
    return (1, *found) if len(found) == 2 else None


def _check_widths(path: Path, parts: dict[str, Entries]) -> None:
    shapes = {key: array.shape for key, array in parts.items()}
    if len({width for _, width in shapes.values()}) > 1:
        raise DataError.of(
            "PC414",
            f"the parts of {path} have different numbers of variables",
            notes=[f"{key!r} has shape {shape}" for key, shape in shapes.items()],
            help="give all parts the same columns",
        )
