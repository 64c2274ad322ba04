"""Bars of posterior marginals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Float
from pccompiler.options import shown, whole
from pccompiler.plot.figures import axes_for
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.queries.answers import Posterior

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pccompiler.torch_backend.queries.evidence import Evidence

WRITTEN = 0.08
"""The least probability that is written into its bar."""


def posterior(
    given: Posterior | CompiledCircuit,
    evidence: Evidence | None = None,
    *,
    row: int = 0,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the posterior of every variable: a bar, divided by the probabilities of its states.

    A variable without states, such as a real one, has its mean and standard deviation in words.

    Args:
        given: What `CompiledCircuit.posterior_marginals` returns, or a model that is asked here.
        evidence: For a model: as in `CompiledCircuit.posterior_marginals`.
        row: The row of evidence to draw.
        names: Of the variables, from the top; by default the model's, or ``x0``, ``x1``, ...
        ax: Where to draw; by default in a new figure.

    Returns:
        The axes, with a row for each variable.

    Raises:
        OptionError: If there is no such row, its evidence is impossible, the number of names is
            wrong, or evidence is given together with a posterior.
    """
    if isinstance(given, CompiledCircuit):
        found = given.posterior_marginals(evidence)
        names = given.names if names is None else names
    else:
        found = given
        if evidence is not None:
            raise OptionError.of(
                "PC863",
                "a posterior has its evidence already",
                help="give the model instead of the posterior, or leave out evidence",
            )
    states, mean, deviation = _of_row(found, row)
    labels = _labels(names, len(mean))
    axes = axes_for(ax, 6.0, max(0.4 * len(mean) + 0.8, 1.8))
    left = np.zeros(len(mean))
    for state in range(states.shape[1]):
        bars = axes.barh(range(len(mean)), states[:, state], left=left, label=str(state))
        words = [f"{state}: {p:.0%}" if p >= WRITTEN else "" for p in states[:, state].tolist()]
        axes.bar_label(bars, words, label_type="center", fontsize=8)
        left += states[:, state]
    for number in np.flatnonzero(states.sum(axis=1) == 0.0).tolist():
        words_of = f"{mean[number]:.4g} \u00b1 {deviation[number]:.2g}"
        axes.text(0.5, number, words_of, ha="center", va="center", fontsize=8)
    axes.set_yticks(range(len(mean)), labels)
    axes.set_xlim(0.0, 1.0)
    axes.invert_yaxis()
    axes.set_xlabel("probability")
    return axes


def _of_row(found: Posterior, row: int) -> tuple[Float, Float, Float]:
    """States, shape ``(variables, states)``, means and standard deviations of one row."""
    rows = len(found.mean)
    if not 0 <= whole("row", row, least=0) < rows:
        raise OptionError.of(
            "PC864",
            f"row is {shown(row)}, but the posterior has {rows:,} rows",
            help=f"give a number from 0 to {rows - 1}",
        )
    states, mean, variance = (
        part[row].detach().double().cpu().numpy()
        for part in (found.states, found.mean, found.variance)
    )
    if np.isnan(mean).any():
        raise OptionError.of(
            "PC865",
            f"the evidence of row {row} is impossible, so that nothing has a posterior",
            help="give evidence that the model gives a positive probability",
        )
    return states, mean, np.sqrt(np.maximum(variance, 0.0))


def _labels(names: Sequence[str] | None, number: int) -> list[str]:
    labels = [f"x{i}" for i in range(number)] if names is None else list(names)
    if len(labels) != number:
        raise OptionError.of(
            "PC866",
            f"there are {len(labels):,} names for {number:,} variables",
            help="give a name for each variable",
        )
    return labels
