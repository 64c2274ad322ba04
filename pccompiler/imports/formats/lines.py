"""Reads the lines of other programs' files, and reports which one is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from pccompiler import reading
from pccompiler.errors import ImportFormatError
from pccompiler.limits import current

ROUNDING = 1e-3
"""Rows of probabilities that sum to 1 within this are divided by their sum; others are refused."""
_EXACT = 1e-12
"""Rows that sum to 1 within this are exact in double precision, and kept to the last digit."""
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


class Lines:
    """The words of each line that is not a comment; tracks the current line for errors.

    Args:
        path: A text file, or one compressed with gzip.
        comment: What starts a comment; ``"c"`` only starts comments that are whole lines.
    """

    def __init__(self, path: Path, comment: str) -> None:
        self.path = path
        self.comment = comment
        self.number = 0
        self.line = ""
        self.limits = current()
        self._lines = read_text(path).split("\n")

    def __iter__(self) -> Iterator[list[str]]:
        for number, line in enumerate(self._lines, 1):
            self.number, self.line = number, line
            if self.comment == "c":
                words = self.line.split()
                if words and words[0] != "c":
                    yield words
            else:
                words = self.line.split(self.comment, 1)[0].split()
                if words:
                    yield words

    def fail(self, code: str, message: str, help: str, *, here: bool = True) -> NoReturn:
        """Raise an error about the current line, or about the whole file."""
        raise ImportFormatError.of(
            code,
            message,
            location=f"{self.path}:{self.number}" if here else str(self.path),
            notes=_note(self.line) if here else (),
            help=help,
        )

    def shown(self, location: str | None) -> tuple[str, ...]:
        """The line of this file at ``location``, as a note."""
        return () if location is None else _note(self._lines[int(location.rpartition(":")[2]) - 1])

    def integer(self, word: str, what: str) -> int:
        """A whole number."""
        if not _WHOLE.fullmatch(word):
            shown = word if len(word) < 40 else word[:40] + "..."
            self.fail("PC703", f"{what} is {shown!r}, not a whole number", "restore the file")
        return int(word)

    def real(self, word: str, what: str) -> float:
        """A number that is not NaN."""
        try:
            value = float(word)
        except ValueError:
            value = float("nan")
        if value != value:
            self.fail("PC703", f"{what} is {word!r}, not a number", "restore the file")
        return value

    def most(self, limit: str, found: int) -> None:
        """Refuse more than a limit allows, at the current line."""
        self.limits.check(limit, found, f"{self.path}:{self.number}", _note(self.line))

    def row(self, weights: Sequence[float]) -> list[float]:
        """Probabilities that sum to one: as given, or divided by their sum if they are rounded."""
        total = math.fsum(weights) if all(map(math.isfinite, weights)) else math.inf
        if min(weights, default=-1.0) < 0.0 or abs(total - 1.0) > ROUNDING:
            what = f"sum to {total:.9g}" if min(weights, default=0.0) >= 0.0 else "are negative"
            self.fail("PC707", f"the probabilities {what}", "divide them by their sum")
        return [w if abs(total - 1.0) <= _EXACT else w / total for w in weights]

    def count(self, found: int, header: int | None, most: int | None = None) -> None:
        """Compare the number of nodes with that of the header, which may be up to ``most``."""
        if header is None:
            self.fail("PC705", "the file has no header line", "fetch it again", here=False)
        if not found <= header <= (found if most is None else most):
            self.fail(
                "PC705",
                f"the file has {found:,} nodes, but its header says {header:,}",
                "it may be cut short; fetch it again",
                here=False,
            )


def _note(line: str) -> tuple[str, ...]:
    return (line.strip()[:200],) if line.strip() else ()


def read_text(path: Path) -> str:
    """The text of a file, decompressed if necessary.

    Raises:
        ImportFormatError: If it cannot be read or is not text.
        LimitError: If it is too long.
    """
    try:
        return reading.read_text(path)
    except OSError as error:
        why = error.strerror or str(error)
    except UnicodeDecodeError:
        why = "it is not text"
    raise ImportFormatError.of(
        "PC701", f"{path} cannot be read: {why}", help="give the path of a text or .gz file"
    )
