"""SPFlow on an SPN file of SPNetworks.jl; runs where SPFlow 0.0 is installed, without pccompiler.

    spflow-env/bin/python benchmarks/structures/spflow_rows.py nltcs.spn.gz rows.npy values.npy

Prints a JSON line: nodes, and milliseconds per 1,000 rows.
"""

from __future__ import annotations

import gzip
import json
import sys
import time

import numpy as np
from spn.algorithms.Inference import log_likelihood  # type: ignore[import-not-found]  # pyright: ignore
from spn.structure.Base import (  # type: ignore[import-not-found]  # pyright: ignore
    Product,
    Sum,
    assign_ids,
    rebuild_scopes_bottom_up,
)
from spn.structure.leaves.parametric.Parametric import Categorical  # type: ignore[import-not-found]  # pyright: ignore


def load(path: str) -> object:
    """Nodes by hand: the file names children before they are declared, so from the last line up."""
    made: dict[int, object] = {}
    with gzip.open(path, "rt") as file:
        lines = [line.split() for line in file if line.strip() and line[0] != "#"]
    declared = {int(words[0]): words[1:] for words in lines}
    stack = [int(lines[0][0])]
    while stack:
        kind, *rest = declared[stack[-1]]
        names = rest[::2] if kind == "+" else rest if kind == "*" else []
        children = [int(name) for name in names]
        missing = [child for child in children if child not in made]
        if missing or stack[-1] in made:
            stack = stack + missing if missing else stack[:-1]
            continue
        below = [made[child] for child in children]
        if kind == "+":
            weights = np.array(rest[1::2], dtype=float)
            made[stack.pop()] = Sum(weights=(weights / weights.sum()).tolist(), children=below)
        elif kind == "*":
            made[stack.pop()] = Product(children=below)
        else:
            chances = np.eye(2)[int(float(rest[1])) - 1].tolist()
            made[stack.pop()] = Categorical(p=chances, scope=int(rest[0]) - 1)
    root = made[int(lines[0][0])]
    rebuild_scopes_bottom_up(root)
    assign_ids(root)
    return root


def main() -> None:
    """Load, evaluate three times, and write the values of the last."""
    path, rows, target = sys.argv[1:4]
    root = load(path)
    x = np.load(rows).astype(float)
    times: list[float] = []
    values = np.zeros(len(x))
    for _ in range(3):
        start = time.perf_counter()
        values = log_likelihood(root, x)[:, 0]
        times.append(time.perf_counter() - start)
    np.save(target, values)
    print(json.dumps({"ms_per_1000": round(1e6 * sorted(times)[1] / len(x), 1)}))


if __name__ == "__main__":
    main()
