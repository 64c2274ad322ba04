"""A case of ``pccompiler bench``: what is timed, on which circuit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pccompiler.bench.kinds.base import Kind
from pccompiler.bench.kinds.registry import KINDS
from pccompiler.bench.subjects.subject import Subject
from pccompiler.bench.units import Precision

PAPER_BATCH = 500
BACKWARDS = ("step", "gradients", "forward")
"""The directions of training, the longest first."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One measurement.

    Attributes:
        name: ``group-...``.
        subject: The circuit.
        kind: What is timed.
        batch: Rows at once.
        precision: Precision of matrix products in wide sums: torch's setting "highest" or "high".
        devices: Devices on which it is timed unless it is named.
        quick: Whether ``--quick`` keeps it.
    """

    name: str
    subject: Subject
    kind: Kind
    batch: int = PAPER_BATCH
    precision: Precision = "fp32"
    devices: tuple[str, ...] = ("cpu", "cuda")
    quick: bool = False

    @property
    def group(self) -> str:
        """The first word of the name."""
        return self.name.split("-", 1)[0]


def directions(
    group: str, tail: str, subject: Subject, kinds: Iterable[str] = BACKWARDS
) -> list[Case]:
    """A case for each kind, by default a step, gradients, and the forward pass."""
    return [
        Case(name=f"{group}-{kind}-{tail}", subject=subject, kind=KINDS[kind]) for kind in kinds
    ]
