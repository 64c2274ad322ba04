"""Log-likelihoods from ONNX Runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.kinds.forward import Forward
from pccompiler.bench.timing import Run
from pccompiler.bench.units import Work
from pccompiler.ir.plan.plan import Plan


class Onnx(Kind):
    """Log-likelihoods from ONNX Runtime and an exported file, conversions included."""

    name = "forward"
    engine = "onnx"
    by_clock = True

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        from pccompiler.api import export_onnx
        from pccompiler.onnx_backend import OnnxModel

        rows = setting.x.double().cpu().numpy()
        with tempfile.TemporaryDirectory() as folder:
            path = export_onnx(setting.model, Path(folder) / "model.onnx").path
            loaded = OnnxModel(path)
        loaded.log_likelihood(rows)
        return lambda: loaded.log_likelihood(rows)

    def work(self, plan: Plan, batch: int) -> Work:
        """As a forward pass."""
        return Forward().work(plan, batch)
