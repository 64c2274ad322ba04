"""The joint log-density of a row and each state of a class variable."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Int
from pccompiler.passes.analysis.classes import classes
from pccompiler.torch_backend.engines.base import NoMatch
from pccompiler.torch_backend.engines.differentiable import evaluate
from pccompiler.torch_backend.engines.layered.terms import RootTerms
from pccompiler.torch_backend.engines.questions import Batch, Wanted
from pccompiler.torch_backend.leaves.likelihoods import NOTHING, Likelihoods
from pccompiler.torch_backend.queries.evidence import Evidence, KnowsEvidence
from pccompiler.torch_backend.runtime.transforms import transformed


def log_joint(model: KnowsEvidence, x: Evidence, variable: str | int) -> Tensor:
    """Log p(x, class) of each row and each state of a discrete class variable, in nats.

    If the states belong to different inputs of the root, as in ``build(heads, classes="label")``,
    one pass up evaluates all heads, and what they share only once. Otherwise there is one for each
    state.

    Args:
        model: A compiled circuit.
        x: Evidence; any value of the class is ignored, other missing values are integrated out.
        variable: The class, by name or column.

    Returns:
        Shape (batch, states). Its logsumexp is the log-likelihood without the class, its log-
        softmax the answer of `classify`. Differentiable, but only `classify` more than once.

    Raises:
        DataError: If the variable is unknown.
        OptionError: If it is not discrete.
    """
    column = class_column(model, variable)
    rows = model.evidence(x)
    states = _classes(model, column)
    engine = None if states is None or transformed() or not len(rows) else _engine(model)
    if states is None or engine is None:
        return one_by_one(model, rows, column)
    rows = rows.index_fill(1, torch.tensor([column], device=rows.device), torch.nan)
    number = model.circuit.variables[column].cardinality
    if torch.is_grad_enabled():
        return _joint(model, engine, rows, states, number)
    parts = rows.split(max(1, engine.rows_at_once(engine.row_bytes)))
    return torch.cat([_joint(model, engine, part, states, number) for part in parts])


def class_column(model: KnowsEvidence, variable: str | int) -> int:
    """The column of a class variable, which must be discrete."""
    column = model.column(variable)
    chosen = model.circuit.variables[column]
    if not chosen.discrete:
        raise OptionError.of(
            "PC408",
            f"{chosen.name!r} is a {chosen.domain} variable, which cannot be a class",
            help="choose a discrete variable, or ask for posterior_marginals(...).mean",
        )
    return column


def one_by_one(
    model: KnowsEvidence, rows: Tensor, column: int, likelihoods: Likelihoods = NOTHING
) -> Tensor:
    """`log_joint` by evaluating each row with each state, given soft and interval evidence."""
    number = model.circuit.variables[column].cardinality
    each = rows.repeat_interleave(number, 0)
    states = torch.arange(number, device=rows.device, dtype=rows.dtype)
    each[:, column] = states.repeat(len(rows))
    repeated = likelihoods.each(lambda given: given.repeat_interleave(number, 0))
    return model.evaluate_likely(each, repeated).view(-1, number)


def _classes(model: KnowsEvidence, column: int) -> Int | None:
    """The state of each input of the root; found once for each variable."""
    if column not in model.root_classes:
        model.root_classes[column] = classes(model.circuit, column)
    return model.root_classes[column]


def _engine(model: KnowsEvidence) -> RootTerms | None:
    """The engine for the terms of the root, unless a memory budget or the plan prevents it."""
    if model.schedule is not None:
        return None
    found = model.engines.ask(RootTerms, Wanted.GRADIENT)
    return None if isinstance(found, NoMatch) or not isinstance(found, RootTerms) else found


def _joint(
    model: KnowsEvidence, engine: RootTerms, rows: Tensor, states: Int, number: int
) -> Tensor:
    """The terms of the root, each added to its state."""
    wanted = Wanted.GRADIENT if torch.is_grad_enabled() else Wanted.VALUE
    with engine.threads(len(rows)):
        terms = evaluate(engine, Batch(rows), model.weights, wanted)
        tables, _ = model.weights()
        terms = terms + tables[-1].reshape(-1).log() + model.plan.log_scale
    columns = [np.flatnonzero(states == state).tolist() for state in range(number)]
    return torch.stack([terms[:, chosen].logsumexp(1) for chosen in columns], 1)
