"""The error for objects from unsupported versions of other packages."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from pccompiler.errors import ImportFormatError, PCCompilerError


@contextmanager
def reading(package: str) -> Generator[None]:
    """Report missing or malformed attributes as an unsupported version of the package.

    Raises:
        ImportFormatError: In place of Python's own errors about attributes, types and numbers.
    """
    try:
        yield
    except PCCompilerError:
        raise
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise ImportFormatError.of(
            "PC762",
            f"{package}: an object does not have the form that this reader expects",
            notes=(f"cause: {type(error).__name__}: {error}",),
            help="give unmodified objects of the versions listed in docs/howto/imports.md",
        ) from error
