"""Queries that are differences of log-likelihoods: marginals, conditionals, classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.torch_backend.data.by_name import by_name, numbers_by_name
from pccompiler.torch_backend.data.likelihoods import EvidenceOrIntervals, Intervals, Soft
from pccompiler.torch_backend.queries import by_name as named
from pccompiler.torch_backend.queries.answers import Classes
from pccompiler.torch_backend.queries.classes import class_column, log_joint, one_by_one
from pccompiler.torch_backend.queries.evidence import KnowsEvidence


class Conditionals(KnowsEvidence):
    """Queries of `CompiledCircuit` that need passes up only."""

    @numbers_by_name
    def log_marginal(
        self,
        x: EvidenceOrIntervals,
        variables: Sequence[str | int] | None = None,
        *,
        soft: Soft | None = None,
        intervals: Intervals | None = None,
    ) -> Tensor:
        """Log-density of some variables in each row, with all others integrated out, in nats.

        Args:
            x: Evidence.
            variables: Names or columns of the variables to keep; by default all observed ones.
            soft: See `log_likelihood`.
            intervals: See `log_likelihood`.

        Returns:
            Shape ``(batch,)``. Differentiable.

        Raises:
            DataError: If the evidence does not fit the variables, or a name is unknown.
        """
        rows, likelihoods = self.known(x, soft, intervals, partial=True)
        if variables is not None:
            kept = torch.zeros(rows.shape[1], dtype=torch.bool, device=rows.device)
            kept[self.columns(variables)] = True
            rows = rows.masked_fill(~kept, torch.nan)
        return self.evaluate_likely(rows, likelihoods)

    @numbers_by_name
    def log_conditional(
        self,
        query: EvidenceOrIntervals,
        evidence: EvidenceOrIntervals,
        *,
        soft: Soft | None = None,
        intervals: Intervals | None = None,
    ) -> Tensor:
        """Log p(query | evidence) of each row, in nats; all other variables are integrated out.

        Args:
            query: The queried values, NaN elsewhere. One row is paired with every row of evidence.
                In a dict also intervals, ``(low, high)``.
            evidence: The known values, likewise.
            soft: Soft evidence, which belongs to ``evidence``; see `log_likelihood`.
            intervals: Interval evidence, likewise.

        Returns:
            Shape ``(batch,)``; NaN where the evidence is impossible. Differentiable.

        Raises:
            DataError: If a variable has two different values, or the rows do not fit.
        """
        asked, wanted = self.known(query, None, None, partial=True)
        known, likelihoods = self.known(evidence, soft, intervals, partial=True)
        if 1 not in (len(asked), len(known)) and len(asked) != len(known):
            raise DataError.of(
                "PC402",
                f"the query has {len(asked)} rows, the evidence {len(known)}",
                help="give the same number of rows for both, or one row for either",
            )
        asked, known = torch.broadcast_tensors(asked, known)
        clash = (~asked.isnan() & ~known.isnan() & (asked != known)).nonzero()
        if len(clash):
            row, column = (int(i) for i in clash[0])
            raise DataError.of(
                "PC405",
                f"row {row} asks for {self.circuit.variables[column].name!r} = "
                f"{float(asked[row, column]):g}, but its evidence says "
                f"{float(known[row, column]):g}",
                help="leave the query's value missing where the evidence has one",
            )
        both = torch.where(asked.isnan(), known, asked)
        wanted, likelihoods = (
            part.each(lambda each: each.expand(len(both), *each.shape[1:]))
            for part in (wanted, likelihoods)
        )
        joint = self.evaluate_likely(both, likelihoods.times(wanted))
        return joint - self.evaluate_likely(known, likelihoods)

    @by_name(named.classes)
    def classify(
        self,
        x: EvidenceOrIntervals,
        variable: str | int,
        *,
        soft: Soft | None = None,
        intervals: Intervals | None = None,
    ) -> Classes:
        """The distribution of a discrete class variable given the rest of each row.

        Args:
            x: Evidence; any value of the class is ignored.
            variable: The class, by name or column.
            soft: See `log_likelihood`.
            intervals: See `log_likelihood`.

        Raises:
            DataError: If the variable is unknown.
            OptionError: If it is not discrete.
        """
        column = class_column(self, variable)
        given, likelihoods = self.uncertain(x, soft, intervals)
        rows = self.evidence(given)
        if self.heads_together and not likelihoods:
            logs = log_joint(self, rows, column).log_softmax(1)
        else:
            logs = one_by_one(self, rows, column, likelihoods).log_softmax(1)
        return Classes(logs.argmax(1), logs)

    @property
    def heads_together(self) -> bool:
        """Whether `classify` asks `log_joint`.

        Not for gradients, which can then be differentiated again, and not on GPUs with kernels.
        """
        slow = self.device.type == "cuda" and self.kernels is not None
        return not (torch.is_grad_enabled() or slow)
