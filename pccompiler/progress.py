"""Progress bars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

Advance = Callable[[int, str], None]
"""Takes the steps done since the last call, and the text next to the bar."""


@contextmanager
def progress_bar(title: str, steps: int, *, left: bool) -> Generator[Advance]:
    """A bar with the elapsed time, or with the time ``left``; only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda steps, text: None
        return
    from rich import progress
    from rich.console import Console

    time = progress.TimeRemainingColumn() if left else progress.TimeElapsedColumn()
    with progress.Progress(
        progress.TextColumn(title),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        time,
        progress.TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task("", total=steps)
        yield lambda steps, text: bars.update(task, advance=steps, description=text)
