"""Loads a named data set from disk or from its publisher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pccompiler.datasets.catalogue import info
from pccompiler.datasets.digests import check
from pccompiler.datasets.download import ORIGINS, fetch
from pccompiler.datasets.files import read_npz
from pccompiler.datasets.generated import hand_designed
from pccompiler.datasets.records import SPLITS, Dataset, DatasetInfo
from pccompiler.datasets.stores import (
    ENVIRONMENT,
    cache,
    candidates,
    described,
    existing,
    read,
    roots,
)
from pccompiler.errors import DataError
from pccompiler.ir import categorical

_BUNDLED: Final = Path(__file__).with_name("bundled")


def load(name: str, data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """Load a data set in its published split and row order.

    Folders are searched in this order: the one named by the environment variable
    ``PCCOMPILER_DATA``, ``../shared/data`` of a development checkout, and the user's cache of
    downloads. In a folder the data set may be ``twenty/nltcs.npz``, ``nltcs.npz``,
    ``nltcs/nltcs.train.data`` or ``datasets/nltcs/nltcs.train.data`` (as in a clone of DEBD), the
    latter two next to ``.valid.data`` and ``.test.data``. Its SHA-256 is always checked. Images are
    read from ``images/mnist.npz`` or ``mnist.npz``; the last 10,000 training rows of MNIST are for
    validation.

    Args:
        name: See `info`. ``"digits"`` comes with the package; ``"hand-designed"`` is generated,
            with seed 0.
        data_dir: Search only this folder.
        download: Whether to download a set that is not found; never with ``data_dir``.

    Returns:
        The parts as ``uint8``, entries 0 and 1; images of grey levels have more, see `info`. Their
        ``image_shape`` is (channels, height, width).

    Raises:
        DataError: If there is no such set, it is not found, or its contents differ.
    """
    entry = info(name)
    if entry.collection == "generated":
        return hand_designed()
    if entry.collection == "bundled":
        return digits()
    folders = [existing(Path(data_dir), "data_dir")] if data_dir is not None else list(roots())
    tried = [path for folder in folders for path in candidates(entry, folder)]
    for path in tried:
        if path.is_file():
            return read(path, entry)
    if data_dir is None and download and entry.collection in ORIGINS:
        return fetch(entry, cache())
    raise _not_found(entry, tried, data_dir)


def digits(*, labels: bool = False) -> Dataset:
    """Pictures of handwritten digits that come with the package: nothing is downloaded.

    Args:
        labels: Whether a 65th column holds the digit, 0 to 9.

    Returns:
        A row for each picture, shape ``(rows, 64)``: pixels row by row, grey levels 0 to 16.
        1,000 rows to train on, 297 for validation and 500 to test.

    Raises:
        DataError: If the file in the package was changed.

    Source:
        Alpaydin and Kaynak (1998), "Optical Recognition of Handwritten Digits", UCI Machine
        Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0.
    """
    entry = info("digits")
    rows = read_npz(_BUNDLED / "digits.npz")
    parts = [np.asarray(getattr(rows, part)) for part in SPLITS]
    pixels = [np.ascontiguousarray(part[:, : entry.num_variables]) for part in parts]
    found = check(described(entry, *pixels), entry, _BUNDLED)
    if not labels:
        return found
    declared = (*entry.variables, categorical("digit", 10))
    return Dataset(entry.name, *parts, declared=declared, image_shape=entry.image_shape)


def _not_found(entry: DatasetInfo, tried: Sequence[Path], data_dir: str | Path | None) -> DataError:
    elsewhere = (
        f"or leave out data_dir to search {ENVIRONMENT} and the cache and to download it"
        if data_dir is not None and entry.collection in ORIGINS
        else f"in a folder named by data_dir or {ENVIRONMENT}"
        + (", or allow download=True" if entry.collection in ORIGINS else "")
    )
    return DataError.of(
        "PC411",
        f"the data set {entry.name!r} was not found",
        notes=[f"tried {path}" for path in tried],
        help=f"put it at one of these paths, {elsewhere}",
    )
