"""Queries by the clock: a call of each, Python included, beside `log_likelihood` of the same rows.

    python -m benchmarks.steps.queries [--device cuda] [--folder ../shared/circuits]

Every second value is missing. "own" is the engine that the model chooses, "plain" plain torch
operations (`without_kernels`), in the same process on the same rows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.imports.read import read
from pccompiler.ir import Circuit
from pccompiler.torch_backend.engines.questions import Wanted

REPEATS = 7


def circuits(folder: Path, device: str) -> Iterator[tuple[str, Circuit]]:
    """Name and circuit."""
    for n in (16, 100, *((500, 1556) if device == "cuda" else ())):
        yield f"RAT-SPN, n = {n}", pc.rat_spn(n, 50, 5, seed=0)
    yield "HMM, 32 steps, 64 states", pc.hmm(32, 64)
    if (folder / "nltcs.psdd").exists():
        yield "nltcs.psdd", read(folder / "nltcs.psdd")


def calls(model: pc.CompiledCircuit, x: Tensor) -> dict[str, Callable[[], object]]:
    """The calls that are measured."""
    return {
        "log_likelihood": partial(model.log_likelihood, x),
        "posterior_marginals": partial(model.posterior_marginals, x),
        "mpe": partial(model.mpe, x),
        "sample": partial(model.sample, len(x), seed=0),
        "sample_conditional": partial(model.sample_conditional, x, seed=0),
    }


@torch.no_grad()
def milliseconds(call: Callable[[], object], device: str) -> float:
    """Median time of a call; each sample is the mean over about 20 ms."""
    for _ in range(3):
        call()
    found: list[float] = []
    number = 1
    while len(found) < REPEATS:
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(number):
            call()
        if device == "cuda":
            torch.cuda.synchronize()
        spent = time.perf_counter() - start
        if spent < 0.02 and not found and number < 100:
            number *= 2
            continue
        found.append(1e3 * spent / number)
    return round(statistics.median(found), 4)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, default=Path("../shared/circuits"))
    options = parser.parse_args(arguments)
    report = Report(f"queries_{options.device}")
    for name, circuit in circuits(options.folder, options.device):
        models = [pc.compile(circuit, device=options.device) for _ in range(2)]
        models[1].without_kernels()
        rows = models[0].sample(500, seed=0)
        rows[:, ::2] = torch.nan
        for batch in (500, 1):
            own, plain = (calls(model, rows[:batch].contiguous()) for model in models)
            forward = 0.0
            for question, call in own.items():
                mine, other = (
                    milliseconds(each, options.device) for each in (call, plain[question])
                )
                forward = forward or mine
                report.add(
                    circuit=name,
                    batch=batch,
                    query=question,
                    engine=models[0].engines.choose(Wanted.POSTERIOR).name,
                    own_ms=mine,
                    plain_ms=other,
                    times_the_forward=round(mine / forward, 2),
                )


if __name__ == "__main__":
    main()
