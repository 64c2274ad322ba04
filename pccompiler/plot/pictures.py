"""Plots of samples: images side by side, or tables as histograms and scatter plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import OptionError
from pccompiler.ir import Variable
from pccompiler.ir.arrays import Float
from pccompiler.options import shown, whole
from pccompiler.plot.figures import axes_for, grid_of
from pccompiler.torch_backend import CompiledCircuit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES, ROWS = 64, 1_000
"""Samples that are drawn by default: of images, and of a table."""
MOST_VARIABLES = 5
"""The most variables of a table that are drawn by default."""
MOST_BINS = 30


@overload
def samples(
    model: CompiledCircuit,
    number: int | None = None,
    *,
    shape: Sequence[int],
    seed: int | None = None,
    ax: Axes | None = None,
) -> Axes: ...


@overload
def samples(
    model: CompiledCircuit,
    number: int | None = None,
    *,
    variables: Sequence[str | int] | None = None,
    seed: int | None = None,
) -> NDArray[Any]: ...


def samples(
    model: CompiledCircuit,
    number: int | None = None,
    *,
    shape: Sequence[int] | None = None,
    variables: Sequence[str | int] | None = None,
    seed: int | None = None,
    ax: Axes | None = None,
) -> Axes | NDArray[Any]:
    """Draw samples of a model: as images with ``shape``, otherwise as pairs of variables.

    Args:
        model: A compiled circuit.
        number: How many samples; by default 64 images, or 1,000 rows of a table.
        shape: Of an image: ``(bands, height, width)`` with 1 or 3 bands, or ``(height, width)``.
            The variables are its pixels, in row-major order.
        variables: Names or columns for the pairs; by default the first five.
        seed: As in `CompiledCircuit.sample`.
        ax: Where to draw images; by default in a new figure.

    Returns:
        Of images, the axes with all of them in a grid. Of a table, shape ``(k, k)`` for k
        variables: axes with histograms on the diagonal, and scatter plots elsewhere.

    Raises:
        OptionError: If the shape does not fit the model, or ``variables`` or ``ax`` are given for
            the wrong one of the two.
        DataError: If a variable is unknown.
    """
    drawn = ROWS if shape is None else IMAGES
    count = drawn if number is None else whole("number", number)
    if shape is None:
        if ax is not None:
            raise OptionError.of(
                "PC861",
                "samples of a table have axes for each pair of variables, and do not fit into ax",
                help="leave out ax, or give the shape of images",
            )
        chosen = range(len(model.names))[:MOST_VARIABLES] if variables is None else variables
        columns = model.columns(list(chosen))
        rows = model.sampled(count, seed).double().cpu().numpy()
        return _pairs(rows[:, columns], [model.circuit.variables[c] for c in columns])
    if variables is not None:
        raise OptionError.of(
            "PC861", "an image is drawn with all its variables", help="leave out variables"
        )
    bands, height, width = _image_shape(shape, len(model.names))
    rows = model.sampled(count, seed).double().cpu().numpy()
    return _images(rows.reshape(count, bands, height, width), model.circuit.variables, ax)


def _image_shape(shape: Sequence[int], variables: int) -> tuple[int, int, int]:
    sizes = [whole("shape", size) for size in shape]
    bands, height, width = (*[1] * (3 - len(sizes)), *sizes[:3])
    if len(sizes) not in (2, 3) or bands not in (1, 3) or bands * height * width != variables:
        raise OptionError.of(
            "PC862",
            f"shape is {shown(tuple(shape))}, but the model has {variables:,} variables",
            help="give (height, width) or (bands, height, width) with 1 or 3 bands, whose product "
            "is the number of variables",
        )
    return bands, height, width


def _images(images: Float, variables: Sequence[Variable], ax: Axes | None) -> Axes:
    """All images in a grid that is about square, a pixel apart."""
    number, bands, height, width = images.shape
    across = int(np.ceil(np.sqrt(number * height / width)))
    down = -(-number // across)
    page = np.full((bands, down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    low, high = _range(images, variables)
    for index, image in enumerate((images - low) / (high - low)):
        top, left = index // across * (height + 1), index % across * (width + 1)
        page[:, top : top + height, left : left + width] = image
    side = 7.0 / max(page.shape[1:])
    axes = axes_for(ax, max(page.shape[2] * side, 1.5), max(page.shape[1] * side, 1.5))
    shown_page = page[0] if bands == 1 else np.nan_to_num(page, nan=1.0).transpose(1, 2, 0)
    axes.imshow(shown_page, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    axes.set_axis_off()
    return axes


def _range(values: Float, variables: Sequence[Variable]) -> tuple[float, float]:
    """Black and white: the lowest and the highest state, or value if there are no states."""
    if all(variable.discrete for variable in variables):
        return 0.0, float(max(variable.cardinality for variable in variables) - 1)
    low, high = float(values.min()), float(values.max())
    return low, high if high > low else low + 1.0


def _pairs(rows: Float, variables: Sequence[Variable]) -> NDArray[Any]:
    side = len(variables)
    grid = grid_of(side, max(2.0 * side, 3.0), max(2.0 * side, 3.0))
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, rows.shape)
    spread = rows + jitter * [variable.domain != "real" for variable in variables]
    for i, down in enumerate(variables):
        for j, across in enumerate(variables):
            axes = grid[i, j]
            if i == j:
                axes.hist(rows[:, i], bins=_bins(rows[:, i], down), color="C0")
            else:
                axes.scatter(spread[:, j], spread[:, i], s=4, alpha=0.4, linewidths=0)
            axes.set_xlabel(across.name if i == side - 1 else "")
            axes.set_ylabel(down.name if j == 0 else "")
    return grid


def _bins(values: Float, variable: Variable) -> int | Float:
    """A bin for each state or count, if they are few."""
    last = variable.cardinality - 1 if variable.discrete else values.max(initial=0.0)
    if variable.domain == "real" or last >= MOST_BINS:
        return MOST_BINS
    return np.arange(last + 2.0) - 0.5
