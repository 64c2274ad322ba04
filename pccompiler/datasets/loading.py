"""Load a named data set from wherever it is."""

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

    It is looked for, in this order, in the folder that the environment variable ``PCCOMPILER_DATA``
    names, in ``../shared/data`` of a development checkout, and in the user's cache, where downloads
    are kept. In a folder it may be ``twenty/nltcs.npz``, ``nltcs.npz``, ``nltcs/nltcs.train.data``
    or ``datasets/nltcs/nltcs.train.data`` (as in a clone of DEBD), the latter two with
    ``.valid.data`` and ``.test.data`` beside. Wherever it comes from, its SHA-256 is checked.

    Args:
        name: As `info` takes it. ``"hand-designed"`` is generated, with seed 0.
        data_dir: Look here and nowhere else.
        download: Whether a set that is not found may be downloaded; with ``data_dir`` it never is.

    Returns:
        The parts as ``uint8``, entries 0 and 1.

    Raises:
        DataError: If there is no such set, it is found nowhere, or what is found is not it.
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
        else f"in a folder that data_dir or {ENVIRONMENT} names, or allow download=True"
    )
    return DataError.of(
        "PC411",
        f"the data set {entry.name!r} is not found",
        notes=[f"tried {path}" for path in tried],
        help=f"put it at one of these paths, {elsewhere}",
    )
