"""Times one circuit in another package; runs in that package's Python, without pccompiler.

    PYTHON run.py PEER --structure rat-spn --n 16 --units 5 --replicas 50 --batch 500 ...

Prints one JSON line (docs/howto/bench.md, "The protocol"). Each ``with_PEER.py`` here has
``make(settings)``, which returns the runs by name, or raises `NotImplementedError` with the reason.
Those in ``--time`` are timed, by default all.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D103

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time

SECONDS = 10.0
FEWEST = 3


def settings(words):
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    for name, default in (("n", 16), ("units", 5), ("replicas", 50), ("values", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("batch", 500), ("repeats", 20), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--structure", default="rat-spn")
    parser.add_argument("--weights", default="direct")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tree")
    parser.add_argument("--network")
    parser.add_argument("--time", type=lambda text: text.split(","))
    return parser.parse_known_args(words)[0]


def time_ms(run, repeats, wait):
    times = []
    begin = time.perf_counter()
    for repeat in range(repeats + 2):
        start = time.perf_counter()
        run()
        wait()
        if repeat >= 2:
            times.append(1e3 * (time.perf_counter() - start))
        if len(times) >= FEWEST and time.perf_counter() - begin > SECONDS:
            break
    return statistics.median(times)


def waiter(device):
    if device != "cuda":
        return lambda: None
    import torch

    return torch.cuda.synchronize


def peak_gib(device):
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**30
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(options):
    peer = importlib.import_module("with_" + options.peer.replace("-", "_"))
    start = time.perf_counter()
    made = peer.make(options)
    found = {"compile_s": round(time.perf_counter() - start, 3)}
    wait = waiter(options.device)
    for name, run in made["runs"].items():
        if options.time and name not in options.time:
            continue
        found[name + "_ms"] = round(time_ms(run, options.repeats, wait), 4)
    found.update(made.get("notes", {}))
    found["peak_gib"] = round(peak_gib(options.device), 3)
    return found


def main():
    options = settings(sys.argv[1:])
    try:
        found = measure(options)
    except NotImplementedError as why:
        found = {"skip": str(why)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
