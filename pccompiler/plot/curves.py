"""Curves of training runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pccompiler.errors import OptionError
from pccompiler.files import replacing
from pccompiler.plot.figures import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pccompiler.torch_backend import History

FORMATS = (".png", ".svg", ".pdf")


def plot_history(
    histories: History | Mapping[str, History],
    path: str | Path | None = None,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw training and validation curves.

    Args:
        histories: One run, or several by name.
        path: A file to write the figure to, atomically; its ending selects the format. A new
            figure is then not shown by notebooks.
        title: Title of the plot.
        ax: Where to draw; by default in a new figure.

    Returns:
        The axes, with steps from left to right and mean log-likelihoods in nats upwards.

    Raises:
        OptionError: If the ending is not a supported format.
    """
    if path is None:
        axes = axes_for(ax, 7.0, 4.5)
        _draw(axes, histories, title)
        return axes
    check_format(path)
    axes = _silent_axes() if ax is None else ax
    _draw(axes, histories, title)
    with replacing(path) as staging:
        axes.figure.canvas.print_figure(staging, dpi=150)
    return axes


def _silent_axes() -> Axes:
    """Axes of a figure that no window and no notebook knows of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(7.0, 4.5), layout="constrained").subplots()


def _draw(axes: Axes, histories: History | Mapping[str, History], title: str) -> None:
    runs = histories if isinstance(histories, Mapping) else {"": histories}
    for number, (name, history) in enumerate(runs.items()):
        steps = [e.step for e in history.evaluations]
        color = f"C{number}"
        label = f"{name} " if name else ""
        train = [e.train for e in history.evaluations]
        axes.plot(steps, train, color=color, linestyle=":", label=f"{label}train")
        valid = [(e.step, e.valid) for e in history.evaluations if e.valid is not None]
        if valid:
            axes.plot(*zip(*valid, strict=True), color=color, label=f"{label}validation")
            axes.plot(history.best_step, history.best_valid or 0.0, "o", color=color)
    axes.set_ylim(*_limits(runs))
    axes.set_xlabel("step")
    axes.set_ylabel("mean log-likelihood (nats)")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()


def check_format(path: str | Path) -> None:
    """Refuse a path whose ending is not an image format.

    Raises:
        OptionError: Lists the supported endings.
    """
    if Path(path).suffix not in FORMATS:
        raise OptionError.of(
            "PC313",
            f"{path} does not have the ending of an image format",
            help=f"use one of {', '.join(FORMATS)}",
        )


def _limits(runs: Mapping[str, History]) -> tuple[float | None, float | None]:
    """Vertical limits that exclude the first steps, which would flatten all others."""
    later = [e for history in runs.values() for e in history.evaluations[1:]]
    values = [v for e in later for v in (e.train, e.valid) if v is not None and math.isfinite(v)]
    if not values:
        return None, None
    margin = 0.1 * (max(values) - min(values)) + 1e-6
    return min(values) - margin, max(values) + margin
