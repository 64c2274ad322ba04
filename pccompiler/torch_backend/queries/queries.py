"""Exact queries as methods of a compiled circuit: marginals, conditionals, posteriors, samples.

Evidence is a table of rows, shape (batch, variables), NaN where missing; or a mapping from names to
values, which is one row. All queries run on the model's device and in its precision, with direct
and with generated weights. ``docs/reference/queries.md`` lists queries, costs and sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from pccompiler.options import whole
from pccompiler.passes.analysis.determinism.decide import determinism
from pccompiler.torch_backend.data.by_name import by_name
from pccompiler.torch_backend.data.likelihoods import EvidenceOrIntervals, Intervals, Soft
from pccompiler.torch_backend.data.validation import check_possible
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.leaves.chosen import Chosen
from pccompiler.torch_backend.leaves.likelihoods import Likelihoods
from pccompiler.torch_backend.queries import by_name as named
from pccompiler.torch_backend.queries.answers import Completion, Draws, Posterior
from pccompiler.torch_backend.queries.conditionals import Conditionals
from pccompiler.torch_backend.queries.evaluation import Knowledge
from pccompiler.torch_backend.queries.evidence import (
    generator_of,
    sharing_little,
)
from pccompiler.torch_backend.queries.marginals import posterior_fields

_MASSES = 6
"""Numbers for each state of a posterior: masses, their float64, and what they are made from."""


class Queries(Conditionals):
    """The queries of `CompiledCircuit`."""

    @torch.no_grad()
    def log_partition(self) -> Tensor:
        """Logarithm of the sum (integral) over all worlds, in nats: a scalar, 0 if normalized.

        No gradient flows: rows of weights sum to 1 whatever the parameters.
        """
        return self.evaluate_unchecked(self.nothing(1))[0]

    @by_name(named.posterior)
    @torch.no_grad()
    @sharing_little
    def posterior_marginals(
        self,
        evidence: EvidenceOrIntervals | None = None,
        *,
        variables: Sequence[str | int] | None = None,
        soft: Soft | None = None,
        intervals: Intervals | None = None,
    ) -> Posterior:
        """The marginal of variables given each row of evidence: one pass up, one down.

        Args:
            evidence: By default none, in one row.
            variables: The variables that are wanted, in this order; by default all. With many
                states, a few variables take much less memory: the next word after each of many
                prefixes needs one.
            soft: See `log_likelihood`.
            intervals: See `log_likelihood`. Counts and real variables with an interval cannot be
                among those that are wanted.

        Raises:
            DataError: If a variable is unknown, or named twice.

        Source:
            Darwiche (2003), "A Differential Approach to Inference in Bayesian Networks".
        """
        columns = self.distinct_columns(variables)
        given, likelihoods = self.uncertain(evidence, soft, intervals)
        self.refuse_intervals(likelihoods, columns, "the posterior", "name others in variables=")
        chosen = self.leaf_inputs.chosen(columns)
        question, name = partial(_posterior, chosen), f"posterior of {columns}"
        numbers = _MASSES * len(columns) * chosen.states
        return Posterior(
            *self.answers(given, Wanted.POSTERIOR, question, name, numbers, likelihoods)
        )

    @by_name(named.completion)
    @torch.no_grad()
    @sharing_little
    def mpe(
        self,
        evidence: EvidenceOrIntervals | None = None,
        *,
        soft: Soft | None = None,
        intervals: Intervals | None = None,
    ) -> Completion:
        """A most probable completion of each row, by one pass up with maxima and one down.

        Exact if the circuit is deterministic. Otherwise it comes from the best *induced tree* (max-
        product decoding), and `Completion.exact` is false.

        Args:
            evidence: By default none, in one row.
            soft: See `log_likelihood`; the likelihoods of the states chosen count, also in
                `Completion.log_value`.
            intervals: See `log_likelihood`; only of discrete variables.

        Raises:
            DataError: If a row's evidence is impossible, or has intervals of other variables.

        Source:
            Chan and Darwiche (2006), "On the Robustness of Most Probable Explanations"; Poon and
            Domingos (2011), "Sum-Product Networks", section 2.
        """
        given, likelihoods = self.uncertain(evidence, soft, intervals)
        way_out = "leave it out, or give intervals of discrete variables only"
        self.refuse_intervals(likelihoods, range(len(self.names)), "mpe", way_out)
        rows, root = self.answers(given, Wanted.BEST, _completed, "mpe", likelihoods=likelihoods)
        check_possible(root)
        return Completion(rows, self.evaluate_likely(rows, likelihoods), self.deterministic)

    @by_name(named.rows)
    @torch.no_grad()
    @sharing_little
    def sample(self, number: int, *, seed: int | None = None) -> Tensor:
        """Independent samples from the circuit, shape ``(number, variables)``.

        Args:
            number: Number of samples, at least 0.
            seed: Seed of the samples; by default torch's own generator is used.
        """
        return self.sampled(whole("number", number, 0), seed)

    @by_name(named.rows)
    @torch.no_grad()
    @sharing_little
    def sample_conditional(
        self,
        evidence: EvidenceOrIntervals,
        number: int = 1,
        *,
        seed: int | None = None,
        soft: Soft | None = None,
        intervals: Intervals | None = None,
    ) -> Tensor:
        """Samples of the missing values given each row, shape ``(batch, number, variables)``.

        Args:
            evidence: Rows of evidence.
            number: Number of samples for each row.
            seed: Seed of the samples; by default torch's own generator is used.
            soft: See `log_likelihood`.
            intervals: See `log_likelihood`; values are drawn within them.

        Raises:
            DataError: If a row's evidence is impossible.
        """
        number = whole("number", number)
        source = generator_of(self, seed)
        rows, likelihoods = self.known(evidence, soft, intervals, partial=True)
        likelihoods = likelihoods.each(lambda each: each.repeat_interleave(number, 0))
        found, root = self.drawn(rows.repeat_interleave(number, 0), source, likelihoods)
        check_possible(root, number)
        return found.view(-1, number, len(self.circuit.variables))

    @by_name(named.draws)
    @torch.no_grad()
    def top_k_samples(
        self,
        k: int,
        *,
        evidence: EvidenceOrIntervals | None = None,
        draws: int = 10_000,
        seed: int | None = None,
    ) -> Draws:
        """The ``k`` most probable of many samples; fewer if there are fewer distinct ones.

        There may be better ones: `branch_and_bound` finds the k best completions.

        Args:
            k: Number of rows.
            evidence: One row; by default none.
            draws: Number of samples to choose from.
            seed: Seed of the samples; by default torch's own generator is used.
        """
        k, draws = whole("k", k), whole("draws", draws)
        if evidence is None:
            rows = self.sampled(draws, seed)
        else:
            given = self.evidence(evidence)
            whole("rows of evidence", len(given), 1, 1)
            rows = self.sample_conditional(given, draws, seed=seed)[0]
        rows = rows.unique(dim=0)
        values = self.log_likelihood(rows, check=False)
        order = values.argsort(descending=True, stable=True)[:k]
        return Draws(rows[order], values[order])

    @property
    def deterministic(self) -> bool:
        """Whether the circuit is proven deterministic, given its zero weights."""
        if self._deterministic is None:
            given = bool(self.circuit.weights.values)
            circuit = self.trained_circuit() if given else self.circuit
            self._deterministic = determinism(circuit).verdict == "yes"
        return bool(self._deterministic)


def _posterior(
    chosen: Chosen, known: Knowledge, rows: Tensor, likelihoods: Likelihoods
) -> tuple[Tensor, ...]:
    """The fields of `Posterior`."""
    run = known.evaluation(rows, Wanted.POSTERIOR, likelihoods)
    flows = run.flows()
    masses = run.masses(flows, chosen)
    mean, variance = run.moments(flows, masses, chosen)
    return posterior_fields(run.root, known.plan.log_scale, masses, mean, variance)


def _completed(known: Knowledge, rows: Tensor, likelihoods: Likelihoods) -> tuple[Tensor, Tensor]:
    """Rows completed by the best induced trees, and log-values without the circuit's scale."""
    run = known.evaluation(rows, Wanted.BEST, likelihoods)
    return run.complete(run.chosen(), draw=False), run.root
