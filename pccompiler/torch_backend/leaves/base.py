"""A leaf family in the torch backend: one class, with one method for each question.

A family must define its log-density. If it leaves out another method, a generic one applies (sums
over states, quadrature over `TorchLeaf.panels`, Newton steps for the M-step), or the question is
refused with the name of the missing method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from pccompiler.errors import CircuitError
from pccompiler.ir import Variable
from pccompiler.torch_backend.leaves.fitting.columns import Float
from pccompiler.torch_backend.leaves.fitting.generic import GenericStatistics, started
from pccompiler.torch_backend.leaves.fitting.start import Start
from pccompiler.torch_backend.leaves.fitting.statistics import Setting, Statistics
from pccompiler.torch_backend.leaves.parameters import Parameters
from pccompiler.torch_backend.leaves.quadrature import OUTER, Points, check_settled, panel_points

LEAST_LOG_DENSITY = -1e30  # finite in float32: numeric forms rely on positive densities
Constants = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Units:
    """Units of one family. All units of a row are over the same variable.

    Attributes:
        leaf: Their family.
        parameters: Shape (rows, units, columns), as returned by `TorchLeaf.constrain`.
        constants: As returned by `TorchLeaf.constants`, with one entry per row.
        table: Probabilities of states, shape (rows, units, states), if there are finitely many.
    """

    leaf: TorchLeaf
    parameters: Tensor
    constants: Constants = ()
    table: Tensor | None = None

    def pick(self, index: Tensor) -> Units:
        """Some of the rows."""
        return replace(
            self,
            parameters=self.parameters.index_select(0, index),
            constants=tuple(c.index_select(0, index) for c in self.constants),
            table=None if self.table is None else self.table.index_select(0, index),
        )

    def double(self) -> Units:
        """The same in float64."""
        table = None if self.table is None else self.table.double()
        return replace(self, parameters=self.parameters.double(), table=table)

    def apart(self) -> Units:
        """Each unit as its own row, shape (rows * units, 1, columns)."""
        number = self.parameters.shape[1]
        return replace(
            self,
            parameters=self.parameters.flatten(0, 1).unsqueeze(1),
            constants=tuple(c.repeat_interleave(number, 0) for c in self.constants),
            table=None if self.table is None else self.table.flatten(0, 1).unsqueeze(1),
        )

    def points(self) -> Points:
        """Points and masses for units that are separate rows."""
        if self.table is None:
            return self.leaf.points(self)
        table = self.table[:, 0]
        states = torch.arange(table.shape[1], device=table.device)
        return Points(states.to(table).expand_as(table), table)

    def log_density(self, points: Tensor) -> Tensor:
        """Log-density of units that are separate rows, at points of shape (rows, points)."""
        logs = self.leaf.log_density(points.unsqueeze(1), self)
        return self.leaf.bounded(logs, exact=True)[:, 0]


class TorchLeaf(Parameters):
    """A leaf family in torch.

    Methods take `Units`, and most return one number per unit, shape (rows, units). If a method says
    "apart", each unit must be its own row (`Units.apart`), and the results have shape (rows,).

    Attributes:
        starts_anywhere: Whether training can start from random parameters, whatever the data.
        somewhere: A value of positive density that replaces missing ones.
        infinite_moments: Whether means may be infinite or may not exist.
        has_constants: Whether the density depends on more than the value (`constants`).
    """

    starts_anywhere: ClassVar[bool] = False
    somewhere: float = 0.0
    infinite_moments: ClassVar[bool] = False
    has_constants: bool = False

    def lacks(self, method: str) -> CircuitError:
        """The error for a question that needs a method which the family does not define."""
        return CircuitError.of(
            "PC460",
            f"{self.keyword} leaves do not answer this question: their torch class "
            f"{type(self).__name__} has no method {method!r}",
            help=f"define {type(self).__name__}.{method}; docs/howto/add-a-family.md says how",
        )

    # The density

    def constants(
        self, variables: Sequence[Variable], device: torch.device, dtype: torch.dtype
    ) -> Constants:
        """What the density depends on besides the value, for the variable of each row."""
        return ()

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """Log-densities in nats, shape (rows, units, batch), ``-inf`` for a density of 0.

        Args:
            x: Shape (rows, 1, batch), without missing values.
            units: Shape (rows, units, columns).
        """
        raise self.lacks("log_density")

    def log_likelihood(self, x: Tensor, raw: Tensor, floor: float, constants: Constants) -> Tensor:
        """`log_density` from unconstrained numbers, shape (rows, units, columns)."""
        return self.log_density(x, Units(self, self.constrain(raw, floor), constants))

    def bounded(self, logs: Tensor, exact: bool) -> Tensor:
        """Log-densities as engines need them: finite unless a value is impossible.

        Args:
            logs: Result of `log_density`.
            exact: Whether probabilities and rates may be exactly 0.
        """
        if not self.family.everywhere:
            return logs
        if exact and any(parameter.logs for parameter in self.family.parameters):
            return logs.masked_fill(logs < 0.1 * LEAST_LOG_DENSITY, -torch.inf)
        return logs.clamp_min(LEAST_LOG_DENSITY)

    def log_tails(self, x: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        """Logarithms of the mass up to each value, and of the mass above it, for intervals.

        Shapes are those of `log_density`; everything is in float64. States are not asked for.
        """
        raise self.lacks("log_tails")

    # Queries

    def draw(self, units: Units, generator: torch.Generator | None) -> Tensor:
        """Draw a value of each unit, shape (rows, units)."""
        raise self.lacks("draw")

    def mode(self, units: Units) -> Tensor:
        """A most probable value of each unit, shape (rows, units)."""
        raise self.lacks("mode")

    def top(self, units: Units) -> Tensor:
        """The largest log-density of each unit, shape (rows, units)."""
        logs = self.log_density(self.mode(units).view(-1, 1, 1), units.apart())
        return self.bounded(logs, exact=True).view(units.parameters.shape[:2]).to(units.parameters)

    def mean(self, units: Units) -> Tensor:
        """The mean of each unit, shape (rows, units)."""
        return self._moment(units, 1)

    def square(self, units: Units) -> Tensor:
        """The mean of the square of each unit, shape (rows, units)."""
        return self._moment(units, 2)

    def _moment(self, units: Units, power: int) -> Tensor:
        points = units.double().apart().points()
        found = points.mean(points.points**power)
        return found.view(units.parameters.shape[:2]).to(units.parameters)

    # Quadrature, and what is computed by it

    def panels(self, units: Units) -> Tensor:
        """Edges between which the density is smooth, ascending, shape (rows, edges). Apart.

        They are in the coordinate of `chart`. The mass beyond the outer ones must be negligible.
        """
        raise self.lacks("panels")

    def chart(self, units: Units) -> torch.distributions.Transform:
        """Maps the real line to the support of the density. Apart."""
        return torch.distributions.identity_transform

    def points(self, units: Units) -> Points:
        """Points with masses, for computing means. Apart.

        Raises:
            CircuitError: If the masses do not sum to 1.
        """
        if self.counts:
            raise self.lacks("points")
        places, logs = panel_points(self.panels(units))
        x, log_density = self.on_chart(units, places)
        masses = (log_density + logs).exp()
        check_settled(masses.detach().sum(1) - 1.0, f"the mass of {self.keyword} leaves")
        return Points(x, masses, OUTER)

    def on_chart(self, units: Units, places: Tensor) -> tuple[Tensor, Tensor]:
        """Values, and log-densities in the coordinate of `chart`, both (rows, points). Apart."""
        chart = self.chart(units)
        x: Any = chart(places)
        slope: Any = chart.log_abs_det_jacobian(places, x)
        inside = x.isfinite() & slope.isfinite()
        logs = units.log_density(x.masked_fill(~inside, self.somewhere))
        logs = logs + slope.masked_fill(~inside, 0.0)
        return x, logs.masked_fill(~inside | logs.isnan(), -torch.inf)

    def entropy(self, units: Units) -> Tensor:
        """Entropy in nats, differential for real variables, shape (rows,). Apart."""
        points = units.points()
        logs = units.log_density(points.points)
        return -points.mean(logs.masked_fill(points.masses <= 0.0, 0.0))

    def inner(self, left: Units, right: Units) -> Tensor | None:
        """Log of the integral of the product of row i of both, which are of this family. Apart.

        ``None`` if there is no closed form.
        """
        return None

    def mean_log(self, left: Units, right: Units) -> tuple[Tensor, Tensor] | None:
        """The expected logarithm of ``right``, of this family, under ``left``. Apart.

        Returns:
            The logarithm of the mass of ``left`` where ``right`` is positive, and the mean of the
            logarithm of ``right`` there, each of shape (rows,). ``None`` without a closed form.
        """
        return None

    def mean_distance(self, units: Units, location: Tensor) -> Tensor | None:
        """Mean absolute distance from ``location``, shape (rows,), if in closed form. Apart."""
        return None

    def masses(self, units: Units, edges: Tensor) -> Tensor | None:
        """Mass between neighbours of ascending ``edges``, shape (rows, edges - 1). Apart.

        ``None`` if there is no closed form.
        """
        return None

    # Learning

    def start(self, start: Start, size: int) -> Float:
        """First estimates from data, shape (weights, units, columns), in the IR's parameters.

        Args:
            start: The data, and the starting points of units.
            size: Number of columns.
        """
        return started(self, start, size)

    def from_counts(self, shares: Tensor) -> Tensor:
        """Parameters from probabilities of states, shape (weights, units, states); for tables."""
        raise self.lacks("from_counts")

    def statistics(self, setting: Setting) -> Statistics:
        """The statistics that the M-step gathers."""
        return GenericStatistics(self, setting)

    def blend(self, old: Tensor, new: Tensor, part: Tensor) -> Tensor:
        """``part`` of the way from ``old`` to ``new`` parameters.

        Linear in the sufficient statistics if the family's parameters allow it, so that parts add.
        """
        return old + part * (new - old)
