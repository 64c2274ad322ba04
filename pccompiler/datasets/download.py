"""Downloads a named data set from where its authors published it."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from pccompiler.datasets.digests import check
from pccompiler.datasets.records import SPLITS, Dataset, DatasetInfo
from pccompiler.datasets.stores import ENVIRONMENT, described, read_text
from pccompiler.errors import DataError
from pccompiler.files import is_write_failure, write_failure

_LOG: Final = logging.getLogger(__name__)
_DEBD: Final = "https://raw.githubusercontent.com/arranger1044/DEBD/master"
_HYPERSPN: Final = (
    "https://raw.githubusercontent.com/ermongroup/HyperSPN/77fb80d54a925f940f9179d9789c7323d80f5d67"
)
ORIGINS: Final[Mapping[str, str]] = {
    "twenty": _DEBD + "/datasets/{name}/{name}.{part}.data",
    "amazon": _HYPERSPN + "/datasets/amzn/amzn_{name}/amzn_{name}.{part}.data",
    "extra": _DEBD + "/datasets/{name}/{name}.{part}.data",
}


def urls(entry: DatasetInfo) -> dict[str, str]:
    """The URL of each part's text."""
    origin = ORIGINS[entry.collection]
    return {part: origin.format(name=entry.name, part=part) for part in SPLITS}


def fetch(entry: DatasetInfo, cache: Path) -> Dataset:
    """Download a set, check it, and keep it in ``<cache>/<collection>/<name>.npz``.

    Raises:
        DataError: If it cannot be downloaded or is not the published set; nothing is left in the
            cache in that case.
        FileError: If the cache has no space for it or cannot be written.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{entry.name}-", dir=cache) as scratch:
            return _fetch(entry, cache, Path(scratch))
    except OSError as error:  # including errors of requests
        if (response := getattr(error, "response", None)) is not None:
            response.close()  # pooch leaves the connection open
        if is_write_failure(error):
            raise write_failure(cache, error) from error
        raise _failed(entry, cache, error) from error


def _fetch(entry: DatasetInfo, cache: Path, scratch: Path) -> Dataset:
    sources = urls(entry)
    texts = {part: _retrieve(url, scratch) for part, url in sources.items()}
    train, valid, test = (read_text(texts[part], sources[part]) for part in SPLITS)
    dataset = check(described(entry, train, valid, test), entry, sources["train"])
    archive = scratch / f"{entry.name}.npz"
    np.savez_compressed(archive, train=train, valid=valid, test=test)
    kept = cache / entry.collection / archive.name
    kept.parent.mkdir(exist_ok=True)
    os.replace(archive, kept)  # atomic: other processes see the whole file or none
    return dataset


def _retrieve(url: str, folder: Path) -> Path:
    # Imported late, since it loads requests. It has no type stubs.
    import pooch  # type: ignore[import-untyped]

    _LOG.info("downloading %s", url)
    with _quiet(pooch.get_logger()):
        # No hash of the file, since `check` verifies the parsed arrays.
        found = pooch.retrieve(  # pyright: ignore[reportUnknownMemberType] - a bare PathLike
            url, known_hash=None, fname=url.split("/")[-1], path=folder
        )
    return Path(found)


@contextmanager
def _quiet(logger: logging.Logger) -> Generator[None, None, None]:
    """Limit a logger to warnings, since pooch logs the hash of each file with advice."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _failed(entry: DatasetInfo, cache: Path, error: OSError) -> DataError:
    return DataError.of(
        "PC412",
        f"the data set {entry.name!r} cannot be downloaded to {cache}",
        notes=[*urls(entry).values(), f"cause: {type(error).__name__}: {error}"],
        help=f"download these files by other means to <folder>/{entry.name}/, named "
        f"{entry.name}.train.data and so on, and give data_dir=<folder> or set {ENVIRONMENT}",
    )
