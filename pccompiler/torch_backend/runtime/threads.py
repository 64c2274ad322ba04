"""How many threads a piece of work gets: what is too little to share out gets one.

A second thread has to be woken and waited for. That takes microseconds on an idle machine, but
milliseconds where another process holds its core, and torch's operations wake it one by one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Generator

import torch

from pccompiler.ir.plan.plan import Plan

ALONE = 200_000
"""Numbers that one thread works on sooner than several: it takes about 0.2 ms for them."""
_LAYER = 500_000
"""Numbers of a layer, on average, from which on torch shares its operations out.

There are several operations a layer, each way, and each waits for all threads: so more than of C's.
A step of EM of 140,000 a layer took 8 ms of CPU time in one thread; in two, on a machine with other
work, 170 to 290, most of it spent waiting.
"""

_WORK: weakref.WeakKeyDictionary[Plan, tuple[int, int]] = weakref.WeakKeyDictionary()
"""Of plans: values a row, with what sums add and multiply for them, and weights."""
_FLOPS = 8
"""Additions and multiplications in the time of a number that goes through memory."""


def threads_for(numbers: int) -> int:
    """OpenMP's threads for C code that works on so many numbers."""
    return 1 if numbers < ALONE else _ALLOWED.number()


def threads_on(numbers: int, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """`one_thread` on a CPU, if a torch operation on so many numbers is too little to share out."""
    alone = device.type == "cpu" and numbers < _LAYER
    return one_thread() if alone else contextlib.nullcontext()


@contextlib.contextmanager
def one_thread() -> Generator[None]:
    """Torch's operations in one thread meanwhile; C code goes by its own work (`threads_for`)."""
    _ALLOWED.enter()
    try:
        yield
    finally:
        _ALLOWED.leave()


def few_threads(
    plan: Plan, device: torch.device, rows: int
) -> contextlib.AbstractContextManager[None]:
    """`one_thread` on a CPU, if a plan's layers are too little work to share out.

    Always so for packed plans: they are run in small parts.

    Args:
        plan: What runs.
        device: Where it runs.
        rows: Of the data, at once; 0 where our own kernels run, and torch makes only the weights.
    """
    if device.type != "cpu":
        return contextlib.nullcontext()
    if plan not in _WORK:
        weights = sum(len(group.weights) * group.rows * group.columns for group in plan.groups)
        cost = plan.cost(1)
        _WORK[plan] = cost.all_values + cost.flops // _FLOPS, weights
    a_row, weights = _WORK[plan]
    alone = plan.packed or rows * a_row + weights < _LAYER * len(plan.layers)
    return one_thread() if alone else contextlib.nullcontext()


class _Allowed:
    """The number of threads that torch has outside of `one_thread`.

    Torch keeps the number in two places: one for the process, from which each thread starts, and
    one for each thread, which counts. So Python threads do not disturb one another. But one that
    first uses torch while another is inside starts with 1, and gets the right number when it
    leaves `one_thread` itself.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0  # Python threads
        self.known = 1  # what the first of them found
        self.own = threading.local()
        self.forked = False

    def number(self) -> int:
        """Threads that this Python thread may use."""
        if self.forked:
            return 1
        before: int | None = getattr(self.own, "before", None)
        return torch.get_num_threads() if before is None else before

    def enter(self) -> None:
        """Go down to one thread, unless this Python thread is there already."""
        self.own.depth = getattr(self.own, "depth", 0) + 1
        if self.own.depth > 1:
            return
        with self.lock:
            before = torch.get_num_threads()
            if self.inside:
                before = max(before, self.known)
            else:
                self.known = before
            self.inside += 1
            self.own.before = before
            torch.set_num_threads(1)

    def leave(self) -> None:
        """Undo `enter`."""
        self.own.depth -= 1
        if self.own.depth:
            return
        with self.lock:
            self.inside -= 1
            torch.set_num_threads(self.own.before)
            self.own.before = None

    def fork(self) -> None:
        """In a forked child, OpenMP's threads are gone, and it would wait for them forever."""
        self.lock = threading.Lock()
        self.inside, self.forked = int(getattr(self.own, "depth", 0) > 0), True


_ALLOWED = _Allowed()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ALLOWED.fork)
