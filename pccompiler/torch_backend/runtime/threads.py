"""Chooses the number of threads for a piece of work; small work gets one thread.

A second thread has to be woken and waited for. That takes microseconds on an idle machine, but
milliseconds if another process occupies its core, and each of torch's operations pays again.
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
"""With fewer numbers than this, one thread is faster than several (it takes about 0.2 ms)."""
_LAYER = 500_000
"""Mean numbers per layer from which on torch's operations use several threads.

It is more than for C code, since a layer has several operations, each of which waits for all
threads. An EM step with 140,000 numbers per layer took 8 ms of CPU time in one thread, but 170 to
290 ms, mostly waiting, in two threads on a machine with other work.
"""

_WORK: weakref.WeakKeyDictionary[Plan, tuple[int, int]] = weakref.WeakKeyDictionary()
"""For each plan, the work per row (values, plus additions and multiplications) and weights."""
_FLOPS = 8
"""Additions and multiplications in the time in which one number goes through memory."""


def threads_for(numbers: int) -> int:
    """Number of OpenMP threads for C code that works on this many numbers."""
    return 1 if numbers < ALONE else _ALLOWED.number()


def threads_on(numbers: int, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """`one_thread` on a CPU, if a torch operation on this many numbers is too small for more."""
    alone = device.type == "cpu" and numbers < _LAYER
    return one_thread() if alone else contextlib.nullcontext()


@contextlib.contextmanager
def one_thread() -> Generator[None]:
    """Run torch's operations in one thread; C code decides for itself (`threads_for`)."""
    _ALLOWED.enter()
    try:
        yield
    finally:
        _ALLOWED.leave()


def few_threads(
    plan: Plan, device: torch.device, rows: int
) -> contextlib.AbstractContextManager[None]:
    """`one_thread` on a CPU, if a plan's layers are too small for several threads.

    Packed plans always use one thread, since they run in small parts.

    Args:
        plan: The plan to run.
        device: The device it runs on.
        rows: Rows of data at once; 0 if our own kernels run and torch only makes the weights.
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
    """The number of threads that torch uses outside `one_thread`.

    Torch keeps one number for each Python thread, initialised from one for the process, so threads
    do not disturb one another. But a thread that first uses torch while another one is inside
    `one_thread` starts with 1, and gets the right number when it leaves `one_thread` itself.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0  # number of Python threads
        self.known = 1  # torch's number when the first one entered
        self.own = threading.local()
        self.forked = False

    def number(self) -> int:
        """How many threads this Python thread may use."""
        if self.forked:
            return 1
        before: int | None = getattr(self.own, "before", None)
        return torch.get_num_threads() if before is None else before

    def enter(self) -> None:
        """Switch to one thread, unless this Python thread already has."""
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
        """Use one thread in a forked child, which would wait forever for OpenMP's lost threads."""
        self.lock = threading.Lock()
        self.inside, self.forked = int(getattr(self.own, "depth", 0) > 0), True


_ALLOWED = _Allowed()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ALLOWED.fork)
