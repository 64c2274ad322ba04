"""Finds a named data set on this machine, and reads it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pccompiler.datasets.arrays import unreadable
from pccompiler.datasets.digests import check
from pccompiler.datasets.files import read_npz
from pccompiler.datasets.records import SPLITS, Dataset, DatasetInfo, Entries
from pccompiler.errors import DataError

ENVIRONMENT: Final = "PCCOMPILER_DATA"
_REPOSITORY: Final = Path(__file__).resolve().parents[2]


def roots() -> Iterator[Path]:
    """Folders to search in order: the user's, that of a development checkout, the download cache.

    Raises:
        DataError: If the environment variable names a folder that does not exist.
    """
    if named := os.environ.get(ENVIRONMENT):
        yield existing(Path(named), f"the environment variable {ENVIRONMENT}")
    shared = _REPOSITORY.parent / "shared" / "data"
    if (_REPOSITORY / "pyproject.toml").is_file() and shared.is_dir():
        yield shared
    yield cache()


def cache() -> Path:
    """Folder of downloads, with ``<collection>/<name>.npz`` inside; it may not exist yet."""
    # Imported late, since it loads requests. It has no type stubs.
    import pooch  # type: ignore[import-untyped]

    return Path(pooch.os_cache("pccompiler"))


def existing(root: Path, origin: str) -> Path:
    """Return ``root`` if it is a folder.

    Raises:
        DataError: If it is not; ``origin`` says where the name came from.
    """
    if root.is_dir():
        return root
    raise DataError.of(
        "PC411",
        f"the data folder {root} does not exist",
        notes=[f"it is named by {origin}"],
        help="correct the path, or leave it out to search the cache and download",
    )


def candidates(entry: DatasetInfo, root: Path) -> list[Path]:
    """Possible files of a set: an archive, or the first of three texts as in DEBD or HyperSPN."""
    name = entry.name
    texts = [Path(name, name), Path("datasets", name, name)]
    if entry.collection == "amazon":
        texts += [Path(f"amzn_{name}", f"amzn_{name}")]
        texts += [Path("datasets", "amzn", f"amzn_{name}", f"amzn_{name}")]
    archives = [root / entry.collection / f"{name}.npz", root / f"{name}.npz"]
    return archives + [root / f"{text}.train.data" for text in texts]


def read(path: Path, entry: DatasetInfo) -> Dataset:
    """Read one of the `candidates` and check that it is the published set.

    Raises:
        DataError: If it cannot be read, lacks a part, or is not the published set.
    """
    parts = _archive(path, entry) if path.suffix == ".npz" else _texts(path)
    return check(described(entry, *parts), entry, path)


def described(entry: DatasetInfo, train: Entries, valid: Entries, test: Entries) -> Dataset:
    """The data set of these parts, with what the catalogue knows about it."""
    return Dataset(
        entry.name, train, valid, test, declared=entry.variables, image_shape=entry.image_shape
    )


def _archive(path: Path, entry: DatasetInfo) -> tuple[Entries, Entries, Entries]:
    found = read_npz(path)
    train, valid, test = found.train, found.valid, found.test
    if valid is None and len(train) == entry.num_train + entry.num_valid:
        train, valid = train[: entry.num_train], train[entry.num_train :]  # as is usual for MNIST
    if valid is not None and test is not None:
        return train, valid, test
    lacking = [repr(part) for part in SPLITS if getattr(found, part) is None]
    raise DataError.of(
        "PC414",
        f"{path} lacks {' and '.join(lacking)} of the data set {entry.name!r}",
        help="replace the file; load_file() reads data sets without these parts",
    )


def _texts(train: Path) -> tuple[Entries, Entries, Entries]:
    stem = train.name.removesuffix(".train.data")
    first, second, third = (read_text(train.with_name(f"{stem}.{part}.data")) for part in SPLITS)
    return first, second, third


def read_text(path: Path, source: str | Path | None = None) -> NDArray[np.uint8]:
    """Read small integers from comma-separated text in DEBD's format.

    Args:
        path: The file.
        source: Named in an error instead of ``path``.

    Raises:
        DataError: If the file cannot be read or contains anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an empty file is only a warning to NumPy
            return np.loadtxt(path, dtype=np.uint8, delimiter=",", comments=None, ndmin=2)
    except (OSError, ValueError, UserWarning) as error:
        way_out = "use an unmodified copy; each line looks like '0,1,1'"
        raise unreadable(source or path, "rows of 0 and 1", error, way_out) from error
