"""Loads a named data set from disk or from its publisher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pccompiler.datasets.catalogue import info
from pccompiler.datasets.download import fetch
from pccompiler.datasets.generated import hand_designed
from pccompiler.datasets.records import Dataset, DatasetInfo
from pccompiler.datasets.stores import (
    ENVIRONMENT,
    cache,
    candidates,
    existing,
    read,
    roots,
)
from pccompiler.errors import DataError


def load(name: str, data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """Load a data set in its published split and row order.

    Folders are searched in this order: the one named by the environment variable
    ``PCCOMPILER_DATA``, ``../shared/data`` of a development checkout, and the user's cache of
    downloads. In a folder the data set may be ``twenty/nltcs.npz``, ``nltcs.npz``,
    ``nltcs/nltcs.train.data`` or ``datasets/nltcs/nltcs.train.data`` (as in a clone of DEBD), the
    latter two next to ``.valid.data`` and ``.test.data``. Its SHA-256 is always checked.

    Args:
        name: See `info`. ``"hand-designed"`` is generated, with seed 0.
        data_dir: Search only this folder.
        download: Whether to download a set that is not found; never with ``data_dir``.

    Returns:
        The parts as ``uint8``, entries 0 and 1.

    Raises:
        DataError: If there is no such set, it is not found, or its contents differ.
    """
    entry = info(name)
    if entry.collection == "generated":
        return hand_designed()
    folders = [existing(Path(data_dir), "data_dir")] if data_dir is not None else list(roots())
    tried = [path for folder in folders for path in candidates(entry, folder)]
    for path in tried:
        if path.is_file():
            return read(path, entry)
    if data_dir is None and download:
        return fetch(entry, cache())
    raise _not_found(entry, tried, data_dir)


def _not_found(entry: DatasetInfo, tried: Sequence[Path], data_dir: str | Path | None) -> DataError:
    elsewhere = (
        f"or leave out data_dir to search {ENVIRONMENT} and the cache and to download it"
        if data_dir is not None
        else f"in a folder named by data_dir or {ENVIRONMENT}, or allow download=True"
    )
    return DataError.of(
        "PC411",
        f"the data set {entry.name!r} was not found",
        notes=[f"tried {path}" for path in tried],
        help=f"put it at one of these paths, {elsewhere}",
    )
