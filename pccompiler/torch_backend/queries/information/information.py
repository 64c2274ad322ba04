"""Exact entropy, cross-entropy, Kullback-Leibler divergence and inner product.

All are in nats, in float64, and differentiable in the weights of all models. Entropies and
divergences are those of the normalized distributions, without a circuit's `log_scale`. For real
variables they are differential, and if some are discrete, of both kinds: the expectation of
``-log p`` with ``p`` a density in the real variables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pccompiler.errors import CircuitError, OptionError
from pccompiler.options import as_float, shown
from pccompiler.passes.analysis.properties import require
from pccompiler.torch_backend.data.by_name import numbers_by_name
from pccompiler.torch_backend.data.entrance import check_model
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.pairs import leaf_entropy, log_inner, log_share_and_mean
from pccompiler.torch_backend.queries.evidence import Evidence, sharing_little
from pccompiler.torch_backend.queries.expectations.ascent import Ascent, Known
from pccompiler.torch_backend.queries.information.pairs import MOST_PAIRS, evaluate

if TYPE_CHECKING:
    from pccompiler.torch_backend.queries.queries import Queries

_LEAST_OUTSIDE = 1e-9
"""Mass of ``p`` outside the support of ``q`` that cannot come from rounding."""


@numbers_by_name
@sharing_little
def entropy(model: Queries, evidence: Evidence | None = None) -> Tensor:
    """The entropy of the missing values given each row of the evidence, in nats: one pass up.

    Args:
        model: A deterministic model.
        evidence: By default none, in one row.

    Returns:
        Shape (batch,), float64; NaN where the evidence is impossible. Differentiable.

    Raises:
        CircuitError: If the circuit is not known to be deterministic.
        DataError: If the evidence does not fit.

    Source:
        Shih and Ermon (2020), "Probabilistic Circuits for Variational Inference in Discrete
        Graphical Models"; Vergari et al. (2021), section 4.
    """
    _need_determinism(model, "entropy")
    known, rows = Known(model), model.evidence(evidence)
    own = {number: leaf_entropy(leaves) for number, leaves in known.leaves.items()}
    parts: list[Tensor] = []
    for some in rows.split(known.chunk(1)):
        values = {n: _where_missing(known, n, own[n], some) for n in own}
        logs, found = Ascent(known, some, values, "entropy").run()
        parts.append(found[0].masked_fill(logs == -torch.inf, torch.nan))
    return torch.cat(parts)


def cross_entropy(p: Queries, q: Queries, *, most_pairs: int = MOST_PAIRS) -> Tensor:
    """``-E_p[log q]``, a scalar in nats; infinite if ``q`` lacks support that ``p`` has.

    Mass of ``p`` below 1e-9 outside ``q``'s support may come from rounding, and is ignored.

    Args:
        p: A model compatible with ``q``, over the same variables.
        q: A deterministic model.
        most_pairs: The most pairs of units.

    Raises:
        CircuitError: If ``q`` is not known to be deterministic, the models are not compatible, or
            their variables differ.

    Source:
        Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations", section 4.
    """
    _need_determinism(q, "the cross-entropy's second model")
    logs, mean = evaluate(p, q, log_share_and_mean, logarithm=True, most_pairs=most_pairs)
    if -float(torch.expm1(logs.detach())) > _LEAST_OUTSIDE:
        return mean.detach().new_full((), torch.inf)
    return -mean


def kl(p: Queries, q: Queries, *, most_pairs: int = MOST_PAIRS) -> Tensor:
    """The Kullback-Leibler divergence ``E_p[log p - log q]``, a scalar in nats, at least 0.

    Args:
        p: A deterministic model, compatible with ``q``, over the same variables.
        q: A deterministic model.
        most_pairs: The most pairs of units.

    Returns:
        Infinite if ``q`` lacks support that ``p`` has. Rounding may leave about -1e-15.

    Raises:
        CircuitError: If one is not known to be deterministic, the models are not compatible, or
            their variables differ.

    Source:
        Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations", section 4.
    """
    _need_determinism(p, "the Kullback-Leibler divergence's first model")
    return cross_entropy(p, q, most_pairs=most_pairs) - entropy(p)[0]


def inner_product(p: Queries, q: Queries, *, most_pairs: int = MOST_PAIRS) -> Tensor:
    """The logarithm of the sum (integral) of ``p(x) q(x)`` over all worlds, a scalar in nats.

    Scales of the circuits are included.

    Args:
        p: A model compatible with ``q``, over the same variables.
        q: Any model.
        most_pairs: The most pairs of units.

    Raises:
        CircuitError: If they are not compatible, or their variables differ, or quadrature fails for
            two leaves of different families.

    Source:
        Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations", section 3.
    """
    check_model(q)
    logs, _ = evaluate(p, q, _inner_leaves, logarithm=False, most_pairs=most_pairs)
    return logs + p.plan.log_scale + q.plan.log_scale


def log_overlap(p: Queries, q: Queries) -> Tensor:
    """`inner_product` of the normalized distributions; ``q`` may be over some variables of ``p``.

    The others are summed out.
    """
    logs, _ = evaluate(p, q, _inner_leaves, logarithm=False, some=True)
    return logs


def renyi_entropy(model: Queries, alpha: float = 2.0, *, most_pairs: int = MOST_PAIRS) -> Tensor:
    """Rényi entropy of order 2, ``-log`` of the sum (integral) of ``p(x)**2``: a scalar in nats.

    Args:
        model: A structured decomposable model, that is, one compatible with itself.
        alpha: Must be 2: other orders need powers of sums.
        most_pairs: The most pairs of units.

    Raises:
        OptionError: If ``alpha`` is not 2.
        CircuitError: If the circuit is not compatible with itself.

    Source:
        Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations", section 4.
    """
    if as_float(alpha) != 2.0:
        raise OptionError.of(
            "PC428",
            f"Renyi's entropy of order {shown(alpha)} is not supported",
            help="use alpha=2, the collision entropy; entropy() is that of order 1",
        )
    logs, _ = evaluate(model, model, _inner_leaves, logarithm=False, most_pairs=most_pairs)
    return -logs


def _inner_leaves(left: Units, right: Units) -> tuple[Tensor, Tensor]:
    found = log_inner(left, right)
    return found, torch.zeros_like(found)


def _need_determinism(model: Queries, query: str) -> None:
    """Refuse models that are not known to be deterministic; given zero weights count."""
    check_model(model)
    if model.deterministic:
        return
    given = bool(model.circuit.weights.values)
    require(model.trained_circuit() if given else model.circuit, "deterministic", query)
    raise CircuitError.of(  # pragma: no cover
        "PC120", f"{query} needs a deterministic circuit", help="ask another query"
    )


def _where_missing(known: Known, number: int, own: Tensor, rows: Tensor) -> Tensor:
    """Entropies of leaves, 0 where the value is known; shape (units, 1, batch)."""
    variables = torch.tensor(known.variables(number), device=rows.device)
    missing = rows.t()[variables].isnan().unsqueeze(1)
    table = own.view(len(variables), -1, 1)
    return torch.where(missing, table, 0.0).flatten(0, 1).unsqueeze(1)
