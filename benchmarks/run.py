"""The main benchmarks, and the ratio of each time to the last committed one.

    python -m benchmarks.run                               # on a CPU
    python -m benchmarks.run --device cuda
    python -m benchmarks.run --quick                       # a few cases, in a minute
    python -m benchmarks.run --out benchmarks/results      # keep the results, to commit them

Runs ``pccompiler bench`` and the scripts of the device, each in its own process, and compares with
the latest committed result of the same benchmark, case and kind of machine. A ratio of 1.20 means a
fifth slower; times on different days vary by a tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]  # JSON values, hence ``Any``
Times = dict[tuple[object, ...], float]
ROOT = Path(__file__).parents[1]
SCRIPTS = {
    "cpu": ("compiling.compile_time", "structures.onnx"),
    "cuda": ("steps.gpu_step", "steps.wide_step"),
}
IDENTITY = ("case", "circuit", "structure", "model", "weights", "n", "batch", "precision")
"""The fields that identify a line of results."""


def times(texts: Iterable[str], device: str) -> Times:
    """The latest time of each benchmark, machine, case and field in result files."""
    files = [[json.loads(line) for line in text.splitlines() if line.strip()] for text in texts]
    found: Times = {}
    for head, *lines in sorted((f for f in files if f), key=lambda f: str(f[0].get("date"))):
        chip = head.get("gpu" if device == "cuda" else "cpu")
        for line in lines:
            about = (head.get("benchmark"), chip, *(line.get(field) for field in IDENTITY))
            found.update({(*about, name): value for name, value in _times_of(line)})
    return found


def _times_of(line: Line) -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        timed = name == "ms" or name.endswith(("_ms", "_s")) or name.startswith("ms_per")
        if timed and "floor" not in name and isinstance(value, int | float) and value > 0:
            yield name, float(value)


def committed() -> list[str]:
    """The result files at HEAD."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout

    names = git("ls-tree", "-r", "--name-only", "HEAD", "benchmarks/results").splitlines()
    return [git("show", f"HEAD:{name}") for name in names if name.endswith(".jsonl")]


def table(before: Times, now: Times) -> str:
    """One line per time: now, before, and the ratio."""
    rows: list[str] = []
    for key, value in now.items():
        name = " ".join(str(part) for part in (key[0], *key[2:]) if part is not None)
        old = before.get(key)
        told = "      new" if old is None else f"{old:9.4g} {value / old:6.2f}"
        rows.append(f"{value:9.4g} {told}  {name}")
    return "\n".join(["      now    before  ratio", *rows])


def main() -> None:
    """Measure, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=list(SCRIPTS), default="cpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    before = times(committed(), given.device)
    with tempfile.TemporaryDirectory() as folder:
        out = given.out or Path(folder)
        written = out / f"bench_{given.device}.jsonl"
        bench = ["pccompiler.cli", "bench", "--device", given.device, "--out", str(written)]
        commands = [[*bench, "--quick"]] if given.quick else [bench]
        if not given.quick:
            commands += [[f"benchmarks.{name}"] for name in SCRIPTS[given.device]]
        for command in commands:
            print("$ python -m", *command, flush=True)
            environment = {**os.environ, "PCCOMPILER_RESULTS": str(out)}
            subprocess.run([sys.executable, "-m", *command], check=True, cwd=ROOT, env=environment)
        names = [written, *(out / f"{name.split('.')[1]}.jsonl" for name in SCRIPTS[given.device])]
        texts = [path.read_text() for path in names[: len(commands)]]
    print(table(before, times(texts, given.device)))


if __name__ == "__main__":
    main()
