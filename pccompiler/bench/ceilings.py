"""The peak rates of a machine, from datasheets or quick measurements."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from pccompiler.bench.timing import cuda_ms
from pccompiler.bench.units import Precision, Work

SECONDS = 0.4
"""Time for each measurement on a CPU."""
CHAIN = 64
"""Exponentials in sequence for each number, so that memory does not matter."""
_EXPONENTIALS = f"""
template <typename T> T chain(T x) {{
  for (int i = 0; i < {CHAIN}; ++i) x = exp2f(-x);
  return x;
}}"""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Rates of a machine per second; 0 means unknown, and sets no limit.

    Attributes:
        source: Where the rates come from.
        flops: Multiplications and additions in float32.
        matrix: The same by matrix units in TF32 (on a CPU, by a float32 matrix product).
        special: Exponentials, logarithms, reciprocals.
        bytes: Bytes through device memory.
        launch: Seconds for the shortest measurable work: a CUDA graph of one kernel.
    """

    source: str
    flops: float
    matrix: float
    special: float
    bytes: float
    launch: float = 0.0


_HOPPER = Rates(source="", flops=67e12, matrix=494.7e12, special=132 * 16 * 1.98e9, bytes=3.35e12)
DATASHEET = {
    "H100": replace(_HOPPER, source="NVIDIA H100 SXM datasheet"),
    "H200": replace(_HOPPER, source="NVIDIA H200 SXM datasheet", bytes=4.8e12),
}
"""SXM modules by a word of the device's name: float32 67 TFLOP/s; TF32 dense 494.7 TFLOP/s (the
datasheet's 989 is with sparsity); memory 3.35 and 4.8 TB/s. Special functions: 16 per clock and
multiprocessor (CUDA C++ Programming Guide, arithmetic throughput of compute capability 9.0), 132
multiprocessors at 1.98 GHz."""


def datasheet(name: str) -> Rates | None:
    """Rates of a GPU by its name, if it is in the table and an SXM module."""
    found = [rates for word, rates in DATASHEET.items() if word in name]
    return found[0] if found and "PCIe" not in name and "NVL" not in name else None


def floor_ms(work: Work, rates: Rates, precision: Precision = "tf32") -> tuple[float, str]:
    """The least time that ``work`` can take, in milliseconds, and the unit that limits it.

    In ``"fp32"`` matrix units cannot be used: all arithmetic is in one unit.
    """
    if precision == "fp32":
        work = replace(work, flops=work.flops + work.matrix, matrix=0)
    amounts = asdict(work)
    seconds = {
        unit: amount / rate
        for unit, amount in amounts.items()
        if (rate := getattr(rates, unit)) > 0.0
    }
    seconds["launch"] = rates.launch
    unit = max(seconds, key=lambda name: seconds[name])
    return 1e3 * seconds[unit], unit


def measured(device: torch.device) -> Rates:
    """Ceilings of ``device``, measured in under two seconds; the best of several runs each."""
    return _of_cuda(device) if device.type == "cuda" else _of_cpu()


def _of_cpu() -> Rates:
    """One thread's rate times the number of threads, so that other programs do not lower it."""
    source = torch.rand(2**24, device="cpu")
    target = torch.empty_like(source)
    copied = 8 * source.numel() / _best(lambda: target.copy_(source))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        product, special = threads * _product_rate(), threads * _special_rate()
    finally:
        torch.set_num_threads(threads)
    return Rates(
        source=f"measured, {threads} threads",
        flops=product,
        matrix=product,
        special=special,
        bytes=copied,
    )


def _product_rate() -> float:
    a, b, out = (torch.rand(512, 512, device="cpu") for _ in range(3))
    return 2 * 512**3 / _best(lambda: torch.mm(a, b, out=out))


def _special_rate() -> float:
    """The rate of exponentials or square roots, whichever are faster, in cache."""
    small = torch.rand(2**14, device="cpu")
    out = torch.empty_like(small)
    runs = (lambda: torch.exp(small, out=out), lambda: torch.sqrt(small, out=out))
    return small.numel() / min(_best(run) for run in runs)


def _best(run: Callable[[], object]) -> float:
    """Shortest time of a run, in seconds, since other programs may use the machine."""
    run()
    times: list[float] = []
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def _of_cuda(device: torch.device) -> Rates:
    sheet = datasheet(torch.cuda.get_device_name(device))
    a, b = (torch.rand(8192, 8192, device=device) for _ in range(2))
    out = torch.empty_like(a)
    work = 2 * 8192**3
    source = torch.rand(2**28, device=device)
    target = torch.empty_like(source)
    special = _exponentials(device)
    if special == 0.0 and sheet is not None:
        special = sheet.special
    tiny = torch.zeros(1, device=device)
    return Rates(
        source="measured",
        flops=work / _product_seconds(a, b, out, "fp32"),
        matrix=work / _product_seconds(a, b, out, "tf32"),
        special=special,
        bytes=8 * source.numel() / _cuda_best(lambda: target.copy_(source), 5),
        launch=_launch(tiny),
    )


def _product_seconds(a: Tensor, b: Tensor, out: Tensor, precision: Precision) -> float:
    with matrix_precision(precision):
        return _cuda_best(lambda: torch.mm(a, b, out=out), 4)


@contextmanager
def matrix_precision(precision: Precision) -> Generator[None]:
    """Sets the precision of torch's float32 matrix products within a block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _exponentials(device: torch.device) -> float:
    """Exponentials per second, by a kernel for them; 0 if torch cannot compile it."""
    numbers = torch.rand(2**22, device=device)
    try:
        chain = torch.cuda.jiterator._create_jit_fn(_EXPONENTIALS)
        chain(numbers)
    except Exception:  # a beta interface of torch: if it fails, the datasheet is used
        return 0.0
    return CHAIN * numbers.numel() / _cuda_best(lambda: chain(numbers), 5)


def _cuda_best(run: Callable[[], object], repeats: int) -> float:
    """Shortest time of a run by CUDA events, in seconds."""
    run()
    return 1e-3 * min(cuda_ms(run) for _ in range(repeats))


def _launch(tiny: Tensor) -> float:
    """Median time of a graph of one nearly empty kernel, in seconds."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        tiny.add_(1.0)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tiny.add_(1.0)
    graph.replay()
    return 1e-3 * statistics.median([cuda_ms(graph.replay) for _ in range(50)])
