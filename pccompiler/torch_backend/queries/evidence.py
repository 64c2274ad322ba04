"""Evidence: rows with some known values, checked, and evaluated one chunk at a time."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

import torch
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.ir.arrays import Int
from pccompiler.options import listed, seed_of
from pccompiler.tables import column_of
from pccompiler.torch_backend.data.inputs import Rows
from pccompiler.torch_backend.data.likelihoods import (
    EvidenceOrIntervals,
    Intervals,
    Soft,
    has_intervals,
)
from pccompiler.torch_backend.data.replayed import replayed
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.evaluator import Evaluator
from pccompiler.torch_backend.leaves.likelihoods import NOTHING, Likelihoods
from pccompiler.torch_backend.queries.evaluation import Knowledge
from pccompiler.torch_backend.runtime.devices import total_memory
from pccompiler.torch_backend.runtime.replays import bucket
from pccompiler.torch_backend.runtime.transforms import transformed

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Model = TypeVar("_Model", bound=Evaluator)
Evidence: TypeAlias = Rows
"""Rows; for a data frame, a variable without a column is missing in all of them."""
Question: TypeAlias = Callable[[Knowledge, Tensor, Likelihoods], tuple[Tensor, ...]]
"""Maps a model's weights, and rows of evidence, to results with an entry for each row."""
_MOST_REPLAYED = 512
"""The most rows of a call that CUDA graphs are kept for; each keeps its memory."""
_SHARE = 64
"""The share of a GPU's memory for one chunk of rows: values, flows, the largest layer's terms."""
_THREAD_BYTES = 2**25
"""Memory for the same for each thread of a CPU, whose caches should hold much of it."""


class KnowsEvidence(Evaluator):
    """An evaluator that accepts evidence."""

    @functools.cached_property
    def root_classes(self) -> dict[int, Int | None]:
        """What `pccompiler.passes.analysis.classes` found, by column, as far as it was asked."""
        return {}

    def column(self, variable: str | int) -> int:
        """The column of a variable.

        Raises:
            DataError: If there is none.
        """
        return column_of(variable, self.names)

    def columns(self, variables: Sequence[str | int]) -> list[int]:
        """The columns of several variables.

        Raises:
            OptionError: If they are not given as a list.
            DataError: If one is unknown.
        """
        return [column_of(variable, self.names) for variable in listed("variables", variables)]

    def distinct_columns(self, variables: Sequence[str | int] | None) -> tuple[int, ...]:
        """The columns of several variables, by default of all.

        Raises:
            DataError: If one is unknown, or named twice.
        """
        if variables is None:
            return tuple(range(len(self.names)))
        columns = tuple(self.columns(variables))
        if len(set(columns)) < len(columns):
            twice = next(self.names[c] for c in columns if columns.count(c) > 1)
            raise DataError.of(
                "PC429", f"the variable {twice!r} is asked for twice", help="name it once"
            )
        return columns

    def evidence(self, x: Evidence | None) -> Tensor:
        """Evidence as checked rows, shape (batch, variables); ``None`` is one empty row.

        Raises:
            DataError: If it does not fit the variables.
        """
        return self.nothing(1) if x is None else self.checked(x, partial=True)

    def uncertain(
        self, evidence: EvidenceOrIntervals | None, soft: Soft | None, intervals: Intervals | None
    ) -> tuple[Evidence | None, Likelihoods]:
        """Checked rows, and soft and interval evidence; without any, the evidence as it is.

        Raises:
            DataError: If it does not fit the variables.
        """
        if soft is None and intervals is None and not has_intervals(evidence):
            return evidence, NOTHING
        return self.known(evidence, soft, intervals, partial=True)

    def refuse_intervals(
        self, likelihoods: Likelihoods, columns: Iterable[int], query: str, way_out: str
    ) -> None:
        """Refuse a query about counts or real variables of which intervals are known.

        Raises:
            DataError: If there is an interval of one of the columns.
        """
        for column in set(columns) & set(likelihoods.intervals):
            raise DataError.of(
                "PC906",
                f"{query} cannot be asked for {self.names[column]!r} given an interval: it is not "
                "a discrete variable",
                help=way_out,
            )

    def answers(
        self,
        evidence: EvidenceOrIntervals | None,
        wanted: Wanted,
        question: Question,
        name: str,
        numbers: int = 0,
        likelihoods: Likelihoods = NOTHING,
    ) -> tuple[Tensor, ...]:
        """What a question makes of the evidence, one chunk of rows at a time.

        On a GPU, calls with few rows are replays of CUDA graphs.

        Args:
            evidence: The evidence.
            wanted: What the question asks of an engine.
            question: The question.
            name: Its name, which graphs belong to.
            numbers: Numbers that it makes for each row, besides those of the engine.
            likelihoods: Soft and interval evidence for as many rows.

        Raises:
            DataError: If the evidence does not fit the variables.
        """
        most = chunk_rows(self, wanted, numbers)
        rows = self.nothing(1) if evidence is None else self.prepare(evidence, partial=True)
        if self.device.type == "cuda" and not transformed() and not likelihoods:
            found = replayed(
                self,
                self.engines.choose(wanted),
                name,
                rows,
                lambda part, _: question(Knowledge(self), part, NOTHING),
                min(_MOST_REPLAYED, most),
            )
            if found is not None:
                return found
        rows = self.checked(rows)
        known = self.knowledge()
        if len(rows) <= most:
            return question(known, rows, likelihoods)
        parts = [question(known, *part) for part in likelihoods.split(rows, most)]
        return tuple(torch.cat(each) for each in zip(*parts, strict=True))

    def knowledge(self) -> Knowledge:
        """The weights for queries; on a CPU the same object until a parameter changes."""
        return self.weights.remember("knowledge", lambda: Knowledge(self))

    def drawn(
        self,
        rows: Tensor,
        source: torch.Generator | None,
        likelihoods: Likelihoods = NOTHING,
    ) -> tuple[Tensor, Tensor]:
        """Rows that are checked, each completed by a draw, and their log-values without the scale.

        On a GPU, few rows are padded to the number of rows of a graph, which draws as many: so
        that the same seed draws the same values whether a graph is replayed or not.
        """
        batch = len(rows)
        if self.draws_in_graphs(batch) and not likelihoods:
            rows = torch.cat([rows, self.nothing(bucket(batch) - batch)])
            found = replayed(
                self,
                self.engines.choose(Wanted.DRAWS),
                "draws",
                rows,
                lambda part, own: drawn_once(Knowledge(self), part, own),
                _MOST_REPLAYED,
                check=False,
                source=source or torch.cuda.default_generators[rows.get_device()],
            )
            done, root = found or drawn_once(Knowledge(self), rows, source)
            return done[:batch], root[:batch]
        known = self.knowledge()
        most = chunk_rows(self, Wanted.DRAWS)
        parts = [
            drawn_once(known, part, source, own) for part, own in likelihoods.split(rows, most)
        ]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    @torch.no_grad()
    def sampled(self, number: int, seed: int | None = None) -> Tensor:
        """Samples as a tensor, shape (number, variables), even if the model has a schema."""
        source = generator_of(self, seed)
        if self.draws_in_graphs(number):
            return self.drawn(self.nothing(number), source)[0]
        run = self.knowledge().evaluation(self.nothing(1), Wanted.DRAWS)
        parts, most = [self.nothing(0)], chunk_rows(self, Wanted.DRAWS)
        for start in range(0, number, most):
            chosen = run.chosen(min(most, number - start), source)
            parts.append(run.complete(chosen, draw=True, generator=source))
        return torch.cat(parts)

    def draws_in_graphs(self, rows: int) -> bool:
        """Whether so many draws come from a CUDA graph."""
        if self.device.type != "cuda" or transformed():
            return False
        return 0 < rows <= min(_MOST_REPLAYED, chunk_rows(self, Wanted.DRAWS))


