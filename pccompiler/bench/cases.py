"""The cases that `pccompiler bench` times, by name."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pccompiler.bench.subjects import Subject, Weights
from pccompiler.bench.units import Precision
from pccompiler.bench.work import DIRECTIONS, Direction
from pccompiler.errors import OptionError

Engine = Literal["torch", "onnx"]
PAPER_BATCH = 500
BACKWARDS: tuple[Direction, ...] = DIRECTIONS[::-1]
LARGEST_ON_CPU = 500
"""Larger circuits are timed on a CPU only if named."""
SUFFIXES = (".pcir", ".psdd", ".spn", ".sdd", ".nnf", ".bif", ".gz")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One measurement.

    Attributes:
        name: ``group-...``.
        subject: The circuit.
        direction: The part that is timed.
        batch: Rows at once.
        precision: Precision of matrix products in wide sums: torch's setting "highest" or "high".
        engine: What runs it: torch, or ONNX Runtime from an exported file.
        devices: Devices on which it is timed unless it is named.
        quick: Whether ``--quick`` keeps it.
    """

    name: str
    subject: Subject
    direction: Direction
    batch: int = PAPER_BATCH
    precision: Precision = "fp32"
    engine: Engine = "torch"
    devices: tuple[str, ...] = ("cpu", "cuda")
    quick: bool = False

    @property
    def group(self) -> str:
        """The first word of the name."""
        return self.name.split("-", 1)[0]


def paper(n: int, weights: Weights = "hypernetwork") -> Subject:
    """The paper's model: 50 random binary trees, sums of 5 units."""
    return Subject(structure="rat-spn", n=n, units=5, replicas=50, weights=weights)


def all_cases() -> tuple[Case, ...]:
    """All cases, grouped by circuit."""
    cases: list[Case] = []
    for n in (16, 100, 500, 1556):
        cases += _of_paper(n)
    return (*cases, *_onnx(), *_hclt(), *_image(), *_others())


def _of_paper(n: int) -> list[Case]:
    where = ("cpu", "cuda") if n <= LARGEST_ON_CPU else ("cuda",)
    found: list[Case] = []
    for weights, word in _WORDS:
        subject, tail, quick = paper(n, weights), f"{n}-{word}", n == 16
        found += [
            Case(name=f"step-{tail}", subject=subject, direction="step", quick=quick),
            Case(name=f"gradients-{tail}", subject=subject, direction="gradients"),
            Case(name=f"forward-{tail}", subject=subject, direction="forward", quick=quick),
            Case(name=f"latency-step-{tail}", subject=subject, direction="step", batch=1),
            Case(name=f"latency-forward-{tail}", subject=subject, direction="forward", batch=1),
        ]
    return [replace(case, devices=where) for case in found]


_WORDS: tuple[tuple[Weights, str], ...] = (("hypernetwork", "hyperspn"), ("direct", "spn"))


def _onnx() -> list[Case]:
    return [
        Case(
            name=f"onnx-{n}-batch-{batch}",
            subject=paper(n),
            direction="forward",
            batch=batch,
            engine="onnx",
            devices=("cpu",),
        )
        for n in (16, 100)
        for batch in (PAPER_BATCH, 1)
    ]


def _hclt() -> list[Case]:
    large = Subject(structure="hclt", n=784, units=128, values=256)
    small = Subject(structure="hclt", n=64, units=32, values=256)
    tf32 = _three("hclt", "784x256x128-tf32", large)
    return [
        *(replace(c, batch=128, devices=("cpu",)) for c in _three("hclt", "64x256x32", small)),
        *(replace(c, batch=512, devices=("cuda",)) for c in _three("hclt", "784x256x128", large)),
        *(replace(c, batch=512, devices=("cuda",), precision="tf32") for c in tf32),
    ]


def _image() -> list[Case]:
    """Quad trees, as built by cirkit's `image_data`."""
    small = Subject(structure="quad-tree", n=14 * 14, units=32, values=256)
    large = Subject(structure="quad-tree", n=28 * 28, units=32, values=256)
    rows = _three("image", "14x14x256x32", small)
    single = _three("image-latency", "14x14x256x32", small)
    return [
        *(replace(c, batch=128, devices=("cpu",)) for c in rows),
        *(replace(c, batch=1, devices=("cpu",)) for c in single),
        *(replace(c, batch=512, devices=("cuda",)) for c in _three("image", "28x28x256x32", large)),
    ]


def _three(group: str, tail: str, subject: Subject) -> list[Case]:
    """A step, gradients, and the forward pass."""
    return [
        Case(name=f"{group}-{direction}-{tail}", subject=subject, direction=direction)
        for direction in BACKWARDS
    ]


def _others() -> list[Case]:
    return [
        *_three("hmm", "128x64x64", Subject(structure="hmm", n=128, units=64, values=64)),
        *_three("scalar", "32", Subject(structure="learned", n=32)),
    ]


def of_file(path: Path) -> tuple[Case, ...]:
    """A circuit of the user's, in every direction."""
    subject = Subject(structure="file", n=0, file=path)
    return tuple(
        Case(name=f"{direction}:{path.name}", subject=subject, direction=direction)
        for direction in BACKWARDS
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
