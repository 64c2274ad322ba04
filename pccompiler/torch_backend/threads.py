"""Work shared out among as many threads as torch uses; C code lets go of Python's lock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch

_ALONE = 20_000
"""Numbers that one thread does sooner than several."""


def threads_for(numbers: int) -> int:
    """OpenMP's threads for work on so many numbers."""
    return 1 if numbers < _ALONE else torch.get_num_threads()


def share_out(work: Callable[[int, int], None], number: int, alone: bool) -> None:
    """Call ``work(first, last)`` for runs of ``number`` items, or once if ``alone``."""
    threads = 1 if alone else min(torch.get_num_threads(), number)
    if threads <= 1:
        work(0, number)
        return
    edges = np.linspace(0, number, threads + 1).astype(int).tolist()
    tasks = [_pool(threads).submit(work, *pair) for pair in itertools.pairwise(edges)]
    for task in tasks:
        task.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="pccompiler")
