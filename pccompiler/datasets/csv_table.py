"""Reads a table of numbers from comma-separated text."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pccompiler.datasets.arrays import unreadable
from pccompiler.datasets.records import Table
from pccompiler.errors import DataError, Diagnostic
from pccompiler.reading import open_regular

_MISSING: Final = ("", "nan", "?")
# Stricter than float(): "1_000" and "infinity" are more likely mistakes than values.
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MAX_FINDINGS: Final = 10
_MAX_REMEMBERED: Final = 65_536

_Line = tuple[int, list[str]]


class _Values(dict[str, float]):
    """The value of a cell by its text; remembers parsed texts."""

    def __missing__(self, text: str) -> float:
        value = _value(text)
        if len(self) < _MAX_REMEMBERED:
            self[text] = value
        return value


def read_csv(path: Path) -> Table:
    """Read a comma-separated table.

    A cell is a number, or missing if it is empty, ``nan`` or ``?``. The first line is a header if
    it has text but no number. Blank lines are skipped.

    Raises:
        DataError: If the file cannot be read, has no data or repeats a column name; or if rows have
            different lengths or cells are not numbers (lists the first ten, by line and column).
    """
    lines = list(_stream(path))
    columns = _header(lines[0][1]) if lines else None
    body = lines if columns is None else lines[1:]
    if not body:
        raise DataError.of("PC417", f"{path} has no rows of data", help="give at least one row")
    _check_names(path, columns)
    return Table(_table(path, body, len(lines[0][1]), columns), columns)


def csv_blocks(path: Path, size: int) -> Iterator[NDArray[np.float64]]:
    """The rows of a comma-separated table, see `read_csv`, at most ``size`` at a time.

    Raises:
        DataError: As for `read_csv`, but only when the wrong row is reached.
    """
    lines = _stream(path)
    first = next(lines, None)
    columns = None if first is None else _header(first[1])
    body = itertools.chain([first] if first is not None and columns is None else [], lines)
    _check_names(path, columns)
    part = list(itertools.islice(body, size))
    if first is None or not part:
        raise DataError.of("PC417", f"{path} has no rows of data", help="give at least one row")
    while part:
        yield _table(path, part, len(first[1]), columns)
        part = list(itertools.islice(body, size))


def _table(
    path: Path, body: Sequence[_Line], width: int, columns: Sequence[str] | None
) -> NDArray[np.float64]:
    table = np.empty((len(body), width))
    values = _Values()
    findings: list[Diagnostic] = []
    for i, (number, cells) in enumerate(body):
        try:
            row = [values[cell] for cell in cells]
        except ValueError:
            row = []
        if len(row) == width:
            table[i] = row
            continue
        findings += _findings(f"{path}:{number}", cells, width, columns)
        if len(findings) >= _MAX_FINDINGS:
            break
    if findings:
        raise DataError(findings[:_MAX_FINDINGS])
    return table


def _stream(path: Path) -> Iterator[_Line]:
    """The number and the cells of each line that is not blank."""
    try:
        with open_regular(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            reader = csv.reader(text, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        way_out = "give a UTF-8 file with commas between the cells"
        raise unreadable(path, "comma-separated text", error, way_out) from error


def _value(text: str) -> float:
    stripped = text.strip()
    if stripped.casefold() in _MISSING:
        return math.nan
    if not _NUMBER.fullmatch(stripped) or math.isinf(value := float(stripped)):
        raise ValueError(text)
    return value


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(_value(text))
    except ValueError:
        return False


def _header(cells: Sequence[str]) -> tuple[str, ...] | None:
    missing = all(cell.strip().casefold() in _MISSING for cell in cells)
    if missing or any(_is_number(cell) for cell in cells):
        return None
    return tuple(cell.strip() for cell in cells)


def _check_names(path: Path, columns: tuple[str, ...] | None) -> None:
    repeated = [name for name, count in Counter(columns or ()).items() if count > 1]
    if repeated:
        raise DataError.of(
            "PC418",
            f"repeated column names: {', '.join(map(repr, repeated[:5]))}",
            location=f"{path}:1",
            help="give each column its own name",
        )


def _findings(
    location: str, cells: Sequence[str], width: int, columns: Sequence[str] | None
) -> Iterator[Diagnostic]:
    if len(cells) != width:
        yield Diagnostic(
            code="PC416",
            message=f"the row has length {len(cells)}, but the first line has length {width}",
            location=location,
            help="give all lines the same number of cells; leave a cell empty for a missing value",
        )
    for column, cell in enumerate(cells, start=1):
        if cell.strip().casefold() not in _MISSING and not _is_number(cell):
            name = f" ({columns[column - 1]!r})" if columns and column <= width else ""
            yield Diagnostic(
                code="PC415",
                message=f"column {column}{name}: {cell!r} is not a finite number",
                location=location,
                notes=_header_note(location, columns),
                help="write a missing value as an empty cell, 'nan' or '?'; encode text as numbers",
            )


def _header_note(location: str, columns: Sequence[str] | None) -> tuple[str, ...]:
    if columns is None and location.endswith(":1"):
        return ("this line also has a number, so it is not a header",)
    return ()
