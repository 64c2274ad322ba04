"""Leaves whose parameters may differ from row to row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.inputs import LeafLayer
from pccompiler.torch_backend.values import draw_state, safe_log


@dataclass(frozen=True, eq=False)
class Leaves:
    """An input layer for one batch.

    Attributes:
        layer: The input layer.
        given: Parameters or a table as `TorchLeaf.constrain` returns them, shape (rows, units,
            columns) or (batch, rows, units, columns); ``None`` for indicators.
        tabular: Whether it is a table.
        x: Values of the rows' variables, shape (batch, rows), NaN where missing.
        exact: Whether probabilities may be exactly 0.
    """

    layer: LeafLayer
    given: Tensor | None
    tabular: bool
    x: Tensor
    exact: bool

    def values(self, wanted: Wanted) -> Tensor:
        """Log-densities, shape (batch, rows, units); the largest ones where missing for `BEST`."""
        missing = self.x.isnan().unsqueeze(2)
        if self.given is None or self.tabular:
            logs = self._looked_up()
        elif self.given.ndim == 3:
            column = self.x.t().unsqueeze(1)
            logs = self.layer.log_density(column, self.given, self.exact).permute(2, 0, 1)
        else:
            column, rows = self.x.reshape(-1, 1, 1), torch.arange(self.x.shape[1])
            apart = self._some(rows.to(column.device).repeat(len(self.x)))
            logs = apart.log_density(column, self.given.flatten(0, 1), self.exact)
            logs = logs.view(*self.x.shape, logs.shape[1])
        logs = logs.masked_fill(missing, 0.0)
        return self._best(logs) if wanted is Wanted.BEST and self.given is not None else logs

    def _looked_up(self) -> Tensor:
        codes = self.x.nan_to_num(0.0).long()
        if self.given is None:
            states = torch.arange(self.layer.states, device=codes.device)
            same = codes.unsqueeze(2) == states
            return torch.zeros_like(same, dtype=self.x.dtype).masked_fill(~same, -torch.inf)
        if self.given.ndim == 3:
            rows = torch.arange(len(self.given), device=codes.device)
            return safe_log(self.given.transpose(1, 2)[rows, codes])
        index = codes[:, :, None, None].expand(*self.given.shape[:3], 1)
        return safe_log(self.given.gather(3, index).squeeze(3))

    def _best(self, logs: Tensor) -> Tensor:
        """Log-densities with the largest ones where values are missing."""
        batch, rows = self.x.isnan().nonzero(as_tuple=True)
        if len(rows) == 0 or self.given is None:
            return logs
        own = self._some(rows).units(
            self.given[rows] if self.given.ndim == 3 else self.given[batch, rows]
        )
        top = own.leaf.top(own) if own.table is None else safe_log(own.table.amax(2))
        return logs.index_put((batch, rows), top)

    def units(self) -> Units:
        """Units for each row of the batch, one after the other, shape (batch * rows, units, _).

        For tables, and other families with finitely many states, with a table of states.
        """
        if self.given is None:
            raise AssertionError("indicators have no parameters")  # pragma: no cover
        batch, rows = self.x.shape
        wide = self.given if self.given.ndim == 4 else self.given.expand(batch, -1, -1, -1)
        index = torch.arange(rows, device=wide.device).repeat(batch)
        return self._some(index).units(wide.flatten(0, 1))

    def _some(self, rows: Tensor) -> LeafLayer:
        """The layer with some of its rows, which may repeat."""
        return replace(
            self.layer,
            variables=tuple(self.layer.variables[row] for row in rows.tolist()),
            place=self.layer.place.index_select(0, rows),
            in_order=False,
            constants=tuple(c.index_select(0, rows) for c in self.layer.constants),
        )

    def complete(
        self, flows: Tensor, draw: bool, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values of missing variables whose leaf a tree reaches.

        Args:
            flows: Shape (batch, rows, units), 1 for the leaf that is reached.
            draw: Whether to draw them instead of taking modes.
            generator: Random numbers.

        Returns:
            Rows of the batch, rows of the layer, and their values.
        """
        reached = (flows > 0.0) & self.x.isnan().unsqueeze(2)
        batch, rows, units = reached.nonzero(as_tuple=True)
        if self.given is None or len(rows) == 0:
            return batch, rows, units.to(self.x.dtype)
        picked = self.given[rows, units] if self.given.ndim == 3 else self.given[batch, rows, units]
        own = self._some(rows).units(picked.unsqueeze(1))
        if own.table is not None:
            states = own.table[:, 0]
            found = draw_state(states, generator) if draw else states.argmax(1)
        else:
            found = (own.leaf.draw(own, generator) if draw else own.leaf.mode(own))[:, 0]
        return batch, rows, found.to(self.x.dtype)
