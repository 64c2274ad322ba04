"""Reading the lines of other programs' files, and saying where one is wrong."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from pccompiler.errors import ImportFormatError


class Lines:
    """The words of each line that is no comment. Remembers where it is, for errors.

    Args:
        path: A text file, or one packed by gzip.
        comment: What starts a comment: a whole line of its own if it is ``"c"``.
    """

    def __init__(self, path: Path, comment: str) -> None:
        self.path = path
        self.comment = comment
        self.number = 0
        self.line = ""
        self._text = read_text(path)

    def __iter__(self) -> Iterator[list[str]]:
        for number, line in enumerate(self._text.splitlines(), 1):
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
            notes=(self.line.strip()[:200],) if here and self.line.strip() else (),
            help=help,
        )

    def integer(self, word: str, what: str) -> int:
        """A whole number."""
        try:
            return int(word)
        except ValueError:
            self.fail("PC703", f"{what} is {word!r}, not a whole number", "restore the file")

    def real(self, word: str, what: str) -> float:
        """A number that is not NaN."""
        try:
            value = float(word)
        except ValueError:
            value = float("nan")
        if value != value:
            self.fail("PC703", f"{what} is {word!r}, not a number", "restore the file")
        return value


def read_text(path: Path) -> str:
    """The text of a file, unpacked if it is packed.

    Raises:
        ImportFormatError: If it cannot be read, or is no text.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return content.decode()
    except OSError as error:
        why = error.strerror or str(error)
    except (EOFError, zlib.error):
        why = "it is damaged"
    except UnicodeDecodeError:
        why = "it is not text"
    raise ImportFormatError.of(
        "PC701", f"{path} cannot be read: {why}", help="give the path of a text file, or of a .gz"
    )
