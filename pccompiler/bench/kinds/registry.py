"""All kinds of measurements, by the name that cases use."""

from __future__ import annotations

from torch import Tensor

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.kinds.call import Call
from pccompiler.bench.kinds.em import Em
from pccompiler.bench.kinds.forward import Forward
from pccompiler.bench.kinds.gradients import Gradients
from pccompiler.bench.kinds.many import Many
from pccompiler.bench.kinds.onnx import Onnx
from pccompiler.bench.kinds.queries.log_conditional import LogConditional
from pccompiler.bench.kinds.queries.mpe import Mpe
from pccompiler.bench.kinds.queries.posterior_marginals import PosteriorMarginals
from pccompiler.bench.kinds.queries.posterior_one import PosteriorOne
from pccompiler.bench.kinds.queries.sample import Sample
from pccompiler.bench.kinds.queries.sample_conditional import SampleConditional
from pccompiler.bench.kinds.step import Step
from pccompiler.bench.timing import Run
from pccompiler.torch_backend import CompiledCircuit

DIRECTIONS: dict[str, Forward | Gradients | Step] = {
    "forward": Forward(),
    "gradients": Gradients(),
    "step": Step(),
}
"""The directions of training, which every circuit can be timed in."""
QUERIES: dict[str, Kind] = {
    "posterior_marginals": PosteriorMarginals(),
    "mpe": Mpe(),
    "sample": Sample(),
    "sample_conditional": SampleConditional(),
    "log_conditional": LogConditional(),
}
"""The questions that every circuit can be asked."""
KINDS: dict[str, Kind] = {
    **DIRECTIONS,
    **QUERIES,
    "posterior_one": PosteriorOne(),
    "em": Em(),
    "call": Call(),
    "many": Many(),
    "onnx": Onnx(),
}


def run_of(model: CompiledCircuit, data: Tensor, batch: int, kind: str) -> Run:
    """The timed run of a kind, after at least one warm-up; on CUDA, if possible, one CUDA graph.

    Args:
        model: A model on the device.
        data: Complete rows on the device.
        batch: Rows at once.
        kind: A key of `KINDS`.
    """
    return KINDS[kind].run(Setting(model, data, batch))
