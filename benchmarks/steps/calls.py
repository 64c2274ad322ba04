"""A call of ``log_likelihood`` on a GPU, Python included, beside its kernels and PyJuice's call.

    python -m benchmarks.steps.calls [--pyjuice]

The paper's RAT-SPNs (k = 5, r = 50, direct weights) on 500 rows that are on the GPU already, and on
one row. Wall-clock time from the call to the values on the device, checks of the rows included;
"kernels" is the forward pass alone in one CUDA graph, without checks. "without replay" is the call
as it runs before a graph was captured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.bench.kinds.registry import run_of
from pccompiler.bench.timing import times_of
from pccompiler.torch_backend.runtime.replays import Replays


@torch.no_grad()
def wall_ms(call: Callable[[], object], repeats: int = 100) -> float:
    """Median milliseconds of a call and of waiting for its result."""
    found: list[float] = []
    for _ in range(repeats + 10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return round(1e3 * statistics.median(found[10:]), 4)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pyjuice", action="store_true")
    chosen, report = parser.parse_args(), Report("calls")
    for n in (16, 100, 500, 1556):
        data = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (500, n))).float().cuda()
        circuit = pc.rat_spn(n, 50, 5, seed=0)
        model, eager = (pc.compile(circuit, device="cuda") for _ in range(2))
        eager.replays = {"log_likelihood": Replays(most=0)}
        for batch in (500, 1):
            x = data[:batch].contiguous()
            times = {
                "call_ms": wall_ms(partial(model.log_likelihood, x)),
                "unchecked_ms": wall_ms(partial(model.log_likelihood, x, check=False)),
                "without_replay_ms": wall_ms(partial(eager.log_likelihood, x)),
                "kernels_ms": times_of(run_of(model, x, batch, "forward"), "cuda", 100).median,
            }
            report.add(n=n, batch=batch, **times)
            if chosen.pyjuice and n <= 100:  # it compiles for a minute at n = 500
                report.add(n=n, batch=batch, pyjuice_call_ms=pyjuice(n, x))


def pyjuice(n: int, x: torch.Tensor) -> float:
    """PyJuice's call, with its CUDA graphs."""
    import pyjuice as juice  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

    from pccompiler.bench.peers import with_pyjuice

    builder: Any = with_pyjuice
    nodes = builder.rat_spn(n, 50, 5, 2)
    nodes.init_parameters(perturbation=2.0)
    made = juice.TensorCircuit(nodes).to(torch.device("cuda"))
    states = x.long()
    with torch.no_grad():
        made(states)
        made(states, record_cudagraph=True)
    return wall_ms(partial(made, states))


if __name__ == "__main__":
    main()
