"""Progress: a bar on a terminal, otherwise plain lines at intervals, both on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

Advance = Callable[[int, str], None]
"""Takes the steps done since the last call, and the text next to the bar."""

LINES_EVERY: Final = 10.0
"""Seconds between two lines, if standard error is not a terminal."""


@contextmanager
def progress_bar(title: str, steps: int, *, left: bool, done: int = 0) -> Generator[Advance]:
    """A bar that shows the elapsed time, or with ``left`` the rate and the time left.

    Args:
        title: What is being done.
        steps: The number of all steps.
        left: Whether steps take about the same time each, so that the rest can be predicted.
        done: Steps that were done before, by another call.
    """
    meter = _Meter(steps, left, done)
    if not sys.stderr.isatty():
        yield _lines(title, meter)
        return
    from rich import progress
    from rich.console import Console

    time_column = progress.TimeRemainingColumn() if left else progress.TimeElapsedColumn()
    with progress.Progress(
        progress.TextColumn(title),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        time_column,
        progress.TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task("", total=steps, completed=done)

        def advance(taken: int, text: str) -> None:
            meter.done += taken
            parts = [meter.rate, text] if left else [text]
            bars.update(task, advance=taken, description="  ".join(p for p in parts if p))

        yield advance


class _Meter:
    """Counts steps, and measures how long they take."""

    def __init__(self, steps: int, left: bool, done: int) -> None:
        self.steps, self.left, self.done = steps, left, done
        self.before, self.started = done, time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def rate(self) -> str:
        """Steps per second; empty before the first step."""
        taken = self.done - self.before
        return f"{taken / max(self.seconds, 1e-9):,.1f} steps/s" if taken else ""

    @property
    def times(self) -> str:
        """The rate and the time left, or the elapsed time."""
        taken = self.done - self.before
        if not (self.left and taken):
            return f"{_clock(self.seconds)} elapsed"
        rest = self.seconds / taken * max(self.steps - self.done, 0)
        return f"{self.rate}, {_clock(rest)} left"


def _lines(title: str, meter: _Meter) -> Advance:
    """Print a line every `LINES_EVERY` seconds."""
    due = [meter.started + LINES_EVERY]

    def advance(taken: int, text: str) -> None:
        meter.done += taken
        if time.monotonic() < due[0]:
            return
        due[0] = time.monotonic() + LINES_EVERY
        what = f"{title}: {meter.done:,} of {meter.steps:,}, {meter.times}"
        sys.stderr.write(f"{what}, {text}\n" if text else f"{what}\n")
        sys.stderr.flush()

    return advance


def _clock(seconds: float) -> str:
    """``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
