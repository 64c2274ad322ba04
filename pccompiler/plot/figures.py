"""New figures for plots that were given no axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_for(ax: Axes | None, width: float, height: float) -> Axes:
    """``ax``, or the axes of a new figure of this size in inches, as `matplotlib.pyplot` makes."""
    return grid_of(1, width, height)[0, 0] if ax is None else ax


def grid_of(side: int, width: float, height: float) -> NDArray[Any]:
    """Shape ``(side, side)``: axes of a new figure (numpy has no type for them, hence ``Any``)."""
    from matplotlib import pyplot

    _, grid = pyplot.subplots(
        side, side, figsize=(width, height), layout="constrained", squeeze=False
    )
    return np.asarray(grid)
