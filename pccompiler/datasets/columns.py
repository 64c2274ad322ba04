"""Named columns of numbers, text and booleans, from text and Parquet files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pccompiler.datasets.arrays import unreadable
from pccompiler.datasets.csv_table import (
    Lines,
    Values,
    check_widths,
    is_blank,
    is_number,
    numbers_of,
    read_lines,
)
from pccompiler.errors import DataError, OptionError
from pccompiler.tables import as_numbers, as_table, frame_labels
from pccompiler.tables.labels import Codes

_ENDINGS = (".csv", ".tsv", ".parquet")
_MAGIC = b"PAR1"
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a text file: as much of a data frame as `pccompiler.tables` needs."""

    content: Mapping[str, NDArray[Any]]

    @property
    def column_names(self) -> list[str]:
        """The names, in order."""
        return list(self.content)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.content[name]

    def __len__(self) -> int:
        return len(next(iter(self.content.values()), ()))


def is_table_file(data: str) -> bool:
    """Whether ``data`` names a file of rows: text, Parquet, or ``-`` for standard input."""
    return data == "-" or Path(data).suffix.casefold() in _ENDINGS


def read_blocks(
    source: Path | IO[bytes],
    size: int | None = None,
    *,
    separator: str | None = None,
    text: Collection[str] = (),
) -> Iterator[Any]:
    """The rows of a file, at most ``size`` at a time.

    Args:
        source: A text file with or without a header, or a Parquet file; or an open one, which can
            be read from anywhere.
        size: Rows in a block; by default all.
        separator: Between the cells of text; by default the one that its first line has.
        text: Columns that stay text, even if all cells are numbers.

    Yields:
        Data frames (`Columns`, or pyarrow's tables); arrays if a text has no header.

    Raises:
        DataError: If the file cannot be read, or a column of text mixes numbers and words.
        OptionError: If it is a Parquet file, and pyarrow is not installed.
    """
    if _is_parquet(source):
        yield from _parquet_blocks(source, size)
        return
    for lines in read_lines(source, size, separator):
        yield numbers_of(lines) if lines.columns is None else _columns(lines, text)


def rows_by_name(
    frame: Any, names: Sequence[str], codes: Codes = (), *, partial: bool = False
) -> NDArray[np.float64]:
    """A block of `read_blocks` as rows of a model.

    Columns are matched by name. If no column has the name of a variable, and there is no schema,
    they are taken in their order, like those of files without a header.

    Args:
        frame: The block.
        names: Names of the variables.
        codes: The states of labels; none without a schema.
        partial: Whether a variable without a column is missing in every row.

    Raises:
        DataError: If the columns or their values do not fit the variables.
    """
    if isinstance(frame, np.ndarray):
        return frame.astype(np.float64)
    labels = frame_labels(frame)
    if not codes and set(names).isdisjoint(labels):
        frame = np.column_stack([as_numbers(np.asarray(frame[n]), str(n)) for n in labels])
    return as_table(frame, names, partial=partial, codes=codes).astype(np.float64)


def text_columns(names: Sequence[str], codes: Codes) -> set[str]:
    """The columns whose labels are text."""
    known = zip(names, codes, strict=False)
    return {n for n, states in known if any(isinstance(label, str) for label in states)}


def _columns(lines: Lines, text: Collection[str]) -> Columns:
    check_widths(lines)
    cells = zip(*(cells for _, cells in lines.body), strict=True)
    named = zip(lines.columns or (), cells, strict=True)
    values = Values()
    return Columns(
        {
            name: _words(column) if name in text else _column(name, column, lines, values)
            for name, column in named
        }
    )


def _column(name: str, cells: Sequence[str], lines: Lines, values: Values) -> NDArray[Any]:
    """A column as numbers if all its cells are, or as booleans, or as text."""
    try:
        return np.array([values[cell] for cell in cells], np.float64)
    except ValueError:
        words = _words(cells)
    known = [word for word in words if word is not None]
    if all(word.casefold() in _TRUTH for word in known):
        return np.array([w if w is None else _TRUTH[w.casefold()] for w in words], object)
    if any(map(is_number, known)):
        row = next(i for i, word in enumerate(words) if word is not None and not is_number(word))
        raise DataError.of(
            "PC811",
            f"column {name!r} has numbers, but also {words[row]!r}",
            location=f"{lines.name}:{lines.body[row][0]}",
            help="correct the cell, or leave it empty if the value is missing; if the column "
            f"holds labels, list all of them: --domain '{name}=LABEL,LABEL'",
        )
    return words


def _words(cells: Sequence[str]) -> NDArray[Any]:
    return np.array([None if is_blank(cell) else cell.strip() for cell in cells], object)


def _is_parquet(source: Path | IO[bytes]) -> bool:
    if isinstance(source, Path):
        return source.suffix.casefold() == ".parquet"
    start = source.read(len(_MAGIC))
    source.seek(0)
    return start == _MAGIC


def _parquet_blocks(source: Path | IO[bytes], size: int | None) -> Iterator[Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise OptionError.of(
            "PC810", "Parquet files need pyarrow", help="pip install pyarrow, or give a .csv"
        ) from None
    try:
        file = parquet.ParquetFile(source)
        if size is None:
            yield file.read()
            return
        for batch in file.iter_batches(size):
            yield pyarrow.Table.from_batches([batch])
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(source, "a Parquet file", error, "give a .parquet or .csv file") from error
