"""Measures one case: its time, floor, errors and memory."""

from __future__ import annotations

import gc
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from pccompiler.bench.built import Built
from pccompiler.bench.case import Case
from pccompiler.bench.ceilings import Rates, datasheet, floor_ms, matrix_precision
from pccompiler.bench.kinds.base import Setting
from pccompiler.bench.kinds.checks import digits
from pccompiler.bench.subjects.subject import Subject
from pccompiler.bench.timing import Run, Times, awaited, forget_peak, peak_over, times_of

Record = dict[str, Any]  # JSON values, hence ``Any``


@dataclass(eq=False)
class Bench:
    """Measures cases on one device, and keeps the last circuit."""

    device: str
    rates: Rates
    repeats: int | None = None
    errors: bool = True
    _last: Built | None = field(default=None, init=False)

    def built(self, subject: Subject) -> Built:
        """The subject, compiled."""
        if self._last is None or self._last.subject != subject:
            self._last = None
            gc.collect()
            self._last = Built.of(subject, self.device)
        return self._last

    def run(self, case: Case) -> Record:
        """Measure a case; returns its line of the result file."""
        with matrix_precision(case.precision):
            return self._run(case, self.built(case.subject))

    def _run(self, case: Case, built: Built) -> Record:
        setting = Setting(built.model, built.data, case.batch)
        peaks = forget_peak(self.device)
        start = time.perf_counter()
        run = self._prepared(case, setting)
        first = time.perf_counter() - start
        times = self._times(case, run)
        peak = peak_over(self.device, built.before) if peaks else None
        del run
        return {
            **_head(case, built, self.device),
            "ms": round(times.median, 4),
            "lowest_ms": round(times.lowest, 4),
            "repeats": times.repeats,
            **self._beside(case, setting, times.median),
            **self._floor(case, built, times.median),
            **(built.errors(case.kind, case.precision) if self.errors else {}),
            "peak_mib": None if peak is None else round(peak / 2**20, 1),
            "compile_s": round(built.compile_s, 3),
            "first_s": round(first, 3),
        }

    def _prepared(self, case: Case, setting: Setting) -> Run:
        """The timed run, run once."""
        run = case.kind.run(setting)
        if self.device == "cuda":
            torch.cuda.synchronize()
        return run

    def _times(self, case: Case, run: Run) -> Times:
        if not case.kind.by_clock:
            return times_of(run, self.device, self.repeats)
        return times_of(awaited(run) if self.device == "cuda" else run, "cpu", self.repeats)

    def _beside(self, case: Case, setting: Setting, milliseconds: float) -> Record:
        """The times of other runs, and ours as a multiple of them."""
        found: Record = {}
        for name, run in case.kind.beside(setting).items():
            other = self._times(case, run).median
            found[f"{name}_ms"] = round(other, 4)
            found[f"over_{name}"] = round(milliseconds / other, 2)
        return found

    def _floor(self, case: Case, built: Built, milliseconds: float) -> Record:
        work = case.kind.work(built.model.plan, case.batch)
        if work is None:
            return dict.fromkeys(("floor_ms", "floor_unit", "over_floor", "work"))
        least, unit = floor_ms(work, self.rates, case.precision)
        found: Record = {
            "floor_ms": digits(least),
            "floor_unit": unit,
            "over_floor": round(milliseconds / least, 2),
            "work": asdict(work),
        }
        sheet = datasheet(torch.cuda.get_device_name()) if self.device == "cuda" else None
        if sheet is not None:
            found["datasheet_floor_ms"] = digits(floor_ms(work, sheet, case.precision)[0])
        return found


def _head(case: Case, built: Built, device: str) -> Record:
    subject = case.subject
    return {
        "case": case.name,
        "group": case.group,
        "structure": subject.structure,
        "n": len(built.made.circuit.variables),
        "units": subject.units,
        "replicas": subject.replicas,
        "values": subject.values,
        "weights": subject.weights,
        "direction": case.kind.name,
        "batch": case.batch,
        "precision": case.precision,
        "engine": case.kind.engine,
        "device": device,
        "parameters": built.model.num_parameters,
        **case.kind.facts(),
    }
