"""Reads result files: header lines with the command and the machine, and lines of measurements."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS

Line = dict[str, Any]  # JSON values, hence Any
SCRIPTS = Path(__file__).parents[1]
WERE_SCRIPTS = {"paper": "paper.tables", "structures": "structures.ready_made"}
"""Packages of today that were scripts when they wrote results, and their scripts."""


class ResultsError(Exception):
    """A result file is missing or lacks a field; the message names the script that makes it."""


@dataclass(frozen=True, eq=False)
class Result:
    """A result file.

    Attributes:
        name: The file's name, without ``.jsonl``.
        made_by: The command that makes the file.
        headers: One for each run that the file holds, in order.
        lines: Measurements of all runs, in order.
    """

    name: str
    made_by: str
    headers: tuple[Line, ...]
    lines: tuple[Line, ...]

    @property
    def link(self) -> str:
        """A link to the file, from docs/benchmarks.md."""
        return f"[{self.name}.jsonl](../benchmarks/results/{self.name}.jsonl)"

    @property
    def date(self) -> str:
        """The day of the latest run, as ``2026-11-27``."""
        return max(str(header["date"]) for header in self.headers)

    def having(self, *fields: str) -> list[Line]:
        """The lines that have all these fields.

        Raises:
            ResultsError: If there is none.
        """
        found = [line for line in self.lines if all(name in line for name in fields)]
        if not found:
            wanted = ", ".join(fields)
            raise ResultsError(
                f"{self.name}.jsonl has no line with {wanted}: make it with {self.made_by}"
            )
        return found


class Results:
    """The folder of result files.

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path = RESULTS) -> None:
        self.folder = folder
        self.dates: set[str] = set()
        """The days of all runs that were read, as ``2026-11-27``."""

    def read(self, name: str, made_by: str) -> Result:
        """Read a file.

        Args:
            name: The file's name, without ``.jsonl``.
            made_by: The command that makes the file, for error messages.

        Raises:
            ResultsError: If the file is missing, or has no header.
        """
        path = self.folder / f"{name}.jsonl"
        if not path.exists():
            raise ResultsError(f"{path} is missing: make it with {made_by}")
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        headers = tuple(line for line in lines if _is_header(line))
        if not headers:
            raise ResultsError(f"{path} has no header line: make it with {made_by}")
        self.dates.update(str(header["date"]) for header in headers)
        measured = tuple(line for line in lines if not _is_header(line))
        return Result(name, made_by, headers, measured)

    def named(self, prefix: str, made_by: str) -> list[Result]:
        """Read all files whose names start with ``prefix``, sorted by name.

        Raises:
            ResultsError: If there is none.
        """
        names = sorted(path.stem for path in self.folder.glob(f"{prefix}*.jsonl"))
        if not names:
            raise ResultsError(f"{self.folder}/{prefix}*.jsonl is missing: make it with {made_by}")
        return [self.read(name, made_by) for name in names]


def command(header: Line) -> str:
    """The command of a run, with its script where it stands today."""
    words = str(header["command"]).split(" ")
    return " ".join(_today(word) if word.startswith("benchmarks.") else word for word in words)


def _today(module: str) -> str:
    name = module.removeprefix("benchmarks.").rstrip(",")
    name = WERE_SCRIPTS.get(name, name)
    if (SCRIPTS / f"{name.replace('.', '/')}.py").exists():
        return f"benchmarks.{name}"
    script = name.rpartition(".")[2]
    found = sorted(SCRIPTS.glob(f"*/{script}.py"))
    return f"benchmarks.{found[0].parent.name}.{script}" if found else module


def unique(values: Iterable[Any]) -> list[Any]:
    """The values without repetitions, in order."""
    return list(dict.fromkeys(values))


def _is_header(line: Line) -> bool:
    return "benchmark" in line and "command" in line
