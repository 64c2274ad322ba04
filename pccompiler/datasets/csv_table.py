"""Reads a table of numbers from comma-separated text."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from pccompiler.datasets.arrays import unreadable
from pccompiler.datasets.records import Table
from pccompiler.errors import DataError, Diagnostic, OptionError
from pccompiler.reading import open_regular

_MISSING: Final = ("", "nan", "?")
# Stricter than float(): "1_000" and "infinity" are more likely mistakes than values.
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MAX_FINDINGS: Final = 10
_MAX_REMEMBERED: Final = 65_536

_SEPARATORS: Final = (",", ";", "\t", "|")

_Line = tuple[int, list[str]]


class Values(dict[str, float]):
    """The value of a cell by its text; remembers parsed texts."""

    def __missing__(self, text: str) -> float:
        value = _value(text)
        if len(self) < _MAX_REMEMBERED:
            self[text] = value
        return value


@dataclass(frozen=True)
class Lines:
    """Some lines of a text file, cut into equally many cells.

    Attributes:
        name: Of the file, for errors.
        columns: The names in its header, if it has one.
        width: Number of cells in its first line.
        body: The number and the cells of each line.
    """

    name: str
    columns: tuple[str, ...] | None
    width: int
    body: Sequence[_Line]


def read_csv(path: Path, separator: str | None = None) -> Table:
    """Read a table of numbers from text.

    A cell is a number, or missing if it is empty, ``nan`` or ``?``. The first line is a header if
    it has text but no number. Blank lines are skipped.

    Args:
        path: The file.
        separator: Between cells; by default the one of comma, semicolon, tab and ``|`` that the
            first line has most often.

    Raises:
        DataError: If the file cannot be read, has no data or repeats a column name; or if rows have
            different lengths or cells are not numbers (lists the first ten, by line and column).
    """
    (lines,) = read_lines(path, None, separator)
    return Table(numbers_of(lines), lines.columns)


def read_lines(
    source: Path | IO[bytes], size: int | None, separator: str | None = None
) -> Iterator[Lines]:
    """The lines of a text file after its header, at most ``size`` at a time; by default all.

    Raises:
        OptionError: If the separator is not a single character.
        DataError: As for `read_csv`; for a wrong line when it is reached.
    """
    if separator is not None and len(separator) != 1:
        raise OptionError.of(
            "PC813", f"the separator is {separator!r}", help="give one character, such as ';'"
        )
    name = str(source) if isinstance(source, Path) else "stdin"
    lines = _stream(source, name, separator)
    first = next(lines, None)
    columns = None if first is None else _header(first[1])
    body = itertools.chain([first] if first is not None and columns is None else [], lines)
    _check_names(name, columns)
    part = list(itertools.islice(body, size))
    if first is None or not part:
        raise DataError.of("PC417", f"{name} has no rows of data", help="give at least one row")
    while part:
        yield Lines(name, columns, len(first[1]), part)
        part = list(itertools.islice(body, size)) if size else []


def numbers_of(lines: Lines) -> NDArray[np.float64]:
    """The cells of lines as numbers, NaN where one is missing.

    Raises:
        DataError: If rows have different lengths, or cells are not numbers.
    """
    table = np.empty((len(lines.body), lines.width))
    values = Values()
    findings: list[Diagnostic] = []
    for i, (number, cells) in enumerate(lines.body):
        try:
            row = [values[cell] for cell in cells]
        except ValueError:
            row = []
        if len(row) == lines.width:
            table[i] = row
            continue
        findings += _findings(f"{lines.name}:{number}", cells, lines.width, lines.columns)
        if len(findings) >= _MAX_FINDINGS:
            break
    if findings:
        raise DataError(findings[:_MAX_FINDINGS])
    return table


def check_widths(lines: Lines) -> None:
    """Refuse rows of different lengths.

    Raises:
        DataError: Lists the first ten.
    """
    wrong = [(number, cells) for number, cells in lines.body if len(cells) != lines.width]
    if wrong:
        found = [_uneven(f"{lines.name}:{n}", cells, lines.width) for n, cells in wrong]
        raise DataError(found[:_MAX_FINDINGS])


def _stream(source: Path | IO[bytes], name: str, separator: str | None) -> Iterator[_Line]:
    """The number and the cells of each line that is not blank."""
    try:
        with open_regular(source) if isinstance(source, Path) else nullcontext(source) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            start = _until_filled(text)
            chosen = separator or _separator(start[-1] if start else "")
            reader = csv.reader(itertools.chain(start, text), delimiter=chosen, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        way_out = "give a UTF-8 file with commas between the cells, or name the separator"
        raise unreadable(name, "comma-separated text", error, way_out) from error


def _until_filled(lines: Iterable[str]) -> list[str]:
    """Lines up to the first one that is not blank."""
    found: list[str] = []
    for line in lines:
        found.append(line)
        if line.strip():
            break
    return found


def _separator(line: str) -> str:
    """The separator that a line has most often outside of quotes; a comma if it has none."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(_SEPARATORS, key=bare.count)


def is_blank(cell: str) -> bool:
    """Whether a cell is missing."""
    return cell.strip().casefold() in _MISSING


def _value(text: str) -> float:
    stripped = text.strip()
    if is_blank(text):
        return math.nan
    if not _NUMBER.fullmatch(stripped) or math.isinf(value := float(stripped)):
        raise ValueError(text)
    return value


def is_number(text: str) -> bool:
    """Whether a cell is a finite number."""
    try:
        return not math.isnan(_value(text))
    except ValueError:
        return False


def _header(cells: Sequence[str]) -> tuple[str, ...] | None:
    missing = all(map(is_blank, cells))
    if missing or any(is_number(cell) for cell in cells):
        return None
    return tuple(cell.strip() for cell in cells)


def _check_names(name: str, columns: tuple[str, ...] | None) -> None:
    repeated = [column for column, count in Counter(columns or ()).items() if count > 1]
    if repeated:
        raise DataError.of(
            "PC418",
            f"repeated column names: {', '.join(map(repr, repeated[:5]))}",
            location=f"{name}:1",
            help="give each column its own name",
        )


def _findings(
    location: str, cells: Sequence[str], width: int, columns: Sequence[str] | None
) -> Iterator[Diagnostic]:
    if len(cells) != width:
        yield _uneven(location, cells, width)
    for column, cell in enumerate(cells, start=1):
        if not is_blank(cell) and not is_number(cell):
            name = f" ({columns[column - 1]!r})" if columns and column <= width else ""
            yield Diagnostic(
                code="PC415",
                message=f"column {column}{name}: {cell!r} is not a finite number",
                location=location,
                notes=_header_note(location, columns),
                help="write a missing value as an empty cell, 'nan' or '?'; encode text as numbers",
            )


def _uneven(location: str, cells: Sequence[str], width: int) -> Diagnostic:
    return Diagnostic(
        code="PC416",
        message=f"the row has length {len(cells)}, but the first line has length {width}",
        location=location,
        help="give all lines the same number of cells; leave a cell empty for a missing value",
    )


def _header_note(location: str, columns: Sequence[str] | None) -> tuple[str, ...]:
    if columns is None and location.endswith(":1"):
        return ("this line also has a number, so it is not a header",)
    return ()
