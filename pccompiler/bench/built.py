"""A subject, compiled on a device."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from pccompiler.api import compile as compiled
from pccompiler.bench.kinds.base import Kind
from pccompiler.bench.kinds.checks import Pair
from pccompiler.bench.subjects.registry import material
from pccompiler.bench.subjects.subject import Material, Subject
from pccompiler.bench.timing import baseline
from pccompiler.bench.units import Precision
from pccompiler.torch_backend import CompiledCircuit

ERROR_ROWS = 500
MISSING = 0.1
"""Fraction of missing values when errors are measured."""


@dataclass(eq=False)
class Built:
    """A subject, compiled on a device.

    Attributes:
        subject: What was built.
        made: Its circuit, not compiled, and its data.
        model: The compiled circuit.
        data: Complete rows on the device.
        compile_s: Seconds that compiling took.
        before: Bytes that the process used before, see `baseline`.
    """

    subject: Subject
    made: Material
    model: CompiledCircuit
    data: Tensor
    compile_s: float
    before: int
    _errors: dict[object, dict[str, float]] = field(default_factory=dict[object, dict[str, float]])

    @classmethod
    def of(cls, subject: Subject, device: str) -> Built:
        """Build and compile."""
        before = baseline(device)
        made = material(subject)
        start = time.perf_counter()
        model = compiled(made.circuit, subject.hypernetwork, device=device)
        seconds = time.perf_counter() - start
        data = model.sample(ERROR_ROWS, seed=0) if made.data is None else model.prepare(made.data)
        return cls(subject, made, model, data, seconds, before)

    def errors(self, kind: Kind, precision: Precision) -> dict[str, float]:
        """The kind's errors against float64 on the device; each check runs once."""
        key = type(kind).errors, precision
        if key not in self._errors:
            self._errors[key] = kind.errors(self._pair())
        return self._errors[key]

    def _pair(self) -> Pair:
        """Both precisions, and rows with a tenth of the values missing."""
        rows = self.data[:ERROR_ROWS].clone()
        generator = torch.Generator().manual_seed(0)
        holes = torch.rand(rows.shape, generator=generator, device="cpu") < MISSING
        rows[holes.to(rows.device)] = torch.nan
        make = partial(compiled, self.made.circuit, self.subject.hypernetwork, device=rows.device)
        return Pair(make(dtype="float32"), make(dtype="float64"), rows)
