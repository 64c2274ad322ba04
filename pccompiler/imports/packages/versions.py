"""Objects of other packages in a form that no reader knows."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from pccompiler.errors import ImportFormatError, PCCompilerError


@contextmanager
def reading(package: str) -> Generator[None]:
    """Say of what an object lacks, or has in another form, that it is of another version.

    Raises:
        ImportFormatError: Instead of what Python raises about attributes, types and numbers.
    """
    try:
        yield
    except PCCompilerError:
        raise
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise ImportFormatError.of(
            "PC762",
            f"{package}: an object has another form than this reader knows",
            notes=(f"cause: {type(error).__name__}: {error}",),
            help="read objects of the versions in docs/howto/imports.md, as the package made them",
        ) from error
