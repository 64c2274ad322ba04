"""Runs of a case, their times, and their memory."""

from __future__ import annotations

import ctypes
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pccompiler.bench.work import Direction
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.runtime.capture import captured
from pccompiler.torch_backend.training.stepper import Stepper
from pccompiler.torch_backend.training.unchecked import Unchecked

Run = Callable[[], object]
LEARNING_RATE = 5e-3
MOST_SECONDS = 2.0
"""Default time limit for the repeats of a case, after the first `FEWEST`."""
FEWEST, MOST = 5, 200
WARM_UP = 3


@dataclass(frozen=True)
class Times:
    """Times of a run, in milliseconds."""

    median: float
    lowest: float
    repeats: int

    @classmethod
    def of(cls, times: list[float]) -> Times:
        """Summarize."""
        return cls(statistics.median(times), min(times), len(times))


def run_of(model: CompiledCircuit, data: Tensor, batch: int, direction: Direction) -> Run:
    """The timed run, after at least one warm-up; on CUDA, the replay of a CUDA graph of it.

    Args:
        model: A model on the device.
        data: Complete rows on the device.
        batch: Rows at once.
        direction: A training step also gathers its rows from ``data``.
    """
    rows = torch.arange(len(data), device=data.device).repeat(batch // len(data) + 1)[:batch]
    if direction == "step":
        stepper = Stepper(model, data, None, batch, LEARNING_RATE, 0.0, cuda_graph=True)
        stepper.rows.copy_(rows)
        step: Run = stepper.step if stepper.graph is None else _replay(stepper.graph, stepper)
        step()
        return step
    x = data.index_select(0, rows)
    run = _forward(model, x) if direction == "forward" else _gradients(model, x)
    if data.device.type == "cuda":
        return replay_of(run)
    run()
    return run


def _forward(model: CompiledCircuit, x: Tensor) -> Run:
    def forward() -> Tensor:
        with torch.no_grad():
            return model.evaluate_unchecked(x, True)

    return forward


def _gradients(model: CompiledCircuit, x: Tensor) -> Run:
    """Gradients of all parameters; in a CUDA graph, of aliases (see `Stepper`)."""
    parameters = list(model.parameters())
    call: Callable[[], Tensor] = partial(model.evaluate_unchecked, x, True)
    if x.device.type == "cuda":
        parameters = [torch.nn.Parameter(p.detach()) for p in parameters]
        names = [f"model.{name}" for name, _ in model.named_parameters()]
        leaves: dict[str, Tensor] = dict(zip(names, parameters, strict=True))
        call = partial(torch.func.functional_call, Unchecked(model), leaves, (x, True))

    def gradients() -> tuple[Tensor, ...]:
        with torch.enable_grad():
            return torch.autograd.grad(-call().sum(), parameters)

    return gradients


def _replay(graph: torch.cuda.CUDAGraph, owner: object) -> Run:
    """The graph's replay; ``owner`` keeps its memory alive."""

    def run() -> object:
        graph.replay()
        return owner

    return run


def replay_of(run: Run) -> Run:
    """The run as a CUDA graph, which keeps the tensors that it uses alive."""
    graph, kept = captured(run, warm_ups=WARM_UP)
    graph.replay()
    return _replay(graph, (kept, run))


def onnx_run(model: CompiledCircuit, data: Tensor, batch: int) -> Run:
    """Log-likelihoods from ONNX Runtime and an exported file, conversions included."""
    from pccompiler.api import export_onnx
    from pccompiler.onnx_backend import OnnxModel

    rows = data[:batch].double().cpu().numpy()
    with tempfile.TemporaryDirectory() as folder:
        loaded = OnnxModel(export_onnx(model, Path(folder) / "model.onnx").path)
    loaded.log_likelihood(rows)
    return lambda: loaded.log_likelihood(rows)


def times_of(run: Run, device: str, repeats: int | None) -> Times:
    """Time a run: by CUDA events, or by the clock.

    Args:
        run: The function to time.
        device: ``"cuda"`` or ``"cpu"``.
        repeats: Number of repeats; ``None``: for about two seconds.
    """
    once = cuda_ms if device == "cuda" else clock_ms
    for _ in range(WARM_UP - 1):
        once(run)
    start = time.perf_counter()
    found: list[float] = []
    while not _enough(len(found), time.perf_counter() - start, repeats):
        found.append(once(run))
    return Times.of(found)


def _enough(number: int, seconds: float, repeats: int | None) -> bool:
    if repeats is not None:
        return number >= repeats
    return number >= MOST or (number >= FEWEST and seconds > MOST_SECONDS)


def clock_ms(run: Run) -> float:
    """Milliseconds of a run by the clock."""
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def cuda_ms(run: Run) -> float:
    """Milliseconds of a run by CUDA events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    milliseconds: float = start.elapsed_time(end)
    return milliseconds


def baseline(device: str) -> int:
    """Bytes that the process uses after freeing what it can; 0 on CUDA."""
    if device == "cuda" or not Path("/proc/self/status").exists():
        return 0
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc
        trim(0)
    return _status("VmRSS")


def forget_peak(device: str) -> bool:
    """Reset the peak; returns whether that is possible."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not allowed
        return False
    return True


def peak_over(device: str, before: int) -> int:
    """Bytes at the peak: all of torch's on CUDA; on a CPU, those above ``before``."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return max(_status("VmHWM") - before, 0)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(found[0]) if found else 0
