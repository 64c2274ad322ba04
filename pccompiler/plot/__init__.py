"""Plots with matplotlib: each draws into ``ax``, or a new figure, and returns its axes.

Nothing here shows a window: notebooks show figures by themselves, and a script saves them with
``axes.figure.savefig(...)``. matplotlib is loaded when the first plot is drawn.
"""

from pccompiler.plot.bars import posterior
from pccompiler.plot.curves import plot_history as history
from pccompiler.plot.heat import weights
from pccompiler.plot.pictures import samples

__all__ = ["history", "posterior", "samples", "weights"]
