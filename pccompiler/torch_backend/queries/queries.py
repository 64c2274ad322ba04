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

from pccompiler.errors import DataError
from pccompiler.options import whole
from pccompiler.passes.analysis.determinism.decide import determinism
from pccompiler.torch_backend.data.by_name import by_name, numbers_by_name
from pccompiler.torch_backend.data.validation import impossible
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.leaves.chosen import Chosen
from pccompiler.torch_backend.queries import by_name as named
from pccompiler.torch_backend.queries.answers import Classes, Completion, Draws, Posterior
from pccompiler.torch_backend.queries.classes import class_column, log_joint, one_by_one
from pccompiler.torch_backend.queries.evaluation import Knowledge
from pccompiler.torch_backend.queries.evidence import (
    Evidence,
    KnowsEvidence,
    generator_of,
    sharing_little,
)

_MASSES = 6
"""Numbers for each state of a posterior: masses, their float64, and what they are made from."""


class Queries(KnowsEvidence):
    """The queries of `CompiledCircuit`."""

    @numbers_by_name
    def log_marginal(self, x: Evidence, variables: Sequence[str | int] | None = None) -> Tensor:
        """Log-density of some variables in each row, with all others integrated out, in nats.

        Args:
            x: Evidence.
            variables: Names or columns of the variables to keep; by default all observed ones.

        Returns:
            Shape ``(batch,)``. Differentiable.

        Raises:
            DataError: If the evidence does not fit the variables, or a name is unknown.
        """
        rows = self.evidence(x)
        if variables is not None:
            kept = torch.zeros(rows.shape[1], dtype=torch.bool, device=rows.device)
            kept[self.columns(variables)] = True
            rows = rows.masked_fill(~kept, torch.nan)
        return self.log_likelihood(rows, check=False)

    @numbers_by_name
    def log_conditional(self, query: Evidence, evidence: Evidence) -> Tensor:
        """Log p(query | evidence) of each row, in nats; all other variables are integrated out.

        Args:
            query: The queried values, NaN elsewhere. One row is paired with every row of evidence.
            evidence: The known values, likewise.

        Returns:
            Shape ``(batch,)``; NaN where the evidence is impossible. Differentiable.

        Raises:
            DataError: If a variable has two different values, or the rows do not fit.
        """
        asked, known = self.evidence(query), self.evidence(evidence)
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
        joint = self.log_likelihood(both, check=False)
        return joint - self.log_likelihood(known, check=False)

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
        self, evidence: Evidence | None = None, *, variables: Sequence[str | int] | None = None
    ) -> Posterior:
        """The marginal of variables given each row of evidence: one pass up, one down.

        Args:
            evidence: By default none, in one row.
            variables: The variables that are wanted, in this order; by default all. With many
                states, a few variables take much less memory: the next word after each of many
                prefixes needs one.

        Raises:
            DataError: If a variable is unknown, or named twice.

        Source:
            Darwiche (2003), "A Differential Approach to Inference in Bayesian Networks".
        """
        if variables is None:
            columns = tuple(range(len(self.names)))
        else:
            columns = tuple(self.columns(variables))
            if len(set(columns)) < len(columns):
                twice = next(self.names[c] for c in columns if columns.count(c) > 1)
                raise DataError.of(
                    "PC429", f"the variable {twice!r} is asked for twice", help="name it once"
                )
        chosen = self.leaf_inputs.chosen(columns)
        question, name = partial(_posterior, chosen), f"posterior of {columns}"
        numbers = _MASSES * len(columns) * chosen.states
        return Posterior(*self.answers(evidence, Wanted.POSTERIOR, question, name, numbers))

    @by_name(named.completion)
    @torch.no_grad()
    @sharing_little
    def mpe(self, evidence: Evidence | None = None) -> Completion:
        """A most probable completion of each row, by one pass up with maxima and one down.

        Exact if the circuit is deterministic. Otherwise it comes from the best *induced tree* (max-
        product decoding), and `Completion.exact` is false.

        Args:
            evidence: By default none, in one row.

        Raises:
            DataError: If a row's evidence is impossible.

        Source:
            Chan and Darwiche (2006), "On the Robustness of Most Probable Explanations"; Poon and
            Domingos (2011), "Sum-Product Networks", section 2.
        """
        rows, root = self.answers(evidence, Wanted.BEST, _completed, "mpe")
        _check_possible(root)
        return Completion(rows, self.log_likelihood(rows, check=False), self.deterministic)

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
        self, evidence: Evidence, number: int = 1, *, seed: int | None = None
    ) -> Tensor:
        """Samples of the missing values given each row, shape ``(batch, number, variables)``.

        Args:
            evidence: Rows of evidence.
            number: Number of samples for each row.
            seed: Seed of the samples; by default torch's own generator is used.

        Raises:
            DataError: If a row's evidence is impossible.
        """
        number = whole("number", number)
        source = generator_of(self, seed)
        rows = self.evidence(evidence).repeat_interleave(number, 0)
        found, root = self.drawn(rows, source)
        _check_possible(root, number)
        return found.view(-1, number, len(self.circuit.variables))

    @by_name(named.classes)
    def classify(self, x: Evidence, variable: str | int) -> Classes:
        """The distribution of a discrete class variable given the rest of each row.

        Args:
            x: Evidence; any value of the class is ignored.
            variable: The class, by name or column.

        Raises:
            DataError: If the variable is unknown.
            OptionError: If it is not discrete.
        """
        column = class_column(self, variable)
        if self.heads_together:
            logs = log_joint(self, x, column).log_softmax(1)
        else:
            logs = one_by_one(self, self.evidence(x), column).log_softmax(1)
        return Classes(logs.argmax(1), logs)

    @by_name(named.draws)
    @torch.no_grad()
    def top_k_samples(
        self,
        k: int,
        *,
        evidence: Evidence | None = None,
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
    def heads_together(self) -> bool:
        """Whether `classify` asks `log_joint`.

        Not for gradients, which can then be differentiated again, and not on GPUs with kernels.
        """
        slow = self.device.type == "cuda" and self.kernels is not None
        return not (torch.is_grad_enabled() or slow)

    @property
    def deterministic(self) -> bool:
        """Whether the circuit is proven deterministic, given its zero weights."""
        if self._deterministic is None:
            given = bool(self.circuit.weights.values)
            circuit = self.trained_circuit() if given else self.circuit
            self._deterministic = determinism(circuit).verdict == "yes"
        return bool(self._deterministic)


def _check_possible(root: Tensor, repeats: int = 1) -> None:
    wrong = (root == -torch.inf).nonzero()
    if len(wrong):
        raise impossible(int(wrong[0]) // repeats)


def _posterior(chosen: Chosen, known: Knowledge, rows: Tensor) -> tuple[Tensor, ...]:
    """The fields of `Posterior`."""
    run = known.evaluation(rows, Wanted.POSTERIOR)
    flows = run.flows()
    masses = run.masses(flows, chosen)
    mean, variance = run.moments(flows, masses, chosen)
    blank = torch.where(run.root > -torch.inf, 0.0, torch.nan)
    column = blank.unsqueeze(1)
    scaled = run.root + known.plan.log_scale
    return masses + column.unsqueeze(2), mean + column, variance + column, scaled


def _completed(known: Knowledge, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows completed by the best induced trees, and log-values without the circuit's scale."""
    run = known.evaluation(rows, Wanted.BEST)
    return run.complete(run.chosen(), draw=False), run.root
