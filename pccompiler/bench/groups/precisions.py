"""Cases of wide circuits, which are timed on GPUs in both precisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pccompiler.bench.case import Case

BATCH = 512


def on_gpu(cases: Sequence[Case]) -> Iterator[Case]:
    """The cases in float32, then those whose wide sums are rounded to TF32."""
    for case in cases:
        yield replace(case, batch=BATCH, devices=("cuda",))
    for case in cases:
        rounded = replace(case, name=f"{case.name}-tf32", precision="tf32")
        yield replace(rounded, batch=BATCH, devices=("cuda",))
