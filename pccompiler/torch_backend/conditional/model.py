"""The compiled circuit whose weights depend on a context."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pccompiler.options import whole
from pccompiler.torch_backend.conditional.base import Conditioned, Context
from pccompiler.torch_backend.conditional.evaluation import RowEvaluation
from pccompiler.torch_backend.conditional.given import matched, slices
from pccompiler.torch_backend.conditional.posterior import posterior
from pccompiler.torch_backend.conditional.row_weights import RowWeights
from pccompiler.torch_backend.data.by_name import by_name, numbers_by_name
from pccompiler.torch_backend.data.inputs import Rows
from pccompiler.torch_backend.data.likelihoods import EvidenceOrIntervals, Intervals, Soft
from pccompiler.torch_backend.data.validation import check_possible
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.queries import by_name as named
from pccompiler.torch_backend.queries.answers import Classes, Completion, Posterior
from pccompiler.torch_backend.queries.evidence import generator_of


class ConditionalCircuit(Conditioned):
    """A circuit with weights from a module of your own (`pccompiler.External`).

    Every query takes ``context``, shape (rows, ...). One row gives one circuit for all rows of
    data, which runs in the same kernels as any other. Several rows give each row of data, in order,
    a circuit of its own; a single row of data is asked of each. Gradients reach the module and the
    context. `given` answers what is not here, such as entropies, for one row of context.

    Attributes:
        module: The module.
        circuit: The circuit.
        coverage: Which weights the module makes.
    """

    def forward(self, x: Rows, context: Context = None) -> Tensor:
        """`log_likelihood`."""
        return self.log_likelihood(x, context=context)

    @numbers_by_name
    def log_likelihood(
        self,
        x: EvidenceOrIntervals,
        *,
        context: Context = None,
        mask: Rows | None = None,
        missing: float | None = None,
        check: bool = True,
        soft: Soft | None = None,
        intervals: Intervals | None = None,
    ) -> Tensor:
        """Log-likelihood of each row in nats, given its context, shape (batch,). Differentiable.

        Args:
            x: As in `CompiledCircuit.log_likelihood`.
            context: Rows of context.
            mask: Shape (batch, variables), true where a value is missing.
            missing: A number that marks missing values.
            check: Whether to look for values out of range.
            soft: As in `CompiledCircuit.log_likelihood`, with at most one row of context.
            intervals: Likewise.

        Raises:
            DataError: If the rows or the context do not fit.
            OptionError: If there is soft or interval evidence, and several rows of context.
        """
        with self._with(context) as model:
            return model.log_likelihood(
                x, mask=mask, missing=missing, check=check, soft=soft, intervals=intervals
            )

    @numbers_by_name
    def log_marginal(
        self, x: Rows, variables: Sequence[str | int] | None = None, *, context: Context = None
    ) -> Tensor:
        """As `CompiledCircuit.log_marginal`, given a context."""
        with self._with(context) as model:
            return model.log_marginal(x, variables)

    @numbers_by_name
    def log_conditional(self, query: Rows, evidence: Rows, *, context: Context = None) -> Tensor:
        """As `CompiledCircuit.log_conditional`, given a context."""
        with self._with(context) as model:
            return model.log_conditional(query, evidence)

    @by_name(named.classes)
    def classify(self, x: Rows, variable: str | int, *, context: Context = None) -> Classes:
        """As `CompiledCircuit.classify`, given a context."""
        made = self._made(context)
        if len(made) == 1:
            with self.base.with_raw(self._once(made)):
                return self.base.classify(x, variable)
        rows, weights = matched(self.base.evidence(x), self._of_rows(made))
        states = self.circuit.variables[self.base.column(variable)].cardinality
        with self.base.with_rows(weights.repeated(states)):
            return self.base.classify(rows, variable)

    @by_name(named.posterior)
    @torch.no_grad()
    def posterior_marginals(
        self,
        evidence: Rows | None = None,
        *,
        variables: Sequence[str | int] | None = None,
        context: Context = None,
    ) -> Posterior:
        """As `CompiledCircuit.posterior_marginals`, given a context."""
        made = self._made(context)
        alone = self._alone(made)
        if alone is not None:
            return alone.posterior_marginals(evidence, variables=variables)
        chosen = self.base.leaf_inputs.chosen(self.base.distinct_columns(variables))
        rows, weights = matched(self.base.evidence(evidence), self._of_rows(made))
        parts = []
        for part in slices(len(rows), self.base.chunk(weights)):
            run = self._run(rows[part], weights.some(part), Wanted.POSTERIOR)
            parts.append(posterior(run, rows[part], chosen))
        return Posterior(*(torch.cat(each) for each in zip(*parts, strict=True)))

    @by_name(named.completion)
    @torch.no_grad()
    def mpe(self, evidence: Rows | None = None, *, context: Context = None) -> Completion:
        """As `CompiledCircuit.mpe`, given a context."""
        made = self._made(context)
        alone = self._alone(made)
        if alone is not None:
            return alone.mpe(evidence)
        weights = self._of_rows(made)
        done = self._completed(self.base.evidence(evidence), weights, Wanted.BEST, None)
        return Completion(done, self.base.by_rows(done, weights), self.base.deterministic)

    @by_name(named.rows)
    @torch.no_grad()
    def sample(self, number: int, *, context: Context = None, seed: int | None = None) -> Tensor:
        """Samples, shape (number, variables).

        Args:
            number: Number of samples, at least 0; with several rows of context, that many.
            context: One row for all samples, or one for each.
            seed: Seed of the samples; by default torch's own generator is used.

        Raises:
            DataError: If the context has another number of rows.
        """
        made = self._made(context)
        alone = self._alone(made)
        if alone is not None:
            return alone.sample(number, seed=seed)
        rows = self.base.nothing(whole("number", number, 0))
        return self._completed(rows, self._of_rows(made), Wanted.DRAWS, seed)

    @by_name(named.rows)
    @torch.no_grad()
    def sample_conditional(
        self,
        evidence: Rows,
        number: int = 1,
        *,
        context: Context = None,
        seed: int | None = None,
    ) -> Tensor:
        """Samples of the missing values given each row, shape (batch, number, variables).

        Args:
            evidence: Rows of evidence; a single one is completed for each row of context.
            number: Samples for each row.
            context: Rows of context.
            seed: Seed of the samples; by default torch's own generator is used.

        Raises:
            DataError: If a row's evidence is impossible.
        """
        made = self._made(context)
        alone = self._alone(made)
        if alone is not None:
            return alone.sample_conditional(evidence, number, seed=seed)
        rows, weights = matched(self.base.evidence(evidence), self._of_rows(made))
        rows = rows.repeat_interleave(whole("number", number), 0)
        done = self._completed(rows, weights.repeated(number), Wanted.DRAWS, seed, number)
        return done.view(-1, number, len(self.names))

    def _completed(
        self,
        rows: Tensor,
        weights: RowWeights,
        wanted: Wanted,
        seed: int | None,
        repeats: int = 1,
    ) -> Tensor:
        rows, weights = matched(rows, weights)
        source = generator_of(self.base, seed)
        parts = [rows[:0]]
        for part in slices(len(rows), self.base.chunk(weights)):
            run = self._run(rows[part], weights.some(part), wanted, source)
            check_possible(run.root, repeats, part.start)
            parts.append(run.complete(rows[part], source))
        return torch.cat(parts)

    def _run(
        self,
        rows: Tensor,
        weights: RowWeights,
        wanted: Wanted,
        source: torch.Generator | None = None,
    ) -> RowEvaluation:
        """An evaluation for flows, which are gradients with respect to leaves."""
        with torch.enable_grad():
            return RowEvaluation(self.base, rows, weights, wanted, source)
