"""ONNX files: size, time to export (checks included), and ONNX Runtime's time for 1,000 rows.

python -m benchmarks.structures.onnx
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.bench.timing import times_of

KINDS: tuple[Literal["compact", "materialized"], ...] = ("compact", "materialized")


def main() -> None:
    """The paper's model at three sizes, both kinds of weights."""
    report = Report("onnx")
    for n in (16, 69, 1556):
        model = pc.compile(pc.rat_spn(n, 50, 5), pc.Hypernetwork())
        rows = np.random.default_rng(0).integers(0, 2, (1000, n)).astype(np.float64)
        rows[np.random.default_rng(1).random(rows.shape) < 0.3] = np.nan
        with tempfile.TemporaryDirectory() as folder:
            for kind in KINDS:
                start = time.perf_counter()
                written = pc.export_onnx(model, Path(folder) / "m.onnx", weights=kind)
                seconds = time.perf_counter() - start
                loaded = pc.OnnxModel(written.path)
                run = partial(loaded.log_likelihood, rows)
                milliseconds = times_of(run, "cpu", 3 if n > 1000 else 15).median
                report.add(
                    n=n,
                    weights=kind,
                    bytes=written.bytes,
                    parameter_bytes=4 * model.num_parameters,
                    export_s=round(seconds, 2),
                    ms_per_1000_rows=round(milliseconds, 2),
                    max_relative_error=written.max_relative_error,
                )


if __name__ == "__main__":
    main()
