"""Measures one case: its time, floor, errors and memory."""

from __future__ import annotations

import gc
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from pccompiler.api import compile as compiled
from pccompiler.bench.cases import Case
from pccompiler.bench.ceilings import Rates, datasheet, floor_ms, matrix_precision
from pccompiler.bench.subjects import Material, Subject, material
from pccompiler.bench.timing import (
    Run,
    baseline,
    forget_peak,
    onnx_run,
    peak_over,
    run_of,
    times_of,
)
from pccompiler.bench.units import Precision
from pccompiler.bench.work import work_of
from pccompiler.torch_backend import CompiledCircuit

Record = dict[str, Any]  # JSON values, hence ``Any``
ERROR_ROWS = 500
MISSING = 0.1
"""Fraction of missing values when errors are measured."""


@dataclass(eq=False)
class Bench:
    """Measures cases on one device, and keeps the last circuit."""

    device: str
    rates: Rates
    repeats: int | None = None
    errors: bool = True
    _last: _Built | None = field(default=None, init=False)

    def built(self, subject: Subject) -> _Built:
        """The subject, compiled."""
        if self._last is None or self._last.subject != subject:
            self._last = None
            gc.collect()
            self._last = _Built.of(subject, self.device)
        return self._last

    def run(self, case: Case) -> Record:
        """Measure a case; returns its line of the result file."""
        with matrix_precision(case.precision):
            return self._run(case, self.built(case.subject))

    def _run(self, case: Case, built: _Built) -> Record:
        peaks = forget_peak(self.device)
        start = time.perf_counter()
        run = self._prepared(case, built)
        first = time.perf_counter() - start
        times = times_of(run, "cpu" if case.engine == "onnx" else self.device, self.repeats)
        peak = peak_over(self.device, built.before) if peaks else None
        del run
        return {
            **_head(case, built, self.device),
            "ms": round(times.median, 4),
            "lowest_ms": round(times.lowest, 4),
            "repeats": times.repeats,
            **self._floor(case, built, times.median),
            **(built.errors(case.precision) if self.errors else {}),
            "peak_mib": None if peak is None else round(peak / 2**20, 1),
            "compile_s": round(built.compile_s, 3),
            "first_s": round(first, 3),
        }

    def _prepared(self, case: Case, built: _Built) -> Run:
        """The timed run, run once."""
        if case.engine == "onnx":
            return onnx_run(built.model, built.data, case.batch)
        run = run_of(built.model, built.data, case.batch, case.direction)
        if self.device == "cuda":
            torch.cuda.synchronize()
        return run

    def _floor(self, case: Case, built: _Built, milliseconds: float) -> Record:
        work = work_of(built.model.plan, case.batch, case.direction)
        least, unit = floor_ms(work, self.rates, case.precision)
        found: Record = {
            "floor_ms": _digits(least),
            "floor_unit": unit,
            "over_floor": round(milliseconds / least, 2),
            "work": asdict(work),
        }
        sheet = datasheet(torch.cuda.get_device_name()) if self.device == "cuda" else None
        if sheet is not None:
            found["datasheet_floor_ms"] = _digits(floor_ms(work, sheet, case.precision)[0])
        return found


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _head(case: Case, built: _Built, device: str) -> Record:
    subject = case.subject
    return {
        "case": case.name,
        "structure": subject.structure,
        "n": len(built.made.circuit.variables),
        "units": subject.units,
        "replicas": subject.replicas,
        "values": subject.values,
        "weights": subject.weights,
        "direction": case.direction,
        "batch": case.batch,
        "precision": case.precision,
        "engine": case.engine,
        "device": device,
        "parameters": built.model.num_parameters,
    }


@dataclass(eq=False)
class _Built:
    """A subject, compiled on the device."""

    subject: Subject
    made: Material
    model: CompiledCircuit
    data: Tensor
    compile_s: float
    before: int
    _errors: dict[Precision, Record] = field(default_factory=dict[Precision, Record])

    @classmethod
    def of(cls, subject: Subject, device: str) -> _Built:
        before = baseline(device)
        made = material(subject)
        start = time.perf_counter()
        model = compiled(made.circuit, subject.hypernetwork, device=device)
        seconds = time.perf_counter() - start
        data = model.sample(ERROR_ROWS, seed=0) if made.data is None else model.prepare(made.data)
        return cls(subject, made, model, data, seconds, before)

    def errors(self, precision: Precision) -> Record:
        """Errors against float64 on the device, with a tenth of the values missing."""
        if precision not in self._errors:
            self._errors[precision] = _errors(self)
        return self._errors[precision]


def _errors(built: _Built) -> Record:
    rows = built.data[:ERROR_ROWS].clone()
    holes = (
        torch.rand(rows.shape, generator=torch.Generator().manual_seed(0), device="cpu") < MISSING
    )
    rows[holes.to(rows.device)] = torch.nan
    found: list[tuple[Tensor, Tensor]] = []
    for dtype in ("float32", "float64"):
        model = compiled(
            built.made.circuit,
            built.subject.hypernetwork,
            device=rows.device,
            dtype="float32" if dtype == "float32" else "float64",
        )
        found.append(_values(model, rows.to(model.dtype)))
    (a, gradient_a), (b, gradient_b) = found
    difference = (gradient_a - gradient_b).norm() / gradient_b.norm()
    return {
        "log_likelihood_error": _digits(float(((a - b) / b).abs().max())),
        "gradient_error": _digits(float(difference)),
    }


def _values(model: CompiledCircuit, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Log-likelihoods, and the gradients of all parameters as one tensor, in float64.

    The gradients are of a weighted sum over rows, with a different weight for each row.
    """
    with torch.enable_grad():
        values = model.evaluate_unchecked(rows)
        share = torch.linspace(0.5, 1.5, len(rows), dtype=values.dtype, device=values.device)
        grads = torch.autograd.grad(-(share * values).sum(), list(model.parameters()))
    return values.detach().double(), torch.cat([g.double().flatten() for g in grads])
