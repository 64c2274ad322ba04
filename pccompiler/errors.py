"""Errors and findings: the fault, its location, and a way out.

Every user error derives from `PCCompilerError` and carries `Diagnostic` values. A diagnostic names
the culprit, where it was declared, the rule (a stable code) and a way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_WORD = 100
"""Longer words are unlikely to be typos, and comparing them takes quadratic time."""


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """One finding.

    Attributes:
        code: Stable rule number, such as ``PC102``. ``docs/reference/errors.md`` lists them.
        message: The fault, with the culprit's name.
        location: ``file:line`` of the declaration, or ``None`` if there is none.
        excerpt: The faulty line, and carets below the culprit.
        notes: More facts, one line each.
        help: A way out, in the imperative.
    """

    code: str
    message: str
    location: str | None = None
    notes: tuple[str, ...] = ()
    help: str | None = None
    excerpt: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"error[{self.code}]: {self.message}"
        lines = [f"{self.location}: {head}" if self.location else head]
        lines += [f"  | {line}" for line in self.excerpt]
        lines += [f"  note: {note}" for note in self.notes]
        if self.help:
            lines.append(f"  help: {self.help}")
        return "\n".join(lines)


class PCCompilerError(Exception):
    """Base class of all user errors. Its text is its diagnostics, one after another."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))

    @classmethod
    def of(
        cls,
        code: str,
        message: str,
        *,
        location: str | None = None,
        notes: Iterable[str] = (),
        help: str | None = None,
    ) -> Self:
        """Build an error with a single diagnostic."""
        diagnostic = Diagnostic(
            code=code, message=message, location=location, notes=tuple(notes), help=help
        )
        return cls((diagnostic,))


class CircuitError(PCCompilerError, ValueError):
    """A circuit breaks a rule that every backend relies on (codes PC1xx)."""


class ParseError(PCCompilerError, ValueError):
    """A text is not a valid circuit (codes PC2xx)."""


class OptionError(PCCompilerError, ValueError):
    """An option or an argument has an invalid value (codes PC3xx)."""


class DataError(PCCompilerError, ValueError):
    """Data do not fit the circuit, or a data set cannot be read (codes PC4xx)."""


class FileError(PCCompilerError, OSError):
    """A file cannot be written (codes PC440 to PC442). Its ``errno`` is that of the cause."""

    def __str__(self) -> str:
        return "\n".join(str(diagnostic) for diagnostic in self.diagnostics)


class CheckpointError(PCCompilerError):
    """A checkpoint cannot be read or written (codes PC5xx)."""


class ExportError(PCCompilerError):
    """An export failed, and nothing was written (codes PC6xx)."""


class ImportFormatError(PCCompilerError, ValueError):
    """A file or object of another program cannot be read as a circuit (codes PC7xx)."""


class LimitError(ImportFormatError):
    """Reading a file would exceed one of `pccompiler.limits` (code PC760)."""


class PluginError(PCCompilerError):
    """A plug-in of another package cannot be used (codes PC790 to PC792)."""


def closest(word: str, known: Iterable[str]) -> str:
    """The help text for an unknown word."""
    names = list(known)
    short = [name for name in names[:10_000] if len(name) <= _WORD] if len(word) <= _WORD else []
    near = difflib.get_close_matches(word, short, n=3)
    if near:
        return "did you mean " + " or ".join(repr(name) for name in near) + "?"
    return (
        "declare it first, or use one of: " + ", ".join(names[:8]) if names else "declare it first"
    )
