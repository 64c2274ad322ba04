"""The cases that `pccompiler bench` times, by name."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pccompiler.bench.case import BACKWARDS, Case
from pccompiler.bench.groups.registry import GROUPS
from pccompiler.bench.kinds.registry import KINDS
from pccompiler.bench.subjects.subject import Subject
from pccompiler.errors import OptionError

SUFFIXES = (".pcir", ".psdd", ".spn", ".sdd", ".nnf", ".bif", ".gz")


def all_cases() -> tuple[Case, ...]:
    """All cases, those of one circuit one after another."""
    return tuple(case for group in GROUPS for case in group())


def of_file(path: Path) -> tuple[Case, ...]:
    """A circuit of the user's, in every direction."""
    subject = Subject(structure="file", n=0, file=path)
    return tuple(
        Case(name=f"{kind}:{path.name}", subject=subject, kind=KINDS[kind]) for kind in BACKWARDS
    )


def select(
    wanted: Sequence[str], device: str, *, quick: bool = False, batch: int | None = None
) -> tuple[Case, ...]:
    """The cases with these names, groups, patterns (``step-*``) or files; by default the device's.

    Raises:
        OptionError: If one is unknown (PC780), or ``batch`` is below 1 (PC302).
    """
    if batch is not None and batch < 1:
        raise OptionError.of("PC302", f"batch is {batch}", help="use at least 1")
    known = all_cases()
    chosen = (
        [case for word in wanted for case in _named(word, known, device)]
        if wanted
        else [case for case in known if device in case.devices and (case.quick or not quick)]
    )
    unique = list(dict.fromkeys(chosen))
    if batch is None:
        return tuple(unique)
    return tuple(case if case.batch == 1 else replace(case, batch=batch) for case in unique)


def _named(word: str, known: Sequence[Case], device: str) -> Sequence[Case]:
    exact = [case for case in known if fnmatch.fnmatchcase(case.name, word)]
    group = [case for case in known if case.group == word and device in case.devices]
    if exact or group:
        return exact or group
    if Path(word).suffix in SUFFIXES or Path(word).is_dir():
        return of_file(Path(word))
    names = sorted({case.group for case in known} | {case.name for case in known})
    close = difflib.get_close_matches(word, names, 3)
    raise OptionError.of(
        "PC780",
        f"there is no case {word!r}",
        notes=(f"close: {', '.join(close)}",) if close else (),
        help="see 'pccompiler bench --list'; or give a group, a pattern or a circuit's file",
    )
