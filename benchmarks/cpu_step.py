"""One training step on the CPU, two threads, batch 500, k = 5, r = 50, side by side in one run.

    python -m benchmarks.cpu_step --cirkit cirkit-env/bin/python

pccompiler (with and without the hypernetwork), a hand-written PyTorch module, and cirkit 0.3.1 in
its own environment (see cirkit_step.py). Contenders take turns; each figure is the median of the
rounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

import torch

import pccompiler as pc
from benchmarks.common import Report, median_ms
from benchmarks.plain_torch import PlainSPN


def pccompiler_ms(n: int, repeats: int, hypernetwork: bool) -> float:
    """Median step of the compiled circuit."""
    net = pc.Hypernetwork() if hypernetwork else None
    model = pc.compile(pc.rat_spn(n, 50, 5, seed=0), net)
    x = torch.randint(0, 2, (500, n)).float()
    return step_ms(model, lambda: model.evaluate_unchecked(x, complete=True), repeats)


def plain_ms(n: int, repeats: int) -> float:
    """Median step of the hand-written module."""
    model = PlainSPN(n)
    x = torch.randint(0, 2, (500, n))
    return step_ms(model, lambda: model(x), repeats)


def step_ms(model: torch.nn.Module, evaluate: Callable[[], torch.Tensor], repeats: int) -> float:
    """Median time of forward, backward and Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        (-evaluate().sum()).backward()
        optimizer.step()

    return median_ms(step, repeats)


def cirkit(python: str, n: int, repeats: int) -> dict[str, float]:
    """What cirkit_step.py measures, in a process of its own."""
    script = Path(__file__).with_name("cirkit_step.py")
    out = subprocess.run(
        [python, "-W", "ignore", str(script), str(n), str(repeats)],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    return result


def main() -> None:
    """All sizes, in rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cirkit", help="Python of an environment with libcirkit")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 69, 1556])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    report = Report("cpu_step")
    for n in arguments.sizes:
        repeats = {16: 40, 69: 15}.get(n, 3)
        times: dict[str, list[float]] = {}
        peers: list[dict[str, float]] = []
        for _ in range(arguments.rounds if n < 1000 else 1):
            times.setdefault("hyperspn_ms", []).append(pccompiler_ms(n, repeats, True))
            times.setdefault("spn_ms", []).append(pccompiler_ms(n, repeats, False))
            times.setdefault("plain_torch_ms", []).append(plain_ms(n, repeats))
            gc.collect()
            if arguments.cirkit:
                peers.append(cirkit(arguments.cirkit, n, max(2, repeats // 4)))
                times.setdefault("cirkit_ms", []).append(peers[-1]["step_ms"])
        medians = {name: round(statistics.median(values), 2) for name, values in times.items()}
        ratios = {
            name.replace("_ms", "_over_spn"): round(value / medians["spn_ms"], 2)
            for name, value in medians.items()
            if name in ("plain_torch_ms", "cirkit_ms")
        }
        extra = (
            {f"cirkit_{k}": round(v, 2) for k, v in peers[-1].items() if k != "step_ms"}
            if peers
            else {}
        )
        report.add(n=n, **medians, **ratios, **extra)


if __name__ == "__main__":
    main()
