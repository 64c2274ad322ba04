"""Heat maps of sum weights, with the borders of sectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import OptionError, closest
from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Int
from pccompiler.ir.kinds import SUMS
from pccompiler.plot.figures import axes_for
from pccompiler.torch_backend import CompiledCircuit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 64
"""The most weights that are drawn at once."""


def weights(
    model: CompiledCircuit | Circuit, weight: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the weights of sums as heat maps: a row for each unit, a column for what it mixes.

    If the circuit has sectors, lines between entries separate them.

    Args:
        model: A compiled circuit, with its present weights, or a circuit with given ones.
        weight: The name or number of one weight, such as ``"@top"``; by default the largest 64
            are drawn side by side.
        ax: Where to draw; by default in a new figure.

    Returns:
        The axes, in which a pixel is an entry.

    Raises:
        OptionError: If no sum has a weight with values, or none has this name.
    """
    circuit = model.circuit if isinstance(model, CompiledCircuit) else model
    if isinstance(model, CompiledCircuit):
        circuit = circuit.with_values(model.weight_values())
    chosen = _chosen(circuit, weight)
    places, size = _places([circuit.weights.values[w].shape for w in chosen])
    page, sector = np.full(size, np.nan), np.full(size, -1)
    owners = _sector_of_entries(circuit)
    for w, (top, left) in zip(chosen, places, strict=True):
        table = circuit.weights.values[w]
        area = slice(top, top + table.shape[0]), slice(left, left + table.shape[1])
        page[area] = table
        sector[area] = owners.get(w, -1)
    axes = axes_for(ax, 6.0, float(np.clip(6.0 * size[0] / size[1], 1.5, 9.0)))
    image = axes.imshow(page, cmap="viridis", vmin=0.0, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="weight")
    _borders(axes, sector)
    axes.set_axis_off()
    names = [circuit.weights.label(w) for w in chosen]
    axes.set_title(names[0] if len(names) == 1 else f"{len(names)} weights of sums")
    return axes


def _chosen(circuit: Circuit, weight: str | None) -> list[int]:
    """The weights to draw: of sums, with values, in the order of the circuit."""
    owned = np.unique(circuit.weight[np.isin(circuit.kind, list(SUMS))]).tolist()
    known = [w for w in owned if w in circuit.weights.values]
    if weight is None and known:
        largest = sorted(known, key=lambda w: -int(circuit.weights.sizes[w]))[:MOST]
        return sorted(largest)
    labels = {circuit.weights.label(w): w for w in known}
    label = f"@{str(weight).removeprefix('@')}"
    if weight is not None and label in labels:
        return [labels[label]]
    if not known:
        raise OptionError.of(
            "PC867",
            "no sum of the circuit has a weight with values",
            help="compile the circuit, and give the model",
        )
    raise OptionError.of(
        "PC867", f"no sum has a weight {label} with values", help=closest(label, labels)
    )


def _places(shapes: Sequence[tuple[int, ...]]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Top left corners of tables in lines from left to right, and the size of them all.

    The page is about square; tables are an entry apart.
    """
    area = sum((rows + 1) * (columns + 1) for rows, columns in shapes)
    most = max(int(np.sqrt(area)), *(columns for _, columns in shapes))
    places: list[tuple[int, int]] = []
    top = left = high = wide = 0
    for rows, columns in shapes:
        if left and left + columns > most:
            top, left, high = top + high + 1, 0, 0
        places.append((top, left))
        left += columns + 1
        high, wide = max(high, rows), max(wide, left - 1)
    return places, (top + high, wide)


def _sector_of_entries(circuit: Circuit) -> dict[int, Int]:
    """For each weight with sectors, the number of the sector of each entry, and -1 elsewhere."""
    found: dict[int, Int] = {}
    if circuit.sectors is None:
        return found
    columns_of, sizes = circuit.weights.columns, circuit.weights.sizes
    sectors = circuit.sectors
    table = zip(sectors.weight, sectors.offset, sectors.rows, sectors.columns, strict=True)
    for number, (weight, offset, rows, columns) in enumerate(table):
        flat = found.setdefault(int(weight), np.full(int(sizes[weight]), -1))
        width = int(columns_of[weight])
        flat[(offset + np.arange(rows)[:, None] * width + np.arange(columns)).ravel()] = number
    return {weight: flat.reshape(-1, int(columns_of[weight])) for weight, flat in found.items()}


def _borders(axes: Axes, sector: Int) -> None:
    """Lines between neighbours of different sectors."""
    from matplotlib.collections import LineCollection

    below = np.argwhere(_differ(sector[:-1], sector[1:]))
    right = np.argwhere(_differ(sector[:, :-1], sector[:, 1:]))
    lines = [((c - 0.5, r + 0.5), (c + 0.5, r + 0.5)) for r, c in below.tolist()]
    lines += [((c + 0.5, r - 0.5), (c + 0.5, r + 0.5)) for r, c in right.tolist()]
    if lines:
        axes.add_collection(LineCollection(lines, colors="white", linewidths=1.0))


def _differ(a: Int, b: Int) -> NDArray[np.bool_]:
    return np.asarray((a != b) & (a >= 0) & (b >= 0))
