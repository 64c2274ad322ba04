"""What leaves answer in queries: distributions of states, draws, modes and moments of their units.

Families over finitely many states are all handled by one table of state probabilities; the others
one by one (`FAMILIES`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pccompiler.ir import Family
from pccompiler.torch_backend.leaves.inputs import LeafLayer


@dataclass(frozen=True)
class Unbounded:
    """A family over infinitely many values; parameters have shape (rows, units, columns).

    Attributes:
        mean: Shape (rows, units).
        square: Mean of the square, shape (rows, units).
        mode: A most probable value, shape (rows, units).
        draw: Values from parameters of one unit a row, shape (rows, batch, columns); (rows, batch).
    """

    mean: Callable[[LeafLayer, Tensor], Tensor]
    square: Callable[[LeafLayer, Tensor], Tensor]
    mode: Callable[[LeafLayer, Tensor], Tensor]
    draw: Callable[[LeafLayer, Tensor, torch.Generator | None], Tensor]


def state_table(layer: LeafLayer, parameters: Tensor | None, states: int) -> Tensor | None:
    """Probability of each state, shape (rows, units, states); ``None`` of unbounded families.

    Args:
        layer: An input layer.
        parameters: Its table, or its parameters; ``None`` for indicators.
        states: States of its variables.
    """
    if parameters is None:
        return None
    if layer.family.tabular:
        return parameters
    if layer.family != Family.BINOMIAL:
        return None
    values = torch.arange(states, dtype=parameters.dtype, device=parameters.device)
    column = values.view(1, 1, -1).expand(len(parameters), 1, -1)
    return layer.log_density(column, parameters, exact=True).exp()


def top_log_density(layer: LeafLayer, parameters: Tensor, table: Tensor | None) -> Tensor:
    """The largest log-density of each unit, shape (rows, units), of leaves without tables."""
    if table is not None:
        return table.amax(2).log()
    if layer.family == Family.HISTOGRAM:
        return (parameters / layer.constants[2]).amax(2).log()
    modes = FAMILIES[layer.family].mode(layer, parameters).unsqueeze(-1)
    return layer.log_density(modes, parameters, exact=True).squeeze(-1)


def _gaussian_draw(_layer: LeafLayer, picked: Tensor, generator: torch.Generator | None) -> Tensor:
    noise = torch.empty_like(picked[..., 0]).normal_(generator=generator)
    return picked[..., 0] + picked[..., 1] * noise


def _laplace_draw(_layer: LeafLayer, picked: Tensor, generator: torch.Generator | None) -> Tensor:
    pair = torch.empty_like(picked).exponential_(generator=generator)
    return picked[..., 0] + picked[..., 1] * (pair[..., 0] - pair[..., 1])


def _poisson_draw(_layer: LeafLayer, picked: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.poisson(picked[..., 0].exp(), generator=generator)


def _histogram_draw(layer: LeafLayer, picked: Tensor, generator: torch.Generator | None) -> Tensor:
    chosen = draw_state(picked, generator).unsqueeze(-1)
    lower, upper = _edges(layer)
    low, high = (
        side.unsqueeze(1).expand_as(picked).gather(2, chosen)[..., 0] for side in (lower, upper)
    )
    place = torch.empty_like(low).uniform_(generator=generator)
    inside = torch.nextafter(high, low)  # the upper edge is the next bin's
    return torch.minimum(low + (high - low) * place, inside)


def draw_state(masses: Tensor, generator: torch.Generator | None) -> Tensor:
    """An index along the last dimension, in proportion to ``masses``."""
    noise = torch.empty_like(masses).exponential_(generator=generator)
    return (masses / noise.clamp_min_(torch.finfo(masses.dtype).tiny)).argmax(-1)


def _edges(layer: LeafLayer) -> tuple[Tensor, Tensor]:
    """Lower and upper edges of a histogram's bins, each of shape (rows, bins)."""
    lower, _, widths = layer.constants
    return lower[..., 0], lower[..., 0] + widths[:, 0]


def _histogram_moment(power: int) -> Callable[[LeafLayer, Tensor], Tensor]:
    """Mean of ``x ** power``, uniform within each bin."""

    def moment(layer: LeafLayer, parameters: Tensor) -> Tensor:
        lower, upper = _edges(layer)
        sides = [lower**i * upper ** (power - i) for i in range(power + 1)]
        inside = torch.stack(sides).mean(0)
        return (parameters * inside.unsqueeze(1)).sum(2)

    return moment


def _histogram_mode(layer: LeafLayer, parameters: Tensor) -> Tensor:
    lower, upper = _edges(layer)
    best = (parameters / layer.constants[2]).argmax(2)
    return (0.5 * (lower + upper)).gather(1, best)


def _location(_layer: LeafLayer, parameters: Tensor) -> Tensor:
    return parameters[..., 0]


def _rate(_layer: LeafLayer, parameters: Tensor) -> Tensor:
    return parameters[..., 0].exp()


FAMILIES: Mapping[Family, Unbounded] = {
    Family.GAUSSIAN: Unbounded(
        _location,
        lambda _, p: p[..., 0].square() + p[..., 1].square(),
        _location,
        _gaussian_draw,
    ),
    Family.LAPLACE: Unbounded(
        _location,
        lambda _, p: p[..., 0].square() + 2.0 * p[..., 1].square(),
        _location,
        _laplace_draw,
    ),
    Family.POISSON: Unbounded(
        _rate,
        lambda _, p: p[..., 0].exp() * (1.0 + p[..., 0].exp()),
        lambda _, p: p[..., 0].exp().floor(),
        _poisson_draw,
    ),
    Family.HISTOGRAM: Unbounded(
        _histogram_moment(1), _histogram_moment(2), _histogram_mode, _histogram_draw
    ),
}
"""The families over infinitely many values."""