def generator_of(model: Evaluator, seed: int | None) -> torch.Generator | None:
    """A generator on the model's device; ``None``, which means torch's own, without a seed."""
    return None if seed is None else torch.Generator(model.device).manual_seed(seed_of(seed))


def drawn_once(
    known: Knowledge,
    rows: Tensor,
    source: torch.Generator | None,
    likelihoods: Likelihoods = NOTHING,
) -> tuple[Tensor, Tensor]:
    """Each row completed by a draw, and log-values."""
    run = known.evaluation(rows, Wanted.DRAWS, likelihoods)
    return run.complete(run.chosen(generator=source), draw=True, generator=source), run.root


def chunk_rows(model: Evaluator, wanted: Wanted, numbers: int = 0) -> int:
    """Rows per chunk, if a question makes so many numbers for each, besides the engine's."""
    engine = model.engines.choose(wanted)
    if model.device.type == "cuda":
        memory = total_memory(model.device) // _SHARE
    else:
        memory = _THREAD_BYTES * torch.get_num_threads()
    most = engine.most_rows
    a_row = engine.row_bytes + model.dtype.itemsize * numbers
    return max(1, min(memory // a_row, memory if most is None else most))


def sharing_little(
    query: Callable[Concatenate[_Model, _P], _R],
) -> Callable[Concatenate[_Model, _P], _R]:
    """Runs a query in one thread if it has too little work for several (`few_threads`)."""

    @functools.wraps(query)
    def run(model: _Model, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        sizes = [_rows(given) for given in args]
        sizes += [_rows(kwargs[name]) for name in ("evidence", "number") if name in kwargs]
        with model.threads(math.prod(sizes)):
            return query(model, *args, **kwargs)

    return run


def _rows(given: object) -> int:
    """Number of rows that an argument of a query stands for: rows of evidence, or draws."""
    if isinstance(given, int):
        return given
    if isinstance(given, Mapping) or not isinstance(given, Sized):
        return 1
    return len(given) if getattr(given, "ndim", 1) else 1
